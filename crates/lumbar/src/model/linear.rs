//! The linear layer, dropout and stochastic depth.

use tch::{Kind, Tensor};

use super::error::{Doing, Result};
use super::pass::{LayerRow, Pass};
use super::registry::{Builder, Fill, Role};

/// A linear layer with bias.
#[derive(Debug)]
pub struct Linear {
    name: String,
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(crate) fn new(builder: &mut Builder<'_>, inputs: i64, outputs: i64, fill: Fill) -> Result<Self> {
        Ok(Self {
            name: builder.path().to_owned(),
            weight: builder.tensor("weight", &[outputs, inputs], Role::Weight, fill)?,
            bias: builder.tensor("bias", &[outputs], Role::Bias, Fill::Const(0.0))?,
        })
    }

    /// A classifier with EfficientNet's first weights: uniform within ±1/√outputs (timm's `_init_weight_goog`).
    pub(crate) fn classifier(builder: &mut Builder<'_>, inputs: i64, outputs: i64) -> Result<Self> {
        Self::new(builder, inputs, outputs, Fill::Uniform(1.0 / (outputs.max(1) as f64).sqrt()))
    }

    /// PyTorch's own first weights: weight and bias uniform within ±1/√inputs.
    pub(crate) fn pytorch(builder: &mut Builder<'_>, inputs: i64, outputs: i64) -> Result<Self> {
        let fill = Fill::Uniform(1.0 / (inputs as f64).sqrt());
        Ok(Self {
            name: builder.path().to_owned(),
            weight: builder.tensor("weight", &[outputs, inputs], Role::Weight, fill)?,
            bias: builder.tensor("bias", &[outputs], Role::Bias, fill)?,
        })
    }

    /// A 1×1 convolution's weight `[out, in, 1, 1]`, used as a linear layer over the channels.
    pub(crate) fn pointwise(builder: &mut Builder<'_>, inputs: i64, outputs: i64, fill: Fill) -> Result<Self> {
        Ok(Self {
            name: builder.path().to_owned(),
            weight: builder.tensor("weight", &[outputs, inputs, 1, 1], Role::Weight, fill)?,
            bias: builder.tensor("bias", &[outputs], Role::Bias, Fill::Const(0.0))?,
        })
    }

    /// Multiplies the weights by a factor and sets the biases: first weights that begin at a known prediction.
    pub(crate) fn start_at(&self, factor: f64, biases: &[f32]) -> Result<()> {
        let _ = self.weight.shallow_clone().f_mul_scalar_(factor).doing(&self.name)?;
        let biases = Tensor::f_from_slice(biases).and_then(|biases| biases.f_to_device(self.bias.device()));
        biases.and_then(|biases| self.bias.shallow_clone().f_copy_(&biases)).doing(&self.name)?;
        Ok(())
    }

    pub(crate) fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let out = match self.weight.dim() {
            2 => xs.f_linear(&self.weight, Some(&self.bias)),
            _ => self.weight.f_flatten(1, -1).and_then(|weight| xs.f_linear(&weight, Some(&self.bias))),
        }
        .doing(&self.name)?;
        pass.record_layer(|| LayerRow {
            name: self.name.clone(),
            kind: "linear".to_owned(),
            output: out.size(),
            parameters: self.weight.numel() + self.bias.numel(),
            macs: (out.numel() as i64 * self.weight.size()[1]) as u64,
        });
        Ok(out)
    }

    /// Multiplies the result by `scale`, channel by channel, for inference.
    pub(crate) fn scale(&mut self, scale: &Tensor) -> Result<()> {
        let weight = self.weight.f_detach()?.f_flatten(1, -1)?;
        self.weight = weight.f_mul(&scale.f_view([-1, 1])?)?;
        self.bias = self.bias.f_detach()?.f_mul(scale)?;
        Ok(())
    }

    /// Converts its weights to `kind` for inference.
    pub(crate) fn convert(&mut self, kind: Kind) -> Result<()> {
        self.weight = self.weight.f_detach()?.f_to_kind(kind)?;
        self.bias = self.bias.f_detach()?.f_to_kind(kind)?;
        Ok(())
    }
}

/// Sets random features to zero in train mode and scales the others up.
pub(crate) fn dropout(xs: Tensor, rate: f64, pass: &Pass) -> Result<Tensor> {
    if rate > 0.0 && pass.training() { xs.f_dropout(rate, true).doing("dropout") } else { Ok(xs) }
}

/// Stochastic depth (Huang et al. 2016, arXiv:1603.09382): in train mode sets the whole branch to zero for random
/// samples and scales it up for the others.
pub(crate) fn drop_path(xs: Tensor, rate: f64, pass: &Pass) -> Result<Tensor> {
    if rate <= 0.0 || !pass.training() {
        return Ok(xs);
    }
    let keep = 1.0 - rate;
    let samples = xs.size()[0];
    let mut scale = Tensor::f_empty([samples, 1, 1, 1], (xs.kind(), xs.device()))?;
    let mut scale = scale.f_bernoulli_float_(keep)?;
    let scale = scale.f_div_scalar_(keep)?;
    xs.f_mul(&scale).doing("drop path")
}

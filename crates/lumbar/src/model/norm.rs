//! Batch norm, layer norm and group norm.

use tch::Tensor;

use super::conv::Activation;
use super::error::{Doing, Result};
use super::pass::{LayerRow, Mode, Pass};
use super::registry::{Builder, Fill, Role};

/// Batch norm over the channels of images, with momentum 0.1 (PyTorch's default).
#[derive(Debug)]
pub struct BatchNorm {
    name: String,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    batches: Tensor,
    eps: f64,
}

const MOMENTUM: f64 = 0.1;

impl BatchNorm {
    pub(crate) fn new(builder: &mut Builder<'_>, channels: i64, eps: f64) -> Result<Self> {
        let shape = [channels];
        Ok(Self {
            name: builder.path().to_owned(),
            weight: builder.tensor("weight", &shape, Role::NormWeight, Fill::Const(1.0))?,
            bias: builder.tensor("bias", &shape, Role::NormBias, Fill::Const(0.0))?,
            running_mean: builder.tensor("running_mean", &shape, Role::RunningMean, Fill::Const(0.0))?,
            running_var: builder.tensor("running_var", &shape, Role::RunningVar, Fill::Const(1.0))?,
            batches: builder.tensor("num_batches_tracked", &[], Role::BatchCount, Fill::Const(0.0))?,
            eps,
        })
    }

    /// Normalises. In train mode it uses the batch's own mean and variance and updates the running ones, unless the
    /// scale is frozen.
    pub(crate) fn apply(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        let training = self.uses_batch_statistics(mode);
        if training {
            self.count()?;
        }
        xs.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            training,
            MOMENTUM,
            self.eps,
            true,
        )
        .doing(&self.name)
    }

    /// Normalises in train mode, adds a shortcut and applies an activation in one pass over memory; `None` if that is
    /// not possible.
    pub(crate) fn apply_with(
        &self,
        xs: &Tensor,
        shortcut: Option<&Tensor>,
        activation: Activation,
        mode: Mode,
    ) -> Result<Option<Tensor>> {
        let norm = torch_ext::batch_norm::BatchNorm {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.running_mean,
            running_var: &self.running_var,
            momentum: MOMENTUM,
            eps: self.eps,
        };
        if !self.uses_batch_statistics(mode) || !norm.fits(xs, shortcut, activation.fused()) {
            return Ok(None);
        }
        self.count()?;
        Ok(Some(norm.train(xs, shortcut, activation.fused())?))
    }

    /// Whether it uses and updates the batch's own statistics.
    fn uses_batch_statistics(&self, mode: Mode) -> bool {
        mode == Mode::Train && self.weight.requires_grad()
    }

    fn count(&self) -> Result<()> {
        self.batches.shallow_clone().f_add_scalar_(1).map(|_| ()).doing(&self.name)
    }

    /// Scale and shift of the affine map that it computes in eval mode.
    pub(crate) fn scale_and_shift(&self) -> Result<(Tensor, Tensor)> {
        let spread = self.running_var.f_add_scalar(self.eps)?.f_sqrt()?;
        let scale = self.weight.f_detach()?.f_div(&spread)?;
        let shift = self.bias.f_detach()?.f_sub(&self.running_mean.f_mul(&scale)?)?;
        Ok((scale, shift))
    }

    pub(crate) fn zero_scale(&self) -> Result<()> {
        tch::no_grad(|| self.weight.shallow_clone().f_zero_().map(|_| ())).doing(&self.name)
    }

    /// Number of trained weights.
    pub(crate) fn weight_count(&self) -> usize {
        self.weight.numel() + self.bias.numel()
    }
}

/// Layer norm over the channels of each pixel. ε is 1e-6, as in ConvNeXt.
#[derive(Debug)]
pub struct LayerNorm {
    name: String,
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    const EPS: f64 = 1e-6;

    pub(crate) fn new(builder: &mut Builder<'_>, channels: i64) -> Result<Self> {
        Ok(Self {
            name: builder.path().to_owned(),
            weight: builder.tensor("weight", &[channels], Role::NormWeight, Fill::Const(1.0))?,
            bias: builder.tensor("bias", &[channels], Role::NormBias, Fill::Const(0.0))?,
        })
    }

    /// Normalises the last dimension.
    pub(crate) fn run_last(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let out = xs
            .f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), Self::EPS, true)
            .doing(&self.name)?;
        pass.record_layer(|| LayerRow {
            name: self.name.clone(),
            kind: "layer norm".to_owned(),
            output: out.size(),
            parameters: self.weight.numel() + self.bias.numel(),
            macs: 0,
        });
        Ok(out)
    }

    /// Normalises the channels of `[batch, channels, height, width]`.
    pub(crate) fn run_2d(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let rows = xs.f_permute([0, 2, 3, 1]).doing(&self.name)?;
        self.run_last(&rows, pass)?.f_permute([0, 3, 1, 2]).doing(&self.name)
    }

    /// Converts its weights to `kind` for inference.
    pub(crate) fn convert(&mut self, kind: tch::Kind) -> Result<()> {
        self.weight = self.weight.f_detach()?.f_to_kind(kind)?;
        self.bias = self.bias.f_detach()?.f_to_kind(kind)?;
        Ok(())
    }
}

/// Group norm over the channels of images (Wu and He 2018, arXiv:1803.08494). ε is 1e-5, PyTorch's default.
///
/// Its statistics are those of the image itself: it needs no batch and has no running statistics.
#[derive(Debug)]
pub struct GroupNorm {
    name: String,
    groups: i64,
    weight: Tensor,
    bias: Tensor,
}

impl GroupNorm {
    const EPS: f64 = 1e-5;

    pub(crate) fn new(builder: &mut Builder<'_>, channels: i64, groups: i64) -> Result<Self> {
        Ok(Self {
            name: builder.path().to_owned(),
            groups,
            weight: builder.tensor("weight", &[channels], Role::NormWeight, Fill::Const(1.0))?,
            bias: builder.tensor("bias", &[channels], Role::NormBias, Fill::Const(0.0))?,
        })
    }

    /// Groups, weight, bias and ε.
    pub(crate) const fn parts(&self) -> (i64, &Tensor, &Tensor, f64) {
        (self.groups, &self.weight, &self.bias, Self::EPS)
    }

    pub(crate) fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let out =
            xs.f_group_norm(self.groups, Some(&self.weight), Some(&self.bias), Self::EPS, true).doing(&self.name)?;
        pass.record_layer(|| LayerRow {
            name: self.name.clone(),
            kind: "group norm".to_owned(),
            output: out.size(),
            parameters: self.weight.numel() + self.bias.numel(),
            macs: 0,
        });
        Ok(out)
    }
}

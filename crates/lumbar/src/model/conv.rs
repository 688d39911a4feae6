//! Convolution with what follows it: normalisation and activation.
//!
//! [`ConvNorm`] is one layer in two forms. While it is trained, convolution, batch norm and activation follow each
//! other (`conv/training.rs`). [`Inference`](super::Inference) folds it: the batch norm becomes part of weight and bias,
//! and bias, activation and shortcut part of the convolution's call (`conv/folded.rs`). Folding cannot be undone.

mod folded;
mod spec;
mod training;

use tch::{Kind, Tensor};

use super::error::{Doing, Result};
use super::norm::BatchNorm;
use super::pass::{LayerRow, Mode, Pass};
use super::registry::Builder;
use folded::FoldedConv;
use training::TrainingConv;

pub(crate) use spec::ConvSpec;
pub use spec::{Activation, Padding};

/// A convolution, an optional batch norm after it, and an activation.
///
/// # Shapes
/// `[batch, in, height, width]` → `[batch, out, height', width']`.
#[derive(Debug)]
pub struct ConvNorm {
    name: String,
    spec: ConvSpec,
    activation: Activation,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Training(TrainingConv),
    Folded(FoldedConv),
}

impl ConvNorm {
    /// `name` is the convolution's name and `norm` the batch norm's name and ε, both below the builder's path.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        spec: ConvSpec,
        norm: Option<(&str, f64)>,
        activation: Activation,
    ) -> Result<Self> {
        let mut at = builder.at(name);
        let mut conv = TrainingConv::new(&mut at, &spec)?;
        let name = at.path().to_owned();
        if let Some((norm, eps)) = norm {
            conv.norm = Some(BatchNorm::new(&mut builder.at(norm), spec.channels_out, eps)?);
        }
        Ok(Self { name, spec, activation, form: Form::Training(conv) })
    }

    /// Number of output channels.
    pub fn channels_out(&self) -> i64 {
        self.spec.channels_out
    }

    /// The convolution's weight, `[out, in / groups, kernel, kernel]`.
    pub fn weight(&self) -> &Tensor {
        match &self.form {
            Form::Training(conv) => &conv.weight,
            Form::Folded(conv) => &conv.weight,
        }
    }

    pub(crate) fn bias(&self) -> Option<&Tensor> {
        match &self.form {
            Form::Training(conv) => conv.bias.as_ref(),
            Form::Folded(conv) => conv.bias.as_ref(),
        }
    }

    fn norm(&self) -> Option<&BatchNorm> {
        match &self.form {
            Form::Training(conv) => conv.norm.as_ref(),
            Form::Folded(_) => None,
        }
    }

    /// Runs convolution, normalisation and activation.
    ///
    /// # Errors
    /// [`Error::Torch`](super::Error::Torch) if the input has another number of channels.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(xs, &mut Pass::new(mode))
    }

    pub(crate) fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let (padded, padding) = self.spec.pad(xs, &self.name)?;
        let xs = padded.as_ref().unwrap_or(xs);
        let out = match &self.form {
            Form::Training(conv) => {
                let out = conv.convolve(&self.name, &self.spec, xs, padding)?;
                conv.finish(&self.name, out, self.activation, pass.mode)?
            }
            Form::Folded(conv) => conv.run(&self.name, &self.spec, xs, padding, self.activation)?,
        };
        self.record(&out, pass);
        Ok(out)
    }

    /// Runs, adds a shortcut, and optionally applies ReLU; one pass over memory if the model is folded.
    pub(crate) fn run_add(&self, xs: &Tensor, shortcut: &Tensor, relu: bool, pass: &mut Pass) -> Result<Tensor> {
        let then = if relu { Activation::Relu } else { Activation::None };
        if self.activation == Activation::None {
            let (padded, padding) = self.spec.pad(xs, &self.name)?;
            let xs = padded.as_ref().unwrap_or(xs);
            let out = match &self.form {
                Form::Training(conv) if conv.norm.is_some() => {
                    let out = conv.convolve(&self.name, &self.spec, xs, padding)?;
                    conv.finish_add(&self.name, &out, shortcut, then, pass.mode)?
                }
                Form::Training(_) => None,
                Form::Folded(conv) => conv.run_add(&self.name, &self.spec, xs, padding, shortcut, relu)?,
            };
            if let Some(out) = out {
                self.record(&out, pass);
                return Ok(out);
            }
        }
        let sum = self.run(xs, pass)?.f_add_(shortcut).doing(&self.name)?;
        then.apply(sum, pass.mode).doing(&self.name)
    }

    fn record(&self, out: &Tensor, pass: &mut Pass) {
        pass.record_layer(|| {
            let spec = &self.spec;
            let weights = spec.channels_in / spec.groups * spec.kernel * spec.kernel;
            let norm = self.norm().map_or(0, BatchNorm::weight_count);
            LayerRow {
                name: self.name.clone(),
                kind: format!(
                    "conv2d {k}×{k}{stride}{groups}",
                    k = spec.kernel,
                    stride = if spec.stride > 1 { format!(" /{}", spec.stride) } else { String::new() },
                    groups = if spec.groups > 1 { " depthwise" } else { "" },
                ),
                output: out.size(),
                parameters: self.weight().numel() + self.bias().map_or(0, Tensor::numel) + norm,
                macs: out.numel() as u64 * weights as u64,
            }
        });
    }

    /// Folds the batch norm into weight and bias, and stores the weight in the layout for inference.
    pub(crate) fn fold(&mut self, kind: Kind) -> Result<()> {
        if let Form::Training(conv) = &self.form {
            self.form = Form::Folded(conv.fold(&self.spec, kind)?);
        }
        Ok(())
    }

    /// Sets the batch norm's scale to zero, so that a residual branch adds nothing at first.
    pub(crate) fn zero_scale(&self) -> Result<()> {
        self.norm().map_or(Ok(()), BatchNorm::zero_scale)
    }

    pub(crate) fn is_folded(&self) -> bool {
        matches!(self.form, Form::Folded(_))
    }
}

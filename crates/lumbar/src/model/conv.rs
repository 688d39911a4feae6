//! Convolution with what follows it: normalisation and activation.

use tch::{Kind, TchError, Tensor};
use torch_ext::{conv3x3, fused};

use super::error::{Doing, Result};
use super::norm::BatchNorm;
use super::pass::{LayerRow, Mode, Pass};
use super::registry::{Builder, Fill, Role};

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x
    None,
    /// max(x, 0)
    Relu,
    /// x·σ(x), also called swish
    Silu,
    /// x·Φ(x), exact
    Gelu,
    /// σ(x)
    Sigmoid,
}

impl Activation {
    /// Applies it, in place where that saves a copy. SiLU's gradient needs its input: in place, autograd would copy
    /// the input first, so in training SiLU makes a new tensor.
    pub(crate) fn apply(self, mut xs: Tensor, mode: Mode) -> std::result::Result<Tensor, TchError> {
        match self {
            Self::None => Ok(xs),
            Self::Relu => xs.f_relu_(),
            Self::Silu if mode == Mode::Eval => xs.f_silu_(),
            Self::Silu => xs.f_silu(),
            Self::Gelu => xs.f_gelu("none"),
            Self::Sigmoid => xs.f_sigmoid_(),
        }
    }

    pub(super) fn fused(self) -> fused::Activation {
        match self {
            Self::None => fused::Activation::None,
            Self::Relu => fused::Activation::Relu,
            Self::Silu => fused::Activation::Silu,
            Self::Gelu => fused::Activation::Gelu,
            Self::Sigmoid => fused::Activation::Sigmoid,
        }
    }
}

/// How many zeros are added around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// The same number on both sides, as in PyTorch.
    Symmetric(i64),
    /// As many as needed for ⌈size / stride⌉ results, as in TensorFlow. If the number is odd, the extra row or column
    /// is at the bottom or right.
    Same,
}

impl Padding {
    /// timm's padding for a kernel: `(stride − 1 + kernel − 1) / 2` on both sides.
    pub(crate) fn symmetric(kernel: i64, stride: i64) -> Self {
        Self::Symmetric((stride - 1 + kernel - 1) / 2)
    }
}

/// The numbers of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvSpec {
    pub(crate) channels_in: i64,
    pub(crate) channels_out: i64,
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    pub(crate) padding: Padding,
    pub(crate) groups: i64,
    pub(crate) bias: bool,
    pub(crate) fill: Fill,
}

impl ConvSpec {
    /// Symmetric padding, one group, no bias, and EfficientNet's first weights:
    /// N(0, √(2 / (kernel²·out / groups))) (timm's `_init_weight_goog`).
    pub(crate) fn new(channels_in: i64, channels_out: i64, kernel: i64, stride: i64) -> Self {
        let padding = Padding::symmetric(kernel, stride);
        let fill = Fill::Normal((2.0 / (kernel * kernel * channels_out) as f64).sqrt());
        Self { channels_in, channels_out, kernel, stride, padding, groups: 1, bias: false, fill }
    }

    /// As [`Self::new`], with one group per channel.
    pub(crate) fn depthwise(channels: i64, kernel: i64, stride: i64) -> Self {
        let fill = Fill::Normal((2.0 / (kernel * kernel) as f64).sqrt());
        Self { groups: channels, fill, ..Self::new(channels, channels, kernel, stride) }
    }

    pub(crate) fn with_bias(self) -> Self {
        Self { bias: true, ..self }
    }

    pub(crate) fn with_padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    pub(crate) fn with_fill(self, fill: Fill) -> Self {
        Self { fill, ..self }
    }
}

/// A convolution, an optional batch norm after it, and an activation.
///
/// # Shapes
/// `[batch, in, height, width]` → `[batch, out, height', width']`.
#[derive(Debug)]
pub struct ConvNorm {
    name: String,
    spec: ConvSpec,
    weight: Tensor,
    bias: Option<Tensor>,
    norm: Option<BatchNorm>,
    activation: Activation,
    folded: bool,
    /// Whether it is folded for oneDNN's fused convolution.
    fused: bool,
    /// The weight of a 1×1 kernel as a matrix, if folded for a CPU: images of one pixel (squeeze-and-excitation) are
    /// a matrix product, and a convolution's setup would take longer than the product.
    matrix: Option<Tensor>,
    /// The weight of a 3×3 kernel in the usual layout, if folded for a CPU, for [`conv3x3`].
    weight_3x3: Option<Tensor>,
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
        let shape = [spec.channels_out, spec.channels_in / spec.groups, spec.kernel, spec.kernel];
        let weight = at.tensor("weight", &shape, Role::Weight, spec.fill)?;
        let bias = match spec.bias {
            true => Some(at.tensor("bias", &[spec.channels_out], Role::Bias, Fill::Const(0.0))?),
            false => None,
        };
        let full_name = at.path().to_owned();
        let norm = match norm {
            Some((norm, eps)) => Some(BatchNorm::new(&mut builder.at(norm), spec.channels_out, eps)?),
            None => None,
        };
        Ok(Self {
            name: full_name,
            spec,
            weight,
            bias,
            norm,
            activation,
            folded: false,
            fused: false,
            matrix: None,
            weight_3x3: None,
        })
    }

    /// Number of output channels.
    pub fn channels_out(&self) -> i64 {
        self.spec.channels_out
    }

    /// The convolution's weight, `[out, in / groups, kernel, kernel]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Runs convolution, normalisation and activation.
    ///
    /// # Errors
    /// [`Error::Torch`](super::Error::Torch) if the input has another number of channels.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(xs, &mut Pass::new(mode))
    }

    pub(crate) fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let (padded, padding) = self.pad(xs)?;
        let xs = padded.as_ref().unwrap_or(xs);
        let out = if let Some(matrix) =
            self.matrix.as_ref().filter(|_| xs.size().get(2..).is_some_and(|sides| sides == [1, 1]))
        {
            let size = xs.size();
            let flat = xs.f_reshape([size[0], size[1]]).doing(&self.name)?;
            let out = flat.f_linear(matrix, self.bias.as_ref()).doing(&self.name)?;
            let out = self.activation.apply(out, pass.mode).and_then(|out| out.f_unsqueeze(-1));
            out.and_then(|out| out.f_unsqueeze(-1)).doing(&self.name)?
        } else if let Some(out) = self.convolve_3x3(xs, padding)? {
            self.activation.apply(out, pass.mode).doing(&self.name)?
        } else if self.fused && is_cpu(xs) {
            self.geometry(padding).fused(xs, &self.weight, self.bias.as_ref(), self.activation.fused())?
        } else {
            let out = self.convolve(xs, padding)?;
            self.normalise_and_activate(out, pass.mode)?
        };
        self.record(&out, pass);
        Ok(out)
    }

    /// Runs, adds a shortcut, and optionally applies ReLU; one pass over memory if the model is folded.
    pub(crate) fn run_add(&self, xs: &Tensor, shortcut: &Tensor, relu: bool, pass: &mut Pass) -> Result<Tensor> {
        // oneDNN's fused sum refuses images of one pixel, whose layout is ambiguous
        let one_pixel = shortcut.size()[2..] == [1, 1];
        if self.fused && is_cpu(xs) && self.activation == Activation::None && !one_pixel {
            let (padded, padding) = self.pad(xs)?;
            let xs = padded.as_ref().unwrap_or(xs);
            let out = match self.convolve_3x3(xs, padding)? {
                Some(mut out) => {
                    let mut out = out.f_add_(shortcut).doing(&self.name)?;
                    if relu { out.f_relu_().doing(&self.name)? } else { out }
                }
                None => self.geometry(padding).fused_add(xs, shortcut, &self.weight, self.bias.as_ref(), relu)?,
            };
            self.record(&out, pass);
            return Ok(out);
        }
        let then = if relu { Activation::Relu } else { Activation::None };
        if let Some(norm) = self.norm.as_ref().filter(|_| !self.folded && self.activation == Activation::None) {
            let (padded, padding) = self.pad(xs)?;
            let out = self.convolve(padded.as_ref().unwrap_or(xs), padding)?;
            let out = match norm.apply_with(&out, Some(shortcut), then, pass.mode)? {
                Some(out) => out,
                None => {
                    let sum = norm.apply(&out, pass.mode)?.f_add_(shortcut).doing(&self.name)?;
                    then.apply(sum, pass.mode).doing(&self.name)?
                }
            };
            self.record(&out, pass);
            return Ok(out);
        }
        let sum = self.run(xs, pass)?.f_add_(shortcut).doing(&self.name)?;
        then.apply(sum, pass.mode).doing(&self.name)
    }

    /// What follows the convolution: batch norm and activation.
    fn normalise_and_activate(&self, out: Tensor, mode: Mode) -> Result<Tensor> {
        let out = match &self.norm {
            Some(norm) => match norm.apply_with(&out, None, self.activation, mode)? {
                Some(out) => return Ok(out),
                None => norm.apply(&out, mode)?,
            },
            None => out,
        };
        self.activation.apply(out, mode).doing(&self.name)
    }

    /// The folded convolution with its bias by [`conv3x3`]; `None` if oneDNN's fused convolution is faster.
    fn convolve_3x3(&self, xs: &Tensor, padding: i64) -> Result<Option<Tensor>> {
        let stride = self.spec.stride;
        let fits = |weight: &&Tensor| padding == 1 && conv3x3::fits(xs, weight, stride);
        let Some(weight) = self.weight_3x3.as_ref().filter(fits) else {
            return Ok(None);
        };
        let mut out = conv3x3::convolve(xs, weight, stride)?;
        if let Some(bias) = &self.bias {
            let _ = bias.f_view([1, -1, 1, 1]).and_then(|bias| out.f_add_(&bias)).doing(&self.name)?;
        }
        Ok(Some(out))
    }

    fn convolve(&self, xs: &Tensor, padding: i64) -> Result<Tensor> {
        let ConvSpec { stride, groups, .. } = self.spec;
        if self.bias.is_none() && groups == 1 && padding == 1 && conv3x3::fits(xs, &self.weight, stride) {
            return Ok(conv3x3::convolve(xs, &self.weight, stride)?);
        }
        let (stride, padding) = ([stride; 2], [padding; 2]);
        xs.f_conv2d(&self.weight, self.bias.as_ref(), stride, padding, [1, 1], groups).doing(&self.name)
    }

    fn geometry(&self, padding: i64) -> fused::Conv2d {
        fused::Conv2d { stride: [self.spec.stride; 2], padding: [padding; 2], groups: self.spec.groups }
    }

    /// The padded input, if the padding differs between the sides, and the padding that is left to the convolution.
    fn pad(&self, xs: &Tensor) -> Result<(Option<Tensor>, i64)> {
        match self.spec.padding {
            Padding::Symmetric(padding) => Ok((None, padding)),
            Padding::Same if self.spec.stride == 1 && self.spec.kernel % 2 == 1 => Ok((None, self.spec.kernel / 2)),
            Padding::Same => {
                let size = xs.size();
                let [.., height, width] = size[..] else {
                    return Err(super::error::Error::Shape {
                        what: self.name.clone(),
                        expected: "[batch, channels, height, width]".to_owned(),
                        found: size,
                    });
                };
                let lack = |size: i64| {
                    let results = (size + self.spec.stride - 1) / self.spec.stride;
                    ((results - 1) * self.spec.stride + self.spec.kernel - size).max(0)
                };
                let (rows, columns) = (lack(height), lack(width));
                let sides = [columns / 2, columns - columns / 2, rows / 2, rows - rows / 2];
                Ok((Some(xs.f_constant_pad_nd(sides).doing(&self.name)?), 0))
            }
        }
    }

    fn record(&self, out: &Tensor, pass: &mut Pass) {
        pass.record_layer(|| {
            let spec = &self.spec;
            let weights = spec.channels_in / spec.groups * spec.kernel * spec.kernel;
            let norm = self.norm.as_ref().map_or(0, BatchNorm::weight_count);
            LayerRow {
                name: self.name.clone(),
                kind: format!(
                    "conv2d {k}×{k}{stride}{groups}",
                    k = spec.kernel,
                    stride = if spec.stride > 1 { format!(" /{}", spec.stride) } else { String::new() },
                    groups = if spec.groups > 1 { " depthwise" } else { "" },
                ),
                output: out.size(),
                parameters: self.weight.numel() + self.bias.as_ref().map_or(0, Tensor::numel) + norm,
                macs: out.numel() as u64 * weights as u64,
            }
        });
    }

    /// Folds the batch norm into weight and bias, and stores the weight in the layout for inference.
    ///
    /// With scale γ/√(var + ε): weight ← weight·scale, bias ← (bias − mean)·scale + β.
    pub(crate) fn fold(&mut self, kind: Kind) -> Result<()> {
        let (mut weight, mut bias) = (self.weight.f_detach()?, self.bias.as_ref().map(|b| b.f_detach()).transpose()?);
        if let Some(norm) = self.norm.take() {
            let (scale, shift) = norm.scale_and_shift()?;
            weight = weight.f_mul(&scale.f_view([-1, 1, 1, 1])?)?;
            bias = Some(match bias {
                Some(bias) => bias.f_mul(&scale)?.f_add(&shift)?,
                None => shift,
            });
        }
        self.weight = torch_ext::layout::channels_last(&weight.f_to_kind(kind)?)?;
        self.bias = bias.map(|bias| bias.f_to_kind(kind)).transpose()?;
        self.fused = is_cpu(&self.weight) && onednn_takes(kind);
        if self.fused {
            let ConvSpec { channels_in, channels_out, kernel, groups, .. } = self.spec;
            if kernel == 1 && groups == 1 && kind == Kind::Float {
                self.matrix = Some(self.weight.f_reshape([channels_out, channels_in])?);
            }
            let is_3x3 = groups == 1 && conv3x3::takes(&self.weight);
            if is_3x3 {
                self.weight_3x3 = Some(self.weight.shallow_clone());
            }
            let padding = match self.spec.padding {
                Padding::Symmetric(padding) => padding,
                Padding::Same if self.spec.stride == 1 => self.spec.kernel / 2,
                Padding::Same => 0,
            };
            // a second copy in oneDNN's layout only if oneDNN may run it
            if !is_3x3 || self.spec.stride > 1 {
                self.weight = self.geometry(padding).reorder(&self.weight, None)?;
            }
        }
        self.folded = true;
        Ok(())
    }

    /// Sets the batch norm's scale to zero, so that a residual branch adds nothing at first.
    pub(crate) fn zero_scale(&self) -> Result<()> {
        self.norm.as_ref().map_or(Ok(()), BatchNorm::zero_scale)
    }

    pub(crate) fn is_folded(&self) -> bool {
        self.folded
    }
}

/// Whether oneDNN runs convolutions of this element type on this CPU. For bf16 libtorch requires AVX-512 (its
/// `mkldnn_bf16_device_check`); without it the plain convolution is used.
fn onednn_takes(kind: Kind) -> bool {
    #[cfg(target_arch = "x86_64")]
    let has_bf16 = is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq");
    #[cfg(not(target_arch = "x86_64"))]
    let has_bf16 = false;
    kind != Kind::BFloat16 || has_bf16
}

fn is_cpu(xs: &Tensor) -> bool {
    xs.device() == tch::Device::Cpu
}

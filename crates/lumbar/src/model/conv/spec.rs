//! What a convolution is: its numbers, its padding, and the activation after it.

use tch::{TchError, Tensor};
use torch_ext::{conv3x3, fused};

use super::super::error::{Doing, Error, Result};
use super::super::pass::Mode;
use super::super::registry::Fill;

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

    pub(in crate::model) fn fused(self) -> fused::Activation {
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
    /// The padded input if the padding differs between the sides, and the padding that is left to the convolution.
    pub(super) fn pad(&self, xs: &Tensor, name: &str) -> Result<(Option<Tensor>, i64)> {
        match self.padding {
            Padding::Symmetric(padding) => Ok((None, padding)),
            Padding::Same if self.stride == 1 && self.kernel % 2 == 1 => Ok((None, self.kernel / 2)),
            Padding::Same => {
                let size = xs.size();
                let [.., height, width] = size[..] else {
                    return Err(Error::Shape {
                        what: name.to_owned(),
                        expected: "[batch, channels, height, width]".to_owned(),
                        found: size,
                    });
                };
                let lack = |size: i64| {
                    let results = (size + self.stride - 1) / self.stride;
                    ((results - 1) * self.stride + self.kernel - size).max(0)
                };
                let (rows, columns) = (lack(height), lack(width));
                let sides = [columns / 2, columns - columns / 2, rows / 2, rows - rows / 2];
                Ok((Some(xs.f_constant_pad_nd(sides).doing(name)?), 0))
            }
        }
    }

    /// The convolution alone, by [`conv3x3`] where that fits, else by libtorch.
    pub(super) fn convolve(
        &self,
        name: &str,
        xs: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        padding: i64,
    ) -> Result<Tensor> {
        if bias.is_none() && self.groups == 1 && padding == 1 && conv3x3::fits(xs, weight, self.stride) {
            return Ok(conv3x3::convolve(xs, weight, self.stride)?);
        }
        let (stride, padding) = ([self.stride; 2], [padding; 2]);
        xs.f_conv2d(weight, bias, stride, padding, [1, 1], self.groups).doing(name)
    }
}

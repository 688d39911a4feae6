//! The layer as it predicts: batch norm folded into weight and bias, and the weight in the layout of the fastest kernel.

use tch::{Device, Kind, Tensor};
use torch_ext::{conv3x3, fused};

use super::super::error::{Doing, Result};
use super::super::pass::Mode;
use super::spec::{Activation, ConvSpec, Padding};

/// A convolution for inference alone. It has no batch norm and its tensors have no gradients.
///
/// On a CPU, one of three kernels runs it: a matrix product for images of one pixel, [`conv3x3`] for 3×3 kernels where
/// that is faster, and otherwise oneDNN's convolution with bias, activation and shortcut in one call. On a GPU, and for
/// an element type that oneDNN does not take on this CPU, it is libtorch's plain convolution.
#[derive(Debug)]
pub(super) struct FoldedConv {
    /// In oneDNN's layout where oneDNN runs it, else channels-last.
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
    /// Whether oneDNN's fused convolution runs it on a CPU.
    fused: bool,
    /// The weight of a 1×1 kernel as a matrix, on a CPU: images of one pixel (squeeze-and-excitation) are a matrix
    /// product, and a convolution's setup would take longer than the product.
    matrix: Option<Tensor>,
    /// The weight of a 3×3 kernel in the usual layout, on a CPU, for [`conv3x3`].
    weight_3x3: Option<Tensor>,
}

impl FoldedConv {
    /// From weight and bias with the batch norm in them.
    pub(super) fn new(spec: &ConvSpec, weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let weight = torch_ext::layout::channels_last(&weight)?;
        let kind = weight.kind();
        let fused = is_cpu(&weight) && onednn_takes(kind);
        let mut folded = Self { weight, bias, fused, matrix: None, weight_3x3: None };
        if fused {
            let ConvSpec { channels_in, channels_out, kernel, groups, .. } = *spec;
            if kernel == 1 && groups == 1 && kind == Kind::Float {
                folded.matrix = Some(folded.weight.f_reshape([channels_out, channels_in])?);
            }
            let is_3x3 = groups == 1 && conv3x3::takes(&folded.weight);
            if is_3x3 {
                folded.weight_3x3 = Some(folded.weight.shallow_clone());
            }
            let padding = match spec.padding {
                Padding::Symmetric(padding) => padding,
                Padding::Same if spec.stride == 1 => spec.kernel / 2,
                Padding::Same => 0,
            };
            // a second copy in oneDNN's layout only if oneDNN may run it
            if !is_3x3 || spec.stride > 1 {
                folded.weight = geometry(spec, padding).reorder(&folded.weight, None)?;
            }
        }
        Ok(folded)
    }

    pub(super) fn run(
        &self,
        name: &str,
        spec: &ConvSpec,
        xs: &Tensor,
        padding: i64,
        activation: Activation,
    ) -> Result<Tensor> {
        let is_one_pixel = xs.size().get(2..).is_some_and(|sides| sides == [1, 1]);
        if let Some(matrix) = self.matrix.as_ref().filter(|_| is_one_pixel) {
            let size = xs.size();
            let flat = xs.f_reshape([size[0], size[1]]).doing(name)?;
            let out = flat.f_linear(matrix, self.bias.as_ref()).doing(name)?;
            let out = activation.apply(out, Mode::Eval).and_then(|out| out.f_unsqueeze(-1));
            out.and_then(|out| out.f_unsqueeze(-1)).doing(name)
        } else if let Some(out) = self.convolve_3x3(name, spec, xs, padding)? {
            activation.apply(out, Mode::Eval).doing(name)
        } else if self.fused && is_cpu(xs) {
            Ok(geometry(spec, padding).fused(xs, &self.weight, self.bias.as_ref(), activation.fused())?)
        } else {
            let out = spec.convolve(name, xs, &self.weight, self.bias.as_ref(), padding)?;
            activation.apply(out, Mode::Eval).doing(name)
        }
    }

    /// Runs the convolution, adds a shortcut and optionally applies ReLU; `None` if that is not one pass over memory.
    pub(super) fn run_add(
        &self,
        name: &str,
        spec: &ConvSpec,
        xs: &Tensor,
        padding: i64,
        shortcut: &Tensor,
        relu: bool,
    ) -> Result<Option<Tensor>> {
        // oneDNN's fused sum refuses images of one pixel, whose layout is ambiguous
        let is_one_pixel = shortcut.size()[2..] == [1, 1];
        if !self.fused || !is_cpu(xs) || is_one_pixel {
            return Ok(None);
        }
        if let Some(mut out) = self.convolve_3x3(name, spec, xs, padding)? {
            let mut out = out.f_add_(shortcut).doing(name)?;
            return Ok(Some(if relu { out.f_relu_().doing(name)? } else { out }));
        }
        Ok(Some(geometry(spec, padding).fused_add(xs, shortcut, &self.weight, self.bias.as_ref(), relu)?))
    }

    /// The convolution with its bias by [`conv3x3`]; `None` if oneDNN's fused convolution is faster.
    fn convolve_3x3(&self, name: &str, spec: &ConvSpec, xs: &Tensor, padding: i64) -> Result<Option<Tensor>> {
        let fits = |weight: &&Tensor| padding == 1 && conv3x3::fits(xs, weight, spec.stride);
        let Some(weight) = self.weight_3x3.as_ref().filter(fits) else {
            return Ok(None);
        };
        let mut out = conv3x3::convolve(xs, weight, spec.stride)?;
        if let Some(bias) = &self.bias {
            let _ = bias.f_view([1, -1, 1, 1]).and_then(|bias| out.f_add_(&bias)).doing(name)?;
        }
        Ok(Some(out))
    }
}

fn geometry(spec: &ConvSpec, padding: i64) -> fused::Conv2d {
    fused::Conv2d { stride: [spec.stride; 2], padding: [padding; 2], groups: spec.groups }
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
    xs.device() == Device::Cpu
}

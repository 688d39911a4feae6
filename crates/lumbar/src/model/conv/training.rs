//! The layer as it is trained: convolution, then batch norm, then activation.

use tch::{Kind, Tensor};

use super::super::error::{Doing, Result};
use super::super::norm::BatchNorm;
use super::super::pass::Mode;
use super::super::registry::{Builder, Fill, Role};
use super::folded::FoldedConv;
use super::spec::{Activation, ConvSpec};

/// The trained tensors of a convolution, with its batch norm as a layer of its own.
///
/// It runs in both modes. In [`Mode::Train`] the batch norm uses the statistics of the batch; on a CPU it adds a
/// shortcut and applies the activation in the same pass over memory.
#[derive(Debug)]
pub(super) struct TrainingConv {
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
    pub(super) norm: Option<BatchNorm>,
}

impl TrainingConv {
    /// `at` is the builder at the convolution's name, `norm` the batch norm.
    pub(super) fn new(at: &mut Builder<'_>, spec: &ConvSpec) -> Result<Self> {
        let shape = [spec.channels_out, spec.channels_in / spec.groups, spec.kernel, spec.kernel];
        let weight = at.tensor("weight", &shape, Role::Weight, spec.fill)?;
        let bias = match spec.bias {
            true => Some(at.tensor("bias", &[spec.channels_out], Role::Bias, Fill::Const(0.0))?),
            false => None,
        };
        Ok(Self { weight, bias, norm: None })
    }

    pub(super) fn convolve(&self, name: &str, spec: &ConvSpec, xs: &Tensor, padding: i64) -> Result<Tensor> {
        spec.convolve(name, xs, &self.weight, self.bias.as_ref(), padding)
    }

    /// What follows the convolution: batch norm and activation.
    pub(super) fn finish(&self, name: &str, out: Tensor, activation: Activation, mode: Mode) -> Result<Tensor> {
        let out = match &self.norm {
            Some(norm) => match norm.apply_with(&out, None, activation, mode)? {
                Some(out) => return Ok(out),
                None => norm.apply(&out, mode)?,
            },
            None => out,
        };
        activation.apply(out, mode).doing(name)
    }

    /// The same with a shortcut added before the activation; `None` if there is no batch norm.
    pub(super) fn finish_add(
        &self,
        name: &str,
        out: &Tensor,
        shortcut: &Tensor,
        then: Activation,
        mode: Mode,
    ) -> Result<Option<Tensor>> {
        let Some(norm) = &self.norm else { return Ok(None) };
        if let Some(out) = norm.apply_with(out, Some(shortcut), then, mode)? {
            return Ok(Some(out));
        }
        let sum = norm.apply(out, mode)?.f_add_(shortcut).doing(name)?;
        then.apply(sum, mode).doing(name).map(Some)
    }

    /// The layer with the batch norm in weight and bias.
    ///
    /// With scale γ/√(var + ε): weight ← weight·scale, bias ← (bias − mean)·scale + β.
    pub(super) fn fold(&self, spec: &ConvSpec, kind: Kind) -> Result<FoldedConv> {
        let (mut weight, mut bias) = (self.weight.f_detach()?, self.bias.as_ref().map(|b| b.f_detach()).transpose()?);
        if let Some(norm) = &self.norm {
            let (scale, shift) = norm.scale_and_shift()?;
            weight = weight.f_mul(&scale.f_view([-1, 1, 1, 1])?)?;
            bias = Some(match bias {
                Some(bias) => bias.f_mul(&scale)?.f_add(&shift)?,
                None => shift,
            });
        }
        FoldedConv::new(spec, weight.f_to_kind(kind)?, bias.map(|bias| bias.f_to_kind(kind)).transpose()?)
    }
}

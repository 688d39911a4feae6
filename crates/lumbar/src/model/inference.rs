//! Inference: batch norms folded into convolutions, channels-last layout, fused kernels, optionally bf16.

use std::fmt;

use tch::{Device, Kind, Tensor};

use super::error::Result;
use super::pass::{Mode, Module, Pass};
use super::registry::Registry;
use crate::config::ConfigError;

/// A model that can be copied and folded.
pub trait Foldable: Module + Sized {
    /// A copy with its own tensors.
    ///
    /// # Errors
    /// [`Error::Torch`](super::Error::Torch) if libtorch fails.
    fn copied(&self) -> Result<Self>;

    /// Folds batch norms into convolutions and converts weights to `kind`. This cannot be undone, and the registry is
    /// empty afterwards. [`Inference::of`] folds a copy.
    ///
    /// # Errors
    /// [`Error::Torch`](super::Error::Torch) if libtorch fails.
    fn fold(&mut self, kind: Kind) -> Result<()>;
}

/// A trained model that is prepared for inference.
///
/// Batch norms are folded into the convolutions, weights and images are channels-last, autograd records nothing, and on
/// a CPU a convolution with bias, activation and skip is one oneDNN call. In fp32 the results equal the model's within
/// 1e-4 of their greatest magnitude; in bf16 (8 bits of mantissa) within 5e-2.
///
/// bf16 halves memory and is meant for GPUs. On a CPU with AVX512-BF16 and without AMX it was 20 % faster than fp32;
/// other CPUs emulate it in software, slowly. Measure with `cargo xtask bench model` before choosing it.
///
/// ```
/// use lumbar::model::{Architecture, BackboneConfig, EfficientNet, Inference, Mode, Module};
/// use tch::{Device, Kind, Tensor};
///
/// let model = EfficientNet::new(&BackboneConfig::new(Architecture::EfficientNetB0), 0, Device::Cpu)?;
/// let ready = Inference::of(&model, Kind::Float)?;
/// let image = Tensor::randn([1, 3, 64, 64], (Kind::Float, Device::Cpu));
/// let (a, b) = (ready.forward(&image)?, model.forward(&image, Mode::Eval)?);
/// assert!((a - b).abs().max().double_value(&[]) < 1e-4);
/// # Ok::<(), lumbar::model::Error>(())
/// ```
pub struct Inference<M> {
    model: M,
    kind: Kind,
}

impl<M: Foldable> Inference<M> {
    /// Copies and folds a model. The model itself is unchanged.
    ///
    /// # Errors
    /// [`Error::Config`](super::Error::Config) if `kind` is not fp32 or bf16 (or fp16 on a GPU), [`Error::Torch`](super::Error::Torch) if libtorch fails.
    pub fn of(model: &M, kind: Kind) -> Result<Self> {
        let device = model.registry().entries().first().map_or(Device::Cpu, |entry| entry.tensor.device());
        let fits = matches!(kind, Kind::Float | Kind::BFloat16) || (kind == Kind::Half && device != Device::Cpu);
        if !fits {
            let found = format!("{kind:?} on {device:?}");
            return Err(ConfigError::new("kind", found, "Float, BFloat16, or Half on a GPU").into());
        }
        let model = tch::no_grad(|| -> Result<M> {
            let mut copy = model.copied()?;
            copy.fold(kind)?;
            Ok(copy)
        })?;
        Ok(Self { model, kind })
    }

    /// Runs the model.
    ///
    /// # Shapes
    /// As the model's own; the result is fp32.
    ///
    /// # Errors
    /// [`Error::Shape`](super::Error::Shape) if the input does not fit, [`Error::Torch`](super::Error::Torch) if libtorch fails.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let _guard = torch_ext::guard::inference()?;
        let xs = xs.f_to_kind(self.kind)?;
        let xs = if xs.dim() == 4 { torch_ext::layout::channels_last(&xs)? } else { xs };
        Ok(self.model.forward(&xs, Mode::Eval)?.f_to_kind(Kind::Float)?)
    }
}

/// Only for [`Mode::Eval`]. The registry is empty.
impl<M: Foldable> Module for Inference<M> {
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        if pass.training() {
            return Err(ConfigError::new("mode", "train", "eval").into());
        }
        self.forward(xs)
    }

    fn registry(&self) -> &Registry {
        self.model.registry()
    }
}

impl<M> fmt::Debug for Inference<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inference<{}>({:?})", std::any::type_name::<M>(), self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Architecture, BackboneConfig, ConvNext, EfficientNet, LevelConfig, LevelModel, ResNet};
    use super::super::{SpineConfig, SpineModel};
    use super::*;

    fn check(model: &impl Foldable, input: &[i64]) {
        // constants are changed as well, so that one that was not copied is noticed
        for entry in model.registry().entries() {
            let mut tensor = entry.tensor.shallow_clone();
            let changed = if tensor.kind() == Kind::Int64 { &tensor + 1 } else { &tensor + 0.01 };
            tch::no_grad(|| tensor.f_copy_(&changed)).unwrap();
        }
        let copy = model.copied().unwrap();
        for (copied, own) in copy.registry().entries().iter().zip(model.registry().entries()) {
            assert_eq!((&copied.name, &copied.tensor), (&own.name, &own.tensor));
            assert_eq!((copied.role, copied.part, copied.depth), (own.role, own.part, own.depth));
            assert_ne!(copied.tensor.data_ptr(), own.tensor.data_ptr(), "{}", own.name);
            assert_eq!(copied.is_trainable(), own.is_trainable());
        }
        assert_eq!(copy.registry().entries().len(), model.registry().entries().len());
        let image = Tensor::ones(input, (Kind::Float, Device::Cpu));
        let run = |model: &dyn Module| tch::no_grad(|| model.run(&image, &mut Pass::new(Mode::Eval)).unwrap());
        assert!(run(&copy).allclose(&run(model), 0.0, 0.0, false));
    }

    #[test]
    fn a_copy_built_without_a_seed_equals_its_original() {
        let (cpu, config) = (Device::Cpu, BackboneConfig::new);
        check(&EfficientNet::new(&config(Architecture::EfficientNetB0), 3, cpu).unwrap(), &[1, 3, 32, 32]);
        check(&ResNet::new(&config(Architecture::ResNet18d), 3, cpu).unwrap(), &[1, 3, 32, 32]);
        check(&ConvNext::new(&config(Architecture::ConvNextNano), 3, cpu).unwrap(), &[1, 3, 32, 32]);
        check(&SpineModel::new(&SpineConfig::default(), 3, cpu).unwrap(), &[1, 30, 32, 32]);
        check(&LevelModel::new(&LevelConfig::default(), 3, cpu).unwrap(), &[1, 2, 32, 32]);
    }
}

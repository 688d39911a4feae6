//! Models: backbones equal to timm's, weights, the whole-study model and the crop grader.
//!
//! | module | what it holds |
//! |---|---|
//! | [`registry`] | a model's named tensors in order, with role and depth: what optimizers and checkpoints need |
//! | [`pass`] | [`Mode`], [`Module`] |
//! | [`architecture`], [`backbone`] | timm's names, configuration, features, classifier |
//! | [`efficientnet`], [`resnet`], [`convnext`] | the networks; [`stages`] and [`blocks`] are what the first is made of |
//! | [`conv`], [`norm`], [`linear`] | layers |
//! | [`weights`], [`pretrained`] | strict safetensors files, the Hugging Face cache |
//! | [`spine`], [`level`] | the whole-study model, the crop grader |
//! | [`inference`], [`summary`] | folded models, tables of layers |
//!
//! No input and output here but weight files; randomness is passed as seeds. First weights depend on the seed
//! and the tensor's name. What dropout and stochastic depth drop is drawn from torch's generator of the device,
//! which the caller seeds.
//!
//! A flat arena of parameters, for an optimizer that works on one tensor:
//!
//! ```
//! use lumbar::model::{Architecture, BackboneConfig, EfficientNet, Mode, Module};
//! use tch::{Device, Kind, Tensor};
//!
//! let model = EfficientNet::new(&BackboneConfig::new(Architecture::EfficientNetB0), 0, Device::Cpu)?;
//! let arena = Tensor::zeros([model.registry().weight_count() as i64], (Kind::Float, Device::Cpu));
//! let mut start = 0;
//! for entry in model.registry().parameters() {
//!     let (size, count) = (entry.tensor.size(), entry.tensor.numel() as i64);
//!     let mut slot = arena.narrow(0, start, count).view(size.as_slice());
//!     tch::no_grad(|| slot.copy_(&entry.tensor));
//!     entry.tensor.shallow_clone().set_data(&slot);
//!     start += count;
//! }
//! let image = Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu));
//! let before = model.forward(&image, Mode::Eval)?;
//! let _ = arena.shallow_clone().zero_();
//! assert_eq!(model.forward(&image, Mode::Eval)?.abs().max().double_value(&[]), 0.0);
//! assert!(before.abs().max().double_value(&[]) >= 0.0);
//! # Ok::<(), lumbar::model::Error>(())
//! ```

pub mod architecture;
pub mod backbone;
pub mod blocks;
pub mod conv;
pub mod convnext;
pub mod efficientnet;
mod error;
pub mod inference;
pub mod level;
pub mod linear;
pub mod norm;
pub mod pass;
pub mod pretrained;
pub mod registry;
pub mod resnet;
pub mod spine;
pub mod stages;
pub mod summary;
pub mod weights;

pub use architecture::Architecture;
pub use backbone::{Backbone, BackboneConfig, Features, StageInfo};
pub use convnext::ConvNext;
pub use efficientnet::EfficientNet;
pub use error::{Error, Result};
pub use inference::{Foldable, Inference};
pub use level::{LevelConfig, LevelModel, SliceInput};
pub use pass::{LayerRow, Mode, Module, Pass};
pub use pretrained::HubCache;
pub use registry::{Entry, Part, Registry, Role};
pub use resnet::ResNet;
pub use spine::{SEVERITIES, SpineConfig, SpineModel, SpineOutput, TARGETS};
pub use summary::Summary;
pub use weights::{LoadOptions, LoadReport};

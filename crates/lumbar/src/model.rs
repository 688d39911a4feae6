//! Networks: backbones equal to timm's, weight files, the whole-study model and the crop grader.
//!
//! | module | purpose |
//! |---|---|
//! | [`registry`] | a model's named tensors in order, with role and depth, for optimizers and checkpoints |
//! | [`pass`] | [`Module`], the trait of all models, and [`Mode`] |
//! | [`architecture`], [`backbone`] | the table of architectures; configuration, features and classifier of a backbone |
//! | [`efficientnet`], [`resnet`], [`convnext`] | the networks; [`stages`] and [`blocks`] are EfficientNet's parts |
//! | [`conv`], [`norm`], [`linear`] | layers |
//! | [`weights`] | strict reading and writing of safetensors files |
//! | [`pretrained`], [`hub`] | [`Init`], where first weights come from; the cache of the Hugging Face hub |
//! | [`spine`], [`level`] | a study as channels of one network, the crop grader |
//! | [`slice_encoder`] | features of single slices, fine and coarse ones joined |
//! | [`unet`] | the U-Net: maps as large as half the image |
//! | [`inference`], [`summary`] | models folded for inference; tables of layers |
//!
//! The module reads and writes weight files and no others. Randomness is passed in as seeds: first weights depend on the
//! seed and the tensor's name. Dropout and stochastic depth draw from torch's generator of the device, which the caller
//! seeds.
//!
//! The layers share their tensors with the registry. An optimizer that works on one flat tensor can therefore replace
//! their data by views of it:
//!
//! ```
//! use lumbar::model::{Architecture, BackboneConfig, EfficientNet, Mode, Module};
//! use tch::{Device, Kind, Tensor};
//!
//! let model = EfficientNet::new(&BackboneConfig::new(Architecture::EfficientNetB0), 0, Device::Cpu)?;
//! let flat = Tensor::zeros([model.registry().weight_count() as i64], (Kind::Float, Device::Cpu));
//! let mut start = 0;
//! for entry in model.registry().parameters() {
//!     let (size, count) = (entry.tensor.size(), entry.tensor.numel() as i64);
//!     let mut view = flat.narrow(0, start, count).view(size.as_slice());
//!     tch::no_grad(|| view.copy_(&entry.tensor));
//!     entry.tensor.shallow_clone().set_data(&view);
//!     start += count;
//! }
//! let image = Tensor::ones([1, 3, 32, 32], (Kind::Float, Device::Cpu));
//! let largest = |result: Tensor| result.abs().max().double_value(&[]);
//! assert!(largest(model.forward(&image, Mode::Eval)?) > 0.0);
//! let _ = flat.shallow_clone().zero_();
//! assert_eq!(largest(model.forward(&image, Mode::Eval)?), 0.0);
//! # Ok::<(), lumbar::model::Error>(())
//! ```

pub mod architecture;
pub mod backbone;
pub mod blocks;
pub mod conv;
pub mod convnext;
pub mod efficientnet;
mod error;
pub mod hub;
pub mod inference;
pub mod level;
pub mod linear;
pub mod norm;
pub mod pass;
pub mod pretrained;
pub mod registry;
pub mod resnet;
pub mod slice_encoder;
pub mod spine;
pub mod stages;
pub mod summary;
pub mod unet;
pub mod weights;

pub use architecture::Architecture;
pub use backbone::{Backbone, BackboneConfig, Features, StageInfo};
pub use convnext::ConvNext;
pub use efficientnet::EfficientNet;
pub use error::{Error, Result};
pub use hub::HubCache;
pub use inference::{Foldable, Inference};
pub use level::{LevelConfig, LevelModel, SliceInput};
pub use pass::{LayerRow, Mode, Module, Pass};
pub use pretrained::{Init, PretrainedWeights};
pub(crate) use registry::{Builder, Fill};
pub use registry::{Entry, Part, Registry, Role};
pub use resnet::ResNet;
pub use slice_encoder::{SliceEncoder, SliceEncoderConfig};
pub use spine::{SpineConfig, SpineModel, SpineOutput};
pub use summary::Summary;
pub use unet::{UNet, UNetConfig, UNetInference};
pub use weights::{LoadOptions, LoadReport};

//! What all backbones share: configuration, features, classifier; and one type that is any of them.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::architecture::Architecture;
use super::convnext::ConvNext;
use super::efficientnet::{EfficientNet, is_efficientnet};
use super::error::{Error, Result};
use super::inference::Foldable;
use super::pass::{Mode, Module, Pass};
use super::registry::Registry;
use super::resnet::ResNet;

/// A backbone's configuration.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `architecture` | — | which network | [`Architecture::ALL`] |
/// | `in_chans` | 3 | channels of the input | 1 – 1024 |
/// | `num_classes` | 1000 | outputs of the classifier; 0: none, the pooled features come out | 0 – 100 000 |
/// | `drop_rate` | 0.0 | dropout before the classifier | 0 ≤ rate < 1 |
/// | `drop_path_rate` | 0.0 | stochastic depth of the last block, less for earlier ones | 0 ≤ rate < 1 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneConfig {
    /// Which network.
    pub architecture: Architecture,
    /// Channels of the input.
    #[serde(default = "rgb")]
    pub in_chans: i64,
    /// Outputs of the classifier; 0: none.
    #[serde(default = "imagenet_classes")]
    pub num_classes: i64,
    /// Dropout before the classifier.
    #[serde(default)]
    pub drop_rate: f64,
    /// Stochastic depth of the last block.
    #[serde(default)]
    pub drop_path_rate: f64,
}

fn rgb() -> i64 {
    3
}

fn imagenet_classes() -> i64 {
    1000
}

impl BackboneConfig {
    /// The defaults of an architecture, timm's.
    pub fn new(architecture: Architecture) -> Self {
        let (in_chans, num_classes) = (rgb(), imagenet_classes());
        Self { architecture, in_chans, num_classes, drop_rate: 0.0, drop_path_rate: 0.0 }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// A field is outside its range; the error names it.
    pub fn check(&self) -> Result<()> {
        check_range("in_chans", self.in_chans, 1, 1024)?;
        check_range("num_classes", self.num_classes, 0, 100_000)?;
        check_rate("drop_rate", self.drop_rate)?;
        check_rate("drop_path_rate", self.drop_path_rate)
    }
}

pub(crate) fn check_range(field: &'static str, value: i64, least: i64, most: i64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::Config { field, expected: format!("{least} to {most}"), found: value.to_string() })
}

pub(crate) fn check_rate(field: &'static str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::Config { field, expected: "0 ≤ rate < 1".to_owned(), found: value.to_string() })
}

/// A level of features that a backbone offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageInfo {
    /// The module whose result it is, in timm's names.
    pub name: String,
    /// Its channels.
    pub channels: i64,
    /// How many pixels of the input one of its pixels spans, along each side.
    pub reduction: i64,
}

/// A network that is features, then pooling, then a classifier.
///
/// `forward` of [`Module`] is [`forward_features`](Features::forward_features), then
/// [`forward_head`](Features::forward_head).
pub trait Features: Module {
    /// The configuration it was built from.
    fn config(&self) -> &BackboneConfig;

    /// Where its tensors were made.
    fn device(&self) -> Device;

    /// Channels of the features that are pooled.
    fn feature_count(&self) -> i64;

    /// The levels of [`forward_stages`](Features::forward_stages), finest first.
    fn stage_info(&self) -> Vec<StageInfo>;

    /// The features before pooling.
    ///
    /// # Shapes
    /// `[batch, in_chans, height, width]` → `[batch, features, height / 32, width / 32]`.
    ///
    /// # Errors
    /// The input does not fit, or libtorch refuses.
    fn forward_features(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.check_input(xs)?;
        self.run_features(xs, &mut Pass::new(mode))
    }

    /// Pools features and classifies them; without a classifier the pooled features, `[batch, features]`.
    ///
    /// # Shapes
    /// `[batch, features, height, width]` → `[batch, classes]`.
    ///
    /// # Errors
    /// The features do not fit, or libtorch refuses.
    fn forward_head(&self, features: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut pass = Pass::new(mode);
        let pooled = self.run_pool(features, &mut pass)?;
        self.run_classifier(&pooled, &mut pass)
    }

    /// The features of every level, finest first.
    ///
    /// # Errors
    /// The input does not fit, or libtorch refuses.
    fn forward_stages(&self, xs: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        self.check_input(xs)?;
        let mut pass = Pass::keeping_levels(mode);
        let _ = self.run_features(xs, &mut pass)?;
        Ok(pass.into_levels())
    }

    /// Replaces the classifier by a new one with first weights from `seed`; 0 classes: by none.
    ///
    /// # Errors
    /// libtorch refuses.
    fn reset_classifier(&mut self, num_classes: i64, seed: u64) -> Result<()>;

    /// Refuses what is not a batch of images with the right number of channels.
    ///
    /// # Errors
    /// The shape is another one.
    fn check_input(&self, xs: &Tensor) -> Result<()> {
        let (size, channels) = (xs.size(), self.config().in_chans);
        if size.len() == 4 && size[1] == channels && size.iter().all(|&side| side > 0) {
            return Ok(());
        }
        let expected = format!("[batch, {channels}, height, width]");
        Err(Error::Shape { what: format!("input of {}", self.config().architecture), expected, found: size })
    }

    /// [`forward_features`](Features::forward_features) with a pass.
    ///
    /// # Errors
    /// libtorch refuses.
    fn run_features(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor>;

    /// Pooling, and dropout in train mode: `[batch, features, height, width]` → `[batch, features]`.
    ///
    /// # Errors
    /// libtorch refuses.
    fn run_pool(&self, features: &Tensor, pass: &mut Pass) -> Result<Tensor>;

    /// The classifier, where there is one.
    ///
    /// # Errors
    /// libtorch refuses.
    fn run_classifier(&self, pooled: &Tensor, pass: &mut Pass) -> Result<Tensor>;
}

/// The whole way of a backbone.
pub(crate) fn run_backbone(model: &(impl Features + ?Sized), xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
    model.check_input(xs)?;
    let features = model.run_features(xs, pass)?;
    let pooled = model.run_pool(&features, pass)?;
    model.run_classifier(&pooled, pass)
}

/// Any backbone, as one type that a variable can hold.
///
/// ```
/// use lumbar::model::{Architecture, Backbone, BackboneConfig, Features};
/// use tch::Device;
///
/// let config = BackboneConfig { in_chans: 1, num_classes: 0, ..BackboneConfig::new(Architecture::ResNet18d) };
/// let backbone = Backbone::new(&config, 7, Device::Cpu)?;
/// assert_eq!(backbone.feature_count(), 512);
/// assert_eq!(backbone.stage_info().len(), 5);
/// # Ok::<(), lumbar::model::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Backbone {
    /// EfficientNet or EfficientNetV2.
    EfficientNet(EfficientNet),
    /// ResNet-D.
    ResNet(ResNet),
    /// ConvNeXt.
    ConvNext(ConvNext),
}

impl Backbone {
    /// Builds the network with first weights that depend on `seed` alone.
    ///
    /// # Errors
    /// The configuration is outside its ranges, or the device is absent.
    pub fn new(config: &BackboneConfig, seed: u64, device: Device) -> Result<Self> {
        Self::build(config, Some(seed), device)
    }

    /// [`Self::new`], or a network to copy values to, for which none are drawn.
    pub(super) fn build(config: &BackboneConfig, seed: Option<u64>, device: Device) -> Result<Self> {
        match config.architecture {
            architecture if is_efficientnet(architecture) => {
                Ok(Self::EfficientNet(EfficientNet::build(config, seed, device)?))
            }
            Architecture::ConvNextNano | Architecture::ConvNextTiny => {
                Ok(Self::ConvNext(ConvNext::build(config, seed, device)?))
            }
            _ => Ok(Self::ResNet(ResNet::build(config, seed, device)?)),
        }
    }

    fn inner(&self) -> &dyn Features {
        match self {
            Self::EfficientNet(model) => model,
            Self::ResNet(model) => model,
            Self::ConvNext(model) => model,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Features {
        match self {
            Self::EfficientNet(model) => model,
            Self::ResNet(model) => model,
            Self::ConvNext(model) => model,
        }
    }
}

impl Module for Backbone {
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.inner().run(xs, pass)
    }

    fn registry(&self) -> &Registry {
        self.inner().registry()
    }
}

impl Features for Backbone {
    fn config(&self) -> &BackboneConfig {
        self.inner().config()
    }

    fn device(&self) -> Device {
        self.inner().device()
    }

    fn feature_count(&self) -> i64 {
        self.inner().feature_count()
    }

    fn stage_info(&self) -> Vec<StageInfo> {
        self.inner().stage_info()
    }

    fn reset_classifier(&mut self, num_classes: i64, seed: u64) -> Result<()> {
        self.inner_mut().reset_classifier(num_classes, seed)
    }

    fn run_features(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.inner().run_features(xs, pass)
    }

    fn run_pool(&self, features: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.inner().run_pool(features, pass)
    }

    fn run_classifier(&self, pooled: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.inner().run_classifier(pooled, pass)
    }
}

impl Foldable for Backbone {
    fn copied(&self) -> Result<Self> {
        match self {
            Self::EfficientNet(model) => model.copied().map(Self::EfficientNet),
            Self::ResNet(model) => model.copied().map(Self::ResNet),
            Self::ConvNext(model) => model.copied().map(Self::ConvNext),
        }
    }

    fn fold(&mut self, kind: Kind) -> Result<()> {
        match self {
            Self::EfficientNet(model) => model.fold(kind),
            Self::ResNet(model) => model.fold(kind),
            Self::ConvNext(model) => model.fold(kind),
        }
    }
}

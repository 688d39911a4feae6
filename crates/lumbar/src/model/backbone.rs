//! What all backbones have in common: configuration, features, classifier; and [`Backbone`], a type for all of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::architecture::Architecture;
use super::error::{Error, Result};
use super::inference::Foldable;
use super::pass::{Mode, Module, Pass};
use super::registry::Registry;
use crate::config::{ConfigError, check_range};

/// A backbone's configuration.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `architecture` | — | which network | [`Architecture::ALL`] |
/// | `in_chans` | 3 | channels of the input | 1 – 1024 |
/// | `num_classes` | 1000 | outputs of the classifier; 0: no classifier, the result is the pooled features | 0 – 100 000 |
/// | `drop_rate` | 0.0 | dropout before the classifier | 0 ≤ rate < 1 |
/// | `drop_path_rate` | 0.0 | stochastic depth of the last block; it rises linearly from 0 at the first | 0 ≤ rate < 1 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneConfig {
    /// Which network.
    pub architecture: Architecture,
    /// Channels of the input.
    #[serde(default = "rgb")]
    pub in_chans: i64,
    /// Outputs of the classifier; 0: no classifier.
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
    /// An architecture with timm's defaults.
    pub fn new(architecture: Architecture) -> Self {
        let (in_chans, num_classes) = (rgb(), imagenet_classes());
        Self { architecture, in_chans, num_classes, drop_rate: 0.0, drop_path_rate: 0.0 }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field outside its range.
    pub fn check(&self) -> Result<()> {
        check_range("in_chans", self.in_chans, 1, 1024)?;
        check_range("num_classes", self.num_classes, 0, 100_000)?;
        check_rate("drop_rate", self.drop_rate)?;
        check_rate("drop_path_rate", self.drop_path_rate)
    }
}

pub(crate) fn check_rate(field: &'static str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(field, value, "0 ≤ rate < 1").into())
}

/// The features of one resolution that a backbone offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageInfo {
    /// The module that computes them, by timm's name.
    pub name: String,
    /// Number of channels.
    pub channels: i64,
    /// Width of the input over width of the features.
    pub reduction: i64,
}

/// A network that consists of features, pooling and a classifier.
///
/// [`Module::forward`] is [`forward_features`](Features::forward_features), then
/// [`forward_head`](Features::forward_head).
pub trait Features: Module {
    /// The configuration it was built from.
    fn config(&self) -> &BackboneConfig;

    /// The device on which it was built.
    fn device(&self) -> Device;

    /// Number of channels of the pooled features.
    fn feature_count(&self) -> i64;

    /// What [`forward_stages`](Features::forward_stages) returns, highest resolution first.
    fn stage_info(&self) -> Vec<StageInfo>;

    /// The features before pooling.
    ///
    /// # Shapes
    /// `[batch, in_chans, height, width]` → `[batch, features, height / 32, width / 32]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the input does not fit, [`Error::Torch`] if libtorch fails.
    fn forward_features(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.check_input(xs)?;
        self.run_features(xs, &mut Pass::new(mode))
    }

    /// Pools features and classifies them. Without a classifier the result is the pooled features.
    ///
    /// # Shapes
    /// `[batch, features, height, width]` → `[batch, classes]`, or `[batch, features]` without a classifier.
    ///
    /// # Errors
    /// [`Error::Torch`] if the features do not fit.
    fn forward_head(&self, features: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut pass = Pass::new(mode);
        let pooled = self.run_pool(features, &mut pass)?;
        self.run_classifier(&pooled, &mut pass)
    }

    /// The features of every resolution, highest first; see [`stage_info`](Features::stage_info).
    ///
    /// # Errors
    /// [`Error::Shape`] if the input does not fit, [`Error::Torch`] if libtorch fails.
    fn forward_stages(&self, xs: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        self.check_input(xs)?;
        let mut pass = Pass::recording_stages(mode);
        let _ = self.run_features(xs, &mut pass)?;
        Ok(pass.into_stages())
    }

    /// Replaces the classifier by a new one with first weights drawn from `seed`; 0 classes remove it.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch fails.
    fn reset_classifier(&mut self, num_classes: i64, seed: u64) -> Result<()>;

    /// Checks that the input is a batch of images with the right number of channels.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is not.
    fn check_input(&self, xs: &Tensor) -> Result<()> {
        let (size, channels) = (xs.size(), self.config().in_chans);
        if size.len() == 4 && size[1] == channels && size.iter().all(|&side| side > 0) {
            return Ok(());
        }
        let expected = format!("[batch, {channels}, height, width]");
        Err(Error::Shape { what: format!("input of {}", self.config().architecture), expected, found: size })
    }

    /// As [`forward_features`](Features::forward_features), within a pass.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch fails.
    fn run_features(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor>;

    /// Pooling, and dropout in train mode: `[batch, features, height, width]` → `[batch, features]`.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch fails.
    fn run_pool(&self, features: &Tensor, pass: &mut Pass) -> Result<Tensor>;

    /// The classifier; without one the input itself.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch fails.
    fn run_classifier(&self, pooled: &Tensor, pass: &mut Pass) -> Result<Tensor>;
}

/// Features, pooling and classifier of a backbone.
pub(crate) fn run_backbone(model: &(impl Features + ?Sized), xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
    model.check_input(xs)?;
    let features = model.run_features(xs, pass)?;
    let pooled = model.run_pool(&features, pass)?;
    model.run_classifier(&pooled, pass)
}

/// A backbone of any architecture.
///
/// A new architecture of a known family is a line in the table of [`architecture`](super::architecture). A new family
/// is a file that implements [`Features`] and [`Foldable`] for its network and builds it from its plan.
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
pub struct Backbone(Box<dyn AnyBackbone>);

/// What a network needs to be stored in a [`Backbone`]. Every type with [`Features`] and [`Foldable`] has it.
pub(super) trait AnyBackbone: Features + fmt::Debug + Send {
    /// [`Foldable::copied`].
    fn copied_box(&self) -> Result<Box<dyn AnyBackbone>>;

    /// [`Foldable::fold`].
    fn fold_box(&mut self, kind: Kind) -> Result<()>;
}

impl<M: Features + Foldable + fmt::Debug + Send + 'static> AnyBackbone for M {
    fn copied_box(&self) -> Result<Box<dyn AnyBackbone>> {
        Ok(Box::new(self.copied()?))
    }

    fn fold_box(&mut self, kind: Kind) -> Result<()> {
        self.fold(kind)
    }
}

impl Backbone {
    /// Builds the network with first weights that depend on `seed` alone.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field outside its range; [`Error::Torch`] if the device does not exist.
    pub fn new(config: &BackboneConfig, seed: u64, device: Device) -> Result<Self> {
        Self::build(config, Some(seed), device)
    }

    /// As [`Self::new`]; without a seed no weights are drawn, for a network that trained weights are copied into.
    pub(super) fn build(config: &BackboneConfig, seed: Option<u64>, device: Device) -> Result<Self> {
        Ok(Self(config.architecture.plan().build(config, seed, device)?))
    }
}

impl Module for Backbone {
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.0.run(xs, pass)
    }

    fn registry(&self) -> &Registry {
        self.0.registry()
    }
}

impl Features for Backbone {
    fn config(&self) -> &BackboneConfig {
        self.0.config()
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn feature_count(&self) -> i64 {
        self.0.feature_count()
    }

    fn stage_info(&self) -> Vec<StageInfo> {
        self.0.stage_info()
    }

    fn reset_classifier(&mut self, num_classes: i64, seed: u64) -> Result<()> {
        self.0.reset_classifier(num_classes, seed)
    }

    fn run_features(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.0.run_features(xs, pass)
    }

    fn run_pool(&self, features: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.0.run_pool(features, pass)
    }

    fn run_classifier(&self, pooled: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.0.run_classifier(pooled, pass)
    }
}

impl Foldable for Backbone {
    fn copied(&self) -> Result<Self> {
        self.0.copied_box().map(Self)
    }

    fn fold(&mut self, kind: Kind) -> Result<()> {
        self.0.fold_box(kind)
    }
}

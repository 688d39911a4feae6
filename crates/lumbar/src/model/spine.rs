//! A study as channels of one image: the slices of all planes in, all targets out.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::architecture::Architecture;
use super::backbone::{Backbone, BackboneConfig, Features, check_rate};
use super::error::{Doing, Result};
use super::inference::Foldable;
use super::linear::{Linear, dropout};
use super::pass::{Module, Pass};
use super::registry::{Builder, Part, Registry};
use crate::anatomy::{Severity, Target};
use crate::config::{ConfigError, check_range};

/// Sizes of the output, as libtorch counts.
const TARGETS: i64 = Target::COUNT as i64;
const SEVERITIES: i64 = Severity::COUNT as i64;

/// The output of a [`SpineModel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpineOutput {
    /// A logit for every severity of every target: `[batch, 25, 3]`.
    PerSeverity,
    /// One number for each target, `[batch, 25]`, for regression on the severity's rank. For comparison only: it is not
    /// a distribution over severities.
    PerTarget,
}

/// A [`SpineModel`]'s configuration.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `architecture` | `efficientnet_b0` | the backbone | [`Architecture::ALL`] |
/// | `sagittal_t1_slices` | 10 | channels from the sagittal T1 stack | 0 – 300 |
/// | `sagittal_t2_slices` | 10 | channels from the sagittal T2/STIR stack | 0 – 300 |
/// | `axial_t2_slices` | 10 | channels from the axial T2 stacks | 0 – 300 |
/// | `dropout` | 0.5 | before the head | 0 ≤ rate < 1 |
/// | `drop_path_rate` | 0.2 | stochastic depth of the backbone | 0 ≤ rate < 1 |
/// | `output` | per severity | the output | [`SpineOutput`] |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpineConfig {
    /// The backbone.
    pub architecture: Architecture,
    /// Channels from the sagittal T1 stack, first.
    pub sagittal_t1_slices: i64,
    /// Channels from the sagittal T2/STIR stack, after those.
    pub sagittal_t2_slices: i64,
    /// Channels from the axial T2 stacks, last.
    pub axial_t2_slices: i64,
    /// Dropout before the head.
    pub dropout: f64,
    /// Stochastic depth of the backbone.
    pub drop_path_rate: f64,
    /// The output.
    pub output: SpineOutput,
}

impl Default for SpineConfig {
    fn default() -> Self {
        Self {
            architecture: Architecture::EfficientNetB0,
            sagittal_t1_slices: 10,
            sagittal_t2_slices: 10,
            axial_t2_slices: 10,
            dropout: 0.5,
            drop_path_rate: 0.2,
            output: SpineOutput::PerSeverity,
        }
    }
}

impl SpineConfig {
    /// Channels of the input: the slices of all planes.
    pub fn in_chans(&self) -> i64 {
        self.sagittal_t1_slices + self.sagittal_t2_slices + self.axial_t2_slices
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Config`](super::Error::Config) names the first field outside its range.
    pub fn check(&self) -> Result<()> {
        check_range("sagittal_t1_slices", self.sagittal_t1_slices, 0, 300)?;
        check_range("sagittal_t2_slices", self.sagittal_t2_slices, 0, 300)?;
        check_range("axial_t2_slices", self.axial_t2_slices, 0, 300)?;
        check_range("slices of all planes together", self.in_chans(), 1, 900)?;
        check_rate("dropout", self.dropout)?;
        check_rate("drop_path_rate", self.drop_path_rate)
    }
}

/// A backbone whose channels are the slices of a whole study, dropout, and one linear head for all targets.
///
/// ```
/// use lumbar::model::{Mode, Module, SpineConfig, SpineModel};
/// use tch::{Device, Kind, Tensor};
///
/// let model = SpineModel::new(&SpineConfig::default(), 0, Device::Cpu)?;
/// let study = Tensor::randn([1, 30, 96, 96], (Kind::Float, Device::Cpu));
/// assert_eq!(model.forward(&study, Mode::Eval)?.size(), [1, 25, 3]);
/// let sums = model.probabilities(&study)?.sum_dim_intlist(-1, false, Kind::Float);
/// assert!((sums - 1.0).abs().max().double_value(&[]) < 1e-6);
/// # Ok::<(), lumbar::model::Error>(())
/// ```
#[derive(Debug)]
pub struct SpineModel {
    registry: Registry,
    config: SpineConfig,
    backbone: Backbone,
    head: Linear,
}

impl SpineModel {
    /// Builds the model with first weights that depend on `seed` alone. Its tensors are named
    /// `backbone.<timm's name>`, `head.weight` and `head.bias`.
    ///
    /// # Errors
    /// [`Error::Config`](super::Error::Config) names the first field outside its range; [`Error::Torch`](super::Error::Torch) if the device does not exist.
    pub fn new(config: &SpineConfig, seed: u64, device: Device) -> Result<Self> {
        Self::build(config, Some(seed), device)
    }

    /// As [`Self::new`]; without a seed no weights are drawn, for a network that trained weights are copied into.
    pub(crate) fn build(config: &SpineConfig, seed: Option<u64>, device: Device) -> Result<Self> {
        config.check()?;
        let backbone = BackboneConfig {
            in_chans: config.in_chans(),
            num_classes: 0,
            drop_path_rate: config.drop_path_rate,
            ..BackboneConfig::new(config.architecture)
        };
        let backbone = Backbone::build(&backbone, seed, device)?;
        let mut registry = Registry::default();
        registry.adopt("backbone", backbone.registry(), 0);
        let outputs = match config.output {
            SpineOutput::PerSeverity => TARGETS * SEVERITIES,
            SpineOutput::PerTarget => TARGETS,
        };
        let depth = registry.depth_count();
        let mut builder = Builder::new(&mut registry, seed, device).part(Part::Classifier, depth);
        let head = Linear::classifier(&mut builder.at("head"), backbone.feature_count(), outputs)?;
        Ok(Self { registry, config: config.clone(), backbone, head })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &SpineConfig {
        &self.config
    }

    /// The backbone. Its registry has timm's names: [`PretrainedWeights`](super::PretrainedWeights) are loaded into it.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// Makes the first weights of the head a tenth as large and sets its biases to `logits`, so that the first
    /// predictions are near their softmax.
    ///
    /// # Shapes
    /// `logits`: 75 values, the three severities of each target.
    ///
    /// # Errors
    /// [`Error::Config`](super::Error::Config) if the model has one output per target.
    pub(crate) fn start_at(&self, logits: &[f32]) -> Result<()> {
        if self.config.output == SpineOutput::PerTarget {
            return Err(ConfigError::new("output", "per_target", "per_severity").into());
        }
        tch::no_grad(|| self.head.start_at(0.1, logits))
    }

    /// The distribution over severities of every target, in eval mode and without autograd.
    ///
    /// # Shapes
    /// `[batch, slices, height, width]` → `[batch, 25, 3]`; the last dimension sums to 1.
    ///
    /// # Errors
    /// [`Error::Shape`](super::Error::Shape) if the input does not fit, [`Error::Config`](super::Error::Config) if the model has one output per target.
    pub fn probabilities(&self, xs: &Tensor) -> Result<Tensor> {
        if self.config.output == SpineOutput::PerTarget {
            return Err(ConfigError::new("output", "per_target", "per_severity").into());
        }
        let logits = tch::no_grad(|| self.run(xs, &mut Pass::new(super::Mode::Eval)))?;
        logits.f_softmax(-1, Kind::Float).doing("softmax")
    }
}

impl Module for SpineModel {
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let pooled = dropout(self.backbone.run(xs, pass)?, self.config.dropout, pass)?;
        let logits = self.head.run(&pooled, pass)?;
        match self.config.output {
            SpineOutput::PerSeverity => logits.f_view([-1, TARGETS, SEVERITIES]).doing("head"),
            SpineOutput::PerTarget => Ok(logits),
        }
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Foldable for SpineModel {
    fn copied(&self) -> Result<Self> {
        let copy = Self::build(&self.config, None, self.backbone.device())?;
        copy.registry.copy_from(&self.registry)?;
        Ok(copy)
    }

    fn fold(&mut self, kind: Kind) -> Result<()> {
        self.registry = Registry::default();
        self.backbone.fold(kind)?;
        self.head.convert(kind)
    }
}

//! The crop grader: a few slices around one level in, the severity of one condition out.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::architecture::Architecture;
use super::backbone::{Backbone, BackboneConfig, Features, check_rate};
use super::error::{Doing, Error, Result};
use super::inference::Foldable;
use super::linear::{Linear, dropout};
use super::pass::{Mode, Module, Pass};
use super::registry::{Builder, Fill, Part, Registry};
use crate::anatomy::{Severity, Target};
use crate::config::check_range;

/// What [`LevelModel::start_small`] multiplies the heads' weights by.
const HEAD_SCALE: f64 = 0.1;

/// How the backbone's input is made from a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SliceInput {
    /// The slice alone, one channel.
    Single,
    /// The slice and its two neighbours, three channels. The outermost slices are repeated.
    Neighbours,
}

/// A [`LevelModel`]'s configuration. One model serves one plane.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `architecture` | `efficientnet_b0` | the backbone | [`Architecture::ALL`] |
/// | `input` | single | channels made from a slice | [`SliceInput`] |
/// | `heads` | 1 | conditions that this plane grades; each has a linear head | 1 – 25 |
/// | `attention_width` | 128 | inner width of the attention over slices | 1 – 4096 |
/// | `dropout` | 0.3 | before the heads | 0 ≤ rate < 1 |
/// | `drop_path_rate` | 0.2 | stochastic depth of the backbone | 0 ≤ rate < 1 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LevelConfig {
    /// The backbone.
    pub architecture: Architecture,
    /// How the backbone's input is made from a slice.
    pub input: SliceInput,
    /// Conditions that this plane grades.
    pub heads: i64,
    /// Inner width of the attention over slices.
    pub attention_width: i64,
    /// Dropout before the heads.
    pub dropout: f64,
    /// Stochastic depth of the backbone.
    pub drop_path_rate: f64,
}

impl Default for LevelConfig {
    fn default() -> Self {
        Self {
            architecture: Architecture::EfficientNetB0,
            input: SliceInput::Single,
            heads: 1,
            attention_width: 128,
            dropout: 0.3,
            drop_path_rate: 0.2,
        }
    }
}

impl LevelConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field outside its range.
    pub fn check(&self) -> Result<()> {
        check_range("heads", self.heads, 1, Target::COUNT as i64)?;
        check_range("attention_width", self.attention_width, 1, 4096)?;
        check_rate("dropout", self.dropout)?;
        check_rate("drop_path_rate", self.drop_path_rate)
    }
}

/// A backbone for each slice, attention over the slices, and a linear head for each condition.
///
/// The weight of a slice with features h is softmax(wᵀ tanh(V h)) over the slices of the crop (Ilse et al. 2018,
/// arXiv:1802.04712, equation 8). The heads get the weighted sum of the features.
///
/// # Shapes
/// `[batch, slices, height, width]` → `[batch, 3]` logits with one head, `[batch, heads, 3]` with more.
///
/// ```
/// use lumbar::model::{LevelConfig, LevelModel, Mode, Module};
/// use tch::{Device, Kind, Tensor};
///
/// let model = LevelModel::new(&LevelConfig::default(), 0, Device::Cpu)?;
/// let crops = Tensor::randn([2, 5, 64, 64], (Kind::Float, Device::Cpu));
/// assert_eq!(model.forward(&crops, Mode::Eval)?.size(), [2, 3]);
/// assert_eq!(model.slice_weights(&crops)?.size(), [2, 5]);
/// # Ok::<(), lumbar::model::Error>(())
/// ```
#[derive(Debug)]
pub struct LevelModel {
    registry: Registry,
    config: LevelConfig,
    backbone: Backbone,
    attention_in: Linear,
    attention_out: Linear,
    heads: Vec<Linear>,
}

impl LevelModel {
    /// Builds the model with first weights that depend on `seed` alone. Its tensors are named
    /// `backbone.<timm's name>`, `attention.0.*`, `attention.2.*` and `heads.<number>.*`.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field outside its range; [`Error::Torch`] if the device does not exist.
    pub fn new(config: &LevelConfig, seed: u64, device: Device) -> Result<Self> {
        Self::build(config, Some(seed), device)
    }

    /// As [`Self::new`]; without a seed no weights are drawn, for a network that trained weights are copied into.
    pub(crate) fn build(config: &LevelConfig, seed: Option<u64>, device: Device) -> Result<Self> {
        config.check()?;
        let in_chans = match config.input {
            SliceInput::Single => 1,
            SliceInput::Neighbours => 3,
        };
        let (num_classes, drop_path_rate) = (0, config.drop_path_rate);
        let backbone =
            BackboneConfig { in_chans, num_classes, drop_path_rate, ..BackboneConfig::new(config.architecture) };
        let backbone = Backbone::build(&backbone, seed, device)?;
        let mut registry = Registry::default();
        registry.adopt("backbone", backbone.registry(), 0);
        let depth = registry.depth_count();
        let mut builder = Builder::new(&mut registry, seed, device).part(Part::Classifier, depth);
        let (features, width) = (backbone.feature_count(), config.attention_width);
        let attention_in = Linear::pytorch(&mut builder.at("attention.0"), features, width)?;
        // zero at first: all slices have the same weight
        let attention_out = Linear::new(&mut builder.at("attention.2"), width, 1, Fill::Const(0.0))?;
        // PyTorch's first weights, not timm's ±1/√outputs: with three outputs those are so large that the first
        // predictions are confident and wrong
        let head =
            |number| Linear::pytorch(&mut builder.at(&format!("heads.{number}")), features, Severity::COUNT as i64);
        let heads = (0..config.heads).map(head).collect::<Result<_>>()?;
        Ok(Self { registry, config: config.clone(), backbone, attention_in, attention_out, heads })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &LevelConfig {
        &self.config
    }

    /// The backbone. Its registry has timm's names: [`PretrainedWeights`](super::PretrainedWeights) are loaded into it.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// The attention weight of each slice, in eval mode and without autograd. The weights of a crop sum to 1.
    ///
    /// # Shapes
    /// `[batch, slices, height, width]` → `[batch, slices]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the input does not fit, [`Error::Torch`] if libtorch fails.
    pub fn slice_weights(&self, xs: &Tensor) -> Result<Tensor> {
        let mut pass = Pass::new(Mode::Eval);
        tch::no_grad(|| {
            let features = self.slice_features(xs, &mut pass)?;
            self.attend(&features, &mut pass)
        })
    }

    /// Makes the first weights of the heads a tenth as large and their biases zero: the first logits are near zero,
    /// and so is what they add to a prior.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch fails.
    pub(crate) fn start_small(&self) -> Result<()> {
        tch::no_grad(|| self.heads.iter().try_for_each(|head| head.start_at(HEAD_SCALE, &[0.0; Severity::COUNT])))
    }

    /// Whether [`Self::slice_features`] draws random numbers in training.
    pub(crate) fn draws_in_backbone(&self) -> bool {
        self.config.drop_path_rate > 0.0
    }

    /// `[batch, slices, height, width]` → `[batch, slices, features]`.
    pub(crate) fn slice_features(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let size = xs.size();
        let &[batch, slices, height, width] = size.as_slice() else {
            let expected = "[batch, slices, height, width]".to_owned();
            return Err(Error::Shape { what: "input of the crop grader".to_owned(), expected, found: size });
        };
        let images = match self.config.input {
            SliceInput::Single => xs.f_reshape([batch * slices, 1, height, width]),
            SliceInput::Neighbours => {
                let padded = xs.f_replication_pad3d([0, 0, 0, 0, 1, 1])?;
                let shifted = |by| padded.f_narrow(1, by, slices);
                Tensor::f_stack(&[shifted(0)?, shifted(1)?, shifted(2)?], 2)?.f_reshape([
                    batch * slices,
                    3,
                    height,
                    width,
                ])
            }
        }
        .doing("slices")?;
        // with one channel both layouts have the same strides; the first layer chooses its layout
        let images = torch_ext::layout::channels_last(&images)?;
        self.backbone.run(&images, pass)?.f_view([batch, slices, -1]).doing("slices")
    }

    /// `[batch, slices, features]` → `[batch, slices]`.
    fn attend(&self, features: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let inner = self.attention_in.run(features, pass)?.f_tanh().doing("attention.1")?;
        let scores = self.attention_out.run(&inner, pass)?.f_squeeze_dim(-1).doing("attention")?;
        scores.f_softmax(-1, None).doing("attention")
    }

    /// The part after [`Self::slice_features`]: attention over the slices, and the heads.
    ///
    /// # Shapes
    /// `[batch, slices, features]` → logits as [`Module::run`]'s.
    pub(crate) fn grade(&self, features: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let weights = self.attend(features, pass)?.f_unsqueeze(1).doing("attention")?;
        let pooled = weights.f_matmul(features).and_then(|sum| sum.f_squeeze_dim(1)).doing("attention")?;
        let pooled = dropout(pooled, self.config.dropout, pass)?;
        let mut logits = self.heads.iter().map(|head| head.run(&pooled, pass)).collect::<Result<Vec<_>>>()?;
        if logits.len() == 1 { Ok(logits.remove(0)) } else { Tensor::f_stack(&logits, 1).doing("heads") }
    }
}

impl Module for LevelModel {
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let features = self.slice_features(xs, pass)?;
        self.grade(&features, pass)
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn as_level(&self) -> Option<&LevelModel> {
        Some(self)
    }
}

impl Foldable for LevelModel {
    fn copied(&self) -> Result<Self> {
        let copy = Self::build(&self.config, None, self.backbone.device())?;
        copy.registry.copy_from(&self.registry)?;
        Ok(copy)
    }

    fn fold(&mut self, kind: Kind) -> Result<()> {
        self.registry = Registry::default();
        self.backbone.fold(kind)?;
        self.attention_in.convert(kind)?;
        self.attention_out.convert(kind)?;
        self.heads.iter_mut().try_for_each(|head| head.convert(kind))
    }
}

//! An encoder of single slices: a backbone whose features of all resolutions are joined at a quarter of the image's
//! size (Lin et al. 2017, arXiv:1612.03144).

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::architecture::Architecture;
use super::backbone::{Backbone, BackboneConfig, Features, check_rate};
use super::conv::{Activation, ConvNorm, ConvSpec};
use super::error::{Doing, Error, Result};
use super::inference::Foldable;
use super::pass::{Module, Pass};
use super::registry::{Builder, Part, Registry};
use crate::config::check_range;

const EPS: f64 = 1e-5;

/// A [`SliceEncoder`]'s configuration.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `architecture` | `resnet10d_025` | the backbone | [`Architecture::ALL`] |
/// | `features` | 48 | channels of the result | 8 – 1024 |
/// | `drop_path_rate` | 0.0 | stochastic depth of the backbone | 0 ≤ rate < 1 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SliceEncoderConfig {
    /// The backbone.
    pub architecture: Architecture,
    /// Channels of the result.
    pub features: i64,
    /// Stochastic depth of the backbone.
    pub drop_path_rate: f64,
}

impl Default for SliceEncoderConfig {
    fn default() -> Self {
        Self { architecture: Architecture::ResNet10d025, features: 48, drop_path_rate: 0.0 }
    }
}

impl SliceEncoderConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field outside its range.
    pub fn check(&self) -> Result<()> {
        check_range("encoder.features", self.features, 8, 1024)?;
        check_rate("encoder.drop_path_rate", self.drop_path_rate)
    }
}

/// A backbone over single slices. Its stages from a quarter of the image's size on are projected to the same number of
/// channels, enlarged and added, so that each position has fine features and knows the whole image. The image is in the
/// channel of its kind of series, the other two are zero: the first convolution differs from kind to kind, and all other
/// weights are shared.
///
/// # Shapes
/// `[slices, 3, height, width]` → `[slices, features, height / 4, width / 4]`, sides rounded up.
///
/// ```
/// use lumbar::model::{Mode, Module, SliceEncoder, SliceEncoderConfig};
/// use tch::{Device, Kind, Tensor};
///
/// let encoder = SliceEncoder::new(&SliceEncoderConfig::default(), 0, Device::Cpu)?;
/// let slices = Tensor::randn([2, 3, 96, 64], (Kind::Float, Device::Cpu));
/// assert_eq!(encoder.forward(&slices, Mode::Eval)?.size(), [2, 48, 24, 16]);
/// # Ok::<(), lumbar::model::Error>(())
/// ```
#[derive(Debug)]
pub struct SliceEncoder {
    registry: Registry,
    config: SliceEncoderConfig,
    backbone: Backbone,
    /// The finest first.
    laterals: Vec<ConvNorm>,
    join: ConvNorm,
}

impl SliceEncoder {
    /// Builds the encoder with first weights that depend on `seed` alone. Without a seed no weights are drawn, for a
    /// network that trained weights are copied into.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field outside its range; [`Error::Torch`] if the device does not exist.
    pub fn new(config: &SliceEncoderConfig, seed: impl Into<Option<u64>>, device: Device) -> Result<Self> {
        config.check()?;
        let seed = seed.into();
        let (num_classes, drop_path_rate) = (0, config.drop_path_rate);
        let backbone =
            BackboneConfig { in_chans: 3, num_classes, drop_path_rate, ..BackboneConfig::new(config.architecture) };
        let backbone = Backbone::build(&backbone, seed, device)?;
        let mut registry = Registry::default();
        registry.adopt("backbone", backbone.registry(), 0);
        let depth = registry.depth_count();
        let mut builder = Builder::new(&mut registry, seed, device).part(Part::Head, depth);
        let plain = |inputs: i64| ConvSpec::new(inputs, config.features, 1, 1);
        let mut laterals = Vec::new();
        for (number, stage) in joined(&backbone).enumerate() {
            let name = number.to_string();
            let mut at = builder.at("laterals");
            laterals.push(ConvNorm::new(&mut at, &name, plain(stage.1), None, Activation::None)?);
        }
        let mut at = builder.at("join");
        let join = ConvNorm::new(&mut at, "conv", plain(config.features), Some(("norm", EPS)), Activation::Relu)?;
        Ok(Self { registry, config: config.clone(), backbone, laterals, join })
    }

    /// The configuration it was built from.
    #[must_use]
    pub const fn config(&self) -> &SliceEncoderConfig {
        &self.config
    }

    /// The backbone. Its registry has timm's names: [`PretrainedWeights`](super::PretrainedWeights) are loaded into it.
    #[must_use]
    pub const fn backbone(&self) -> &Backbone {
        &self.backbone
    }
}

/// Index and channels of the stages that are joined.
fn joined(backbone: &Backbone) -> impl Iterator<Item = (usize, i64)> {
    let stages = backbone.stage_info().into_iter().enumerate();
    stages.filter(|(_, stage)| stage.reduction >= 4).map(|(number, stage)| (number, stage.channels))
}

impl Module for SliceEncoder {
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let size = xs.size();
        if size.len() != 4 || size[1] != 3 {
            let (what, expected) = ("input of the slice encoder".to_owned(), "[slices, 3, height, width]".to_owned());
            return Err(Error::Shape { what, expected, found: size });
        }
        let xs = torch_ext::layout::channels_last(xs)?;
        let mut stages = Pass::recording_stages(pass.mode);
        let _ = self.backbone.run_features(&xs, &mut stages)?;
        let stages = stages.into_stages();
        let mut sum: Option<Tensor> = None;
        let numbers: Vec<usize> = joined(&self.backbone).map(|(number, _)| number).collect();
        for (lateral, &number) in self.laterals.iter().zip(&numbers).rev() {
            let own = lateral.run(&stages[number], pass)?;
            sum = Some(match sum {
                None => own,
                Some(deeper) => {
                    let sides = [own.size()[2], own.size()[3]];
                    deeper
                        .f_upsample_nearest2d(sides, None, None)
                        .and_then(|deeper| deeper.f_add(&own))
                        .doing("join")?
                }
            });
        }
        match sum {
            Some(sum) => self.join.run(&sum, pass),
            None => Err(Error::UnknownStage { stage: 0, count: 0 }),
        }
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Foldable for SliceEncoder {
    fn copied(&self) -> Result<Self> {
        let copy = Self::new(&self.config, None, self.backbone.device())?;
        copy.registry.copy_from(&self.registry)?;
        Ok(copy)
    }

    fn fold(&mut self, kind: Kind) -> Result<()> {
        self.registry = Registry::default();
        self.backbone.fold(kind)?;
        self.laterals.iter_mut().try_for_each(|lateral| lateral.fold(kind))?;
        self.join.fold(kind)
    }
}

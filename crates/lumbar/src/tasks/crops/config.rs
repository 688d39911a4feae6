use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check_range};
use crate::data::augment::{AugmentConfig, MixConfig};
use crate::data::cached::CropExtent;
use crate::data::crop::CropConfig;
use crate::data::intensity::IntensityConfig;
use crate::model::{Architecture, Init, LevelConfig};
use crate::tasks::grading::LossConfig;
use crate::train::TrainConfig;
use crate::train::config::{OptimizerConfig, Precision};

/// The crop grader.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `level` | EfficientNet-B0 | the network of each of the three planes: see [`LevelConfig`] |
/// | `source` | 50 mm, 96 px, 5 slices | what it looks at: see [`CropSourceConfig`] |
/// | `init` | `"scratch"` | where the first weights of the backbone come from: see [`Init`] |
/// | `loss` | the competition's score | what is minimised: see [`LossConfig`] |
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CropsTask {
    /// The network of each plane.
    pub level: LevelConfig,
    /// What it looks at.
    pub source: CropSourceConfig,
    /// Where the first weights of the backbone come from.
    #[serde(skip_serializing_if = "Init::is_scratch")]
    pub init: Init,
    /// What is minimised.
    pub loss: LossConfig,
}

impl CropsTask {
    /// The preset `real`: for the competition's 1,975 studies, on a GPU.
    ///
    /// The recipe that single models with a score of about 0.40 share (public solutions of the competition's best
    /// teams): ConvNeXt-nano pretrained on photographs, for each plane, over five slices of 128 pixels; points moved at
    /// random, strong augmentation, cutmix; a learning rate that falls towards the first layers; an average of the
    /// weights validates. ConvNeXt has no batch norms, so nothing but weights has to be averaged. For
    /// `tf_efficientnetv2_s` set `task.crops.level.architecture` and `task.crops.init`.
    #[must_use]
    pub fn real() -> (Self, TrainConfig) {
        let level = LevelConfig { architecture: Architecture::ConvNextNano, ..LevelConfig::default() };
        let crop = CropConfig { width_px: 128, height_px: 128, ..CropConfig::default() };
        let init = Init::Hub("timm/convnext_nano.in12k_ft_in1k".to_owned());
        let task = Self {
            level,
            source: CropSourceConfig { crop, ..CropSourceConfig::default() },
            init,
            loss: LossConfig::default(),
        };
        let mut train = TrainConfig {
            epochs: 12,
            batch_size: 8,
            precision: Precision::Bfloat16,
            ema_decay: 0.998,
            mix: MixConfig { mixup_p: 0.0, cutmix_p: 0.5, ..MixConfig::default() },
            ..TrainConfig::default()
        };
        train.optimizer =
            OptimizerConfig { lr: 3e-4, weight_decay: 0.05, layer_decay: 0.8, ..OptimizerConfig::default() };
        (task, train)
    }
}

/// Where crops are taken and what is done to them.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `crop` | 50 mm, 96 px, 5 slices | size of a crop | see [`CropConfig`] |
/// | `intensity` | percentiles of the series | which intensities become 0 and 1 | see [`IntensityConfig`] |
/// | `augment` | the top teams' set | of training crops; only canal crops are mirrored at random | see [`AugmentConfig`] |
/// | `jitter_mm` | 3 | training points are moved by up to this along each axis of the patient | 0–50 |
/// | `evaluation_jitter_mm` | 0 | the same for predictions, to see how accurate points must be | 0–50 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CropSourceConfig {
    /// Size of a crop.
    pub crop: CropConfig,
    /// Which intensities become 0 and 1.
    pub intensity: IntensityConfig,
    /// Augmentation of training crops.
    pub augment: AugmentConfig,
    /// Jitter of training points in mm.
    pub jitter_mm: f64,
    /// Jitter of points in predictions in mm.
    pub evaluation_jitter_mm: f64,
}

impl Default for CropSourceConfig {
    fn default() -> Self {
        Self {
            crop: CropConfig::default(),
            intensity: IntensityConfig::default(),
            augment: AugmentConfig::default(),
            jitter_mm: 3.0,
            evaluation_jitter_mm: 0.0,
        }
    }
}

impl CropSourceConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.crop.check()?;
        self.intensity.check()?;
        self.augment.check()?;
        check_range("jitter_mm", self.jitter_mm, 0.0, 50.0)?;
        check_range("evaluation_jitter_mm", self.evaluation_jitter_mm, 0.0, 50.0)
    }

    /// The part of a study that has to be cached for these crops.
    #[must_use]
    pub fn extent(&self) -> CropExtent {
        CropExtent::new(&self.crop, &self.augment, self.jitter_mm.max(self.evaluation_jitter_mm))
    }
}

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check_range};
use crate::data::augment::AugmentConfig;
use crate::data::cached::CropExtent;
use crate::data::crop::CropConfig;
use crate::data::intensity::IntensityConfig;
use crate::model::{Init, LevelConfig};
use crate::tasks::grading::LossConfig;

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

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check_range};
use crate::data::SeriesKind;
use crate::data::augment::AugmentConfig;
use crate::data::channels::{ImageSize, plane_of};
use crate::data::intensity::IntensityConfig;
use crate::data::render::Normalisation;
use crate::model::{Architecture, Init, LevelConfig, SliceEncoderConfig};
use crate::tasks::grading::LossConfig;

/// A slice that is farther than this from a point does not show it. Slices are at most 5 mm apart, and readers take the
/// nearest one or its neighbour.
const SHOWN_MM: f64 = 5.0;

/// A slice encoder that all slices of a study share, attention over slices and planes, and a grader of what each target
/// looks at.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `encoder` | ResNet-10d at a quarter of its width | what finds the targets: see [`SliceEncoderConfig`] |
/// | `attention` | trained on annotated points | where each target looks: see [`AttentionConfig`] |
/// | `level` | ResNet-10d at a quarter of its width | what grades each plane: see [`LevelConfig`] |
/// | `source` | 192 × 256 pixels of 1 mm | what it looks at: see [`SliceSourceConfig`] |
/// | `init` | `"scratch"` | where the first weights of the backbone come from: see [`Init`] |
/// | `loss` | the competition's score | what is minimised: see [`LossConfig`] |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudyAttentionTask {
    /// What finds the targets.
    pub encoder: SliceEncoderConfig,
    /// Where each target looks.
    pub attention: AttentionConfig,
    /// What grades each plane.
    pub level: LevelConfig,
    /// What it looks at.
    pub source: SliceSourceConfig,
    /// Where the first weights of the backbone come from.
    #[serde(skip_serializing_if = "Init::is_scratch")]
    pub init: Init,
    /// What is minimised.
    pub loss: LossConfig,
}

impl Default for StudyAttentionTask {
    fn default() -> Self {
        let architecture = Architecture::ResNet10d025;
        Self {
            encoder: SliceEncoderConfig::default(),
            attention: AttentionConfig::default(),
            level: LevelConfig { architecture, dropout: 0.2, drop_path_rate: 0.0, ..LevelConfig::default() },
            source: SliceSourceConfig::default(),
            init: Init::default(),
            loss: LossConfig::default(),
        }
    }
}

/// Where each target looks, and how it learns that.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `glimpse_px` | 48 | side of the part of a slice that is graded, in pixels of the slice | 16–512 |
/// | `jitter_mm` | 3 | in training a target is graded at its annotated point, moved by up to this along each axis | 0–50 |
/// | `point_weight` | 0.5 | weight of the loss that compares attention with annotated points; 0 leaves it out | 0–10 |
/// | `point_sigma_mm` | 6 | standard deviation of the Gaussian around a point that attention is compared with | 1–30 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct AttentionConfig {
    pub glimpse_px: usize,
    pub jitter_mm: f64,
    pub point_weight: f64,
    pub point_sigma_mm: f64,
}

impl Default for AttentionConfig {
    fn default() -> Self {
        Self { glimpse_px: 48, jitter_mm: 3.0, point_weight: 0.5, point_sigma_mm: 6.0 }
    }
}

/// The images of a study.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `width_px`, `height_px` | 192, 256 | size of an image about the middle of its slice; the encoder sees it at half of that | even, 64–1024 |
/// | `sagittal_pixel_mm` | 1 | side of a pixel of sagittal images in the patient | 0.2–8 |
/// | `axial_pixel_mm` | 1 | side of a pixel of axial images | 0.2–8 |
/// | `margin_px` | 16 | pixels that are cached beyond each edge, for shifts and rotations | 0–256 |
/// | `most_slices` | 28 | most images of a kind of series: more are thinned out evenly | 1–300 |
/// | `training_slices` | 6, 3, 7 | images of a training sample: T1, T2, axial | 1–300 |
/// | `plane_dropout` | 0.1 | probability that a training sample lacks a kind of series; one sagittal kind remains | 0–0.9 |
/// | `intensity` | percentiles of the series | what becomes 0…1 | see [`IntensityConfig`] |
/// | `augment` | the top teams' set | of training images, mirroring included; no distortions and no shear | see [`AugmentConfig`] |
/// | `normalisation` | 0.25, 0.25 | mean and std of the last step | std 1e-6–1e6 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct SliceSourceConfig {
    pub width_px: usize,
    pub height_px: usize,
    pub sagittal_pixel_mm: f64,
    pub axial_pixel_mm: f64,
    pub margin_px: usize,
    pub most_slices: usize,
    pub training_slices: [usize; 3],
    pub plane_dropout: f64,
    pub intensity: IntensityConfig,
    pub augment: AugmentConfig,
    pub normalisation: Normalisation,
}

impl Default for SliceSourceConfig {
    fn default() -> Self {
        let mut augment = AugmentConfig::default();
        augment.distortion.p = 0.0;
        Self {
            width_px: 192,
            height_px: 256,
            sagittal_pixel_mm: 1.0,
            axial_pixel_mm: 1.0,
            margin_px: 16,
            most_slices: 28,
            training_slices: [6, 3, 7],
            plane_dropout: 0.1,
            intensity: IntensityConfig::default(),
            augment,
            normalisation: Normalisation { mean: 0.25, std: 0.25 },
        }
    }
}

impl SliceSourceConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (field, side) in [("source.width_px", self.width_px), ("source.height_px", self.height_px)] {
            check_range(field, side, 64, 1024)?;
            if side % 2 != 0 {
                return Err(ConfigError::new(field, side, "an even number"));
            }
        }
        check_range("source.sagittal_pixel_mm", self.sagittal_pixel_mm, 0.2, 8.0)?;
        check_range("source.axial_pixel_mm", self.axial_pixel_mm, 0.2, 8.0)?;
        check_range("source.margin_px", self.margin_px, 0, 256)?;
        check_range("source.most_slices", self.most_slices, 1, 300)?;
        for count in self.training_slices {
            check_range("source.training_slices", count, 1, 300)?;
        }
        check_range("source.plane_dropout", self.plane_dropout, 0.0, 0.9)?;
        self.intensity.check()?;
        self.augment.check()?;
        if self.augment.distortion.p > 0.0 {
            // positions in the patient are an affine map of pixels
            return Err(ConfigError::new("source.augment.distortion.p", self.augment.distortion.p, "0"));
        }
        if self.augment.affine.shear_deg > 0.0 {
            // columns and rows are orthogonal
            return Err(ConfigError::new("source.augment.affine.shear_deg", self.augment.affine.shear_deg, "0"));
        }
        check_range("source.normalisation.std", f64::from(self.normalisation.std), 1e-6, 1e6)
    }

    /// Whether a slice at this distance shows a point well enough to be graded there.
    pub(super) fn shows(distance_mm: f64) -> bool {
        distance_mm <= SHOWN_MM
    }

    /// Size of the cached images of a kind of series.
    pub(super) fn cached(&self, kind: SeriesKind) -> ImageSize {
        let pixel_mm = match plane_of(kind) {
            lumbar_dicom::Plane::Axial => self.axial_pixel_mm,
            _ => self.sagittal_pixel_mm,
        };
        let (width_px, height_px) = (self.width_px + 2 * self.margin_px, self.height_px + 2 * self.margin_px);
        ImageSize { pixel_mm, width_px, height_px }
    }
}

impl AttentionConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_range("attention.glimpse_px", self.glimpse_px, 16, 512)?;
        check_range("attention.jitter_mm", self.jitter_mm, 0.0, 50.0)?;
        check_range("attention.point_weight", self.point_weight, 0.0, 10.0)?;
        check_range("attention.point_sigma_mm", self.point_sigma_mm, 1.0, 30.0)
    }
}

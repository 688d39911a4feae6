use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check_range};
use crate::data::SeriesKind;
use crate::data::augment::AugmentConfig;
use crate::data::channels::{ImageSize, plane_of};
use crate::data::intensity::IntensityConfig;
use crate::data::render::Normalisation;
use crate::model::{Init, SliceEncoderConfig};
use crate::tasks::grading::LossConfig;

/// A slice encoder that all slices of a study share, and attention over slices and planes.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `encoder` | ResNet-10d at a quarter of its width | what reads a slice: see [`SliceEncoderConfig`] |
/// | `attention` | trained on annotated points | where each target looks: see [`AttentionConfig`] |
/// | `source` | 192 × 256 mm sagittal, 96 × 128 mm axial | what it looks at: see [`SliceSourceConfig`] |
/// | `init` | `"scratch"` | where the first weights of the backbone come from: see [`Init`] |
/// | `loss` | the competition's score | what is minimised: see [`LossConfig`] |
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudyAttentionTask {
    /// What reads a slice.
    pub encoder: SliceEncoderConfig,
    /// Where each target looks.
    pub attention: AttentionConfig,
    /// What it looks at.
    pub source: SliceSourceConfig,
    /// Where the first weights of the backbone come from.
    #[serde(skip_serializing_if = "Init::is_scratch")]
    pub init: Init,
    /// What is minimised.
    pub loss: LossConfig,
}

/// Where each target looks, and how it learns that.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `dropout` | 0.2 | of the features that a target has read | 0 ≤ rate < 1 |
/// | `point_weight` | 0.2 | weight of the loss that compares attention with annotated points; 0 leaves it out | 0–10 |
/// | `point_sigma_mm` | 6 | standard deviation of the Gaussian around a point that attention is compared with | 1–30 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct AttentionConfig {
    pub dropout: f64,
    pub point_weight: f64,
    pub point_sigma_mm: f64,
}

impl Default for AttentionConfig {
    fn default() -> Self {
        Self { dropout: 0.2, point_weight: 0.2, point_sigma_mm: 6.0 }
    }
}

/// The images of a study.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `width_px`, `height_px` | 96, 128 | size of an image about the middle of its slice | 32–1024 |
/// | `sagittal_pixel_mm` | 2 | side of a pixel of sagittal images in the patient | 0.2–8 |
/// | `axial_pixel_mm` | 1 | side of a pixel of axial images | 0.2–8 |
/// | `margin_px` | 12 | pixels that are cached beyond each edge, for shifts and rotations | 0–256 |
/// | `most_slices` | 32 | most images of a kind of series: more are thinned out evenly | 1–300 |
/// | `training_slices` | 4, 3, 7 | images of a training sample: T1, T2, axial | 1–300 |
/// | `plane_dropout` | 0.1 | probability that a training sample lacks a kind of series; one sagittal kind remains | 0–0.9 |
/// | `intensity` | percentiles of the series | what becomes 0…1 | see [`IntensityConfig`] |
/// | `augment` | the top teams' set | of training images, mirroring included; no distortions | see [`AugmentConfig`] |
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
            width_px: 96,
            height_px: 128,
            sagittal_pixel_mm: 2.0,
            axial_pixel_mm: 1.0,
            margin_px: 12,
            most_slices: 32,
            training_slices: [4, 3, 7],
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
        check_range("source.width_px", self.width_px, 32, 1024)?;
        check_range("source.height_px", self.height_px, 32, 1024)?;
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
        check_range("source.normalisation.std", f64::from(self.normalisation.std), 1e-6, 1e6)
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
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(ConfigError::new("attention.dropout", self.dropout, "0 ≤ rate < 1"));
        }
        check_range("attention.point_weight", self.point_weight, 0.0, 10.0)?;
        check_range("attention.point_sigma_mm", self.point_sigma_mm, 1.0, 30.0)
    }
}

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check_range};
use crate::data::augment::AugmentConfig;
use crate::data::intensity::IntensityConfig;
use crate::model::{Init, UNetConfig};

/// The localiser.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `init` | `"scratch"` | the network's first weights, all of them: see [`Init`] | |
/// | `unet` | 16, 32, 64, 96 channels | the network: see [`UNetConfig`]; 3 channels in, 11 maps out | |
/// | `source` | 224 × 288 mm at 2 mm | what it looks at: see [`LocateSourceConfig`] | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocateTask {
    /// The network's first weights.
    pub init: Init,
    /// The network.
    pub unet: UNetConfig,
    /// What it looks at.
    pub source: LocateSourceConfig,
}

/// Which images the localiser sees, and the maps that it is trained on.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `pixel_mm` | 2 | side of an image's pixel in the patient | 0.5–8 |
/// | `width_px`, `height_px` | 112, 144 | size of an image about the middle of the slice; multiples of the network's reduction | 16–1024 |
/// | `sigma_mm` | 5 | standard deviation of the Gaussian around a point that a map is compared with | 1–20 |
/// | `intensity` | percentiles of the series | what becomes 0…1 | see [`IntensityConfig`] |
/// | `local_mm` | 0 | half the side of the square whose mean and deviation each pixel is measured in; 0: as they are | 0–100 |
/// | `augment` | ± 15°, 0.8–1.2, shifts of 0.19 | of training images; mirroring has no effect | see [`AugmentConfig`] |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct LocateSourceConfig {
    pub pixel_mm: f64,
    pub width_px: usize,
    pub height_px: usize,
    pub sigma_mm: f64,
    pub intensity: IntensityConfig,
    #[serde(skip_serializing_if = "is_zero")]
    pub local_mm: f64,
    pub augment: AugmentConfig,
}

/// Configs without it are those from before it was there.
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl Default for LocateTask {
    fn default() -> Self {
        let unet = UNetConfig { in_chans: super::CHANNELS, out_chans: super::MAPS as i64, ..UNetConfig::default() };
        Self { init: Init::Scratch, unet, source: LocateSourceConfig::default() }
    }
}

impl Default for LocateSourceConfig {
    fn default() -> Self {
        let mut augment = AugmentConfig { mirror_p: 0.0, ..AugmentConfig::default() };
        (augment.affine.p, augment.affine.shift) = (1.0, 0.19);
        (augment.affine.scale, augment.affine.rotate_deg) = (0.2, 15.0);
        (augment.tone.brightness, augment.tone.contrast, augment.tone.gamma_p) = (0.15, 0.25, 0.5);
        (augment.distortion.p, augment.filter.p, augment.dropout.p) = (0.0, 0.2, 0.0);
        Self {
            pixel_mm: 2.0,
            width_px: 112,
            height_px: 144,
            sigma_mm: 5.0,
            intensity: IntensityConfig::default(),
            local_mm: 0.0,
            augment,
        }
    }
}

impl LocateTask {
    /// The localiser that is trained on synthetic studies alone: it sees 224 × 320 mm, and studies are drawn off-centre
    /// and at any size, so that images are shifted and scaled less than those of files.
    #[must_use]
    pub fn synthetic() -> Self {
        let mut task = Self::default();
        task.source.height_px = 160;
        task.source.local_mm = 24.0;
        let affine = &mut task.source.augment.affine;
        (affine.shift, affine.scale) = (0.08, 0.2);
        task
    }

    /// # Errors
    /// The first field that is out of its range.
    pub fn check_ranges(&self) -> Result<(), ConfigError> {
        self.unet.check()?;
        let UNetConfig { in_chans, out_chans, .. } = self.unet;
        if in_chans != super::CHANNELS {
            return Err(ConfigError::new("unet.in_chans", in_chans, super::CHANNELS.to_string()));
        }
        if out_chans != super::MAPS as i64 {
            return Err(ConfigError::new("unet.out_chans", out_chans, super::MAPS.to_string()));
        }
        let source = &self.source;
        check_range("source.pixel_mm", source.pixel_mm, 0.5, 8.0)?;
        let reduction = self.unet.reduction();
        for (field, side) in [("source.width_px", source.width_px), ("source.height_px", source.height_px)] {
            check_range(field, side, 16, 1024)?;
            if !side.is_multiple_of(reduction) {
                return Err(ConfigError::new(field, side, format!("a multiple of {reduction}")));
            }
        }
        check_range("source.sigma_mm", source.sigma_mm, 1.0, 20.0)?;
        check_range("source.local_mm", source.local_mm, 0.0, 100.0)?;
        source.intensity.check()?;
        source.augment.check()
    }
}

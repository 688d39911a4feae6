use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{Augmentation, BiasField, Filter, Hole, Lens, Noise, NoiseKind, Tone, Warp};
use crate::config::{ConfigError, check_range};
use crate::data::Affine2;
use crate::data::random::Generator;

pub(crate) fn check_probability(field: &str, value: f64) -> Result<(), ConfigError> {
    check_range(field, value, 0.0, 1.0)
}

/// Probabilities and strengths of the augmentations. The defaults are those of the competition's top teams.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `mirror_p` | 0.5 | probability of mirroring the patient |
/// | `affine` | p 0.8 | shift, scale, rotation, shear |
/// | `distortion` | p 0.5 | one of grid and optical distortion |
/// | `tone` | p 0.5 | brightness and contrast; gamma |
/// | `bias` | p 0.2 | bias field |
/// | `filter` | p 0.5 | one of Gaussian blur, motion blur, median, noise |
/// | `dropout` | p 0.5 | coarse dropout |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Probability of mirroring the patient.
    pub mirror_p: f64,
    /// Shift, scale, rotation, shear.
    pub affine: AffineRange,
    /// Grid and optical distortion.
    pub distortion: DistortionRange,
    /// Brightness, contrast, gamma.
    pub tone: ToneRange,
    /// Bias field.
    pub bias: BiasRange,
    /// Blurs and noise.
    pub filter: FilterRange,
    /// Coarse dropout.
    pub dropout: DropoutRange,
}

/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `p` | 0.8 | probability | 0–1 |
/// | `shift` | 0.15 | largest shift, as a part of the crop's side | 0–1 |
/// | `scale` | 0.25 | sizes change by up to this part | 0–0.9 |
/// | `rotate_deg` | 30 | largest angle | 0–180 |
/// | `shear_deg` | 0 | largest slant | 0–60 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct AffineRange {
    pub p: f64,
    pub shift: f64,
    pub scale: f64,
    pub rotate_deg: f64,
    pub shear_deg: f64,
}

/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `p` | 0.5 | probability of one of both | 0–1 |
/// | `grid_bands` | 5 | bands along each side | 1–64 |
/// | `grid` | 0.3 | bands' widths change by up to this part | 0–0.9 |
/// | `optical` | 0.05 | largest lens coefficient k | 0–0.3 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct DistortionRange {
    pub p: f64,
    pub grid_bands: usize,
    pub grid: f64,
    pub optical: f64,
}

/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `p` | 0.5 | probability of brightness and contrast | 0–1 |
/// | `brightness` | 0.4 | largest change, as a part of the full range | 0–1 |
/// | `contrast` | 0.25 | largest stretch | 0–0.99 |
/// | `gamma_p` | 0.3 | probability of gamma | 0–1 |
/// | `gamma_log2` | 0.5 | gamma from 2^−g to 2^g | 0–3 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct ToneRange {
    pub p: f64,
    pub brightness: f64,
    pub contrast: f64,
    pub gamma_p: f64,
    pub gamma_log2: f64,
}

/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `p` | 0.2 | probability | 0–1 |
/// | `strength` | 0.2 | largest coefficient of the field's polynomials | 0–2 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct BiasRange {
    pub p: f64,
    pub strength: f64,
}

/// One of Gaussian blur, motion blur, median and noise, each as likely.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `p` | 0.5 | probability of one of the four | 0–1 |
/// | `sigma_px` | 1.5 | largest standard deviation of the Gaussian blur, from 0.5 | 0.5–20 |
/// | `motion_px` | 7 | longest motion, odd, from 3 | 3–51 |
/// | `noise_std` | 0.1 | largest standard deviation of the noise, from a tenth of it | 0–1 |
/// | `rician` | false | Rician noise, as in magnitude images, instead of Gaussian | |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct FilterRange {
    pub p: f64,
    pub sigma_px: f64,
    pub motion_px: usize,
    pub noise_std: f64,
    pub rician: bool,
}

/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `p` | 0.5 | probability | 0–1 |
/// | `holes` | 8 | most rectangles, from 1 | 1–1000 |
/// | `size` | 0.2 | largest side, as a part of the crop's, from a quarter of it | 0–1 |
/// | `value` | 0 | value inside, before normalisation | 0–1 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct DropoutRange {
    pub p: f64,
    pub holes: usize,
    pub size: f64,
    pub value: f64,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            mirror_p: 0.5,
            affine: AffineRange::default(),
            distortion: DistortionRange::default(),
            tone: ToneRange::default(),
            bias: BiasRange::default(),
            filter: FilterRange::default(),
            dropout: DropoutRange::default(),
        }
    }
}

impl Default for AffineRange {
    fn default() -> Self {
        Self { p: 0.8, shift: 0.15, scale: 0.25, rotate_deg: 30.0, shear_deg: 0.0 }
    }
}

impl Default for DistortionRange {
    fn default() -> Self {
        Self { p: 0.5, grid_bands: 5, grid: 0.3, optical: 0.05 }
    }
}

impl Default for ToneRange {
    fn default() -> Self {
        Self { p: 0.5, brightness: 0.4, contrast: 0.25, gamma_p: 0.3, gamma_log2: 0.5 }
    }
}

impl Default for BiasRange {
    fn default() -> Self {
        Self { p: 0.2, strength: 0.2 }
    }
}

impl Default for FilterRange {
    fn default() -> Self {
        Self { p: 0.5, sigma_px: 1.5, motion_px: 7, noise_std: 0.1, rician: false }
    }
}

impl Default for DropoutRange {
    fn default() -> Self {
        Self { p: 0.5, holes: 8, size: 0.2, value: 0.0 }
    }
}

impl AugmentConfig {
    /// Light augmentation, for networks that train from scratch over few epochs: about half as strong as the
    /// default, which the top teams used to fine-tune pretrained networks.
    #[must_use]
    pub fn light() -> Self {
        let mut augment = Self::default();
        (augment.affine.shift, augment.affine.scale, augment.affine.rotate_deg) = (0.06, 0.12, 12.0);
        (augment.tone.brightness, augment.tone.contrast, augment.tone.gamma_p) = (0.15, 0.2, 0.2);
        (augment.distortion.p, augment.filter.p, augment.dropout.p) = (0.0, 0.2, 0.0);
        augment
    }

    /// No augmentation at all.
    #[must_use]
    pub fn none() -> Self {
        let mut config = Self { mirror_p: 0.0, ..Self::default() };
        for p in [
            &mut config.affine.p,
            &mut config.distortion.p,
            &mut config.tone.p,
            &mut config.tone.gamma_p,
            &mut config.bias.p,
            &mut config.filter.p,
            &mut config.dropout.p,
        ] {
            *p = 0.0;
        }
        config
    }

    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (field, p) in [
            ("mirror_p", self.mirror_p),
            ("affine.p", self.affine.p),
            ("distortion.p", self.distortion.p),
            ("tone.p", self.tone.p),
            ("tone.gamma_p", self.tone.gamma_p),
            ("bias.p", self.bias.p),
            ("filter.p", self.filter.p),
            ("dropout.p", self.dropout.p),
        ] {
            check_probability(field, p)?;
        }
        for (field, value, low, high) in [
            ("affine.shift", self.affine.shift, 0.0, 1.0),
            ("affine.scale", self.affine.scale, 0.0, 0.9),
            ("affine.rotate_deg", self.affine.rotate_deg, 0.0, 180.0),
            ("affine.shear_deg", self.affine.shear_deg, 0.0, 60.0),
            ("distortion.grid_bands", self.distortion.grid_bands as f64, 1.0, 64.0),
            ("distortion.grid", self.distortion.grid, 0.0, 0.9),
            ("distortion.optical", self.distortion.optical, 0.0, 0.3),
            ("tone.brightness", self.tone.brightness, 0.0, 1.0),
            ("tone.contrast", self.tone.contrast, 0.0, 0.99),
            ("tone.gamma_log2", self.tone.gamma_log2, 0.0, 3.0),
            ("bias.strength", self.bias.strength, 0.0, 2.0),
            ("filter.sigma_px", self.filter.sigma_px, 0.5, 20.0),
            ("filter.motion_px", self.filter.motion_px as f64, 3.0, 51.0),
            ("filter.noise_std", self.filter.noise_std, 0.0, 1.0),
            ("dropout.holes", self.dropout.holes as f64, 1.0, 1000.0),
            ("dropout.size", self.dropout.size, 0.0, 1.0),
            ("dropout.value", self.dropout.value, 0.0, 1.0),
        ] {
            check_range(field, value, low, high)?;
        }
        Ok(())
    }

    /// Draws the augmentation of one crop of `width` × `height` pixels, the same for all of its slices.
    ///
    /// Every kind of augmentation draws from a generator of its own, seeded from `random`, so that a change of one
    /// setting does not change the draws of the others.
    #[must_use]
    pub fn draw(&self, width: usize, height: usize, random: &mut Generator) -> Augmentation {
        let mut next = || Own::start(random.next_u64());
        let (mut mirror, mut affine, mut warp, mut tone) = (next(), next(), next(), next());
        let (mut bias, mut filter, mut dropout) = (next(), next(), next());
        let (filter, noise) = self.filter.draw(&mut filter);
        Augmentation {
            mirror: mirror.happens(self.mirror_p),
            affine: self.affine.draw(width, height, &mut affine),
            warp: self.distortion.draw(&mut warp),
            tone: self.tone.draw(&mut tone),
            bias: self.bias.draw(&mut bias),
            filter,
            noise,
            holes: self.dropout.draw(width, height, &mut dropout),
            hole_value: self.dropout.value as f32,
        }
    }
}

/// The generator of one kind of augmentation.
struct Own(Generator);

impl Own {
    fn start(seed: u64) -> Self {
        Self(rand::SeedableRng::seed_from_u64(seed))
    }

    fn happens(&mut self, p: f64) -> bool {
        self.0.random::<f64>() < p
    }

    /// Uniform from `low` to `high`.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    /// Uniform from −`limit` to `limit`.
    fn within(&mut self, limit: f64) -> f64 {
        self.between(-limit, limit)
    }
}

impl AffineRange {
    fn draw(&self, width: usize, height: usize, own: &mut Own) -> Affine2 {
        if !own.happens(self.p) {
            return Affine2::IDENTITY;
        }
        let centre = [(width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0];
        let scale = 1.0 + own.within(self.scale);
        let turn = Affine2::rotation_deg(own.within(self.rotate_deg), centre);
        let slant = Affine2::shear_deg([own.within(self.shear_deg), 0.0], centre);
        let shift = [own.within(self.shift) * width as f64, own.within(self.shift) * height as f64];
        Affine2::scale([scale; 2], centre).then(&slant).then(&turn).then(&Affine2::shift(shift))
    }
}

impl DistortionRange {
    fn draw(&self, own: &mut Own) -> Warp {
        if !own.happens(self.p) {
            return Warp::None;
        }
        match own.0.random_range(0..3) {
            0 => Warp::Optical { lens: Lens::Camera, k: own.within(self.optical) },
            1 => Warp::Optical { lens: Lens::Fisheye, k: own.within(self.optical) },
            _ => {
                let mut steps = || (0..=self.grid_bands).map(|_| 1.0 + own.within(self.grid)).collect();
                Warp::Grid { x_steps: steps(), y_steps: steps() }
            }
        }
    }
}

impl ToneRange {
    fn draw(&self, own: &mut Own) -> Tone {
        let mut tone = Tone::NONE;
        if own.happens(self.p) {
            tone.brightness = own.within(self.brightness) as f32;
            tone.contrast = own.within(self.contrast) as f32;
        }
        if own.happens(self.gamma_p) {
            tone.gamma = own.within(self.gamma_log2).exp2() as f32;
        }
        tone
    }
}

impl BiasRange {
    fn draw(&self, own: &mut Own) -> Option<BiasField> {
        own.happens(self.p).then(|| {
            let mut coefficients = [[0.0; 4]; 4];
            for (i, along) in coefficients.iter_mut().enumerate() {
                for coefficient in &mut along[..4 - i] {
                    *coefficient = own.within(self.strength) as f32;
                }
            }
            BiasField { coefficients }
        })
    }
}

impl FilterRange {
    fn draw(&self, own: &mut Own) -> (Filter, Option<Noise>) {
        if !own.happens(self.p) {
            return (Filter::None, None);
        }
        match own.0.random_range(0..4) {
            0 => (Filter::Gaussian { sigma_px: own.between(0.5, self.sigma_px) as f32 }, None),
            1 => {
                let length_px = 2 * own.0.random_range(1..=(self.motion_px.max(3) - 1) / 2) + 1;
                (Filter::Motion { length_px, angle_deg: own.between(0.0, 180.0) as f32 }, None)
            }
            2 if own.happens(0.5) => (Filter::Median3, None),
            2 => (Filter::Median5, None),
            _ => {
                let kind = if self.rician { NoiseKind::Rician } else { NoiseKind::Gaussian };
                let std = own.between(0.1 * self.noise_std, self.noise_std) as f32;
                (Filter::None, Some(Noise { kind, std, seed: own.0.random() }))
            }
        }
    }
}

impl DropoutRange {
    fn draw(&self, width: usize, height: usize, own: &mut Own) -> Vec<Hole> {
        if !own.happens(self.p) {
            return Vec::new();
        }
        let count = own.0.random_range(1..=self.holes.max(1));
        (0..count)
            .map(|_| {
                let mut span = |size: usize| {
                    let part = own.between(self.size / 4.0, self.size);
                    let side = ((size as f64 * part).round() as usize).clamp(1, size.max(1));
                    (own.0.random_range(0..=size.saturating_sub(side)), side)
                };
                let ((x, width), (y, height)) = (span(width), span(height));
                Hole { x, y, width, height }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{StudyId, random::generator};

    #[test]
    fn the_defaults_are_in_their_ranges_and_a_wrong_one_is_named() {
        assert_eq!(AugmentConfig::default().check(), Ok(()));
        let mut config = AugmentConfig::default();
        config.affine.scale = 1.5;
        assert_eq!(config.check().unwrap_err().to_string(), "affine.scale is 1.5, expected a number from 0 to 0.9");
        config.affine.scale = f64::NAN;
        assert!(config.check().is_err());
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(toml::from_str::<AugmentConfig>("mirror_p = 0.0\n[affine]\nrotate = 3").is_err());
        let config: AugmentConfig = toml::from_str("[affine]\nrotate_deg = 3").unwrap();
        assert_eq!((config.affine.rotate_deg, config.affine.shift), (3.0, 0.15));
    }

    #[test]
    fn nothing_is_drawn_from_no_probabilities() {
        let drawn = AugmentConfig::none().draw(96, 96, &mut generator(1, 2, StudyId(3), "augment"));
        assert_eq!(drawn, Augmentation::NONE);
    }

    #[test]
    fn one_setting_leaves_the_others_draws_alone() {
        let draw = |config: &AugmentConfig| config.draw(96, 96, &mut generator(1, 2, StudyId(3), "augment"));
        let all = AugmentConfig { mirror_p: 1.0, ..AugmentConfig::default() };
        let mut without = all.clone();
        without.affine.p = 0.0;
        let (with, without) = (draw(&all), draw(&without));
        assert_eq!(Augmentation { affine: without.affine, ..with }, without);
    }

    #[test]
    fn probabilities_are_frequencies() {
        let config = AugmentConfig::default();
        let mut random = generator(1, 0, StudyId(0), "frequencies");
        let drawn: Vec<_> = (0..4000).map(|_| config.draw(96, 96, &mut random)).collect();
        let frequency = |holds: fn(&Augmentation) -> bool| drawn.iter().filter(|d| holds(d)).count() as f64 / 4000.0;
        for (found, expected) in [
            (frequency(|d| d.mirror), 0.5),
            (frequency(|d| d.affine != Affine2::IDENTITY), 0.8),
            (frequency(|d| d.warp != Warp::None), 0.5),
            (frequency(|d| d.tone.gamma != 1.0), 0.3),
            (frequency(|d| d.filter != Filter::None || d.noise.is_some()), 0.5),
            (frequency(|d| d.noise.is_some()), 0.125),
            (frequency(|d| !d.holes.is_empty()), 0.5),
        ] {
            assert!((found - expected).abs() < 0.04, "{found}, not {expected}");
        }
    }
}

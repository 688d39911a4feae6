use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::config::check_probability;
use crate::config::{ConfigError, check_range};
use crate::data::random::Generator;

/// How the samples of a batch are mixed with one another.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `mixup_p` | 0 | probability that a batch is mixed pixel by pixel | 0–1 |
/// | `cutmix_p` | 0 | probability that rectangles are exchanged; together with `mixup_p` at most 1 | 0–1 |
/// | `alpha` | 1 | the share of the other sample follows Beta(alpha, alpha) | above 0 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixConfig {
    /// Probability of mixup.
    pub mixup_p: f64,
    /// Probability of cutmix.
    pub cutmix_p: f64,
    /// Parameter of the Beta distribution.
    pub alpha: f64,
}

impl Default for MixConfig {
    fn default() -> Self {
        Self { mixup_p: 0.0, cutmix_p: 0.0, alpha: 1.0 }
    }
}

impl MixConfig {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_probability("mix.mixup_p", self.mixup_p)?;
        check_probability("mix.cutmix_p", self.cutmix_p)?;
        check_probability("mix.mixup_p + mix.cutmix_p", self.mixup_p + self.cutmix_p)?;
        check_range("mix.alpha", self.alpha, 1e-3, 1e3)
    }

    /// Whether anything is ever mixed.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.mixup_p > 0.0 || self.cutmix_p > 0.0
    }

    /// Draws how a batch of `samples` images of `width` × `height` is mixed.
    #[must_use]
    pub fn draw(&self, samples: usize, width: usize, height: usize, random: &mut Generator) -> Mix {
        // Always the same number of draws, so that one setting does not change the others.
        let which: f64 = random.random();
        let share = rand_distr::Beta::new(self.alpha, self.alpha).map_or(0.5, |beta| random.sample(beta));
        let mut partners: Vec<usize> = (0..samples).collect();
        for index in (1..samples).rev() {
            partners.swap(index, random.random_range(0..=index));
        }
        let (x, y) = (random.random_range(0..width.max(1)), random.random_range(0..height.max(1)));
        if which < self.mixup_p {
            Mix { partners, kind: MixKind::Mixup { own: share } }
        } else if which < self.mixup_p + self.cutmix_p {
            // A rectangle of 1 − share of the area about a random centre, clipped at the edge (Yun 2019).
            let side = (1.0 - share).sqrt();
            let span = |middle: usize, size: usize| {
                let half = (size as f64 * side / 2.0).floor() as usize;
                (middle.saturating_sub(half), (middle + half).min(size))
            };
            let ((left, right), (top, bottom)) = (span(x, width), span(y, height));
            let cut = (right - left) * (bottom - top);
            let own = 1.0 - cut as f64 / (width * height).max(1) as f64;
            Mix { partners, kind: MixKind::Cutmix { left, right, top, bottom, own } }
        } else {
            Mix { partners, kind: MixKind::None }
        }
    }
}

/// How one batch is mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// For each sample the index of the sample that it is mixed with.
    pub partners: Vec<usize>,
    /// The kind of mixing.
    pub kind: MixKind,
}

/// The kind of mixing of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixKind {
    /// No mixing.
    None,
    /// `own·a + (1 − own)·b` (Zhang 2017).
    Mixup {
        /// Share of the sample itself.
        own: f64,
    },
    /// Columns `left..right` of rows `top..bottom` come from the partner.
    Cutmix {
        /// First column.
        left: usize,
        /// One past the last column.
        right: usize,
        /// First row.
        top: usize,
        /// One past the last row.
        bottom: usize,
        /// Share of the area that is the sample's own.
        own: f64,
    },
}

impl Mix {
    /// Share of each sample's own label; the rest is the partner's. Exact also for a clipped rectangle.
    #[must_use]
    pub const fn own(&self) -> f64 {
        match self.kind {
            MixKind::None => 1.0,
            MixKind::Mixup { own } | MixKind::Cutmix { own, .. } => own,
        }
    }

    /// Mixes a batch in place.
    ///
    /// # Shapes
    /// `batch` is `[samples, height, width, channels]`, row-major, with as many samples as there are partners.
    pub fn apply(&self, batch: &mut [f32], width: usize, channels: usize) {
        self.apply_each(batch, 1, width, channels);
    }

    /// Mixes a batch whose samples have several images; a rectangle is the same in each of them.
    ///
    /// # Shapes
    /// `batch` is `[samples, images, height, width, channels]`, row-major.
    pub fn apply_each(&self, batch: &mut [f32], images: usize, width: usize, channels: usize) {
        let samples = self.partners.len();
        if samples == 0 || images == 0 || self.kind == MixKind::None {
            return;
        }
        let before = batch.to_vec();
        let size = batch.len() / samples;
        let row = width * channels;
        for (sample, partner) in batch.chunks_exact_mut(size).zip(&self.partners) {
            let other = &before[partner * size..(partner + 1) * size];
            match self.kind {
                MixKind::None => {}
                MixKind::Mixup { own } => {
                    let own = own as f32;
                    for (value, other) in sample.iter_mut().zip(other) {
                        *value = own * *value + (1.0 - own) * other;
                    }
                }
                MixKind::Cutmix { left, right, top, bottom, .. } => {
                    for image in 0..images {
                        let start = image * (size / images);
                        for y in top..bottom {
                            let line = start + y * row;
                            let part = line + left * channels..line + right * channels;
                            sample[part.clone()].copy_from_slice(&other[part]);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{StudyId, random::generator};

    #[test]
    fn cutmix_shares_are_the_areas() {
        let config = MixConfig { cutmix_p: 1.0, ..MixConfig::default() };
        let mut random = generator(1, 0, StudyId(0), "mix");
        for _ in 0..200 {
            let mix = config.draw(2, 8, 6, &mut random);
            let mut batch = vec![0.0; 2 * 48];
            batch[48..].fill(1.0);
            mix.apply(&mut batch, 8, 1);
            let foreign = if mix.partners[0] == 1 { batch[..48].iter().sum::<f32>() } else { 0.0 };
            let expected = if mix.partners[0] == 1 { 48.0 * (1.0 - mix.own()) } else { 0.0 };
            assert!((f64::from(foreign) - expected).abs() < 1e-4);
        }
    }

    #[test]
    fn mixup_is_the_weighted_mean() {
        let mix = Mix { partners: vec![1, 0], kind: MixKind::Mixup { own: 0.75 } };
        let mut batch = [0.0, 4.0, 8.0, 0.0];
        mix.apply(&mut batch, 1, 2);
        assert_eq!(batch, [2.0, 3.0, 6.0, 1.0]);
    }

    #[test]
    fn without_a_probability_nothing_is_mixed() {
        let mix = MixConfig::default().draw(4, 8, 8, &mut generator(1, 0, StudyId(0), "mix"));
        assert_eq!((mix.kind, mix.own()), (MixKind::None, 1.0));
    }
}

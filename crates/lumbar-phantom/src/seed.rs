//! Random numbers from (seed, study, purpose): independent of the order of work and of the number of threads.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use sha2::{Digest, Sha256};

/// Hash of a phantom's seed, a study's index and a purpose.
pub(crate) fn digest(seed: u64, study: usize, purpose: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"lumbar phantom 1");
    hash.update(seed.to_le_bytes());
    hash.update((study as u64).to_le_bytes());
    hash.update(purpose.as_bytes());
    hash.finalize().into()
}

/// The generator for one purpose in one study.
pub(crate) fn generator(seed: u64, study: usize, purpose: &str) -> StdRng {
    StdRng::from_seed(digest(seed, study, purpose))
}

/// A unique identifier below the UUID root `2.25` (PS3.5 annex B.2).
pub(crate) fn uid(seed: u64, study: usize, purpose: &str) -> String {
    let bytes = digest(seed, study, purpose);
    format!("2.25.{}", u128::from_le_bytes(bytes[..16].try_into().expect("16 bytes")) >> 2)
}

/// A standard normal number.
pub(crate) fn normal(random: &mut impl Rng) -> f64 {
    StandardNormal.sample(random)
}

/// A normal number clamped to two standard deviations.
pub(crate) fn spread(random: &mut impl Rng, mean: f64, sd: f64) -> f64 {
    mean + sd * normal(random).clamp(-2.0, 2.0)
}

/// True with this probability.
pub(crate) fn chance(random: &mut impl Rng, probability: f64) -> bool {
    random.random::<f64>() < probability
}

/// A number in `[low, high)`.
pub(crate) fn between(random: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * random.random::<f64>()
}

/// One of the choices, with equal probability.
pub(crate) fn pick<T: Copy>(random: &mut impl Rng, choices: &[T]) -> T {
    choices[random.random_range(0..choices.len())]
}

/// A fast generator for pixel noise: xoshiro128++ (Blackman and Vigna 2019). A normal number is approximated by the
/// sum of eight bytes (Irwin–Hall distribution), which is accurate up to three standard deviations.
pub(crate) struct PixelNoise {
    state: [u32; 4],
}

impl PixelNoise {
    /// Seeds it.
    pub(crate) fn new(random: &mut impl Rng) -> Self {
        Self { state: std::array::from_fn(|_| random.random::<u32>() | 1) }
    }

    #[inline]
    fn next(&mut self) -> u32 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(7).wrapping_add(s[0]);
        let t = s[1] << 9;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(11);
        result
    }

    /// An approximately standard normal number: the scaled sum of eight independent bytes.
    #[inline]
    pub(crate) fn normal(&mut self) -> f32 {
        let (a, b) = (self.next(), self.next());
        let pairs = (a & 0x00ff_00ff) + ((a >> 8) & 0x00ff_00ff) + (b & 0x00ff_00ff) + ((b >> 8) & 0x00ff_00ff);
        let sum = (pairs & 0xffff) + (pairs >> 16);
        // The sum of eight uniform bytes has mean 1020 and variance 8·(256² − 1)/12.
        (sum as f32 - 1020.0) * (1.0 / 209.019)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_purpose_or_study_is_another_stream() {
        assert_ne!(digest(1, 0, "a"), digest(1, 0, "b"));
        assert_ne!(digest(1, 0, "a"), digest(1, 1, "a"));
        assert_ne!(digest(1, 0, "a"), digest(2, 0, "a"));
    }

    #[test]
    fn pixel_noise_has_mean_zero_and_variance_one() {
        let mut noise = PixelNoise::new(&mut generator(1, 0, "test"));
        let values: Vec<f64> = (0..100_000).map(|_| f64::from(noise.normal())).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|v| v * v).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "mean {mean}, variance {variance}");
    }

    #[test]
    fn a_uid_has_at_most_64_characters() {
        assert!(uid(u64::MAX, 5, "x").len() <= 64);
    }
}

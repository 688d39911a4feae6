use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::tone::to_unit;

/// Noise added to values in 0…1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Its distribution.
    pub kind: NoiseKind,
    /// Standard deviation of each channel, as a part of the full range 0…1.
    pub std: f32,
    /// From which the noise of every slice is derived.
    pub seed: u64,
}

/// The distribution of noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseKind {
    /// `v + n`.
    Gaussian,
    /// `√((v + n)² + n′²)`: what the magnitude of a complex MR signal shows, never below 0.
    Rician,
}

impl Noise {
    /// Adds the noise of slice number `slice`; values are cut off at 0 and 1.
    pub fn apply(&self, picture: &mut [f32], slice: usize) {
        let mut normal = Normal::new(self.seed, slice);
        match self.kind {
            NoiseKind::Gaussian => normal.each(picture, |value, [first, _]| to_unit(value + self.std * first)),
            NoiseKind::Rician => normal.each(picture, |value, [first, second]| {
                let (real, imaginary) = (value + self.std * first, self.std * second);
                to_unit((real * real + imaginary * imaginary).sqrt())
            }),
        }
    }
}

/// Levels of the normal distribution: the middles (by mass) of 4,096 slices of equal probability, scaled to
/// variance 1. Drawing one is a table look-up; the tails end at ±3.8.
const LEVELS: usize = 4096;

static TABLE: LazyLock<Box<[f32; LEVELS]>> = LazyLock::new(|| {
    let mut quantiles = [0.0; LEVELS];
    for (level, quantile) in quantiles.iter_mut().enumerate() {
        *quantile = normal_quantile((level as f64 + 0.5) / LEVELS as f64);
    }
    let variance = quantiles.iter().map(|q| q * q).sum::<f64>() / LEVELS as f64;
    Box::new(quantiles.map(|q| (q / variance.sqrt()) as f32))
});

/// Inverse of the normal distribution function, to 1.2e-9 relative (Acklam's rational approximation).
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.38357751867269e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 5] =
        [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1.0];
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    };
    if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        q * polynomial(&A, q * q) / polynomial(&B, q * q)
    }
}

/// A stream of normal numbers: 64-bit counters through SplitMix64's mixer, two numbers of 12 bits for each of two pixels.
struct Normal {
    counter: u64,
    table: &'static [f32; LEVELS],
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Normal {
    fn new(seed: u64, slice: usize) -> Self {
        let counter = mix(seed ^ mix((slice as u64 + 1).wrapping_mul(GOLDEN)));
        Self { counter, table: &TABLE }
    }

    /// Changes each value with two normal numbers of its own.
    #[inline(always)]
    fn each(&mut self, values: &mut [f32], change: impl Fn(f32, [f32; 2]) -> f32) {
        let draw = |bits: u64, place: u32| self.table[(bits >> (12 * place)) as usize % LEVELS];
        for pair in values.chunks_mut(2) {
            self.counter = self.counter.wrapping_add(GOLDEN);
            let bits = mix(self.counter);
            for (value, place) in pair.iter_mut().zip([0, 2]) {
                *value = change(*value, [draw(bits, place), draw(bits, place + 1)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f32]) -> (f64, f64) {
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn gaussian_noise_has_its_mean_and_deviation() {
        let mut picture = vec![0.5; 1 << 18];
        Noise { kind: NoiseKind::Gaussian, std: 0.1, seed: 3 }.apply(&mut picture, 0);
        let (mean, std) = moments(&picture);
        assert!((mean - 0.5).abs() < 1e-3, "{mean}");
        assert!((std - 0.1).abs() < 5e-4, "{std}");
    }

    #[test]
    fn neighbours_and_slices_are_independent() {
        let noise = Noise { kind: NoiseKind::Gaussian, std: 0.1, seed: 3 };
        let (mut first, mut second) = (vec![0.5; 1 << 16], vec![0.5; 1 << 16]);
        noise.apply(&mut first, 0);
        noise.apply(&mut second, 1);
        let correlation = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).map(|(a, b)| f64::from(a - 0.5) * f64::from(b - 0.5)).sum::<f64>() / a.len() as f64 / 0.01
        };
        assert!(correlation(&first, &second).abs() < 0.015);
        assert!(correlation(&first[1..], &first[..first.len() - 1]).abs() < 0.015);
    }

    #[test]
    fn rician_noise_of_nothing_has_the_mean_of_rayleigh() {
        let mut picture = vec![0.0; 1 << 18];
        Noise { kind: NoiseKind::Rician, std: 0.1, seed: 9 }.apply(&mut picture, 0);
        let (mean, _) = moments(&picture);
        let rayleigh = 0.1 * (std::f64::consts::PI / 2.0).sqrt();
        assert!((mean - rayleigh).abs() < 1e-3, "{mean}, not {rayleigh}");
    }

    #[test]
    fn the_table_is_the_normal_distribution() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.001, -3.090_232_306), (0.158_655_254, -1.0)] {
            assert!((normal_quantile(p) - z).abs() < 1e-7, "{p}");
        }
    }
}

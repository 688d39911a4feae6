use serde::{Deserialize, Serialize};

use super::tone::{log2, to_unit};

/// Noise added to values in 0…1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Its distribution.
    pub kind: NoiseKind,
    /// Standard deviation of each channel, as a part of the full range 0…1.
    pub std: f32,
    /// Seed of the noise of every slice.
    pub seed: u64,
}

/// The distribution of noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseKind {
    /// `v + n`.
    Gaussian,
    /// `√((v + n)² + n′²)`: the magnitude of a complex MR signal, never below 0.
    Rician,
}

impl Noise {
    /// Adds the noise of slice number `slice`; values are clamped to 0…1.
    pub fn apply(&self, image: &mut [f32], slice: usize) {
        NoiseRows::new(self, slice).apply(0, image);
    }
}

/// The noise of one slice. A pixel's noise depends only on the seed, the slice and the pixel's number, so that any
/// part of an image can be computed on its own, many pixels at once.
pub(crate) struct NoiseRows {
    kind: NoiseKind,
    std: f32,
    /// For the two channels.
    keys: [[u32; 2]; 2],
}

impl NoiseRows {
    pub(crate) fn new(noise: &Noise, slice: usize) -> Self {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let stream = mix(noise.seed ^ mix((slice as u64 + 1).wrapping_mul(GOLDEN)));
        let key = |channel: u64| {
            let bits = mix(stream.wrapping_add(channel.wrapping_mul(GOLDEN)));
            [bits as u32, (bits >> 32) as u32]
        };
        Self { kind: noise.kind, std: noise.std, keys: [key(1), key(2)] }
    }

    /// Adds the noise of the pixels from number `start` on.
    #[inline(always)]
    pub(crate) fn apply(&self, start: usize, values: &mut [f32]) {
        let (std, [first, second], mut pixel) = (self.std, self.keys, start as u32);
        match self.kind {
            NoiseKind::Gaussian => {
                for value in values {
                    *value = to_unit(*value + std * normal(pixel, first));
                    pixel = pixel.wrapping_add(1);
                }
            }
            NoiseKind::Rician => {
                for value in values {
                    let (real, imaginary) = (*value + std * normal(pixel, first), std * normal(pixel, second));
                    *value = to_unit((real * real + imaginary * imaginary).sqrt());
                    pixel = pixel.wrapping_add(1);
                }
            }
        }
    }
}

/// SplitMix64's mixer.
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A sample of the standard normal distribution: the counter goes through two rounds of a 32-bit mixer (its
/// multipliers: C. Wellons, "Prospecting for hash functions"), 23 bits of it through the inverse of the
/// distribution function. The tails end at ±5.3.
#[inline(always)]
fn normal(counter: u32, [first, second]: [u32; 2]) -> f32 {
    let mut bits = counter ^ first;
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x21f0_aaad);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x735a_2d97);
    bits = (bits ^ (bits >> 15)).wrapping_add(second);
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x7feb_352d);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x846c_a68b);
    bits ^= bits >> 16;
    // odd multiples of 2⁻²⁴: neither 0 nor 1, and exact, as is 1 minus it
    let uniform = ((bits >> 8) | 1) as i32 as f32 * (1.0 / 16_777_216.0);
    normal_quantile(uniform)
}

/// Inverse of the normal distribution function: √2 · erf⁻¹(2p − 1) by M. Giles, "Approximating the erfinv
/// function" (2010), both of its polynomials without a branch.
#[inline(always)]
fn normal_quantile(p: f32) -> f32 {
    const MIDDLE: [f32; 9] = [
        2.810_226_4e-8,
        3.432_739_4e-7,
        -3.523_387_7e-6,
        -4.391_506_5e-6,
        2.185_808_7e-4,
        -1.253_725_e-3,
        -4.177_681_6e-3,
        2.466_407_3e-1,
        1.501_409_4,
    ];
    const TAIL: [f32; 9] = [
        -2.002_142_6e-4,
        1.009_505_6e-4,
        1.349_343_2e-3,
        -3.673_428_4e-3,
        5.739_507_7e-3,
        -7.622_461_3e-3,
        9.438_870_5e-3,
        1.001_674,
        2.832_976_8,
    ];
    let x = 2.0 * p - 1.0;
    let w = -std::f32::consts::LN_2 * log2(4.0 * p * (1.0 - p));
    let polynomial = |coefficients: &[f32; 9], at: f32| coefficients.iter().fold(0.0, |sum, c| sum * at + c);
    let middle = polynomial(&MIDDLE, w - 2.5);
    let positive = if w > 0.0 { w } else { 0.0 };
    let tail = polynomial(&TAIL, positive.sqrt() - 3.0);
    std::f32::consts::SQRT_2 * x * if w < 5.0 { middle } else { tail }
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
        let mut image = vec![0.5; 1 << 18];
        Noise { kind: NoiseKind::Gaussian, std: 0.1, seed: 3 }.apply(&mut image, 0);
        let (mean, std) = moments(&image);
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
        let mut image = vec![0.0; 1 << 18];
        Noise { kind: NoiseKind::Rician, std: 0.1, seed: 9 }.apply(&mut image, 0);
        let (mean, _) = moments(&image);
        let rayleigh = 0.1 * (std::f64::consts::PI / 2.0).sqrt();
        assert!((mean - rayleigh).abs() < 1e-3, "{mean}, not {rayleigh}");
    }

    #[test]
    fn quantiles_are_those_of_the_normal_distribution() {
        for (p, z) in [
            (0.5, 0.0),
            (0.975, 1.959_963_985),
            (0.001, -3.090_232_306),
            (0.158_655_25, -1.0),
            (0.999_999, 4.753_424),
            (1.0 / 16_777_216.0, -5.294_704),
        ] {
            let (found, rounding) = (f64::from(normal_quantile(p)), f64::from(p.min(1.0 - p)));
            // what p, rounded to 24 bits, allows
            let slope = 6e-8 / (rounding * (1.0_f64).max(f64::abs(z)));
            assert!((found - z).abs() < 3e-6 + slope, "{p}: {found}, not {z}");
        }
    }

    #[test]
    fn noise_follows_the_normal_distribution_into_its_tails() {
        const COUNT: u32 = 1 << 22;
        let keys = NoiseRows::new(&Noise { kind: NoiseKind::Gaussian, std: 1.0, seed: 5 }, 2).keys;
        let mut beyond = [0; 5];
        let limits = [0.5, 1.0, 2.0, 3.0, 4.0];
        for pixel in 0..COUNT {
            let value = normal(pixel, keys[0]).abs();
            beyond.iter_mut().zip(limits).for_each(|(count, limit)| *count += u32::from(value > limit));
        }
        // twice the tail beyond each limit
        let expected = [0.617_075_08, 0.317_310_51, 0.045_500_26, 0.002_699_80, 0.000_063_34];
        for ((found, part), limit) in beyond.into_iter().zip(expected).zip(limits) {
            let count = f64::from(COUNT) * part;
            let miss = (f64::from(found) - count) / (count * (1.0 - part)).sqrt();
            assert!(miss.abs() < 4.0, "beyond {limit}: {found} of {count}: {miss} standard deviations off");
        }
    }

    #[test]
    fn a_part_of_a_image_has_the_noise_of_the_whole() {
        let noise = Noise { kind: NoiseKind::Rician, std: 0.1, seed: 3 };
        let (mut whole, mut part) = (vec![0.5; 300], vec![0.5; 100]);
        noise.apply(&mut whole, 4);
        NoiseRows::new(&noise, 4).apply(150, &mut part);
        assert_eq!(whole[150..250], part);
    }
}

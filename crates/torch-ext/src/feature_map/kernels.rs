//! Products of matrices, moments and SiLU, eight floats at a time.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm256_add_epi32, _mm256_add_ps, _mm256_broadcast_ss,
    _mm256_castsi256_ps, _mm256_cvtps_epi32, _mm256_div_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_ps,
};

/// Floats of a vector.
pub(super) const LANES: usize = 8;
/// Columns of a product's panel: two vectors.
pub(super) const PANEL: usize = 2 * LANES;

/// The left matrix of a product: a row for each pixel, whose values are those of its taps.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    /// The first pixel.
    pub(super) start: *const f32,
    /// Floats from pixel to pixel.
    pub(super) step: usize,
    /// Where the taps begin, from the pixel.
    pub(super) taps: &'a [isize],
    /// Floats of a tap.
    pub(super) depth: usize,
}

/// Multiplies `count` pixels with a panel; the results are `to_step` floats apart.
///
/// # Safety
/// The processor has AVX2 and FMA; all taps of all pixels can be read, as can `taps · depth` rows of the panel, and the
/// results written.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn multiply(left: Left<'_>, count: usize, right: *const f32, to: *mut f32, to_step: usize) {
    let mut done = 0;
    while done < count {
        // SAFETY: as the caller promises.
        unsafe {
            let start = left.start.add(done * left.step);
            let (left, to) = (Left { start, ..left }, to.add(done * to_step));
            // of few pixels the sums would wait for each other
            done += match count - done {
                1 => rows::<1>(left, right, to, to_step),
                2 => rows::<2>(left, right, to, to_step),
                3 => rows::<3>(left, right, to, to_step),
                4 | 7 | 8 => rows::<4>(left, right, to, to_step),
                5 => rows::<5>(left, right, to, to_step),
                _ => rows::<6>(left, right, to, to_step),
            };
        }
    }
}

/// `ROWS` pixels: up to twelve sums, two weights and one value stay in the sixteen registers.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<const ROWS: usize>(left: Left<'_>, mut right: *const f32, to: *mut f32, to_step: usize) -> usize {
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    for &tap in left.taps {
        let start = left.start.wrapping_offset(tap);
        for k in 0..left.depth {
            // SAFETY: as the caller of `multiply` promises.
            unsafe {
                let weights = [_mm256_loadu_ps(right), _mm256_loadu_ps(right.add(LANES))];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let value = _mm256_broadcast_ss(&*start.add(row * left.step + k));
                    sums[0] = _mm256_fmadd_ps(value, weights[0], sums[0]);
                    sums[1] = _mm256_fmadd_ps(value, weights[1], sums[1]);
                }
                right = right.add(PANEL);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: as the caller of `multiply` promises.
        unsafe {
            _mm256_storeu_ps(to.add(row * to_step), sums[0]);
            _mm256_storeu_ps(to.add(row * to_step + LANES), sums[1]);
        }
    }
    ROWS
}

/// Adds the sums and the sums of squares of each channel over some pixels.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn add_moments(pixels: &[f32], sums: &mut [[f64; 2]]) {
    let channels = sums.len();
    for first in (0..channels).step_by(LANES) {
        let mut moments = [_mm256_setzero_ps(); 2];
        for pixel in pixels.chunks_exact(channels) {
            // SAFETY: a pixel has a multiple of eight channels.
            let value = unsafe { _mm256_loadu_ps(pixel[first..first + LANES].as_ptr()) };
            moments = [_mm256_add_ps(moments[0], value), _mm256_fmadd_ps(value, value, moments[1])];
        }
        let mut lanes = [[0.0_f32; LANES]; 2];
        for (lanes, moment) in lanes.iter_mut().zip(moments) {
            // SAFETY: there is room for eight floats.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), moment) };
        }
        for (lane, sums) in sums[first..first + LANES].iter_mut().enumerate() {
            *sums = [sums[0] + f64::from(lanes[0][lane]), sums[1] + f64::from(lanes[1][lane])];
        }
    }
}

/// SiLU of scale · value + shift, in place.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn scale_silu(pixels: &mut [f32], scale: &[f32], shift: &[f32]) {
    let channels = scale.len();
    for first in (0..channels).step_by(LANES) {
        // SAFETY: there is a multiple of eight channels.
        let [scale, shift] = [scale, shift].map(|own| unsafe { _mm256_loadu_ps(own[first..first + LANES].as_ptr()) });
        for pixel in pixels.chunks_exact_mut(channels) {
            let place = pixel[first..first + LANES].as_mut_ptr();
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(place, silu(_mm256_fmadd_ps(_mm256_loadu_ps(place), scale, shift))) };
        }
    }
}

/// The largest number among the values of whole vectors, and the values after these.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn largest_of(values: &[f32]) -> (f32, &[f32]) {
    let (whole, rest) = values.split_at(values.len() / LANES * LANES);
    let mut largest = [_mm256_set1_ps(f32::NEG_INFINITY); 4];
    for (place, values) in whole.chunks_exact(LANES).enumerate() {
        // SAFETY: the chunk has eight floats. A value that is no number leaves the second operand.
        largest[place % 4] = _mm256_max_ps(unsafe { _mm256_loadu_ps(values.as_ptr()) }, largest[place % 4]);
    }
    let mut lanes = [[0.0_f32; LANES]; 4];
    for (lanes, largest) in lanes.iter_mut().zip(largest) {
        // SAFETY: there is room for eight floats.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), largest) };
    }
    (lanes.into_iter().flatten().fold(f32::NEG_INFINITY, f32::max), rest)
}

/// e^(value − largest) of each value, for values up to `largest`; smaller ones than 2⁻¹²⁶ are that.
///
/// # Safety
/// The processor has AVX2 and FMA; both slices have the same length.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn exp_below(values: &[f32], largest: f32, out: &mut [f32]) {
    let (whole, rest) = values.split_at(values.len() / LANES * LANES);
    let (out_whole, out_rest) = out.split_at_mut(whole.len());
    let [subtract, log2_e] = [largest, std::f32::consts::LOG2_E].map(|value| _mm256_set1_ps(value));
    for (values, out) in whole.chunks_exact(LANES).zip(out_whole.chunks_exact_mut(LANES)) {
        // SAFETY: both chunks have eight floats.
        unsafe {
            let power = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(values.as_ptr()), subtract), log2_e);
            _mm256_storeu_ps(out.as_mut_ptr(), exp2(power));
        }
    }
    out_rest.iter_mut().zip(rest).for_each(|(out, value)| *out = (value - largest).exp());
}

/// x·σ(x). The error of σ is below 1e-6.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma")]
fn silu(x: __m256) -> __m256 {
    let odds = exp2(_mm256_mul_ps(x, _mm256_set1_ps(-std::f32::consts::LOG2_E)));
    _mm256_div_ps(x, _mm256_add_ps(odds, _mm256_set1_ps(1.0)))
}

/// 2^x of powers clipped to ±126: 2ⁿ·2^f with f in [−½, ½], and 2^f the first seven terms of its Taylor series.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma")]
fn exp2(power: __m256) -> __m256 {
    /// ln(2)ᵏ / k!
    const SERIES: [f32; 7] =
        [1.0, std::f32::consts::LN_2, 2.402_265e-1, 5.550_411e-2, 9.618_129e-3, 1.333_355_8e-3, 1.540_353e-4];
    // in this order a NaN stays a NaN
    let power = _mm256_min_ps(_mm256_set1_ps(126.0), _mm256_max_ps(_mm256_set1_ps(-126.0), power));
    let whole = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(power);
    let part = _mm256_sub_ps(power, whole);
    let mut sum = _mm256_set1_ps(SERIES[6]);
    for term in SERIES[..6].iter().rev() {
        sum = _mm256_fmadd_ps(sum, part, _mm256_set1_ps(*term));
    }
    // 2ⁿ from its exponent's bits
    let exponent = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)));
    _mm256_mul_ps(sum, _mm256_castsi256_ps(exponent))
}

/// On other processors there is no [`Convolution`](super::Convolution).
#[cfg(not(target_arch = "x86_64"))]
mod other {
    use super::Left;

    pub(in super::super) unsafe fn multiply(_: Left<'_>, _: usize, _: *const f32, _: *mut f32, _: usize) {
        unreachable!("this processor has no AVX2");
    }

    pub(in super::super) unsafe fn add_moments(_: &[f32], _: &mut [[f64; 2]]) {
        unreachable!("this processor has no AVX2");
    }

    pub(in super::super) unsafe fn exp_below(_: &[f32], _: f32, _: &mut [f32]) {
        unreachable!("this processor has no AVX2");
    }

    pub(in super::super) unsafe fn largest_of(_: &[f32]) -> (f32, &[f32]) {
        unreachable!("this processor has no AVX2");
    }

    pub(in super::super) unsafe fn scale_silu(_: &mut [f32], _: &[f32], _: &[f32]) {
        unreachable!("this processor has no AVX2");
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use other::{add_moments, exp_below, largest_of, multiply, scale_silu};

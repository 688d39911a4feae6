//! One pass from stored values to normalised ones of another size.

use crate::pixels::Pixels;
use crate::slice::Slice;

/// Where an output pixel takes its value: a pixel, and the share of the next one.
#[derive(Debug, Clone, Copy)]
struct Tap {
    first: usize,
    share: f32,
}

/// Pixel centres of `to` pixels over the same extent as `from` pixels; beyond the outermost centres the
/// edge goes on.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    let last = (from - 1) as f64;
    let tap = |k: usize| {
        let at = ((k as f64 + 0.5) * scale - 0.5).clamp(0.0, last);
        Tap { first: at as usize, share: at.fract() as f32 }
    };
    (0..to).map(tap).collect()
}

/// Resamples a slice to `rows` × `columns` rescaled values (slope · stored + intercept), bilinearly between
/// pixel centres as OpenCV's `INTER_LINEAR` does. Nothing is averaged beyond two neighbours in each
/// direction.
///
/// # Shapes
/// `pixels` is the slice's `rows` × `columns`, `out` the asked-for `rows` × `columns`; both row-major.
///
/// # Panics
/// When `out` or `pixels` are of another size.
pub fn resample(slice: &Slice, pixels: &Pixels, rows: usize, columns: usize, out: &mut [f32]) {
    assert_eq!(out.len(), rows * columns, "the output holds rows × columns values");
    assert_eq!(pixels.len(), slice.rows * slice.columns, "the pixels are the slice's");
    let sizes = [[slice.rows, slice.columns], [rows, columns]];
    let (slope, intercept) = (slice.rescale.slope as f32, slice.rescale.intercept as f32);
    match pixels {
        Pixels::U8(values) => fused(values, f32::from, slope, intercept, sizes, out),
        Pixels::I8(values) => fused(values, f32::from, slope, intercept, sizes, out),
        Pixels::U16(values) => fused(values, f32::from, slope, intercept, sizes, out),
        Pixels::I16(values) => fused(values, f32::from, slope, intercept, sizes, out),
        Pixels::U32(values) => fused(values, |v| v as f32, slope, intercept, sizes, out),
        Pixels::I32(values) => fused(values, |v| v as f32, slope, intercept, sizes, out),
        Pixels::F32(values) => fused(values, |v| v, slope, intercept, sizes, out),
        Pixels::F64(values) => fused(values, |v| v as f32, slope, intercept, sizes, out),
    }
}

/// From `rows` × `columns` to `to[0]` × `to[1]`, each value as `float` reads it, times `slope` plus `intercept`.
fn fused<T: Copy>(
    values: &[T],
    float: impl Fn(T) -> f32,
    slope: f32,
    intercept: f32,
    sizes: [[usize; 2]; 2],
    out: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instructions, as was just asked.
        unsafe { fused_avx2(values, float, slope, intercept, sizes, out) };
        return;
    }
    fused_here(values, float, slope, intercept, sizes, out, horizontally);
}

/// The same code compiled for AVX2. Fused multiply-add stays off: it would round differently.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fused_avx2<T: Copy>(
    values: &[T],
    float: impl Fn(T) -> f32,
    slope: f32,
    intercept: f32,
    sizes: [[usize; 2]; 2],
    out: &mut [f32],
) {
    fused_here(values, float, slope, intercept, sizes, out, |blended, columns, across, line| {
        // places among eight values at a time, which a permutation reaches
        match eighths(columns, line.len()) {
            9 => permuted::<9>(blended, across, line),
            10 => permuted::<10>(blended, across, line),
            11 => permuted::<11>(blended, across, line),
            12 => permuted::<12>(blended, across, line),
            14 => permuted::<14>(blended, across, line),
            16 => permuted::<16>(blended, across, line),
            _ => horizontally(blended, columns, across, line),
        }
    });
}

/// [`by_eighths`] for `N` from 9 to 16: the first four of eight pixels and their neighbours lie among the first eight
/// values, the last four among the last eight. (The compiler would put each vector together value by value.)
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn permuted<const N: usize>(blended: &[f32], across: &[Tap], line: &mut [f32]) {
    use std::arch::x86_64::{
        __m256, _mm256_add_epi32, _mm256_add_ps, _mm256_blend_ps, _mm256_mul_ps, _mm256_permutevar8x32_ps,
        _mm256_set1_epi32, _mm256_sub_ps,
    };
    let Some(taps) = across.first_chunk::<8>() else { return };
    let shares: __m256 = bytemuck::cast(taps.map(|tap| tap.share));
    let place = |k: usize| ((2 * k + 1) * N - 8) / 16 - if k < 4 { 0 } else { N - 8 };
    let left_at = bytemuck::cast(std::array::from_fn::<i32, 8, _>(|k| place(k) as i32));
    let right_at = _mm256_add_epi32(left_at, _mm256_set1_epi32(1));
    for (to, from) in line.as_chunks_mut::<8>().0.iter_mut().zip(blended.as_chunks::<N>().0) {
        let (Some(first), Some(last)) = (from.first_chunk::<8>(), from.last_chunk::<8>()) else { return };
        let (first, last): (__m256, __m256) = (bytemuck::cast(*first), bytemuck::cast(*last));
        let at = |places| {
            let (first, last) = (_mm256_permutevar8x32_ps(first, places), _mm256_permutevar8x32_ps(last, places));
            _mm256_blend_ps::<0b1111_0000>(first, last)
        };
        let (left, right) = (at(left_at), at(right_at));
        *to = bytemuck::cast(_mm256_add_ps(left, _mm256_mul_ps(_mm256_sub_ps(right, left), shares)));
    }
}

#[inline(always)]
fn fused_here<T: Copy>(
    values: &[T],
    float: impl Fn(T) -> f32,
    slope: f32,
    intercept: f32,
    [[rows, columns], to]: [[usize; 2]; 2],
    out: &mut [f32],
    horizontally: impl Fn(&[f32], usize, &[Tap], &mut [f32]),
) {
    let (down, across) = (taps(rows, to[0]), taps(columns, to[1]));
    // an odd number of pixels to one: every centre is a pixel's centre, and no neighbour has a share
    let centred = across.iter().all(|tap| tap.share == 0.0);
    // one more than there are columns: the last pixel's neighbour, which never has a share
    let mut blended = vec![0.0_f32; columns + 1];
    for (line, tap) in out.chunks_exact_mut(to[1]).zip(down) {
        let row = |k: usize| &values[k * columns..(k + 1) * columns];
        let upper = row(tap.first);
        // a row without a share is not fetched
        let lower = if tap.share > 0.0 { row((tap.first + 1).min(rows - 1)) } else { upper };
        let blend = |upper: T, lower: T| {
            let (upper, lower) = (float(upper), float(lower));
            (upper + (lower - upper) * tap.share) * slope + intercept
        };
        if centred && columns == 3 * line.len() {
            // 768 to 256, with the places known to the compiler
            let thirds = upper.as_chunks::<3>().0.iter().zip(lower.as_chunks::<3>().0);
            line.iter_mut().zip(thirds).for_each(|(to, (upper, lower))| *to = blend(upper[1], lower[1]));
            continue;
        }
        if centred {
            for (to, tap) in line.iter_mut().zip(&across) {
                *to = blend(upper[tap.first], lower[tap.first]);
            }
            continue;
        }
        for ((to, upper), lower) in blended.iter_mut().zip(upper).zip(lower) {
            *to = blend(*upper, *lower);
        }
        horizontally(&blended, columns, &across, line);
    }
}

/// By how many eighths the columns become the line's pixels; 0 where that is no whole number. The common matrices go
/// to 256 columns, and their halves and doubles, by so many eighths: then each eight pixels take the same places,
/// which the compiler knows.
fn eighths(columns: usize, pixels: usize) -> usize {
    let whole = pixels.is_multiple_of(8) && (8 * columns).is_multiple_of(pixels);
    if whole { 8 * columns / pixels } else { 0 }
}

/// One line from blended rows.
#[inline(always)]
fn horizontally(blended: &[f32], columns: usize, across: &[Tap], line: &mut [f32]) {
    match eighths(columns, line.len()) {
        9 => by_eighths::<9>(blended, across, line),
        10 => by_eighths::<10>(blended, across, line),
        11 => by_eighths::<11>(blended, across, line),
        12 => by_eighths::<12>(blended, across, line),
        14 => by_eighths::<14>(blended, across, line),
        16 => by_eighths::<16>(blended, across, line),
        18 => by_eighths::<18>(blended, across, line),
        20 => by_eighths::<20>(blended, across, line),
        _ => {
            for (to, tap) in line.iter_mut().zip(across) {
                let Some(&[left, right]) = blended[tap.first..].first_chunk() else { continue };
                *to = left + (right - left) * tap.share;
            }
        }
    }
}

/// `N` pixels to eight, `N` above eight: all of them and their neighbours lie within the `N`.
#[inline(always)]
fn by_eighths<const N: usize>(blended: &[f32], across: &[Tap], line: &mut [f32]) {
    let Some(taps) = across.first_chunk::<8>() else { return };
    let shares = taps.map(|tap| tap.share);
    for (to, from) in line.as_chunks_mut::<8>().0.iter_mut().zip(blended.as_chunks::<N>().0) {
        // the whole part of (k + 1/2) · N / 8 - 1/2
        let left: [f32; 8] = std::array::from_fn(|k| from[((2 * k + 1) * N - 8) / 16]);
        let right: [f32; 8] = std::array::from_fn(|k| from[((2 * k + 1) * N - 8) / 16 + 1]);
        *to = std::array::from_fn(|k| left[k] + (right[k] - left[k]) * shares[k]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::header::Rescale;
    use crate::intensity::IntensityRange;

    fn resampled(from: [usize; 2], values: Vec<u16>, to: [usize; 2], rescale: Rescale) -> Vec<f32> {
        let pixels = Pixels::U16(Arc::new(values));
        let mut slice = Slice::in_memory(from[0], from[1], pixels.clone(), None, None).unwrap();
        slice.rescale = rescale;
        let mut out = vec![0.0; to[0] * to[1]];
        resample(&slice, &pixels, to[0], to[1], &mut out);
        out
    }

    #[test]
    fn the_same_size_is_the_rescale_alone() {
        let rescale = Rescale { slope: -5.0, intercept: 10.0 };
        assert_eq!(resampled([2, 2], vec![0, 1, 2, 3], [2, 2], rescale), [10.0, 5.0, 0.0, -5.0]);
    }

    #[test]
    fn halving_takes_the_mean_of_four_and_edges_go_on() {
        assert_eq!(resampled([2, 4], vec![0, 2, 4, 6, 2, 4, 6, 8], [1, 2], Rescale::NONE), [2.0, 6.0]);
        assert_eq!(resampled([1, 2], vec![0, 4], [1, 4], Rescale::NONE), [0.0, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn every_ratio_is_bilinear_between_pixel_centres() {
        for columns in (7..=50).map(|n| 2 * n) {
            let values: Vec<u16> = (0..columns).map(|k| (k * k * 37 % 4001) as u16).collect();
            let found = resampled([1, columns], values.clone(), [1, 16], Rescale::NONE);
            for (k, found) in found.into_iter().enumerate() {
                let at = ((k as f64 + 0.5) * columns as f64 / 16.0 - 0.5).clamp(0.0, columns as f64 - 1.0);
                let (left, right) = (values[at as usize], values[at.ceil() as usize]);
                let expected = f64::from(left) + (f64::from(right) - f64::from(left)) * at.fract();
                assert!((f64::from(found) - expected).abs() < 1e-2, "{columns} to 16, pixel {k}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn a_range_cuts_scales_and_inverts() {
        let range = IntensityRange { low: 10.0, high: 20.0 };
        let mut values = [0.0, 10.0, 12.5, 20.0, 99.0];
        range.apply(&mut values, false);
        assert_eq!(values, [0.0, 0.0, 0.25, 1.0, 1.0]);
        let mut values = [0.0, 12.5, 99.0];
        range.apply(&mut values, true);
        assert_eq!(values, [1.0, 0.75, 0.0]);
    }
}

//! One pass from stored values to normalised ones of another size.

use crate::intensity::IntensityRange;
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

/// Resamples a slice's stored values to `rows` × `columns` values from 0 to 1: values are cut to `range`
/// (in rescaled units), interpolated bilinearly between pixel centres as OpenCV's `INTER_LINEAR` does,
/// scaled, and for MONOCHROME1 turned round. Nothing is averaged beyond two neighbours in each direction.
///
/// # Panics
/// When `out` is not `rows` × `columns` long or `pixels` are not the slice's.
pub fn resample(slice: &Slice, pixels: &Pixels, range: IntensityRange, rows: usize, columns: usize, out: &mut [f32]) {
    assert_eq!(out.len(), rows * columns, "the output holds rows × columns values");
    assert_eq!(pixels.len(), slice.rows * slice.columns, "the pixels are the slice's");
    let rescale = slice.rescale;
    // in stored units the cut and the scale are one multiply-add for any rescale
    let (a, b) = ((range.low - rescale.intercept) / rescale.slope, (range.high - rescale.intercept) / rescale.slope);
    let width = b - a;
    let scale = if width == 0.0 { 0.0 } else { 1.0 / width };
    let mut map = Map { low: a.min(b), high: a.max(b), scale, offset: -a * scale };
    if slice.is_inverted() {
        (map.scale, map.offset) = (-map.scale, 1.0 - map.offset);
    }
    let size = Size { from: [slice.rows, slice.columns], to: [rows, columns] };
    match pixels {
        Pixels::U8(values) => fused(values, f32::from, map, size, out),
        Pixels::I8(values) => fused(values, f32::from, map, size, out),
        Pixels::U16(values) => fused(values, f32::from, map, size, out),
        Pixels::I16(values) => fused(values, f32::from, map, size, out),
        Pixels::U32(values) => fused(values, |v| v as f32, map, size, out),
        Pixels::I32(values) => fused(values, |v| v as f32, map, size, out),
        Pixels::F32(values) => fused(values, |v| v, map, size, out),
        Pixels::F64(values) => fused(values, |v| v as f32, map, size, out),
    }
}

#[derive(Clone, Copy)]
struct Map {
    low: f64,
    high: f64,
    scale: f64,
    offset: f64,
}

#[derive(Clone, Copy)]
struct Size {
    from: [usize; 2],
    to: [usize; 2],
}

fn fused<T: Copy>(values: &[T], float: impl Fn(T) -> f32, map: Map, size: Size, out: &mut [f32]) {
    let (low, high) = (map.low as f32, map.high as f32);
    let (scale, offset) = (map.scale as f32, map.offset as f32);
    let [rows, columns] = size.from;
    let (down, across) = (taps(rows, size.to[0]), taps(columns, size.to[1]));
    // comparisons of this form are one instruction each; max and min have to mind NaN
    let cut = |v: T| {
        let v = float(v);
        let v = if v < low { low } else { v };
        if v > high { high } else { v }
    };
    // one more than there are columns: the last pixel's neighbour, which never has a share
    let mut blended = vec![0.0_f32; columns + 1];
    for (line, tap) in out.chunks_exact_mut(size.to[1]).zip(down) {
        let row = |k: usize| &values[k * columns..(k + 1) * columns];
        let (upper, lower) = (row(tap.first), row((tap.first + 1).min(rows - 1)));
        for ((to, upper), lower) in blended.iter_mut().zip(upper).zip(lower) {
            let (upper, lower) = (cut(*upper), cut(*lower));
            *to = (upper + (lower - upper) * tap.share) * scale + offset;
        }
        for (to, tap) in line.iter_mut().zip(&across) {
            let Some(&[left, right]) = blended[tap.first..].first_chunk() else { continue };
            *to = left + (right - left) * tap.share;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::header::{Photometric, Rescale};

    fn slice(rows: usize, columns: usize, values: Vec<u16>) -> (Slice, Pixels) {
        let pixels = Pixels::U16(Arc::new(values));
        (Slice::in_memory(rows, columns, pixels.clone(), None, None).unwrap(), pixels)
    }

    #[test]
    fn the_same_size_is_the_window_alone() {
        let (slice, pixels) = slice(2, 2, vec![0, 10, 20, 30]);
        let mut out = [0.0; 4];
        resample(&slice, &pixels, IntensityRange { low: 10.0, high: 20.0 }, 2, 2, &mut out);
        assert_eq!(out, [0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn halving_takes_the_mean_of_four() {
        let (slice, pixels) = slice(2, 4, vec![0, 2, 4, 6, 2, 4, 6, 8]);
        let mut out = [0.0; 2];
        resample(&slice, &pixels, IntensityRange { low: 0.0, high: 8.0 }, 1, 2, &mut out);
        assert_eq!(out, [0.25, 0.75]);
    }

    #[test]
    fn monochrome1_and_rescale_turn_and_move_the_scale() {
        let (mut slice, pixels) = slice(1, 3, vec![0, 1, 2]);
        slice.rescale = Rescale { slope: -5.0, intercept: 10.0 };
        let mut out = [0.0; 3];
        resample(&slice, &pixels, IntensityRange { low: 0.0, high: 10.0 }, 1, 3, &mut out);
        assert_eq!(out, [1.0, 0.5, 0.0]);
        slice.photometric = Photometric::Monochrome1;
        resample(&slice, &pixels, IntensityRange { low: 0.0, high: 10.0 }, 1, 3, &mut out);
        assert_eq!(out, [0.0, 0.5, 1.0]);
    }
}

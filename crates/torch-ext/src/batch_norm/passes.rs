//! The passes over some rows or some channels.

use std::arch::x86_64::{
    _mm512_add_ps, _mm512_fmadd_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_sub_ps,
};
use std::ops::Range;

use super::job::CHANNELS;
use super::vectors::{LANES, NONE, activated, lanes, masked};
use crate::shim_types::batch_norm::Job;

/// Vectors of columns whose sums fit the registers.
const BLOCK: usize = 4;

/// Calls the closure for each vector of a block that begins at `$column`, with its first column and its lanes.
macro_rules! block {
    ($column:expr, $width:expr, |$vector:ident, $at:ident, $mask:ident| $body:expr) => {
        for $vector in 0..BLOCK {
            let $at = $column + $vector * LANES;
            let $mask = lanes($width.saturating_sub($at));
            $body
        }
    };
}

/// Mean and sum of squared deviations of a part's columns.
///
/// # Safety
/// This and all other passes here need the memory that the plan asked for.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn moments(job: &Job, part: usize) {
    let matrix = job.matrix();
    let [means, squares] = job.moments(matrix, part);
    let (rows, width) = (matrix.part(part), matrix.width);
    let share = _mm512_set1_ps(1.0 / rows.len() as f32);
    for column in (0..width).step_by(BLOCK * LANES) {
        let (mut mean, mut square) = ([_mm512_setzero_ps(); BLOCK], [_mm512_setzero_ps(); BLOCK]);
        // SAFETY: no lane is outside of a row.
        unsafe {
            for row in rows.clone() {
                let x = job.x.wrapping_add(row * width);
                block!(column, width, |v, at, mask| {
                    mean[v] = _mm512_add_ps(mean[v], _mm512_maskz_loadu_ps(mask, x.wrapping_add(at)));
                });
            }
            mean = mean.map(|sum| _mm512_mul_ps(sum, share));
            for row in rows.clone() {
                let x = job.x.wrapping_add(row * width);
                block!(column, width, |v, at, mask| {
                    let away = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x.wrapping_add(at)), mean[v]);
                    square[v] = _mm512_fmadd_ps(away, away, square[v]);
                });
            }
            block!(column, width, |v, at, mask| {
                _mm512_mask_storeu_ps(means.wrapping_add(at), mask, mean[v]);
                _mm512_mask_storeu_ps(squares.wrapping_add(at), mask, square[v]);
            });
        }
    }
}

/// Calls the closure for each channel of a unit in each part and pixel: with the part's rows, the channel's position in
/// the unit, and its two moments.
macro_rules! each_moment {
    ($job:ident, $matrix:ident, $channels:ident, |$rows:ident, $place:ident, $first:ident, $second:ident| $body:expr) => {
        for part in 0..$matrix.parts() {
            let ([firsts, seconds], $rows) = ($job.moments($matrix, part), $matrix.part(part).len() as f64);
            for pixel in 0..$matrix.pixels {
                let start = pixel * $job.channels as usize + $channels.start;
                for $place in 0..$channels.len() {
                    let ($first, $second) = (*firsts.add(start + $place), *seconds.add(start + $place));
                    let ($first, $second) = (f64::from($first), f64::from($second));
                    $body
                }
            }
        }
    };
}

/// Joins the parts' moments (Chan, Golub and LeVeque 1983) into mean and deviation of each channel, updates the running
/// statistics, and computes the affine map of each column.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn statistics(job: &Job, channels: Range<usize>) {
    let (matrix, count) = (job.matrix(), job.rows as f64);
    let (mut means, mut squares) = ([0.0; CHANNELS], [0.0; CHANNELS]);
    // SAFETY: moments, channels and columns are as planned.
    unsafe {
        each_moment!(job, matrix, channels, |rows, place, mean, _square| means[place] += rows * mean);
        means = means.map(|sum| sum / count);
        each_moment!(job, matrix, channels, |rows, place, mean, square| {
            let away = mean - means[place];
            squares[place] += square + rows * away * away;
        });
        for ((channel, mean), square) in channels.zip(means).zip(squares) {
            let inverse = 1.0 / (square / count + job.eps).sqrt();
            for (running, value) in [(job.running_mean, mean), (job.running_var, square / (count - 1.0))] {
                let at = running.add(channel);
                *at = ((1.0 - job.momentum) * f64::from(*at) + job.momentum * value) as f32;
            }
            let scale = f64::from(*job.weight.add(channel)) * inverse;
            let shift = f64::from(*job.bias.add(channel)) - mean * scale;
            for (row, value) in job.saved(matrix).into_iter().zip([mean, inverse, scale, shift]) {
                for pixel in 0..matrix.pixels {
                    *row.add(pixel * job.channels as usize + channel) = value as f32;
                }
            }
        }
    }
}

/// activation(x·scale + shift + shortcut)
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn results<const ACTIVATION: i64>(job: &Job, part: usize) {
    let matrix = job.matrix();
    let [_, _, scale, shift] = job.saved(matrix);
    for row in matrix.part(part) {
        let start = row * matrix.width;
        for column in (0..matrix.width).step_by(LANES) {
            let mask = lanes(matrix.width - column);
            // SAFETY: no lane is outside of a row.
            let load = |from: *const f32, at: usize| unsafe { _mm512_maskz_loadu_ps(mask, from.wrapping_add(at)) };
            let mut value = _mm512_fmadd_ps(load(job.x, start + column), load(scale, column), load(shift, column));
            if !job.shortcut.is_null() {
                value = _mm512_add_ps(value, load(job.shortcut, start + column));
            }
            // SAFETY: as above.
            unsafe {
                _mm512_mask_storeu_ps(job.y.wrapping_add(start + column), mask, activated::<ACTIVATION>(value));
            }
        }
    }
}

/// The gradient before the activation, Σ gradient and Σ gradient·(x − mean) of a part's columns. The activation's slope
/// is computed from the result if `OF_RESULT`, else from x by the affine map.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn sums<const ACTIVATION: i64, const OF_RESULT: bool>(job: &Job, part: usize) {
    let matrix = job.matrix();
    let ([firsts, seconds], saved) = (job.moments(matrix, part), job.saved(matrix));
    let width = matrix.width;
    for column in (0..width).step_by(BLOCK * LANES) {
        let (mut first, mut second) = ([_mm512_setzero_ps(); BLOCK], [_mm512_setzero_ps(); BLOCK]);
        let [mut mean, mut scale, mut shift] = [[_mm512_setzero_ps(); BLOCK]; 3];
        // SAFETY: no lane is outside of a row.
        unsafe {
            block!(column, width, |v, at, mask| {
                for (row, to) in [(0, &mut mean), (2, &mut scale), (3, &mut shift)] {
                    to[v] = _mm512_maskz_loadu_ps(mask, saved[row].wrapping_add(at));
                }
            });
            for row in matrix.part(part) {
                let start = row * width;
                block!(column, width, |v, at, mask| {
                    let load = |from: *const f32| _mm512_maskz_loadu_ps(mask, from.wrapping_add(start + at));
                    let (x, mut gradient) = (load(job.x), load(job.gradient));
                    if ACTIVATION != NONE {
                        let place = if OF_RESULT { load(job.y) } else { _mm512_fmadd_ps(x, scale[v], shift[v]) };
                        gradient = masked::<ACTIVATION>(gradient, place);
                        _mm512_mask_storeu_ps(job.masked.wrapping_add(start + at), mask, gradient);
                    }
                    first[v] = _mm512_add_ps(first[v], gradient);
                    second[v] = _mm512_fmadd_ps(gradient, _mm512_sub_ps(x, mean[v]), second[v]);
                });
            }
            block!(column, width, |v, at, mask| {
                _mm512_mask_storeu_ps(firsts.wrapping_add(at), mask, first[v]);
                _mm512_mask_storeu_ps(seconds.wrapping_add(at), mask, second[v]);
            });
        }
    }
}

/// Joins the parts' sums into the gradients of weight and bias, and the coefficients of the gradient of x,
///
/// γ/σ · (g − Σg/n − (x − mean)·Σg(x − mean)/(n·σ²))
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn coefficients(job: &Job, channels: Range<usize>) {
    let (matrix, count) = (job.matrix(), job.rows as f64);
    let (mut firsts, mut seconds) = ([0.0; CHANNELS], [0.0; CHANNELS]);
    let [_, inverses, ..] = job.saved(matrix);
    // SAFETY: moments, channels and columns are as planned.
    unsafe {
        each_moment!(job, matrix, channels, |_rows, place, first, second| {
            firsts[place] += first;
            seconds[place] += second;
        });
        for ((channel, first), second) in channels.zip(firsts).zip(seconds) {
            let inverse = f64::from(*inverses.add(channel));
            *job.bias_gradient.add(channel) = first as f32;
            *job.weight_gradient.add(channel) = (second * inverse) as f32;
            let scale = f64::from(*job.weight.add(channel)) * inverse;
            let along = -scale * second * inverse * inverse / count;
            for (row, value) in job.coefficients(matrix).into_iter().zip([scale, along, -scale * first / count]) {
                for pixel in 0..matrix.pixels {
                    *row.add(pixel * job.channels as usize + channel) = value as f32;
                }
            }
        }
    }
}

/// The gradient of x from the coefficients.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn gradients(job: &Job, part: usize) {
    let matrix = job.matrix();
    let ([scale, along, shift], [mean, ..]) = (job.coefficients(matrix), job.saved(matrix));
    for row in matrix.part(part) {
        let start = row * matrix.width;
        for column in (0..matrix.width).step_by(LANES) {
            let mask = lanes(matrix.width - column);
            // SAFETY: no lane is outside of a row.
            let load = |from: *const f32, at: usize| unsafe { _mm512_maskz_loadu_ps(mask, from.wrapping_add(at)) };
            let away = _mm512_sub_ps(load(job.x, start + column), load(mean, column));
            let value = _mm512_fmadd_ps(away, load(along, column), load(shift, column));
            let value = _mm512_fmadd_ps(load(job.masked, start + column), load(scale, column), value);
            // SAFETY: as above.
            unsafe { _mm512_mask_storeu_ps(job.x_gradient.wrapping_add(start + column), mask, value) };
        }
    }
}

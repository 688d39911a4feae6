//! The passes over some rows or some channels.
//!
//! All are inlined into [`super::job`]'s functions, which enable the instructions of the vector `V`.

use std::ops::Range;

use super::job::CHANNELS;
use super::vectors::{NONE, Vector, activated, masked};
use crate::shim_types::batch_norm::Job;

/// Vectors of columns whose sums fit the registers.
const BLOCK: usize = 4;

/// Calls the closure for each vector of a block that begins at `$column`, with its first column and the number of
/// columns from there on.
macro_rules! block {
    ($column:expr, $width:expr, |$vector:ident, $at:ident, $count:ident| $body:expr) => {
        for $vector in 0..BLOCK {
            let $at = $column + $vector * V::LANES;
            let $count = $width.saturating_sub($at);
            $body
        }
    };
}

/// Mean and sum of squared deviations of a part's columns.
///
/// # Safety
/// This and all other passes here need the memory that the plan asked for.
#[inline(always)]
pub(super) unsafe fn moments<V: Vector>(job: &Job, part: usize) {
    let matrix = job.matrix();
    let [means, squares] = job.moments(matrix, part);
    let (rows, width) = (matrix.part(part), matrix.width);
    // SAFETY: no lane is outside of a row.
    unsafe {
        let share = V::all(1.0 / rows.len() as f32);
        for column in (0..width).step_by(BLOCK * V::LANES) {
            let (mut mean, mut square) = ([V::zero(); BLOCK], [V::zero(); BLOCK]);
            for row in rows.clone() {
                let x = job.x.wrapping_add(row * width);
                block!(column, width, |v, at, count| mean[v] = mean[v].add(V::load(x.wrapping_add(at), count)));
            }
            for sum in &mut mean {
                *sum = sum.mul(share);
            }
            for row in rows.clone() {
                let x = job.x.wrapping_add(row * width);
                block!(column, width, |v, at, count| {
                    let away = V::load(x.wrapping_add(at), count).sub(mean[v]);
                    square[v] = away.times_plus(away, square[v]);
                });
            }
            block!(column, width, |v, at, count| {
                mean[v].store(means.wrapping_add(at), count);
                square[v].store(squares.wrapping_add(at), count);
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
#[inline(always)]
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
#[inline(always)]
pub(super) unsafe fn results<V: Vector, const ACTIVATION: i64>(job: &Job, part: usize) {
    let matrix = job.matrix();
    let [_, _, scale, shift] = job.saved(matrix);
    for row in matrix.part(part) {
        let start = row * matrix.width;
        for column in (0..matrix.width).step_by(V::LANES) {
            let (at, count) = (start + column, matrix.width - column);
            // SAFETY: no lane is outside of a row.
            unsafe {
                let (scale, shift) =
                    (V::load(scale.wrapping_add(column), count), V::load(shift.wrapping_add(column), count));
                let mut value = V::load(job.x.wrapping_add(at), count).times_plus(scale, shift);
                if !job.shortcut.is_null() {
                    value = value.add(V::load(job.shortcut.wrapping_add(at), count));
                }
                activated::<V, ACTIVATION>(value).store(job.y.wrapping_add(at), count);
            }
        }
    }
}

/// The gradient before the activation, Σ gradient and Σ gradient·(x − mean) of a part's columns. The activation's slope
/// is computed from the result if `OF_RESULT`, else from x by the affine map.
#[inline(always)]
pub(super) unsafe fn sums<V: Vector, const ACTIVATION: i64, const OF_RESULT: bool>(job: &Job, part: usize) {
    let matrix = job.matrix();
    let ([firsts, seconds], saved) = (job.moments(matrix, part), job.saved(matrix));
    let width = matrix.width;
    // SAFETY: no lane is outside of a row.
    unsafe {
        for column in (0..width).step_by(BLOCK * V::LANES) {
            let (mut first, mut second) = ([V::zero(); BLOCK], [V::zero(); BLOCK]);
            let [mut mean, mut scale, mut shift] = [[V::zero(); BLOCK]; 3];
            block!(column, width, |v, at, count| {
                for (row, to) in [(0, &mut mean), (2, &mut scale), (3, &mut shift)] {
                    to[v] = V::load(saved[row].wrapping_add(at), count);
                }
            });
            for row in matrix.part(part) {
                let start = row * width;
                block!(column, width, |v, at, count| {
                    let x = V::load(job.x.wrapping_add(start + at), count);
                    let mut gradient = V::load(job.gradient.wrapping_add(start + at), count);
                    if ACTIVATION != NONE {
                        let place = match OF_RESULT {
                            true => V::load(job.y.wrapping_add(start + at), count),
                            false => x.times_plus(scale[v], shift[v]),
                        };
                        gradient = masked::<V, ACTIVATION>(gradient, place);
                        gradient.store(job.masked.wrapping_add(start + at), count);
                    }
                    first[v] = first[v].add(gradient);
                    second[v] = gradient.times_plus(x.sub(mean[v]), second[v]);
                });
            }
            block!(column, width, |v, at, count| {
                first[v].store(firsts.wrapping_add(at), count);
                second[v].store(seconds.wrapping_add(at), count);
            });
        }
    }
}

/// Joins the parts' sums into the gradients of weight and bias, and the coefficients of the gradient of x,
///
/// γ/σ · (g − Σg/n − (x − mean)·Σg(x − mean)/(n·σ²))
#[inline(always)]
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
#[inline(always)]
pub(super) unsafe fn gradients<V: Vector>(job: &Job, part: usize) {
    let matrix = job.matrix();
    let ([scale, along, shift], [mean, ..]) = (job.coefficients(matrix), job.saved(matrix));
    for row in matrix.part(part) {
        let start = row * matrix.width;
        for column in (0..matrix.width).step_by(V::LANES) {
            let (at, count) = (start + column, matrix.width - column);
            // SAFETY: no lane is outside of a row.
            unsafe {
                let of_column = |row: *mut f32| V::load(row.wrapping_add(column), count);
                let away = V::load(job.x.wrapping_add(at), count).sub(of_column(mean));
                let value = away.times_plus(of_column(along), of_column(shift));
                let value = V::load(job.masked.wrapping_add(at), count).times_plus(of_column(scale), value);
                value.store(job.x_gradient.wrapping_add(at), count);
            }
        }
    }
}

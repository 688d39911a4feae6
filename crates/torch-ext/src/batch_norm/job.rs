//! A batch norm or its gradient, in three phases of units that threads share out among them: moments of some rows at a
//! time, channels, the same rows again.
//!
//! Each number is summed by one thread in one order: the bits do not depend on how many threads there are.

use std::ops::Range;

use super::passes;
use super::vectors::{NONE, RELU, SILU};

/// What is computed; the shim fills it in, see `csrc/batch_norm.cpp`. Matrices are `[rows, channels]`.
#[repr(C)]
pub(crate) struct Job {
    /// 0: `y` from `x`; 1: the gradients.
    pub(crate) kind: i64,
    /// As [`crate::fused::Activation`] numbers them.
    pub(crate) activation: i64,
    /// Pixels of all pictures.
    pub(crate) rows: i64,
    pub(crate) channels: i64,
    pub(crate) momentum: f64,
    pub(crate) eps: f64,
    pub(crate) x: *const f32,
    /// What is added before the activation, or null.
    pub(crate) shortcut: *const f32,
    /// The result; of a gradient null where the activated number follows from `x`.
    pub(crate) y: *mut f32,
    /// The result's gradient.
    pub(crate) gradient: *const f32,
    /// The gradient before the activation; `gradient` itself where there is none.
    pub(crate) masked: *mut f32,
    /// The gradient of `x`, which may be `masked`.
    pub(crate) x_gradient: *mut f32,
    /// `[channels]`, as all up to `bias_gradient`.
    pub(crate) weight: *const f32,
    pub(crate) bias: *const f32,
    pub(crate) running_mean: *mut f32,
    pub(crate) running_var: *mut f32,
    pub(crate) weight_gradient: *mut f32,
    pub(crate) bias_gradient: *mut f32,
    /// `[4][width]`: mean, 1/√(variance + ε), scale and shift of each column, from the result to the gradient.
    pub(crate) saved: *mut f32,
    /// As many floats as the plan asks for: `[parts][2][width]` moments, `[3][width]` coefficients.
    pub(crate) scratch: *mut f32,
}

/// What a job needs.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) saved: i64,
    pub(crate) scratch: i64,
    pub(crate) units: [i64; 3],
}

/// The numbers as a matrix whose rows are some pixels side by side, so that few channels fill vectors too.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) width: usize,
    /// Pixels of a row.
    pub(super) pixels: usize,
}

/// Columns of a row of several pixels, at most.
const WIDE: usize = 128;
/// Floats of a part of the rows: three such parts stay in a core's second cache.
const PART: usize = 16_384;
/// Channels of a unit of the second phase.
pub(super) const CHANNELS: usize = 16;

impl Matrix {
    fn of(rows: usize, channels: usize) -> Self {
        let mut pixels = 1;
        while 2 * pixels * channels <= WIDE && rows.is_multiple_of(2 * pixels) {
            pixels *= 2;
        }
        Self { rows: rows / pixels, width: channels * pixels, pixels }
    }

    fn part_rows(&self) -> usize {
        (PART / self.width).max(1)
    }

    pub(super) fn parts(&self) -> usize {
        self.rows.div_ceil(self.part_rows())
    }

    pub(super) fn part(&self, part: usize) -> Range<usize> {
        let rows = self.part_rows();
        part * rows..((part + 1) * rows).min(self.rows)
    }
}

impl Job {
    pub(super) fn matrix(&self) -> Matrix {
        Matrix::of(self.rows as usize, self.channels as usize)
    }

    fn plan(&self) -> Plan {
        let matrix = self.matrix();
        let parts = matrix.parts() as i64;
        let channels = (self.channels as usize).div_ceil(CHANNELS) as i64;
        let width = matrix.width as i64;
        Plan { saved: 4 * width, scratch: (2 * parts + 3) * width, units: [parts, channels, parts] }
    }

    /// The four rows of `saved`.
    pub(super) fn saved(&self, matrix: Matrix) -> [*mut f32; 4] {
        [0, 1, 2, 3].map(|row| self.saved.wrapping_add(row * matrix.width))
    }

    /// The two moments of a part.
    pub(super) fn moments(&self, matrix: Matrix, part: usize) -> [*mut f32; 2] {
        [0, 1].map(|moment| self.scratch.wrapping_add((2 * part + moment) * matrix.width))
    }

    /// The three rows of coefficients.
    pub(super) fn coefficients(&self, matrix: Matrix) -> [*mut f32; 3] {
        [0, 1, 2].map(|row| self.scratch.wrapping_add((2 * matrix.parts() + row) * matrix.width))
    }

    fn channels(&self, unit: usize) -> Range<usize> {
        unit * CHANNELS..((unit + 1) * CHANNELS).min(self.channels as usize)
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn run(&self, phase: i64, unit: usize) {
        // SAFETY: what the shim handed over has the sizes that the plan asked for; units write to different places.
        unsafe {
            match (self.kind, phase, self.activation, self.y.is_null()) {
                (0, 0, ..) => passes::moments(self, unit),
                (0, 1, ..) => passes::statistics(self, self.channels(unit)),
                (0, _, NONE, _) => passes::results::<NONE>(self, unit),
                (0, _, RELU, _) => passes::results::<RELU>(self, unit),
                (0, ..) => passes::results::<SILU>(self, unit),
                (_, 0, NONE, _) => passes::sums::<NONE, false>(self, unit),
                (_, 0, SILU, _) => passes::sums::<SILU, false>(self, unit),
                (_, 0, _, true) => passes::sums::<RELU, false>(self, unit),
                (_, 0, _, false) => passes::sums::<RELU, true>(self, unit),
                (_, 1, ..) => passes::coefficients(self, self.channels(unit)),
                _ => passes::gradients(self, unit),
            }
        }
    }
}

/// Says what a job needs.
pub(crate) extern "C" fn plan(job: *const Job, plan: *mut Plan) {
    // SAFETY: the shim hands over its own.
    unsafe { *plan = (*job).plan() };
}

/// Does units of a phase; all of a phase come before any of the next.
pub(crate) extern "C" fn run(job: *const Job, phase: i64, first: i64, end: i64) {
    // SAFETY: the shim hands over its own, planned before, on a processor with AVX-512.
    unsafe {
        for unit in first as usize..end as usize {
            (*job).run(phase, unit);
        }
    }
}

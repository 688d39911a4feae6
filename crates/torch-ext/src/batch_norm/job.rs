//! A batch norm or its gradient, in three phases of units that the threads divide among themselves: moments of parts of
//! the rows, then channels, then the parts again.
//!
//! Each sum is computed by one thread in a fixed order, so that the bits do not depend on the number of threads.

use std::arch::x86_64::{__m256, __m512};
use std::ops::Range;

use super::passes;
use super::vectors::{NONE, RELU, SILU, Vector};
use crate::cpu_kernels;
use crate::shim_types::batch_norm::{Job, Plan};

/// The values as a matrix. A row has several pixels side by side, so that a few channels fill vectors too.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) width: usize,
    /// Pixels in a row.
    pub(super) pixels: usize,
}

/// Columns of a row with several pixels, at most.
const WIDE: usize = 128;
/// Floats of a part of the rows: three such parts fit a core's second cache.
const PART: usize = 16_384;
/// Channels of a unit in the second phase.
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
    unsafe fn run_with_avx512(&self, phase: i64, units: Range<usize>) {
        // SAFETY: the caller promises all that is needed.
        unsafe { self.run::<__m512>(phase, units) };
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn run_with_avx2(&self, phase: i64, units: Range<usize>) {
        // SAFETY: the caller promises all that is needed.
        unsafe { self.run::<__m256>(phase, units) };
    }

    #[inline(always)]
    unsafe fn run<V: Vector>(&self, phase: i64, units: Range<usize>) {
        for unit in units {
            // SAFETY: all memory has the planned sizes; units write to different places.
            unsafe {
                match (self.kind, phase, self.activation, self.y.is_null()) {
                    (0, 0, ..) => passes::moments::<V>(self, unit),
                    (0, 1, ..) => passes::statistics(self, self.channels(unit)),
                    (0, _, NONE, _) => passes::results::<V, NONE>(self, unit),
                    (0, _, RELU, _) => passes::results::<V, RELU>(self, unit),
                    (0, ..) => passes::results::<V, SILU>(self, unit),
                    (_, 0, NONE, _) => passes::sums::<V, NONE, false>(self, unit),
                    (_, 0, SILU, _) => passes::sums::<V, SILU, false>(self, unit),
                    (_, 0, _, true) => passes::sums::<V, RELU, false>(self, unit),
                    (_, 0, _, false) => passes::sums::<V, RELU, true>(self, unit),
                    (_, 1, ..) => passes::coefficients(self, self.channels(unit)),
                    _ => passes::gradients::<V>(self, unit),
                }
            }
        }
    }
}

/// Says what a job needs.
///
/// # Safety
/// Both pointers are valid; `job` has its sizes.
pub(crate) unsafe extern "C" fn plan(job: *const Job, plan: *mut Plan) {
    // SAFETY: the caller promises valid pointers.
    unsafe { *plan = (*job).plan() };
}

/// Computes the units from `first` to before `end` of a phase.
///
/// # Safety
/// `job` is valid, its tensors have its sizes, `saved` and scratch memory are what [`plan`] asked for; all units of a phase
/// are complete before one of the next begins; the processor has AVX-512, or AVX2 and FMA.
pub(crate) unsafe extern "C" fn run(job: *const Job, phase: i64, first: i64, end: i64) {
    let units = first as usize..end as usize;
    // SAFETY: the caller promises all that is needed.
    unsafe {
        if cpu_kernels::has_avx512() {
            (*job).run_with_avx512(phase, units);
        } else {
            (*job).run_with_avx2(phase, units);
        }
    }
}

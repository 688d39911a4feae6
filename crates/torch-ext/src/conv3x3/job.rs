//! A convolution or one of its gradients, in two phases of units that the threads divide among themselves.
//!
//! On a small map, weights are most of the memory that is read: first all tiles are transformed, then each thread takes
//! panels of 32 result channels, transforms their weights, which stay in its cache, and uses them for all tiles. On a
//! large map it is the other way round. Each sum is computed by one thread in a fixed order, so that the bits do not
//! depend on the number of threads.

use std::cell::RefCell;
use std::ops::Range;

use super::algorithm::{
    Algorithm, RowOfThreeStrideTwo, RowOfThreeStrideTwoGradient, RowOfTwo, RowOfTwoGradient, ThreeResults,
    ThreeResultsGradient,
};
use super::convolution::Convolution;
use super::transform::{LANES, Map};
use super::weight_gradient::WeightGradient;
use crate::shim_types::conv3x3::{Job, Plan};

/// Tiles that are multiplied at a time: their products with a panel fit a core's cache.
pub(super) const CHUNK: usize = 48;
/// Tiles that are transformed at a time if the products are computed in the second phase.
pub(super) const FEW: usize = 8;
/// Floats between parts that would otherwise be a multiple of 4,096 bytes apart and evict each other from the cache.
pub(super) const GAP: usize = LANES;

/// Memory and shape of one side of a convolution, for a batch.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub(super) start: *mut f32,
    pub(super) map: Map,
}

impl Side {
    /// Floats of an image.
    pub(super) fn floats(&self) -> usize {
        self.map.height * self.map.width * self.map.channels
    }
}

/// The tiles of a batch, image by image.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    down: usize,
    across: usize,
    side: usize,
    pub(super) count: usize,
}

impl Tiles {
    pub(super) fn of<A: Algorithm>(map: Map, batch: usize) -> Self {
        let (down, across) = (map.height.div_ceil(A::OUT), map.width.div_ceil(A::OUT));
        Self { down, across, side: A::OUT, count: batch * down * across }
    }

    /// Image, first row and first column of results.
    pub(super) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (image, rest) = (tile / (self.down * self.across), tile % (self.down * self.across));
        (image, rest / self.across * self.side, rest % self.across * self.side)
    }

    /// Image, first row and first column of inputs. With stride 2 there is one tile an image.
    pub(super) fn input_place<A: Algorithm>(&self, tile: usize) -> (usize, isize, isize) {
        let (image, row, column) = self.place(tile);
        (image, row as isize + A::FIRST, column as isize + A::FIRST)
    }

    /// Parts of at most `size` tiles.
    pub(super) fn parts(&self, size: usize) -> usize {
        self.count.div_ceil(size)
    }

    pub(super) fn part(&self, part: usize, size: usize) -> Range<usize> {
        part * size..((part + 1) * size).min(self.count)
    }
}

thread_local! {
    /// Scratch memory of a thread.
    static OWN: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with scratch memory of this thread, uninitialised but for what was there before.
pub(super) fn with_own<R>(floats: usize, work: impl FnOnce(*mut f32) -> R) -> R {
    OWN.with_borrow_mut(|own| {
        if own.len() < floats {
            own.resize(floats, 0.0);
        }
        work(own.as_mut_ptr())
    })
}

impl Job {
    fn sides(&self) -> (Side, Side) {
        let size = |value: i64| value as usize;
        let map = Map { height: size(self.height), width: size(self.width), channels: size(self.channels_in) };
        let results = |side: usize| if self.stride == 2 { side.div_ceil(2) } else { side };
        let to = Map { height: results(map.height), width: results(map.width), channels: size(self.channels_out) };
        (Side { start: self.x, map }, Side { start: self.y, map: to })
    }

    fn convolution<A: Algorithm>(&self) -> Convolution {
        let (x, y) = self.sides();
        let is_gradient = self.kind == 1;
        let (from, to) = if is_gradient { (y, x) } else { (x, y) };
        let tiles = Tiles::of::<A>(to.map, self.batch as usize);
        Convolution { from, to, tiles, weight: self.weight, is_gradient, scratch: self.scratch }
    }

    fn weight_gradient<A: Algorithm>(&self) -> WeightGradient {
        let (x, y) = self.sides();
        let tiles = Tiles::of::<A>(y.map, self.batch as usize);
        WeightGradient { x, y, tiles, weight: self.weight, scratch: self.scratch }
    }
}

/// Calls the function for the job's kind, with the algorithm for its stride and size.
macro_rules! dispatch {
    ($job:ident, $function:ident($($argument:expr),*)) => {
        match ($job.kind, $job.stride, $job.height, $job.width) {
            (2, 2, ..) => $job.weight_gradient::<RowOfThreeStrideTwo>().$function::<RowOfThreeStrideTwo>($($argument),*),
            (2, _, 2, 2) => $job.weight_gradient::<RowOfTwo>().$function::<RowOfTwo>($($argument),*),
            (2, ..) => $job.weight_gradient::<ThreeResults>().$function::<ThreeResults>($($argument),*),
            (1, 2, ..) => $job.convolution::<RowOfThreeStrideTwoGradient>().$function::<RowOfThreeStrideTwoGradient>($($argument),*),
            (1, _, 2, 2) => $job.convolution::<RowOfTwoGradient>().$function::<RowOfTwoGradient>($($argument),*),
            (1, ..) => $job.convolution::<ThreeResultsGradient>().$function::<ThreeResultsGradient>($($argument),*),
            (_, 2, ..) => $job.convolution::<RowOfThreeStrideTwo>().$function::<RowOfThreeStrideTwo>($($argument),*),
            (_, _, 2, 2) => $job.convolution::<RowOfTwo>().$function::<RowOfTwo>($($argument),*),
            _ => $job.convolution::<ThreeResults>().$function::<ThreeResults>($($argument),*),
        }
    };
}

/// Says what a job needs.
///
/// # Safety
/// Both pointers are valid; `job` has its kind and sizes.
pub(crate) unsafe extern "C" fn plan(job: *const Job, plan: *mut Plan) {
    // SAFETY: the caller promises valid pointers.
    let (job, plan) = unsafe { (&*job, &mut *plan) };
    *plan = dispatch!(job, plan());
}

/// Computes the units from `first` to before `end` of a phase.
///
/// # Safety
/// `job` is valid, its tensors have its sizes and its scratch memory is what [`plan`] asked for; all units of the first
/// phase are complete before one of the second begins; the processor has AVX-512.
pub(crate) unsafe extern "C" fn run(job: *const Job, phase: i64, first: i64, end: i64) {
    // SAFETY: the caller promises all that is needed.
    unsafe {
        let job = &*job;
        for unit in first as usize..end as usize {
            dispatch!(job, run(phase, unit));
        }
    }
}

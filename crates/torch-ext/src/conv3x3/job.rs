//! A convolution or one of its gradients, in two phases of units that threads share out among them.
//!
//! Where a map is small its weights are most of the memory that moves: the tiles are transformed first, then each
//! thread takes panels of 32 result channels, transforms their weights where they stay in its cache, and uses them for
//! all tiles. Where the map is large it is the other way round. Each number is summed by one thread in one order:
//! the bits do not depend on how many threads there are.

use std::cell::RefCell;
use std::ops::Range;

use super::algorithm::{Algorithm, Halved, HalvedBack, Three, ThreeBack, Two, TwoBack};
use super::convolution::Convolution;
use super::transform::{LANES, Map};
use super::weight_gradient::WeightGradient;

/// Tiles that are multiplied together: their products with a panel stay in a core's cache.
pub(super) const CHUNK: usize = 48;
/// Tiles that are transformed at a time where the products come later.
pub(super) const FEW: usize = 8;
/// Floats between parts that would else lie a multiple of 4,096 bytes apart and push each other out of the cache.
pub(super) const GAP: usize = LANES;

/// What is computed; the shim fills it in, see `csrc/conv3x3.cpp`.
#[repr(C)]
pub(crate) struct Job {
    /// 0: `y` from `x`; 1: the gradient `x` from `y`; 2: the gradient `weight` from `x` and `y`.
    pub(crate) kind: i64,
    pub(crate) stride: i64,
    pub(crate) batch: i64,
    /// Of `x`.
    pub(crate) height: i64,
    pub(crate) width: i64,
    pub(crate) channels_in: i64,
    pub(crate) channels_out: i64,
    /// `[batch, height, width, channels_in]`
    pub(crate) x: *mut f32,
    /// `[channels_out, 3, 3, channels_in]`
    pub(crate) weight: *mut f32,
    /// `[batch, height', width', channels_out]`
    pub(crate) y: *mut f32,
    /// As many floats as the plan asks for.
    pub(crate) scratch: *mut f32,
}

/// What a job needs.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) scratch: i64,
    pub(crate) units: [i64; 2],
}

/// The map and channels of one side of a convolution.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub(super) start: *mut f32,
    pub(super) map: Map,
}

impl Side {
    pub(super) fn floats(&self) -> usize {
        self.map.height * self.map.width * self.map.channels
    }
}

/// The tiles of a batch, picture by picture.
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

    /// Picture, first row and first column of results.
    pub(super) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (picture, rest) = (tile / (self.down * self.across), tile % (self.down * self.across));
        (picture, rest / self.across * self.side, rest % self.across * self.side)
    }

    /// Picture, first row and first column of inputs; a stride of two has one tile, at the corner.
    pub(super) fn input_place<A: Algorithm>(&self, tile: usize) -> (usize, isize, isize) {
        let (picture, row, column) = self.place(tile);
        (picture, row as isize + A::FIRST, column as isize + A::FIRST)
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
    /// Memory of a thread for what it computes and uses at once.
    static OWN: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

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
        let halved = |value: usize| if self.stride == 2 { value.div_ceil(2) } else { value };
        let to = Map { height: halved(map.height), width: halved(map.width), channels: size(self.channels_out) };
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

/// Calls what does the job's kind, with the algorithm of its stride and size.
macro_rules! dispatch {
    ($job:ident, $function:ident($($argument:expr),*)) => {
        match ($job.kind, $job.stride, $job.height, $job.width) {
            (2, 2, ..) => $job.weight_gradient::<Halved>().$function::<Halved>($($argument),*),
            (2, _, 2, 2) => $job.weight_gradient::<Two>().$function::<Two>($($argument),*),
            (2, ..) => $job.weight_gradient::<Three>().$function::<Three>($($argument),*),
            (1, 2, ..) => $job.convolution::<HalvedBack>().$function::<HalvedBack>($($argument),*),
            (1, _, 2, 2) => $job.convolution::<TwoBack>().$function::<TwoBack>($($argument),*),
            (1, ..) => $job.convolution::<ThreeBack>().$function::<ThreeBack>($($argument),*),
            (_, 2, ..) => $job.convolution::<Halved>().$function::<Halved>($($argument),*),
            (_, _, 2, 2) => $job.convolution::<Two>().$function::<Two>($($argument),*),
            _ => $job.convolution::<Three>().$function::<Three>($($argument),*),
        }
    };
}

/// Says what a job needs.
pub(crate) extern "C" fn plan(job: *const Job, plan: *mut Plan) {
    // SAFETY: the shim hands over its own.
    let (job, plan) = unsafe { (&*job, &mut *plan) };
    *plan = dispatch!(job, plan());
}

/// Does units of a phase; all of the first phase come before any of the second.
pub(crate) extern "C" fn run(job: *const Job, phase: i64, first: i64, end: i64) {
    // SAFETY: the shim hands over its own, planned before, on a processor with AVX-512.
    unsafe {
        let job = &*job;
        for unit in first as usize..end as usize {
            dispatch!(job, run(phase, unit));
        }
    }
}

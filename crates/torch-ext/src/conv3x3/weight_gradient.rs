//! The gradient of a convolution's weights.

use std::ops::Range;

use super::algorithm::Algorithm;
use super::job::{CHUNK, FEW, GAP, Side, Tiles, with_own};
use super::product::{Left, product};
use super::transform::{LANES, PANEL, gradients, inputs, weight_gradients};
use crate::shim_types::conv3x3::Plan;

/// Result channels of a unit, at most.
const GROUP: usize = 64;

/// The gradient of the weights: for each product, the sum over tiles of result gradients × inputs.
///
/// A unit is a panel of input channels and a group of result channels. If there are many tiles, it transforms them
/// itself, some at a time.
pub(super) struct WeightGradient {
    pub(super) x: Side,
    pub(super) y: Side,
    pub(super) tiles: Tiles,
    pub(super) weight: *mut f32,
    /// `[PRODUCTS][tiles][in]`, `[PRODUCTS][tiles][out]`
    pub(super) scratch: *mut f32,
}

impl WeightGradient {
    /// Result channels of a unit.
    fn group(&self) -> usize {
        let (inputs, outputs) = (self.x.map.channels, self.y.map.channels);
        let half = inputs / PANEL * outputs / 2;
        if half >= GROUP && outputs.is_multiple_of(GROUP) { GROUP } else { PANEL.min(half) }
    }

    /// Whether all transformed tiles together would not fit a cache. Each unit then transforms the tiles that it needs
    /// again, which takes at most a quarter of the products' time.
    fn is_large(&self) -> bool {
        self.tiles.count > 4 * CHUNK
    }

    fn planes(&self) -> (usize, usize) {
        (self.tiles.count * self.x.map.channels + GAP, self.tiles.count * self.y.map.channels + GAP)
    }

    pub(super) fn plan<A: Algorithm>(&self) -> Plan {
        let units = self.x.map.channels / PANEL * (self.y.map.channels / self.group());
        let (inputs, gradients) = self.planes();
        match self.is_large() {
            true => Plan { scratch: 0, units: [0, units as i64] },
            false => Plan {
                scratch: (A::PRODUCTS * (inputs + gradients)) as i64,
                units: [self.tiles.parts(FEW) as i64, units as i64],
            },
        }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn run<A: Algorithm>(&self, phase: i64, unit: usize) {
        let (channels, results) = (self.x.map.channels, self.y.map.channels);
        let (inputs_plane, gradients_plane) = self.planes();
        // SAFETY: both scratch memories have the planned sizes; units write to different places.
        unsafe {
            let all_gradients = self.scratch.wrapping_add(A::PRODUCTS * inputs_plane);
            if phase == 0 {
                for tile in self.tiles.part(unit, FEW) {
                    self.inputs::<A>(tile, 0..channels, self.scratch.add(tile * channels), inputs_plane);
                    self.gradients::<A>(tile, 0..results, all_gradients.add(tile * results), gradients_plane);
                }
                return;
            }
            let (group, groups) = (self.group(), results / self.group());
            let (panel, first) = (unit / groups * PANEL, unit % groups * group);
            let plane = group * PANEL + GAP;
            let (own_inputs, own_gradients) = (CHUNK * PANEL + GAP, CHUNK * group + GAP);
            with_own(A::PRODUCTS * (plane + own_inputs + own_gradients), |products| {
                if self.is_large() {
                    let inputs = products.add(A::PRODUCTS * plane);
                    let gradients = inputs.add(A::PRODUCTS * own_inputs);
                    for part in 0..self.tiles.parts(CHUNK) {
                        let tiles = self.tiles.part(part, CHUNK);
                        for (place, tile) in tiles.clone().enumerate() {
                            let out = inputs.add(place * PANEL);
                            self.inputs::<A>(tile, panel..panel + PANEL, out, own_inputs);
                            let out = gradients.add(place * group);
                            self.gradients::<A>(tile, first..first + group, out, own_gradients);
                        }
                        for position in 0..A::PRODUCTS {
                            let start = gradients.add(position * own_gradients).cast_const();
                            let left = Left { start, row_step: 1, k_step: group };
                            let right = inputs.add(position * own_inputs);
                            let out = products.add(position * plane);
                            product(left, group, tiles.len(), right, PANEL, out, part > 0);
                        }
                    }
                } else {
                    for position in 0..A::PRODUCTS {
                        let start = all_gradients.add(position * gradients_plane + first).cast_const();
                        let left = Left { start, row_step: 1, k_step: results };
                        let right = self.scratch.add(position * inputs_plane + panel);
                        let out = products.add(position * plane);
                        product(left, group, self.tiles.count, right, channels, out, false);
                    }
                }
                for result in 0..group {
                    for half in [0, LANES] {
                        let kernel = self.weight.add((first + result) * 9 * channels + panel + half);
                        weight_gradients::<A>(products.add(result * PANEL + half), plane, kernel, channels);
                    }
                }
            });
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn inputs<A: Algorithm>(&self, tile: usize, channels: Range<usize>, out: *mut f32, plane: usize) {
        let (image, row, column) = self.tiles.input_place::<A>(tile);
        // SAFETY: see `run`.
        unsafe {
            let image = self.x.start.add(image * self.x.floats() + channels.start);
            inputs::<A>(image, self.x.map, row, column, channels.len(), out, plane);
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn gradients<A: Algorithm>(&self, tile: usize, channels: Range<usize>, out: *mut f32, plane: usize) {
        let (image, row, column) = self.tiles.place(tile);
        // SAFETY: see `run`.
        unsafe {
            let image = self.y.start.add(image * self.y.floats() + channels.start);
            gradients::<A>(image, self.y.map, row, column, channels.len(), out, plane);
        }
    }
}

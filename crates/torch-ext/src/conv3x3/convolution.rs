//! A convolution, or the gradient of its input, which is a convolution too.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::ops::Range;

use super::algorithm::Algorithm;
use super::job::{CHUNK, FEW, GAP, Side, Tiles, with_own};
use super::product::{Left, product};
use super::transform::{LANES, PANEL, inputs, outputs, transpose, weights};
use crate::shim_types::conv3x3::Plan;

/// Floats between the products of some tiles with a panel.
const PRODUCT_PLANE: usize = CHUNK * PANEL + GAP;
/// Rows of weights that are prefetched.
const AHEAD: usize = 2;

/// A convolution from one side to the other: forward, or a gradient that is one itself.
pub(super) struct Convolution {
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) tiles: Tiles,
    pub(super) weight: *const f32,
    /// Whether this is the gradient of the input: the weight's last dimension is then `to`'s channels.
    pub(super) is_gradient: bool,
    pub(super) scratch: *mut f32,
}

impl Convolution {
    fn panels(&self) -> usize {
        self.to.map.channels / PANEL
    }

    /// Whether there are fewer tiles than channels: most memory that is read is weights.
    fn is_small(&self) -> bool {
        self.tiles.count <= self.to.map.channels.max(self.from.map.channels)
    }

    /// Tiles that are transformed and multiplied at a time if there are many: few, so that they stay in the first cache,
    /// unless there are so many weights that reading them for each few would cost more.
    fn chunk(&self) -> usize {
        if self.from.map.channels * self.to.map.channels <= 128 * 128 { 12 } else { CHUNK }
    }

    /// Floats between the products of a panel's weights.
    fn weight_plane(&self) -> usize {
        self.from.map.channels * PANEL + GAP
    }

    /// Floats between the products of `tiles` tiles.
    fn tile_plane(&self, tiles: usize) -> usize {
        tiles * self.from.map.channels + GAP
    }

    pub(super) fn plan<A: Algorithm>(&self) -> Plan {
        let panels = self.panels() as i64;
        let (scratch, units) = match self.is_small() {
            true => (self.tile_plane(self.tiles.count), [self.tiles.parts(FEW) as i64, panels]),
            false => (self.panels() * self.weight_plane(), [panels, self.tiles.parts(self.chunk()) as i64]),
        };
        Plan { scratch: (A::PRODUCTS * scratch) as i64, units }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn run<A: Algorithm>(&self, phase: i64, unit: usize) {
        let depth = self.from.map.channels;
        let panel_floats = A::PRODUCTS * self.weight_plane();
        let product_floats = A::PRODUCTS * PRODUCT_PLANE;
        // SAFETY: both scratch memories have the planned sizes; units write to different places.
        unsafe {
            match (self.is_small(), phase) {
                (true, 0) => {
                    let tiles = self.tiles.part(unit, FEW);
                    let out = self.scratch.add(tiles.start * depth);
                    self.transform_inputs::<A>(tiles, out, self.tile_plane(self.tiles.count));
                }
                (true, _) => with_own(panel_floats + product_floats, |own| {
                    self.transform_weights::<A>(unit, own);
                    let plane = self.tile_plane(self.tiles.count);
                    for part in 0..self.tiles.parts(CHUNK) {
                        let tiles = self.tiles.part(part, CHUNK);
                        let left = self.scratch.add(tiles.start * depth);
                        self.multiply::<A>(tiles, left, plane, unit, own, own.add(panel_floats));
                    }
                }),
                (false, 0) => self.transform_weights::<A>(unit, self.scratch.add(unit * panel_floats)),
                (false, _) => {
                    let (tiles, plane) = (self.tiles.part(unit, self.chunk()), self.tile_plane(self.chunk()));
                    with_own(A::PRODUCTS * plane + product_floats, |own| {
                        self.transform_inputs::<A>(tiles.clone(), own, plane);
                        for panel in 0..self.panels() {
                            let (right, products) =
                                (self.scratch.add(panel * panel_floats), own.add(A::PRODUCTS * plane));
                            self.multiply::<A>(tiles.clone(), own, plane, panel, right, products);
                        }
                    });
                }
            }
        }
    }

    /// → `[PRODUCTS][tiles][from channels]`
    #[target_feature(enable = "avx512f")]
    unsafe fn transform_inputs<A: Algorithm>(&self, tiles: Range<usize>, out: *mut f32, plane: usize) {
        for (place, tile) in tiles.enumerate() {
            let (image, row, column) = self.tiles.input_place::<A>(tile);
            // SAFETY: see `run`.
            unsafe {
                let (image, depth) = (self.from.start.add(image * self.from.floats()), self.from.map.channels);
                inputs::<A>(image, self.from.map, row, column, depth, out.add(place * depth), plane);
            }
        }
    }

    /// → `[PRODUCTS][from channels][PANEL]`
    #[target_feature(enable = "avx512f")]
    unsafe fn transform_weights<A: Algorithm>(&self, panel: usize, out: *mut f32) {
        let depth = self.from.map.channels;
        let plane = self.weight_plane();
        // SAFETY: see `run`.
        unsafe {
            if self.is_gradient {
                let channels = self.to.map.channels;
                for k in 0..depth {
                    // the rows are far apart in memory: the processor does not prefetch them by itself
                    let ahead = self.weight.wrapping_add((k + AHEAD) * 9 * channels + panel * PANEL);
                    for line in (0..9).flat_map(|element| [element * channels, element * channels + LANES]) {
                        _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line).cast());
                    }
                    for half in [0, LANES] {
                        let kernel = self.weight.add(k * 9 * channels + panel * PANEL + half);
                        weights::<A>(kernel, channels, out.add(k * PANEL + half), plane);
                    }
                }
                return;
            }
            let mut square = [0f32; 25 * LANES * LANES];
            for half in [0, LANES] {
                for k in (0..depth).step_by(LANES) {
                    for channel in 0..LANES {
                        let kernel = self.weight.add((panel * PANEL + half + channel) * 9 * depth + k);
                        for element in 0..9 {
                            let ahead = kernel.wrapping_add(element * depth + AHEAD * LANES);
                            _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                        }
                        weights::<A>(kernel, depth, square.as_mut_ptr().add(channel * LANES), LANES * LANES);
                    }
                    for position in 0..A::PRODUCTS {
                        let square = square.as_ptr().add(position * LANES * LANES);
                        transpose(square, LANES, out.add(position * plane + k * PANEL + half), PANEL);
                    }
                }
            }
        }
    }

    /// Multiplies some tiles with a panel, and transforms the products into results.
    #[target_feature(enable = "avx512f")]
    unsafe fn multiply<A: Algorithm>(
        &self,
        tiles: Range<usize>,
        left: *const f32,
        left_plane: usize,
        panel: usize,
        right: *const f32,
        products: *mut f32,
    ) {
        let depth = self.from.map.channels;
        let plane = PRODUCT_PLANE;
        // SAFETY: see `run`.
        unsafe {
            for position in 0..A::PRODUCTS {
                let left = Left { start: left.add(position * left_plane), row_step: depth, k_step: 1 };
                let (right, out) = (right.add(position * self.weight_plane()), products.add(position * plane));
                product(left, tiles.len(), depth, right, PANEL, out, false);
            }
            for (place, tile) in tiles.enumerate() {
                let (image, row, column) = self.tiles.place(tile);
                for half in [0, LANES] {
                    let image = self.to.start.add(image * self.to.floats() + panel * PANEL + half);
                    outputs::<A>(products.add(place * PANEL + half), plane, image, self.to.map, row, column);
                }
            }
        }
    }
}

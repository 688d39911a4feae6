//! Transforms of tiles and weights, sixteen channels at a time.

#![allow(
    unused_assignments,
    clippy::redundant_comparisons,
    clippy::double_comparisons,
    clippy::absurd_extreme_comparisons,
    reason = "`each!` repeats its body for constants; for some of them comparisons and assignments are without effect"
)]

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_storeu_ps,
    _mm512_sub_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::algorithm::Algorithm;

/// Floats of a vector.
pub(crate) const LANES: usize = 16;
/// Columns of a product's panel: two vectors.
pub(crate) const PANEL: usize = 2 * LANES;

type Square = [[__m512; 5]; 5];

/// Repeats the body for the constants 0 to 4. With constants the compiler drops the products with zero and one in the
/// algorithms' tables.
macro_rules! each {
    ($index:ident, $body:expr) => {{
        {
            const $index: usize = 0;
            $body
        }
        {
            const $index: usize = 1;
            $body
        }
        {
            const $index: usize = 2;
            $body
        }
        {
            const $index: usize = 3;
            $body
        }
        {
            const $index: usize = 4;
            $body
        }
    }};
}

/// Σ coefficient · vector over 0 to 4.
macro_rules! combine {
    ($index:ident, $coefficient:expr, $vector:expr) => {{
        let (mut sum, mut is_begun) = (_mm512_setzero_ps(), false);
        each!($index, {
            let coefficient = const { $coefficient };
            if coefficient != 0.0 {
                let vector = $vector;
                sum = match is_begun {
                    false if coefficient == 1.0 => vector,
                    false => _mm512_mul_ps(_mm512_set1_ps(coefficient), vector),
                    true if coefficient == 1.0 => _mm512_add_ps(sum, vector),
                    true if coefficient == -1.0 => _mm512_sub_ps(sum, vector),
                    true => _mm512_fmadd_ps(_mm512_set1_ps(coefficient), vector, sum),
                };
                is_begun = true;
            }
        });
        sum
    }};
}

/// The shape of a map in memory, channels-last.
#[derive(Clone, Copy)]
pub(crate) struct Map {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Map {
    /// The tile whose first pixel is at `row`, `column`.
    #[inline]
    fn tile(&self, row: isize, column: isize) -> Tile {
        let is_inside = |place: isize, size: usize| (0..size as isize).contains(&place);
        let (line, pixel) = ((self.width * self.channels) as isize, self.channels as isize);
        Tile {
            rows: [0, 1, 2, 3, 4].map(|i| is_inside(row + i, self.height)),
            columns: [0, 1, 2, 3, 4].map(|j| if is_inside(column + j, self.width) { u16::MAX } else { 0 }),
            start: row * line + column * pixel,
            line,
            pixel,
        }
    }
}

/// Positions of a tile's pixels, and which of them are inside the image. Rows are tested with branches, which take the
/// same way for all channels, columns with masks, which stay in registers.
struct Tile {
    rows: [bool; 5],
    columns: [u16; 5],
    start: isize,
    line: isize,
    pixel: isize,
}

impl Tile {
    /// Offset of a pixel's first channel in the image.
    #[inline]
    fn at(&self, row: usize, column: usize) -> isize {
        self.start + row as isize * self.line + column as isize * self.pixel
    }
}

/// A coefficient of G, zero beyond the third column.
const fn kernel_coefficient(row: &[f32; 3], place: usize) -> f32 {
    if place < 3 { row[place] } else { 0.0 }
}

/// The products of one tile, `plane` floats apart.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn loaded<A: Algorithm>(products: *const f32, plane: usize) -> Square {
    let mut cells: Square = [[_mm512_setzero_ps(); 5]; 5];
    each!(
        P,
        each!(Q, {
            if P < A::M && Q < A::M {
                // SAFETY: the caller promises room for the products.
                cells[P][Q] = unsafe { _mm512_loadu_ps(products.add((P * A::M + Q) * plane)) };
            }
        })
    );
    cells
}

/// Bt·tile·B for the tile whose first input is at `row`, `column`, with zeros outside the image.
///
/// # Safety
/// `image` points to the first of `channels` (a multiple of 16) of the map's first pixel; `out` has room for the products,
/// `plane` floats apart.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn inputs<A: Algorithm>(
    image: *const f32,
    map: Map,
    row: isize,
    column: isize,
    channels: usize,
    out: *mut f32,
    plane: usize,
) {
    let pixels = map.tile(row, column);
    for channel in (0..channels).step_by(LANES) {
        let mut tile: Square = [[_mm512_setzero_ps(); 5]; 5];
        each!(I, {
            if I < A::IN && pixels.rows[I] {
                each!(J, {
                    if J < A::IN {
                        let place = image.wrapping_offset(pixels.at(I, J) + channel as isize);
                        // SAFETY: pixels outside are masked.
                        tile[I][J] = unsafe { _mm512_maskz_loadu_ps(pixels.columns[J], place) };
                    }
                });
            }
        });
        let mut half: Square = [[_mm512_setzero_ps(); 5]; 5];
        each!(P, each!(J, half[P][J] = combine!(I, A::BT[P][I], tile[I][J])));
        each!(
            P,
            each!(Q, {
                if P < A::M && Q < A::M {
                    let value = combine!(J, A::BT[Q][J], half[P][J]);
                    // SAFETY: the caller promises room for the products.
                    unsafe { _mm512_storeu_ps(out.add(channel + (P * A::M + Q) * plane), value) };
                }
            })
        );
    }
}

/// A·tile·At of the gradient of the results: the adjoint of [`outputs`].
///
/// # Safety
/// As for [`inputs`]; `row` and `column` are the tile's first result.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn gradients<A: Algorithm>(
    image: *const f32,
    map: Map,
    row: usize,
    column: usize,
    channels: usize,
    out: *mut f32,
    plane: usize,
) {
    let pixels = map.tile(row as isize, column as isize);
    for channel in (0..channels).step_by(LANES) {
        let mut tile: Square = [[_mm512_setzero_ps(); 5]; 5];
        each!(I, {
            if I < A::OUT && pixels.rows[I] {
                each!(J, {
                    if J < A::OUT {
                        let place = image.wrapping_offset(pixels.at(I, J) + channel as isize);
                        // SAFETY: pixels outside are masked.
                        tile[I][J] = unsafe { _mm512_maskz_loadu_ps(pixels.columns[J], place) };
                    }
                });
            }
        });
        let mut half: Square = [[_mm512_setzero_ps(); 5]; 5];
        each!(P, each!(J, half[P][J] = combine!(I, A::AT[I][P], tile[I][J])));
        each!(
            P,
            each!(Q, {
                if P < A::M && Q < A::M {
                    let value = combine!(J, A::AT[J][Q], half[P][J]);
                    // SAFETY: the caller promises room for the products.
                    unsafe { _mm512_storeu_ps(out.add(channel + (P * A::M + Q) * plane), value) };
                }
            })
        );
    }
}

/// At·products·A for 16 channels, written to those pixels of the tile at `row`, `column` that are inside the image.
///
/// # Safety
/// `products` are `plane` floats apart; `image` points to the first of the 16 channels of the map's first pixel.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn outputs<A: Algorithm>(
    products: *const f32,
    plane: usize,
    image: *mut f32,
    map: Map,
    row: usize,
    column: usize,
) {
    let pixels = map.tile(row as isize, column as isize);
    // SAFETY: the caller promises the products.
    let cells: Square = unsafe { loaded::<A>(products, plane) };
    let mut half: Square = [[_mm512_setzero_ps(); 5]; 5];
    each!(Q, each!(I, half[I][Q] = combine!(P, A::AT[I][P], cells[P][Q])));
    each!(I, {
        if I < A::OUT && pixels.rows[I] {
            each!(J, {
                if J < A::OUT {
                    let value = combine!(Q, A::AT[J][Q], half[I][Q]);
                    let place = image.wrapping_offset(pixels.at(I, J));
                    // SAFETY: pixels outside are masked.
                    unsafe { _mm512_mask_storeu_ps(place, pixels.columns[J], value) };
                }
            });
        }
    });
}

/// G·kernel·Gt for 16 neighbouring channels of a 3×3 kernel, whose elements are `step` floats apart.
///
/// # Safety
/// All nine elements can be read; `out` has room for the products, `plane` floats apart.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn weights<A: Algorithm>(kernel: *const f32, step: usize, out: *mut f32, plane: usize) {
    let mut tile: Square = [[_mm512_setzero_ps(); 5]; 5];
    each!(
        I,
        each!(J, {
            if I < 3 && J < 3 {
                // SAFETY: the kernel has nine elements.
                tile[I][J] = unsafe { _mm512_loadu_ps(kernel.add((I * 3 + J) * step)) };
            }
        })
    );
    let mut half: Square = [[_mm512_setzero_ps(); 5]; 5];
    each!(P, each!(J, half[P][J] = combine!(I, kernel_coefficient(&A::G[P], I), tile[I][J])));
    each!(
        P,
        each!(Q, {
            if P < A::M && Q < A::M {
                let value = combine!(J, kernel_coefficient(&A::G[Q], J), half[P][J]);
                // SAFETY: the caller promises room for the products.
                unsafe { _mm512_storeu_ps(out.add((P * A::M + Q) * plane), value) };
            }
        })
    );
}

/// Gt·products·G for 16 neighbouring channels: the gradient of the nine elements of a kernel.
///
/// # Safety
/// The products can be read, the nine elements written; both are arranged as for [`weights`].
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn weight_gradients<A: Algorithm>(products: *const f32, plane: usize, kernel: *mut f32, step: usize) {
    // SAFETY: the caller promises the products.
    let cells: Square = unsafe { loaded::<A>(products, plane) };
    let mut half: Square = [[_mm512_setzero_ps(); 5]; 5];
    each!(Q, each!(I, half[I][Q] = combine!(P, kernel_coefficient(&A::G[P], I), cells[P][Q])));
    each!(
        I,
        each!(J, {
            if I < 3 && J < 3 {
                let value = combine!(Q, kernel_coefficient(&A::G[Q], J), half[I][Q]);
                // SAFETY: the kernel has nine elements.
                unsafe { _mm512_storeu_ps(kernel.add((I * 3 + J) * step), value) };
            }
        })
    );
}

/// Transposes 16 × 16 floats, rows `from_step` and `to_step` floats apart.
///
/// # Safety
/// `from` can be read, `to` written, and they do not overlap.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
    let mut rows = [_mm512_setzero_ps(); 16];
    for (place, row) in rows.iter_mut().enumerate() {
        // SAFETY: the caller promises both squares.
        *row = unsafe { _mm512_loadu_ps(from.add(place * from_step)) };
    }
    let mut quads = rows;
    for four in (0..16).step_by(4) {
        let [a, b, c, d] = [rows[four], rows[four + 1], rows[four + 2], rows[four + 3]];
        let (low_ab, high_ab) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let (low_cd, high_cd) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let low = |a, b| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
        let high = |a, b| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
        quads[four] = low(low_ab, low_cd);
        quads[four + 1] = high(low_ab, low_cd);
        quads[four + 2] = low(high_ab, high_cd);
        quads[four + 3] = high(high_ab, high_cd);
    }
    // quarter s of quads[4q + r] has the floats of column 4s + r from the rows 4q to 4q + 3
    for r in 0..4 {
        let [a, b, c, d] = [quads[r], quads[4 + r], quads[8 + r], quads[12 + r]];
        let (even_ab, odd_ab) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
        let (even_cd, odd_cd) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
        let columns = [
            (r, _mm512_shuffle_f32x4::<0x88>(even_ab, even_cd)),
            (4 + r, _mm512_shuffle_f32x4::<0x88>(odd_ab, odd_cd)),
            (8 + r, _mm512_shuffle_f32x4::<0xdd>(even_ab, even_cd)),
            (12 + r, _mm512_shuffle_f32x4::<0xdd>(odd_ab, odd_cd)),
        ];
        for (column, value) in columns {
            // SAFETY: the caller promises both squares.
            unsafe { _mm512_storeu_ps(to.add(column * to_step), value) };
        }
    }
}

//! Transforms of tiles and weights, sixteen channels at a time.

#![allow(
    unused_assignments,
    clippy::redundant_comparisons,
    clippy::double_comparisons,
    clippy::absurd_extreme_comparisons,
    reason = "`each!` writes its body out for constants, some of which leave nothing to compare or to assign"
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

/// The body once for each of 0 to 4, as a constant: the tables' zeros and ones cost nothing only where the compiler
/// knows them.
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

/// A map in memory, channels last.
#[derive(Clone, Copy)]
pub(crate) struct Map {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Map {
    /// The pixels of a tile from `row`, `column` on.
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

/// Where a tile's pixels lie, and which of them lie in the picture. Rows are asked for with branches, which go the same
/// way for all channels, columns with masks, of which there are few enough to stay in registers.
struct Tile {
    rows: [bool; 5],
    columns: [u16; 5],
    start: isize,
    line: isize,
    pixel: isize,
}

impl Tile {
    /// A pixel's first channel, counted from the picture's.
    #[inline]
    fn at(&self, row: usize, column: usize) -> isize {
        self.start + row as isize * self.line + column as isize * self.pixel
    }
}

/// A tap's coefficient, zero behind the third.
const fn tap(row: &[f32; 3], place: usize) -> f32 {
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
                // SAFETY: a product's place.
                cells[P][Q] = unsafe { _mm512_loadu_ps(products.add((P * A::M + Q) * plane)) };
            }
        })
    );
    cells
}

/// Bt·tile·B: of the tile whose first input is at `row`, `column`, zeros outside the picture.
///
/// # Safety
/// `picture` has the map's floats from the first of `channels` on, a multiple of 16; `out` has room for the products,
/// `plane` floats apart.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn inputs<A: Algorithm>(
    picture: *const f32,
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
                        let place = picture.wrapping_offset(pixels.at(I, J) + channel as isize);
                        // SAFETY: nothing is read of a pixel outside.
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
                    // SAFETY: a product's place.
                    unsafe { _mm512_storeu_ps(out.add(channel + (P * A::M + Q) * plane), value) };
                }
            })
        );
    }
}

/// A·tile·At of a gradient of the results: what [`outputs`] is the adjoint of.
///
/// # Safety
/// As [`inputs`]; `row` and `column` are the tile's first result.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn gradients<A: Algorithm>(
    picture: *const f32,
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
                        let place = picture.wrapping_offset(pixels.at(I, J) + channel as isize);
                        // SAFETY: nothing is read of a pixel outside.
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
                    // SAFETY: a product's place.
                    unsafe { _mm512_storeu_ps(out.add(channel + (P * A::M + Q) * plane), value) };
                }
            })
        );
    }
}

/// At·products·A for 16 channels, into the pixels of the tile at `row`, `column` that lie in the picture.
///
/// # Safety
/// `products` are `plane` floats apart, `picture` has the map's floats from the channel on.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn outputs<A: Algorithm>(
    products: *const f32,
    plane: usize,
    picture: *mut f32,
    map: Map,
    row: usize,
    column: usize,
) {
    let pixels = map.tile(row as isize, column as isize);
    // SAFETY: the products' places.
    let cells: Square = unsafe { loaded::<A>(products, plane) };
    let mut half: Square = [[_mm512_setzero_ps(); 5]; 5];
    each!(Q, each!(I, half[I][Q] = combine!(P, A::AT[I][P], cells[P][Q])));
    each!(I, {
        if I < A::OUT && pixels.rows[I] {
            each!(J, {
                if J < A::OUT {
                    let value = combine!(Q, A::AT[J][Q], half[I][Q]);
                    let place = picture.wrapping_offset(pixels.at(I, J));
                    // SAFETY: nothing is written to a pixel outside.
                    unsafe { _mm512_mask_storeu_ps(place, pixels.columns[J], value) };
                }
            });
        }
    });
}

/// G·taps·Gt for 16 neighbouring weights of each of nine taps, `step` floats apart.
///
/// # Safety
/// All nine are there, `out` has room for the products, `plane` floats apart.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn weights<A: Algorithm>(taps: *const f32, step: usize, out: *mut f32, plane: usize) {
    let mut tile: Square = [[_mm512_setzero_ps(); 5]; 5];
    each!(
        I,
        each!(J, {
            if I < 3 && J < 3 {
                // SAFETY: nine taps are there.
                tile[I][J] = unsafe { _mm512_loadu_ps(taps.add((I * 3 + J) * step)) };
            }
        })
    );
    let mut half: Square = [[_mm512_setzero_ps(); 5]; 5];
    each!(P, each!(J, half[P][J] = combine!(I, tap(&A::G[P], I), tile[I][J])));
    each!(
        P,
        each!(Q, {
            if P < A::M && Q < A::M {
                let value = combine!(J, tap(&A::G[Q], J), half[P][J]);
                // SAFETY: a product's place.
                unsafe { _mm512_storeu_ps(out.add((P * A::M + Q) * plane), value) };
            }
        })
    );
}

/// Gt·products·G for 16 neighbouring weights: the gradient of the nine taps.
///
/// # Safety
/// As [`weights`], the other way round.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn weight_gradients<A: Algorithm>(products: *const f32, plane: usize, taps: *mut f32, step: usize) {
    // SAFETY: the products' places.
    let cells: Square = unsafe { loaded::<A>(products, plane) };
    let mut half: Square = [[_mm512_setzero_ps(); 5]; 5];
    each!(Q, each!(I, half[I][Q] = combine!(P, tap(&A::G[P], I), cells[P][Q])));
    each!(
        I,
        each!(J, {
            if I < 3 && J < 3 {
                let value = combine!(Q, tap(&A::G[Q], J), half[I][Q]);
                // SAFETY: nine taps are there.
                unsafe { _mm512_storeu_ps(taps.add((I * 3 + J) * step), value) };
            }
        })
    );
}

/// Transposes 16 × 16 floats, rows `from_step` and `to_step` floats apart.
///
/// # Safety
/// Both squares are there and do not overlap.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
    let mut rows = [_mm512_setzero_ps(); 16];
    for (place, row) in rows.iter_mut().enumerate() {
        // SAFETY: the square is there.
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
    // quads[4q + r] holds, in its quarter s, the floats of column 4s + r from the rows 4q to 4q + 3
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
            // SAFETY: the square is there.
            unsafe { _mm512_storeu_ps(to.add(column * to_step), value) };
        }
    }
}

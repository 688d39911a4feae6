//! Minimal filtering in two dimensions: F(4×4, 3×3) of Lavin and Gray (arXiv:1509.09308), by interpolation at the points
//! 0, ±1, ±2 and ∞.
//!
//! A tile of 4×4 results needs 6×6 inputs. Both sides are transformed along rows and columns, and multiplied position by
//! position: 36 products for 16 results, 144 directly. The products at one position over all tiles and channels are a
//! product of matrices.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, _mm256_add_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_storeu_ps, _mm256_sub_ps,
};

#[cfg(target_arch = "x86_64")]
use super::kernels::LANES;
use super::kernels::PANEL;

/// Results of a tile along an axis.
pub(super) const OUT: usize = 4;
/// Inputs of a tile, and products, along an axis.
const IN: usize = 6;
/// Products of a tile.
pub(super) const PRODUCTS: usize = IN * IN;
/// Tiles that are transformed and multiplied at a time: a multiple of the rows of a product.
pub(super) const TILES: usize = 24;

/// G: transforms a kernel.
const G: [[f64; 3]; IN] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// G·kernel·Gt of all kernels, `[products][panels][inputs][PANEL]`. `at` is the weight of an output, an input and a tap.
pub(super) fn weights(outputs: usize, inputs: usize, at: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    let mut transformed = vec![0.0; PRODUCTS * outputs * inputs];
    for output in 0..outputs {
        for input in 0..inputs {
            let taps: [f64; 9] = std::array::from_fn(|tap| f64::from(at(output, input, tap)));
            let sum = |row: &[f64; 3], values: [f64; 3]| (0..3).map(|k| row[k] * values[k]).sum::<f64>();
            let half = G.map(|row| [0, 1, 2].map(|k| sum(&row, [taps[k], taps[3 + k], taps[6 + k]])));
            for product in 0..PRODUCTS {
                let panel = product * (outputs / PANEL) + output / PANEL;
                let value = sum(&G[product % IN], half[product / IN]);
                transformed[(panel * inputs + input) * PANEL + output % PANEL] = value as f32;
            }
        }
    }
    transformed
}

/// Bt·v
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma")]
fn to_products(v: [__m256; IN]) -> [__m256; IN] {
    let constant = |value: f32| _mm256_set1_ps(value);
    let (four, five, two) = (constant(4.0), constant(5.0), constant(2.0));
    let (a, b) = (_mm256_fnmadd_ps(four, v[2], v[4]), _mm256_fnmadd_ps(four, v[1], v[3]));
    let (c, d) = (_mm256_sub_ps(v[4], v[2]), _mm256_mul_ps(two, _mm256_sub_ps(v[3], v[1])));
    [
        _mm256_fmadd_ps(four, v[0], _mm256_fnmadd_ps(five, v[2], v[4])),
        _mm256_add_ps(a, b),
        _mm256_sub_ps(a, b),
        _mm256_add_ps(c, d),
        _mm256_sub_ps(c, d),
        _mm256_fmadd_ps(four, v[1], _mm256_fnmadd_ps(five, v[3], v[5])),
    ]
}

/// At·v
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma")]
fn to_results(v: [__m256; IN]) -> [__m256; OUT] {
    let (two, four, eight) = (_mm256_set1_ps(2.0), _mm256_set1_ps(4.0), _mm256_set1_ps(8.0));
    let (a, b) = (_mm256_add_ps(v[1], v[2]), _mm256_sub_ps(v[1], v[2]));
    let (c, d) = (_mm256_add_ps(v[3], v[4]), _mm256_sub_ps(v[3], v[4]));
    [
        _mm256_add_ps(_mm256_add_ps(v[0], a), c),
        _mm256_fmadd_ps(two, d, b),
        _mm256_fmadd_ps(four, c, a),
        _mm256_add_ps(_mm256_fmadd_ps(eight, d, b), v[5]),
    ]
}

/// Bt·tile·B of one tile, whose first input is at `from`; its lines are `line` floats apart. The products are `plane`
/// floats apart.
///
/// # Safety
/// The processor has AVX2 and FMA, 6×6 pixels of `channels` (a multiple of 8) can be read, and all products written.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn inputs(from: *const f32, line: usize, channels: usize, out: *mut f32, plane: usize) {
    for channel in (0..channels).step_by(LANES) {
        let mut half = [[_mm256_setzero_ps(); IN]; IN];
        for column in 0..IN {
            // SAFETY: as the caller promises.
            let pixel = |row: usize| unsafe { _mm256_loadu_ps(from.add(row * line + column * channels + channel)) };
            let own = to_products([pixel(0), pixel(1), pixel(2), pixel(3), pixel(4), pixel(5)]);
            half.iter_mut().zip(own).for_each(|(half, value)| half[column] = value);
        }
        for (row, half) in half.into_iter().enumerate() {
            for (column, value) in to_products(half).into_iter().enumerate() {
                // SAFETY: as the caller promises.
                unsafe { _mm256_storeu_ps(out.add((row * IN + column) * plane + channel), value) };
            }
        }
    }
}

/// At·products·A of one tile, written to those of its pixels that are `shown` (rows, columns).
///
/// # Safety
/// The processor has AVX2 and FMA; all products of `channels` (a multiple of 8) can be read, `plane` floats apart, and
/// the shown pixels written.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn outputs(
    products: *const f32,
    plane: usize,
    channels: usize,
    to: *mut f32,
    line: usize,
    shown: [usize; 2],
) {
    for channel in (0..channels).step_by(LANES) {
        let mut half = [[_mm256_setzero_ps(); IN]; OUT];
        for column in 0..IN {
            // SAFETY: as the caller promises.
            let product = |row: usize| unsafe { _mm256_loadu_ps(products.add((row * IN + column) * plane + channel)) };
            let own = to_results([product(0), product(1), product(2), product(3), product(4), product(5)]);
            half.iter_mut().zip(own).for_each(|(half, value)| half[column] = value);
        }
        for (row, half) in half.into_iter().enumerate().take(shown[0]) {
            for (column, value) in to_results(half).into_iter().enumerate().take(shown[1]) {
                // SAFETY: as the caller promises.
                unsafe { _mm256_storeu_ps(to.add(row * line + column * channels + channel), value) };
            }
        }
    }
}

/// On other processors there is no [`Convolution`](super::Convolution).
#[cfg(not(target_arch = "x86_64"))]
mod other {
    pub(in super::super) unsafe fn inputs(_: *const f32, _: usize, _: usize, _: *mut f32, _: usize) {
        unreachable!("this processor has no AVX2");
    }

    pub(in super::super) unsafe fn outputs(_: *const f32, _: usize, _: usize, _: *mut f32, _: usize, _: [usize; 2]) {
        unreachable!("this processor has no AVX2");
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use other::{inputs, outputs};

use serde::{Deserialize, Serialize};

use super::tone::{exp2, to_unit};

/// A smooth field that multiplies the image, as the sensitivity of a receive coil does:
/// `exp(Σ cᵢⱼ·Lᵢ(x)·Lⱼ(y))` with Legendre polynomials up to degree 3 over −1…1 (MONAI's `RandBiasField`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasField {
    /// `coefficients[i][j]` belongs to degree i along a row and j along a column.
    pub coefficients: [[f32; 4]; 4],
}

fn legendre(x: f64) -> [f64; 4] {
    [1.0, x, 0.5 * (3.0 * x * x - 1.0), 0.5 * (5.0 * x * x * x - 3.0 * x)]
}

/// The position of a pixel in −1…1; the first is −1 and the last is 1.
fn place(pixel: usize, size: usize) -> f64 {
    if size > 1 { 2.0 * pixel as f64 / (size - 1) as f64 - 1.0 } else { -1.0 }
}

impl BiasField {
    /// Multiplies an image in place; values are clamped to 0…1.
    ///
    /// # Shapes
    /// `image` is row-major, `image.len() / width` × `width`.
    pub fn apply(&self, image: &mut [f32], width: usize) {
        if width == 0 {
            return;
        }
        let rows = BiasRows::new(self, width, image.len() / width);
        for (row, values) in image.chunks_exact_mut(width).enumerate() {
            rows.apply(row, values);
        }
    }
}

/// The field with its polynomials along a row computed.
pub(crate) struct BiasRows {
    columns: [Vec<f32>; 3],
    rows: Vec<[f32; 4]>,
}

impl BiasRows {
    pub(crate) fn new(field: &BiasField, width: usize, height: usize) -> Self {
        let polynomials: Vec<_> = (0..width).map(|pixel| legendre(place(pixel, width))).collect();
        let columns = std::array::from_fn(|degree| polynomials.iter().map(|p| p[degree + 1] as f32).collect());
        let rows = (0..height)
            .map(|pixel| {
                let down = legendre(place(pixel, height));
                // e^v = 2^(v·log₂ e)
                field.coefficients.map(|along| {
                    let sum: f64 = along.iter().zip(down).map(|(c, l)| f64::from(*c) * l).sum();
                    (sum * std::f64::consts::LOG2_E) as f32
                })
            })
            .collect();
        Self { columns, rows }
    }

    #[inline(always)]
    pub(crate) fn apply(&self, row: usize, values: &mut [f32]) {
        let [c0, c1, c2, c3] = self.rows[row];
        let [first, second, third] = &self.columns;
        for (((value, l1), l2), l3) in values.iter_mut().zip(first).zip(second).zip(third) {
            *value = to_unit(*value * exp2(c0 + c1 * l1 + c2 * l2 + c3 * l3));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_nothing_changes_nothing() {
        let mut image = [0.2, 0.5, 0.7, 1.0];
        BiasField { coefficients: [[0.0; 4]; 4] }.apply(&mut image, 2);
        assert_eq!(image, [0.2, 0.5, 0.7, 1.0]);
    }

    #[test]
    fn a_slope_to_the_right_brightens_the_right() {
        let mut coefficients = [[0.0; 4]; 4];
        coefficients[1][0] = 0.5;
        let mut image = [0.4; 9];
        BiasField { coefficients }.apply(&mut image, 3);
        for (value, expected) in image[..3].iter().zip([-0.5_f64, 0.0, 0.5]) {
            assert!((f64::from(*value) - 0.4 * expected.exp()).abs() < 1e-6);
        }
        assert_eq!(image[..3], image[6..]);
    }
}

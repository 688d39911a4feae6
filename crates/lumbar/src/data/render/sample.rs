//! Bilinear interpolation of one row of a crop.

use super::super::Affine;
use super::super::augment::{WarpRows, to_unit};
use super::{Border, Pixel, Plane};

/// The places of one row's pixels in a slice: whole pixels and the rest.
#[derive(Debug, Default)]
pub(super) struct Row {
    x: Vec<f64>,
    y: Vec<f64>,
    column: Vec<i32>,
    line: Vec<i32>,
    right: Vec<f32>,
    down: Vec<f32>,
}

/// Adding this to a coordinate leaves it in the mantissa's low bits as a fixed-point number with 32 bits
/// behind the point: 2⁵²⁺¹ · 2⁻³² · ¾.
const FIXED: f64 = 1_572_864.0;
/// Farther away lies no pixel.
const FAR: f64 = 262_144.0;

/// Whole pixels and the rest in 0…1, exact to 2⁻²⁴ pixels, in a few instructions of any vector unit.
#[inline(always)]
fn split(coordinate: f64) -> (i32, f32) {
    let above = if coordinate > -FAR { coordinate } else { -FAR };
    let near = if above < FAR { above } else { FAR };
    let fixed = (near + FIXED).to_bits().wrapping_sub(FIXED.to_bits());
    let rest = ((fixed as u32) >> 8) as i32 as f32 * (1.0 / 16_777_216.0);
    ((fixed >> 32) as u32 as i32, rest)
}

impl Row {
    pub(super) fn resize(&mut self, width: usize) {
        self.x.resize(width, 0.0);
        self.y.resize(width, 0.0);
        self.column.resize(width, 0);
        self.line.resize(width, 0);
        self.right.resize(width, 0.0);
        self.down.resize(width, 0.0);
    }

    /// Works out where the pixels of output row `y` lie.
    #[inline(always)]
    pub(super) fn place(&mut self, warp: &WarpRows, y: usize, to_source: &Affine) {
        warp.fill(y, &mut self.x, &mut self.y);
        let [[a, b, c], [d, e, f]] = to_source.0;
        let places = self.x.iter().zip(&self.y);
        let out = self.column.iter_mut().zip(&mut self.line).zip(self.right.iter_mut().zip(&mut self.down));
        for ((x, y), ((column, line), (right, down))) in places.zip(out) {
            (*column, *right) = split(a * x + b * y + c);
            (*line, *down) = split(d * x + e * y + f);
        }
    }

    /// Interpolates, rescales and cuts off at 0 and 1.
    #[inline(always)]
    pub(super) fn sample<P: Pixel>(&self, plane: &Plane<P>, border: Border, out: &mut [f32]) {
        let Plane { pixels, rows, columns, gain, offset, .. } = *plane;
        let (last_column, last_line) = (columns as u32 - 1, rows as u32 - 1);
        let places = self.column.iter().zip(&self.line).zip(self.right.iter().zip(&self.down));
        for (out, ((column, line), (right, down))) in out.iter_mut().zip(places) {
            let corners = if (*column as u32) < last_column && (*line as u32) < last_line {
                let at = *line as usize * columns + *column as usize;
                let (upper, lower) = (&pixels[at..at + 2], &pixels[at + columns..at + columns + 2]);
                [upper[0].value(), upper[1].value(), lower[0].value(), lower[1].value()]
            } else {
                edge(plane, border, *column, *line)
            };
            let upper = corners[0] + (corners[1] - corners[0]) * right;
            let lower = corners[2] + (corners[3] - corners[2]) * right;
            *out = upper + (lower - upper) * down;
        }
        for value in out {
            *value = to_unit(*value * gain + offset);
        }
    }
}

/// The four pixels about a place of which some lie beyond the edge.
#[cold]
#[inline(never)]
fn edge<P: Pixel>(plane: &Plane<P>, border: Border, column: i32, line: i32) -> [f32; 4] {
    let pixel = |column: i32, line: i32| {
        let (x, y) = match border {
            Border::Constant(value) => {
                let inside = |at: i32, size: usize| (0..size as i32).contains(&at);
                if !inside(column, plane.columns) || !inside(line, plane.rows) {
                    // in stored units, so that rescaling makes the constant of it
                    return if plane.gain == 0.0 { 0.0 } else { (value - plane.offset) / plane.gain };
                }
                (column, line)
            }
            Border::Repeat => (column.clamp(0, plane.columns as i32 - 1), line.clamp(0, plane.rows as i32 - 1)),
            Border::Reflect => (reflect(column, plane.columns), reflect(line, plane.rows)),
        };
        plane.pixels[y as usize * plane.columns + x as usize].value()
    };
    [pixel(column, line), pixel(column + 1, line), pixel(column, line + 1), pixel(column + 1, line + 1)]
}

fn reflect(at: i32, size: usize) -> i32 {
    let last = size as i32 - 1;
    if last == 0 {
        return 0;
    }
    let within = at.rem_euclid(2 * last);
    within.min(2 * last - within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_split_into_floor_and_rest() {
        for coordinate in [0.0, 0.25, 17.999_999, -0.25, -3.0, 511.5, -262_000.125, 1e-9] {
            let (whole, rest) = split(coordinate);
            assert!((f64::from(whole) + f64::from(rest) - coordinate).abs() < 1e-7, "{coordinate}: {whole} {rest}");
            assert!((0.0..1.0).contains(&rest));
        }
        assert_eq!(split(f64::NAN).0, -262_144);
        assert_eq!(split(1e300).0, 262_144);
    }
}

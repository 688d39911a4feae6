//! Bilinear interpolation of one row of a crop: the positions of its pixels, the four stored values around each
//! position, and their weighted mean. Three loops over arrays, so that all but the loads become vector instructions.

use super::super::Affine2;
use super::super::augment::{WarpRows, to_unit};
use super::source::Pixel;
use super::{Border, NotCached, Samples, SourceImage};

/// The positions of one row's pixels in a slice, as whole pixels and fractions, and the values there.
#[derive(Debug, Default)]
pub(super) struct Row {
    column: Vec<i32>,
    line: Vec<i32>,
    right: Vec<f32>,
    down: Vec<f32>,
    /// Index of the upper left of the four pixels in the region.
    at: Vec<u32>,
    pairs: Pairs,
}

/// Neighbours in a row, packed: two stored values are one load.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) narrow: [Vec<u32>; 2],
    pub(super) wide: [Vec<u64>; 2],
}

/// Adding this to a coordinate puts it into the mantissa's low bits as a fixed-point number with 32 fractional bits:
/// 2⁵²⁺¹ · 2⁻³² · ¾.
const FIXED: f64 = 1_572_864.0;
/// No pixel is farther away.
const FAR: f64 = 262_144.0;

/// Whole pixels and the fraction in 0…1, exact to 2⁻²⁴ pixels, in a few vector instructions.
#[inline(always)]
fn split(coordinate: f64) -> (i32, f32) {
    let above = if coordinate > -FAR { coordinate } else { -FAR };
    let near = if above < FAR { above } else { FAR };
    let fixed = (near + FIXED).to_bits().wrapping_sub(FIXED.to_bits());
    let rest = ((fixed as u32) >> 8) as i32 as f32 * (1.0 / 16_777_216.0);
    ((fixed >> 32) as u32 as i32, rest)
}

#[inline(always)]
fn bilinear(upper: [f32; 2], lower: [f32; 2], right: f32, down: f32) -> f32 {
    let above = upper[0] + (upper[1] - upper[0]) * right;
    let below = lower[0] + (lower[1] - lower[0]) * right;
    above + (below - above) * down
}

impl Row {
    pub(super) fn resize(&mut self, width: usize) {
        self.column.resize(width, 0);
        self.line.resize(width, 0);
        self.right.resize(width, 0.0);
        self.down.resize(width, 0.0);
        self.at.resize(width, 0);
        self.pairs.narrow.iter_mut().for_each(|pairs| pairs.resize(width, 0));
        self.pairs.wide.iter_mut().for_each(|pairs| pairs.resize(width, 0));
    }

    /// Writes row `y` of a crop into `out`: interpolated, rescaled and clamped to 0…1.
    #[inline(always)]
    pub(super) fn sample(
        &mut self,
        image: &SourceImage,
        warp: &WarpRows,
        to_source: &Affine2,
        border: Border,
        y: usize,
        out: &mut [f32],
    ) -> Result<(), NotCached> {
        let (last_x, last_y) = (image.columns as f64 - 1.0, image.rows as f64 - 1.0);
        match border {
            Border::Constant(_) => self.place(warp, to_source, y, |x| x, |y| y),
            Border::Repeat => {
                let fold = |at: f64, last: f64| {
                    let above = if at > 0.0 { at } else { 0.0 };
                    if above < last { above } else { last }
                };
                self.place(warp, to_source, y, |x| fold(x, last_x), |y| fold(y, last_y));
            }
            // Reflected once at each end; positions that are still outside are handled pixel by pixel.
            Border::Reflect => {
                let fold = |at: f64, last: f64| last - (last - at.abs()).abs();
                self.place(warp, to_source, y, |x| fold(x, last_x), |y| fold(y, last_y));
            }
        }
        match image.pixels {
            Samples::U8(pixels) => self.interpolate(image, pixels, border, out),
            Samples::I8(pixels) => self.interpolate(image, pixels, border, out),
            Samples::U16(pixels) => self.interpolate(image, pixels, border, out),
            Samples::I16(pixels) => self.interpolate(image, pixels, border, out),
            Samples::F32(pixels) => self.interpolate(image, pixels, border, out),
        }
    }

    /// Computes the positions of the pixels of output row `y`; `fold_x` and `fold_y` map coordinates beyond the edge
    /// back into the slice.
    #[inline(always)]
    fn place(
        &mut self,
        warp: &WarpRows,
        to_source: &Affine2,
        y: usize,
        fold_x: impl Fn(f64) -> f64,
        fold_y: impl Fn(f64) -> f64,
    ) {
        let [[a, b, c], [d, e, f]] = to_source.0;
        let at_y = warp.y[y];
        let out = self.column.iter_mut().zip(&mut self.line).zip(self.right.iter_mut().zip(&mut self.down));
        match &warp.optics {
            None => {
                let (start_x, start_y) = (b * at_y + c, e * at_y + f);
                for (x, ((column, line), (right, down))) in warp.x.iter().zip(out) {
                    (*column, *right) = split(fold_x(a * x + start_x));
                    (*line, *down) = split(fold_y(d * x + start_y));
                }
            }
            Some(optics) => {
                for (x, ((column, line), (right, down))) in warp.x.iter().zip(out) {
                    let [x, y] = optics.inverse(*x, at_y);
                    (*column, *right) = split(fold_x(a * x + b * y + c));
                    (*line, *down) = split(fold_y(d * x + e * y + f));
                }
            }
        }
    }

    #[inline(always)]
    fn interpolate<P: Pixel>(
        &mut self,
        image: &SourceImage,
        pixels: &[P],
        border: Border,
        out: &mut [f32],
    ) -> Result<(), NotCached> {
        let (gain, offset) = (image.gain, image.offset);
        if !self.index(image) {
            self.by_pixel(image, pixels, border, out)?;
            for value in out {
                *value = to_unit(*value * gain + offset);
            }
            return Ok(());
        }
        let [upper, lower] = P::pairs(&mut self.pairs);
        let below = image.region.width;
        for ((at, upper), lower) in self.at.iter().zip(upper.iter_mut()).zip(lower.iter_mut()) {
            let square = &pixels[*at as usize..][..below + 2];
            *upper = P::pair(square[0], square[1]);
            *lower = P::pair(square[below], square[below + 1]);
        }
        let pairs = upper.iter().zip(lower.iter()).zip(self.right.iter().zip(&self.down));
        for (out, ((upper, lower), (right, down))) in out.iter_mut().zip(pairs) {
            *out = to_unit(bilinear(P::values(*upper), P::values(*lower), *right, *down) * gain + offset);
        }
        Ok(())
    }

    /// Computes the index of each position in the region. Returns whether all four pixels around every position are in
    /// the region; if not, the indices have no meaning.
    #[inline(always)]
    fn index(&mut self, image: &SourceImage) -> bool {
        let region = image.region;
        let (left, top, width) = (region.x as u32, region.y as u32, region.width as u32);
        let (last_column, last_line) = (width.wrapping_sub(1), (region.height as u32).wrapping_sub(1));
        let mut beyond = 0;
        for (at, (column, line)) in self.at.iter_mut().zip(self.column.iter().zip(&self.line)) {
            let column = (*column as u32).wrapping_sub(left);
            let line = (*line as u32).wrapping_sub(top);
            beyond |= u32::from(column >= last_column) | u32::from(line >= last_line);
            *at = line.wrapping_mul(width).wrapping_add(column);
        }
        beyond == 0
    }

    /// The same for rows that touch the edge, in stored units.
    #[inline(never)]
    fn by_pixel<P: Pixel>(
        &self,
        image: &SourceImage,
        pixels: &[P],
        border: Border,
        out: &mut [f32],
    ) -> Result<(), NotCached> {
        let region = image.region;
        let (last_column, last_line) = (region.width as i32 - 1, region.height as i32 - 1);
        let places = self.column.iter().zip(&self.line).zip(self.right.iter().zip(&self.down));
        for (out, ((column, line), (right, down))) in out.iter_mut().zip(places) {
            let (x, y) = (*column - region.x as i32, *line - region.y as i32);
            let [upper, lower] = if (0..last_column).contains(&x) && (0..last_line).contains(&y) {
                let square = &pixels[y as usize * region.width + x as usize..][..region.width + 2];
                let value = |at: usize| square[at].value();
                [[value(0), value(1)], [value(region.width), value(region.width + 1)]]
            } else {
                edge(image, pixels, border, *column, *line)?
            };
            *out = bilinear(upper, lower, *right, *down);
        }
        Ok(())
    }
}

/// The four pixels around a position of which some are beyond the edge.
fn edge<P: Pixel>(
    image: &SourceImage,
    pixels: &[P],
    border: Border,
    column: i32,
    line: i32,
) -> Result<[[f32; 2]; 2], NotCached> {
    let (columns, rows) = (image.columns as i32, image.rows as i32);
    // in stored units, so that rescaling gives the constant
    let outside = match border {
        Border::Constant(value) if image.gain != 0.0 => (value - image.offset) / image.gain,
        _ => 0.0,
    };
    let pixel = |column: i32, line: i32| {
        let (x, y) = match border {
            Border::Constant(_) if !(0..columns).contains(&column) || !(0..rows).contains(&line) => {
                return Ok(outside);
            }
            Border::Constant(_) => (column, line),
            Border::Repeat => (column.clamp(0, columns - 1), line.clamp(0, rows - 1)),
            Border::Reflect => (reflect(column, columns), reflect(line, rows)),
        };
        let (column, row) = (x as usize, y as usize);
        image.region.index(column, row).map(|at| pixels[at].value()).ok_or(NotCached { column, row })
    };
    if matches!(border, Border::Constant(_)) && (!(-1..columns).contains(&column) || !(-1..rows).contains(&line)) {
        return Ok([[outside; 2]; 2]);
    }
    Ok([[pixel(column, line)?, pixel(column + 1, line)?], [pixel(column, line + 1)?, pixel(column + 1, line + 1)?]])
}

fn reflect(at: i32, size: i32) -> i32 {
    let last = size - 1;
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

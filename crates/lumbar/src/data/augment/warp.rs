use serde::{Deserialize, Serialize};

/// A distortion that bends straight lines, as a map from output pixels to input pixels.
///
/// The formulas are those of albumentations 2.0.8, `GridDistortion` (normalised) and `OpticalDistortion`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Warp {
    /// No distortion.
    #[default]
    None,
    /// Columns and rows in bands of different width: relative band widths, one more than there are steps,
    /// each near 1 and above 0.
    Grid {
        /// Bands along a row.
        x_steps: Vec<f64>,
        /// Bands along a column.
        y_steps: Vec<f64>,
    },
    /// A lens: pixels move the more, the farther they are from the centre.
    Optical {
        /// Which lens.
        lens: Lens,
        /// Strength; above 0 the image shrinks towards the centre.
        k: f64,
    },
}

/// How a lens moves pixels with their distance from the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lens {
    /// `1 + k·r² + k·r⁴`, r in image widths and heights (OpenCV's camera model with k₁ = k₂).
    Camera,
    /// `1 + k·r²`, r as a part of the half diagonal.
    Fisheye,
}

impl Warp {
    /// The input position that is shown at the output position `[x, y]`.
    #[must_use]
    pub fn inverse(&self, [x, y]: [f64; 2], width: usize, height: usize) -> [f64; 2] {
        match self {
            Self::None => [x, y],
            Self::Grid { x_steps, y_steps } => {
                [at(&grid_table(x_steps, width), x), at(&grid_table(y_steps, height), y)]
            }
            Self::Optical { lens, k } => {
                let optics = Optics::new(*lens, *k, width, height);
                optics.inverse(x, y)
            }
        }
    }

    /// The output position at which the input position is shown, by Newton's method on [`Warp::inverse`]; `None` if
    /// there is no such position.
    #[must_use]
    pub fn forward(&self, point: [f64; 2], width: usize, height: usize) -> Option<[f64; 2]> {
        if *self == Self::None {
            return Some(point);
        }
        const STEP_PX: f64 = 1e-4;
        let mut guess = point;
        for _ in 0..50 {
            let here = self.inverse(guess, width, height);
            let miss = [point[0] - here[0], point[1] - here[1]];
            if miss[0].abs().max(miss[1].abs()) < 1e-9 {
                return Some(guess);
            }
            let right = self.inverse([guess[0] + STEP_PX, guess[1]], width, height);
            let below = self.inverse([guess[0], guess[1] + STEP_PX], width, height);
            let [a, d] = [(right[0] - here[0]) / STEP_PX, (right[1] - here[1]) / STEP_PX];
            let [b, e] = [(below[0] - here[0]) / STEP_PX, (below[1] - here[1]) / STEP_PX];
            let determinant = a * e - b * d;
            if determinant.abs() < 1e-9 {
                return None;
            }
            guess[0] += (e * miss[0] - b * miss[1]) / determinant;
            guess[1] += (a * miss[1] - d * miss[0]) / determinant;
            if !(guess[0].is_finite() && guess[1].is_finite()) {
                return None;
            }
        }
        let here = self.inverse(guess, width, height);
        ((point[0] - here[0]).abs().max((point[1] - here[1]).abs()) < 1e-3).then_some(guess)
    }
}

/// Input position of each output pixel along one axis (albumentations' `normalize_grid_distortion_steps` and
/// `generate_grid`).
fn grid_table(steps: &[f64], size: usize) -> Vec<f64> {
    let bands = steps.len().saturating_sub(1);
    if bands == 0 || size < bands {
        return (0..size).map(|pixel| pixel as f64).collect();
    }
    let step = size / bands;
    let last = size.min((bands + 1) * step) - bands * step;
    let mut steps = steps.to_vec();
    steps[bands] *= last as f64 / step as f64;
    let total: f64 = steps.iter().sum();
    let norm = size as f64 / step as f64 / total;

    let mut table = vec![0.0; size];
    let mut from = 0.0;
    for (band, width) in steps.iter().enumerate() {
        let (start, end) = (band * step, ((band + 1) * step).min(size));
        let to = from + step as f64 * width * norm;
        for (pixel, place) in table[start.min(end)..end].iter_mut().enumerate() {
            let part = if end - start > 1 { pixel as f64 / (end - start - 1) as f64 } else { 0.0 };
            *place = from + (to - from) * part;
        }
        from = to;
    }
    table
}

/// The table, interpolated and extrapolated linearly.
fn at(table: &[f64], position: f64) -> f64 {
    if table.len() < 2 {
        return position;
    }
    let before = (position.floor().max(0.0) as usize).min(table.len() - 2);
    table[before] + (table[before + 1] - table[before]) * (position - before as f64)
}

/// The coefficients of a lens.
pub(crate) struct Optics {
    /// Centre of the output and of the input, in pixels. OpenCV's default camera takes the centre between the pixels'
    /// centres, albumentations that of the area.
    centre: [f64; 2],
    to_centre: [f64; 2],
    scale: [f64; 2],
    square: f64,
    fourth: f64,
}

impl Optics {
    fn new(lens: Lens, k: f64, width: usize, height: usize) -> Self {
        let (width, height) = (width as f64, height as f64);
        let to_centre = [width / 2.0, height / 2.0];
        match lens {
            Lens::Camera => {
                let centre = [(width - 1.0) / 2.0, (height - 1.0) / 2.0];
                Self { centre, to_centre, scale: [1.0 / width, 1.0 / height], square: k, fourth: k }
            }
            Lens::Fisheye => {
                let radius = to_centre[0].hypot(to_centre[1]);
                Self { centre: to_centre, to_centre, scale: [1.0 / radius; 2], square: k, fourth: 0.0 }
            }
        }
    }

    #[inline(always)]
    pub(crate) fn inverse(&self, x: f64, y: f64) -> [f64; 2] {
        let (x, y) = (x - self.centre[0], y - self.centre[1]);
        let (across, down) = (x * self.scale[0], y * self.scale[1]);
        let square = across * across + down * down;
        let factor = 1.0 + square * (self.square + self.fourth * square);
        [x * factor + self.to_centre[0], y * factor + self.to_centre[1]]
    }
}

/// The map for whole rows of output pixels.
pub(crate) struct WarpRows {
    /// Input column of each output column, without the lens.
    pub(crate) x: Vec<f64>,
    /// Input row of each output row, without the lens.
    pub(crate) y: Vec<f64>,
    pub(crate) optics: Option<Optics>,
}

impl WarpRows {
    pub(crate) fn new(warp: &Warp, width: usize, height: usize) -> Self {
        let straight = |size: usize| (0..size).map(|pixel| pixel as f64).collect();
        match warp {
            Warp::None => Self { x: straight(width), y: straight(height), optics: None },
            Warp::Grid { x_steps, y_steps } => {
                Self { x: grid_table(x_steps, width), y: grid_table(y_steps, height), optics: None }
            }
            Warp::Optical { lens, k } => {
                Self { x: straight(width), y: straight(height), optics: Some(Optics::new(*lens, *k, width, height)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_comes_back_through_every_distortion() {
        let steps = vec![1.2, 0.8, 1.1, 0.9, 1.0, 1.05];
        let warps = [
            Warp::None,
            Warp::Grid { x_steps: steps.clone(), y_steps: steps },
            Warp::Optical { lens: Lens::Camera, k: -0.2 },
            Warp::Optical { lens: Lens::Fisheye, k: 0.3 },
        ];
        for warp in warps {
            for point in [[10.0, 20.0], [48.3, 47.9], [80.0, 5.0]] {
                let forward = warp.forward(point, 96, 96).unwrap();
                let back = warp.inverse(forward, 96, 96);
                assert!((back[0] - point[0]).abs() < 1e-3 && (back[1] - point[1]).abs() < 1e-3, "{warp:?} {point:?}");
            }
        }
    }

    #[test]
    fn even_bands_keep_the_ends_in_place() {
        let table = grid_table(&[1.0; 6], 100);
        assert_eq!(table[0], 0.0);
        assert!((table[99] - 100.0).abs() < 1e-9, "albumentations' bands end on the image's edge");
    }

    #[test]
    fn rows_are_the_map_at_each_pixel() {
        let warp = Warp::Optical { lens: Lens::Fisheye, k: -0.15 };
        let rows = WarpRows::new(&warp, 32, 24);
        let optics = rows.optics.unwrap();
        for column in 0..32 {
            let [ex, ey] = warp.inverse([column as f64, 7.0], 32, 24);
            let [x, y] = optics.inverse(rows.x[column], rows.y[7]);
            assert!((x - ex).abs() < 1e-12 && (y - ey).abs() < 1e-12);
        }
    }
}

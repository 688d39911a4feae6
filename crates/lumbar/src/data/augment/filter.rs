use serde::{Deserialize, Serialize};

/// A blur, in pixels of the crop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Filter {
    /// None.
    #[default]
    None,
    /// A Gaussian of this standard deviation, truncated at ⌊3.5·σ⌋ pixels (as PIL and albumentations do);
    /// beyond the edge the image is reflected.
    Gaussian {
        /// Standard deviation in pixels.
        sigma_px: f32,
    },
    /// The mean along a line through the pixel, as patient motion causes it. Reflected beyond the edge.
    Motion {
        /// Length of the line in pixels, odd.
        length_px: usize,
        /// Direction of the line, from +x towards +y.
        angle_deg: f32,
    },
    /// The median of the 3 × 3 neighbours. Beyond the edge the last pixel is repeated.
    Median3,
    /// The median of the 5 × 5 neighbours. Beyond the edge the last pixel is repeated.
    Median5,
}

impl Filter {
    /// Blurs an image in place.
    ///
    /// # Shapes
    /// `image` is row-major, `image.len() / width` × `width`.
    pub fn apply(&self, image: &mut [f32], width: usize) {
        if width == 0 || image.len() < width {
            return;
        }
        let mut rows = FilterRows::default();
        if !rows.start(self, width, image.len() / width) {
            return;
        }
        for (y, line) in image.chunks_exact(width).enumerate() {
            rows.row_mut(y).copy_from_slice(line);
            rows.end_row(y);
        }
        for (y, line) in image.chunks_exact_mut(width).enumerate() {
            rows.filtered(y, line);
        }
    }
}

/// The values of pixels beyond the edge.
#[derive(Debug, Clone, Copy, Default)]
enum Edge {
    /// `c b | a b c`: OpenCV's BORDER_REFLECT_101.
    #[default]
    Reflected,
    /// `a a | a b c`: OpenCV's BORDER_REPLICATE.
    Repeated,
}

impl Edge {
    fn index(self, at: isize, size: usize) -> usize {
        let last = size as isize - 1;
        if (0..=last).contains(&at) {
            return at as usize;
        }
        let index = match self {
            Self::Repeated => at.clamp(0, last),
            Self::Reflected if last == 0 => 0,
            Self::Reflected => {
                let period = at.rem_euclid(2 * last);
                period.min(2 * last - period)
            }
        };
        index as usize
    }
}

/// A filter that takes an image row by row and returns it row by row; its buffers are reused from image to
/// image.
#[derive(Debug, Default)]
pub(crate) struct FilterRows {
    filter: Filter,
    edge: Edge,
    /// How many pixels it needs on each side.
    radius: usize,
    width: usize,
    height: usize,
    /// Length of the stored rows: `radius` more pixels on each side.
    wide: usize,
    rows: Vec<f32>,
    /// One stored row that is being filtered.
    line: Vec<f32>,
    weights: Vec<f32>,
    offsets: Vec<(usize, usize)>,
}

impl FilterRows {
    /// Prepares for an image; false if the filter would not change it.
    pub(crate) fn start(&mut self, filter: &Filter, width: usize, height: usize) -> bool {
        (self.radius, self.edge) = match *filter {
            Filter::None => (0, Edge::Reflected),
            Filter::Gaussian { sigma_px } => ((f64::from(sigma_px) * 3.5) as usize, Edge::Reflected),
            Filter::Motion { length_px, .. } => (length_px / 2, Edge::Reflected),
            Filter::Median3 => (1, Edge::Repeated),
            Filter::Median5 => (2, Edge::Repeated),
        };
        if self.radius == 0 {
            return false;
        }
        (self.filter, self.width, self.height, self.wide) = (*filter, width, height, width + 2 * self.radius);
        // The old content of the buffers is overwritten.
        self.rows.resize(self.wide * height, 0.0);
        self.line.resize(self.wide, 0.0);
        match *filter {
            Filter::Gaussian { sigma_px } => gaussian_weights(f64::from(sigma_px), self.radius, &mut self.weights),
            Filter::Motion { length_px, angle_deg } => self.offsets = motion_offsets(length_px, angle_deg),
            Filter::None | Filter::Median3 | Filter::Median5 => {}
        }
        true
    }

    /// The buffer for row `y` of the image, to be filled before [`FilterRows::end_row`].
    #[inline(always)]
    pub(crate) fn row_mut(&mut self, y: usize) -> &mut [f32] {
        &mut self.rows[y * self.wide + self.radius..][..self.width]
    }

    /// Fills in the pixels beyond the ends of row `y`.
    #[inline(always)]
    pub(crate) fn end_row(&mut self, y: usize) {
        let (radius, width, edge) = (self.radius, self.width, self.edge);
        let row = &mut self.rows[y * self.wide..][..self.wide];
        for column in 0..radius {
            row[column] = row[radius + edge.index(column as isize - radius as isize, width)];
            row[radius + width + column] = row[radius + edge.index((width + column) as isize, width)];
        }
    }

    /// Row `y` of the filtered image, once all rows have been put.
    #[inline(always)]
    pub(crate) fn filtered(&mut self, y: usize, out: &mut [f32]) {
        let Self { filter, edge, radius, height, wide, rows, line, weights, offsets, .. } = self;
        // the stored row `down` rows below the uppermost that the filter needs
        let row = |down: usize| {
            let from = edge.index((y + down) as isize - *radius as isize, *height);
            &rows[from * *wide..][..*wide]
        };
        match filter {
            Filter::None => {}
            Filter::Gaussian { .. } => {
                // along the columns, the ends of the rows too, then along the row
                weighted(line, weights, row);
                let width = out.len();
                weighted(out, weights, |right| &line[right..right + width]);
            }
            Filter::Motion { .. } => mean(out, offsets, |(down, right)| &row(down)[right..]),
            Filter::Median3 => median3([row(0), row(1), row(2)], out),
            Filter::Median5 => median5([row(0), row(1), row(2), row(3), row(4)], out),
        }
    }
}

fn gaussian_weights(sigma_px: f64, radius: usize, weights: &mut Vec<f32>) {
    let weight = |k: usize| (-0.5 * ((k as f64 - radius as f64) / sigma_px).powi(2)).exp();
    let total: f64 = (0..=2 * radius).map(weight).sum();
    weights.clear();
    weights.extend((0..=2 * radius).map(|k| (weight(k) / total) as f32));
}

/// The weighted sum of rows; the weights are symmetric.
#[inline(always)]
fn weighted<'a>(out: &mut [f32], weights: &[f32], line: impl Fn(usize) -> &'a [f32]) {
    let middle = weights.len() / 2;
    for (out, value) in out.iter_mut().zip(line(middle)) {
        *out = weights[middle] * value;
    }
    for k in 0..middle {
        let weight = weights[k];
        for ((out, before), after) in out.iter_mut().zip(line(k)).zip(line(weights.len() - 1 - k)) {
            *out += weight * (before + after);
        }
    }
}

/// The mean of shifted rows.
#[inline(always)]
fn mean<'a>(out: &mut [f32], offsets: &[(usize, usize)], line: impl Fn((usize, usize)) -> &'a [f32]) {
    let weight = 1.0 / offsets.len() as f32;
    out.fill(0.0);
    for offset in offsets {
        for (out, value) in out.iter_mut().zip(line(*offset)) {
            *out += weight * value;
        }
    }
}

/// Pixels (row, column) of the line in a square of `length_px`, as albumentations' `create_motion_kernel`
/// rounds them.
fn motion_offsets(length_px: usize, angle_deg: f32) -> Vec<(usize, usize)> {
    let (half, last) = ((length_px / 2) as f64, length_px as f64 - 1.0);
    let (dy, dx) = f64::from(angle_deg).to_radians().sin_cos();
    let mut offsets: Vec<(usize, usize)> = (0..length_px)
        .map(|k| {
            let t = -half + 2.0 * half * k as f64 / last;
            let place = |d: f64| (half + d * t).round_ties_even().clamp(0.0, last) as usize;
            (place(dy), place(dx))
        })
        .collect();
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

/// Minimum and maximum: two instructions for a whole vector of pixels.
#[inline(always)]
fn ordered(a: f32, b: f32) -> (f32, f32) {
    if a < b { (a, b) } else { (b, a) }
}

/// A sorting network, so that a loop over pixels becomes vector instructions. The compiler leaves out results that
/// are not used.
macro_rules! compare {
    ($values:ident: $($low:literal $high:literal),*) => {
        $(($values[$low], $values[$high]) = ordered($values[$low], $values[$high]);)*
    };
}

#[inline(always)]
fn sort3(mut v: [f32; 3]) -> [f32; 3] {
    compare!(v: 0 1, 1 2, 0 1);
    v
}

#[inline(always)]
fn sort5(mut v: [f32; 5]) -> [f32; 5] {
    compare!(v: 0 1, 3 4, 2 4, 2 3, 1 4, 0 3, 0 2, 1 3, 1 2);
    v
}

#[inline(always)]
fn median3(rows: [&[f32]; 3], out: &mut [f32]) {
    let [a, b, c] = rows.map(<[f32]>::array_windows::<3>);
    for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
        let [first, second, third]: [[f32; 3]; 3] = std::array::from_fn(|k| sort3([a[k], b[k], c[k]]));
        // the maximum of the minima, the median of the medians, the minimum of the maxima
        let [_, _, least] = sort3([first[0], second[0], third[0]]);
        let [_, middle, _] = sort3([first[1], second[1], third[1]]);
        let [greatest, _, _] = sort3([first[2], second[2], third[2]]);
        [_, *out, _] = sort3([least, middle, greatest]);
    }
}

/// With its columns sorted and then its rows, the value at (i, j) of the window is no smaller than
/// (i + 1)(j + 1) − 1 others and no greater than (5 − i)(5 − j) − 1. The 13 that have at most twelve on either
/// side are left; as many were dropped above as below, so their median is that of all 25.
#[inline(always)]
fn median5(rows: [&[f32]; 5], out: &mut [f32]) {
    let [a, b, c, d, e] = rows.map(<[f32]>::array_windows::<5>);
    for (((((out, a), b), c), d), e) in out.iter_mut().zip(a).zip(b).zip(c).zip(d).zip(e) {
        let columns: [[f32; 5]; 5] = std::array::from_fn(|k| sort5([a[k], b[k], c[k], d[k], e[k]]));
        let rank = |k: usize| sort5(std::array::from_fn(|column| columns[column][k]));
        let [_, _, _, a3, a4] = rank(0);
        let [_, _, b2, b3, b4] = rank(1);
        let [_, c1, c2, c3, _] = rank(2);
        let [d0, d1, d2, _, _] = rank(3);
        let [e0, e1, _, _, _] = rank(4);
        *out = median13([a3, a4, b2, b3, b4, c1, c2, c3, d0, d1, d2, e0, e1]);
    }
}

/// Minimum and maximum of eight cannot be the median of 13: they are dropped and the next value is added, and so on.
#[inline(always)]
fn median13(mut v: [f32; 13]) -> f32 {
    // minimum to the front and maximum to the back of 0..8, 1..8, 2..8, …; the free slot takes the next value
    compare!(v: 0 4, 1 5, 2 6, 3 7, 0 1, 2 3, 0 2, 4 5, 6 7, 5 7);
    v[7] = v[8];
    compare!(v: 1 5, 2 6, 3 7, 1 2, 3 4, 1 3, 5 6, 4 7, 6 7);
    v[7] = v[9];
    compare!(v: 2 5, 3 6, 4 7, 2 3, 2 4, 5 6, 6 7);
    v[7] = v[10];
    compare!(v: 3 5, 4 6, 3 4, 3 7, 5 6, 6 7);
    v[7] = v[11];
    compare!(v: 4 5, 6 7, 4 6, 5 7);
    v[7] = v[12];
    compare!(v: 5 6, 6 7, 5 6);
    v[6]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize) -> Vec<f32> {
        (0..width * height).map(|k| ((k * 7919 + k * k * 31) % 1009) as f32 / 1009.0).collect()
    }

    fn sorted_median(image: &[f32], width: usize, radius: isize) -> Vec<f32> {
        let height = (image.len() / width) as isize;
        let pixel = |x: isize, y: isize| {
            image[y.clamp(0, height - 1) as usize * width + x.clamp(0, width as isize - 1) as usize]
        };
        let mut medians = Vec::new();
        for y in 0..height {
            for x in 0..width as isize {
                let mut window: Vec<f32> = (-radius..=radius)
                    .flat_map(|dy| (-radius..=radius).map(move |dx| (dx, dy)))
                    .map(|(dx, dy)| pixel(x + dx, y + dy))
                    .collect();
                window.sort_by(f32::total_cmp);
                medians.push(window[window.len() / 2]);
            }
        }
        medians
    }

    #[test]
    fn medians_are_those_of_sorting() {
        for (width, height) in [(37, 23), (16, 5), (3, 3), (1, 1), (40, 1)] {
            let before = image(width, height);
            for (filter, radius) in [(Filter::Median3, 1), (Filter::Median5, 2)] {
                let mut found = before.clone();
                filter.apply(&mut found, width);
                assert_eq!(found, sorted_median(&before, width, radius), "{filter:?} {width} × {height}");
            }
        }
    }

    #[test]
    fn blurs_keep_a_flat_image_flat() {
        for filter in [
            Filter::Gaussian { sigma_px: 1.4 },
            Filter::Motion { length_px: 7, angle_deg: 30.0 },
            Filter::Median3,
            Filter::Median5,
        ] {
            let mut flat = vec![0.625; 19 * 11];
            filter.apply(&mut flat, 19);
            assert!(flat.iter().all(|value| (value - 0.625).abs() < 1e-6), "{filter:?}");
        }
    }

    #[test]
    fn the_edge_is_reflected_without_repeating_the_last_pixel() {
        let edge: Vec<usize> = (-4..7).map(|at| Edge::Reflected.index(at, 3)).collect();
        assert_eq!(edge, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(Edge::Reflected.index(-3, 1), 0);
    }
}

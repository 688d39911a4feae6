use serde::{Deserialize, Serialize};

/// A blur, in pixels of the crop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Filter {
    /// None.
    #[default]
    None,
    /// A Gaussian of this standard deviation, cut off at ⌊3.5·σ⌋ pixels (as PIL and albumentations do);
    /// beyond the edge the picture is reflected.
    Gaussian {
        /// Standard deviation in pixels.
        sigma_px: f32,
    },
    /// The mean along a line through the pixel: the patient moved. Reflected beyond the edge.
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

/// Buffers of [`Filter::apply`], reused from picture to picture.
#[derive(Debug, Default)]
pub(crate) struct FilterScratch {
    padded: Vec<f32>,
    lines: Vec<f32>,
}

impl Filter {
    /// Blurs a picture in place.
    ///
    /// # Shapes
    /// `picture` is row-major, `picture.len() / width` × `width`.
    pub fn apply(&self, picture: &mut [f32], width: usize) {
        self.apply_with(picture, width, &mut FilterScratch::default());
    }

    #[inline(always)]
    pub(crate) fn apply_with(&self, picture: &mut [f32], width: usize, scratch: &mut FilterScratch) {
        if width == 0 || picture.len() < width {
            return;
        }
        match *self {
            Self::None => {}
            Self::Gaussian { sigma_px } => gaussian(picture, width, sigma_px, scratch),
            Self::Motion { length_px, angle_deg } => motion(picture, width, length_px, angle_deg, scratch),
            Self::Median3 => median::<3>(picture, width, scratch),
            Self::Median5 => median::<5>(picture, width, scratch),
        }
    }
}

/// What a filter sees beyond the edge.
#[derive(Clone, Copy)]
enum Edge {
    /// `c b | a b c`: OpenCV's BORDER_REFLECT_101.
    Reflected,
    /// `a a | a b c`: OpenCV's BORDER_REPLICATE.
    Repeated,
}

impl Edge {
    fn index(self, at: isize, size: usize) -> usize {
        let last = size as isize - 1;
        if last == 0 {
            return 0;
        }
        let index = match self {
            Self::Repeated => at.clamp(0, last),
            Self::Reflected => {
                let period = at.rem_euclid(2 * last);
                period.min(2 * last - period)
            }
        };
        index as usize
    }
}

/// The picture with `radius` more pixels on each side, into `padded`; returns the padded width.
#[inline(always)]
fn pad(picture: &[f32], width: usize, radius: usize, edge: Edge, padded: &mut Vec<f32>) -> usize {
    let (height, wide) = (picture.len() / width, width + 2 * radius);
    padded.clear();
    padded.resize(wide * (height + 2 * radius), 0.0);
    for (row, line) in padded.chunks_exact_mut(wide).enumerate() {
        let from = edge.index(row as isize - radius as isize, height);
        let source = &picture[from * width..(from + 1) * width];
        line[radius..radius + width].copy_from_slice(source);
        for column in 0..radius {
            line[column] = source[edge.index(column as isize - radius as isize, width)];
            line[radius + width + column] = source[edge.index((width + column) as isize, width)];
        }
    }
    wide
}

#[inline(always)]
fn gaussian(picture: &mut [f32], width: usize, sigma_px: f32, scratch: &mut FilterScratch) {
    let radius = (f64::from(sigma_px) * 3.5) as usize;
    if radius == 0 {
        return;
    }
    let weights: Vec<f64> =
        (0..=2 * radius).map(|k| (-0.5 * ((k as f64 - radius as f64) / f64::from(sigma_px)).powi(2)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let weights: Vec<f32> = weights.iter().map(|weight| (weight / total) as f32).collect();

    let wide = pad(picture, width, radius, Edge::Reflected, &mut scratch.padded);
    // along the columns into `lines`, which keeps the padding on the left and right, then along the rows
    scratch.lines.clear();
    scratch.lines.resize(wide, 0.0);
    for (row, out) in picture.chunks_exact_mut(width).enumerate() {
        let line = &mut scratch.lines[..];
        weighted(line, &weights, |k| &scratch.padded[(row + k) * wide..][..wide]);
        weighted(out, &weights, |k| &line[k..k + width]);
    }
}

/// The weighted sum of lines that are alike from both ends.
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

#[inline(always)]
fn motion(picture: &mut [f32], width: usize, length_px: usize, angle_deg: f32, scratch: &mut FilterScratch) {
    let radius = length_px / 2;
    if radius == 0 {
        return;
    }
    let offsets = motion_offsets(length_px, angle_deg);
    let weight = 1.0 / offsets.len() as f32;
    let wide = pad(picture, width, radius, Edge::Reflected, &mut scratch.padded);
    for (row, out) in picture.chunks_exact_mut(width).enumerate() {
        out.fill(0.0);
        for (down, right) in &offsets {
            let line = &scratch.padded[(row + down) * wide + right..][..width];
            for (out, value) in out.iter_mut().zip(line) {
                *out += weight * value;
            }
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

/// Pixels that are sorted side by side: comparing two of these is one instruction or a few.
const LANES: usize = 16;
type Lanes = [f32; LANES];

#[inline(always)]
fn sort2(values: &mut [Lanes], low: usize, high: usize) {
    let (below, from_high) = values.split_at_mut(high);
    for (low, high) in below[low].iter_mut().zip(&mut from_high[0]) {
        let (a, b) = (*low, *high);
        *low = if a < b { a } else { b };
        *high = if a < b { b } else { a };
    }
}

/// The middle one of `values[..count]`, found by dropping the least and the greatest again and again.
#[inline(always)]
fn middle(values: &mut [Lanes], count: usize) -> Lanes {
    let keep = count / 2 + 2;
    let mut next = keep;
    let (mut first, mut last) = (0, keep - 1);
    loop {
        // least to `first`, greatest to `last`
        for index in first + 1..=last {
            sort2(values, first, index);
        }
        for index in first + 1..last {
            sort2(values, index, last);
        }
        first += 1;
        if next == count {
            last -= 1;
            if first >= last {
                return values[first];
            }
        } else {
            values[last] = values[next];
            next += 1;
        }
    }
}

#[inline(always)]
fn median<const SIZE: usize>(picture: &mut [f32], width: usize, scratch: &mut FilterScratch) {
    let radius = SIZE / 2;
    // Blocks of LANES pixels may reach beyond the row: the lines are that much longer.
    let wide = pad(picture, width, radius, Edge::Repeated, &mut scratch.padded);
    let long = wide + 2 * LANES;
    scratch.lines.clear();
    scratch.lines.resize(SIZE * long, 0.0);
    for (row, out) in picture.chunks_exact_mut(width).enumerate() {
        // every column of SIZE pixels sorted, once for all windows that it is in
        for start in (0..wide).step_by(LANES) {
            let mut column = [[0.0; LANES]; SIZE];
            for (k, lanes) in column.iter_mut().enumerate() {
                let line = &scratch.padded[(row + k) * wide..][..wide];
                let end = (start + LANES).min(wide);
                lanes[..end - start].copy_from_slice(&line[start..end]);
            }
            for last in (1..SIZE).rev() {
                for k in 0..last {
                    sort2(&mut column, k, k + 1);
                }
            }
            for (k, lanes) in column.iter().enumerate() {
                scratch.lines[k * long + start..][..LANES].copy_from_slice(lanes);
            }
        }
        for start in (0..width).step_by(LANES) {
            let mut window = [[[0.0; LANES]; SIZE]; SIZE];
            for (k, ranked) in window.iter_mut().enumerate() {
                for (shift, lanes) in ranked.iter_mut().enumerate() {
                    lanes.copy_from_slice(&scratch.lines[k * long + start + shift..][..LANES]);
                }
                for last in (1..SIZE).rev() {
                    for shift in 0..last {
                        sort2(ranked, shift, shift + 1);
                    }
                }
            }
            // With columns and rows sorted, (i, j) is no smaller than (i+1)(j+1) − 1 others and no greater than
            // (SIZE−i)(SIZE−j) − 1; what has more than half on one side is not in the middle, and as many drop
            // out above as below.
            let mut left = [[0.0; LANES]; 25];
            let mut count = 0;
            for (i, ranked) in window.iter().enumerate() {
                for (j, lanes) in ranked.iter().enumerate() {
                    let half = SIZE * SIZE / 2 + 1;
                    if (i + 1) * (j + 1) <= half && (SIZE - i) * (SIZE - j) <= half {
                        left[count] = *lanes;
                        count += 1;
                    }
                }
            }
            let medians = middle(&mut left, count);
            let end = (start + LANES).min(width);
            out[start..end].copy_from_slice(&medians[..end - start]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Vec<f32> {
        (0..width * height).map(|k| ((k * 7919 + k * k * 31) % 1009) as f32 / 1009.0).collect()
    }

    fn sorted_median(picture: &[f32], width: usize, radius: isize) -> Vec<f32> {
        let height = (picture.len() / width) as isize;
        let pixel = |x: isize, y: isize| {
            picture[y.clamp(0, height - 1) as usize * width + x.clamp(0, width as isize - 1) as usize]
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
            let before = picture(width, height);
            for (filter, radius) in [(Filter::Median3, 1), (Filter::Median5, 2)] {
                let mut found = before.clone();
                filter.apply(&mut found, width);
                assert_eq!(found, sorted_median(&before, width, radius), "{filter:?} {width} × {height}");
            }
        }
    }

    #[test]
    fn blurs_keep_a_flat_picture_flat() {
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

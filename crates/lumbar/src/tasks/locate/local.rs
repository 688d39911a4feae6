//! Local normalisation: what is left of an image without slow changes of brightness and contrast.

/// Replaces each value by its distance from the mean of the square of `2 · radius + 1` pixels around it, in standard
/// deviations of that square plus `least`. Squares are cut at the image's borders.
///
/// Surface coils make the back of a patient many times brighter than the front, and windows differ; edges and their
/// order from dark to bright stay.
pub(super) fn normalise(values: &mut [f32], columns: usize, radius: usize, least: f32) {
    let rows = values.len() / columns;
    // sums over rectangles from the first pixel: one row and column more than the image
    let stride = columns + 1;
    let mut sums = vec![[0.0_f64; 2]; stride * (rows + 1)];
    for row in 0..rows {
        let mut line = [0.0; 2];
        for column in 0..columns {
            let value = f64::from(values[row * columns + column]);
            line = [line[0] + value, line[1] + value * value];
            let above = sums[row * stride + column + 1];
            sums[(row + 1) * stride + column + 1] = [above[0] + line[0], above[1] + line[1]];
        }
    }
    for row in 0..rows {
        let (top, bottom) = (row.saturating_sub(radius), (row + radius + 1).min(rows));
        for column in 0..columns {
            let (left, right) = (column.saturating_sub(radius), (column + radius + 1).min(columns));
            let count = ((bottom - top) * (right - left)) as f64;
            let [mean, square] = [0, 1].map(|k| {
                let at = |row: usize, column: usize| sums[row * stride + column][k];
                (at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left)) / count
            });
            let deviation = (square - mean * mean).max(0.0).sqrt() as f32;
            let value = &mut values[row * columns + column];
            *value = (*value - mean as f32) / (deviation + least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stripes of 4 pixels.
    fn stripes(gain: impl Fn(usize) -> f32) -> Vec<f32> {
        (0..64 * 48).map(|at| gain(at % 64) * if at % 8 < 4 { 1.0 } else { 2.0 }).collect()
    }

    #[test]
    fn a_slow_change_of_sensitivity_leaves_no_trace() {
        let (mut even, mut fading) = (stripes(|_| 1.0), stripes(|column| 1.0 + 0.02 * column as f32));
        normalise(&mut even, 64, 8, 0.0);
        normalise(&mut fading, 64, 8, 0.0);
        for row in 16..32 {
            for column in 16..48 {
                let (a, b) = (even[row * 64 + column], fading[row * 64 + column]);
                assert!((a - b).abs() < 0.5 && a * b > 0.0, "{a} {b}");
            }
        }
    }

    #[test]
    fn a_flat_image_becomes_zero() {
        let mut flat = vec![0.7; 64 * 48];
        normalise(&mut flat, 64, 8, 0.1);
        assert!(flat.iter().all(|value| value.abs() < 1e-3));
    }
}

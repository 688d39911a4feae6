//! Steps between the canal points of neighbouring levels.

use std::ops::RangeInclusive;

use super::Level;

/// Distance between neighbouring canal points over their mean in the study, from L1/L2–L2/L3 down: medians over the
/// annotated points of 1,974 studies of the RSNA 2024 competition. Their mean is 1.
pub const CANAL_STEPS: [f64; Level::ALL.len() - 1] = [1.08, 1.06, 1.00, 0.86];

/// Mean distance of neighbouring canal points in a study, in mm, that an adult's lumbar spine can have.
///
/// The means of phantoms are 26 to 36 mm, over presets `default` and `hard`, two seeds each. A spine of half that size
/// is below the range and one of twice that size above it: another body part, or a wrong pixel spacing.
pub const MEAN_CANAL_STEP_MM: RangeInclusive<f64> = 24.0..=50.0;

/// The mean distance of neighbouring canal points in mm, from those levels that are known: each step between two known
/// levels counts by its usual share. `None` if fewer than two are known.
///
/// ```
/// use lumbar::anatomy::mean_canal_step_mm;
///
/// let at = |z: f64| Some([0.0, 0.0, z]);
/// let whole = mean_canal_step_mm(&[at(0.0), at(-37.8), at(-74.9), at(-109.9), at(-140.0)]).unwrap();
/// assert!((whole - 35.0).abs() < 1e-9);
/// // the last two levels are closest to each other
/// let part = mean_canal_step_mm(&[None, None, None, at(-109.9), at(-140.0)]).unwrap();
/// assert!((part - 35.0).abs() < 1e-9);
/// assert_eq!(mean_canal_step_mm(&[at(0.0), None, None, None, None]), None);
/// ```
#[must_use]
pub fn mean_canal_step_mm(canal_mm: &[Option<[f64; 3]>; Level::ALL.len()]) -> Option<f64> {
    let known: Vec<(usize, [f64; 3])> =
        canal_mm.iter().enumerate().filter_map(|(level, at_mm)| Some((level, (*at_mm)?))).collect();
    let (first, last) = (known.first()?.0, known.last()?.0);
    let length = |a: [f64; 3], b: [f64; 3]| (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt();
    let total: f64 = known.windows(2).map(|pair| length(pair[0].1, pair[1].1)).sum();
    (first < last).then(|| total / CANAL_STEPS[first..last].iter().sum::<f64>())
}

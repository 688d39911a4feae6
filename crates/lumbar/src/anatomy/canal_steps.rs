//! Steps between the canal points of neighbouring levels.

use std::ops::RangeInclusive;

use super::Level;

/// Distance between neighbouring canal points over their mean in the study, from L1/L2–L2/L3 down: medians over the
/// annotated points of 1,974 studies of the RSNA 2024 competition. Their mean is 1.
pub const CANAL_STEPS: [f64; Level::ALL.len() - 1] = [1.08, 1.06, 1.00, 0.86];

/// Mean distance of neighbouring canal points in a study, in mm, that an adult's lumbar spine can have.
///
/// The means of phantoms are 26 to 36 mm, over presets `default` and `hard` with seeds 11 and 12.
pub const MEAN_CANAL_STEP_MM: RangeInclusive<f64> = 24.0..=50.0;

/// How many times the smallest step between neighbouring canal points goes into the largest, each over its usual share
/// ([`CANAL_STEPS`]), in an adult's lumbar spine. It is at most 1.47 in the phantoms of the presets
/// `default` and `hard` with seeds 11 and 12. A spine of half the size is recognised only in part: a localiser skips some
/// of its discs, so that the other steps are usual.
pub const MOST_UNEVEN_CANAL_STEPS: f64 = 1.75;

/// The steps between the canal points of a study.
///
/// ```
/// use lumbar::anatomy::CanalSteps;
///
/// let at = |z: f64| Some([0.0, 0.0, z]);
/// let steps = CanalSteps::of(&[at(0.0), at(-37.8), at(-74.9), at(-109.9), at(-140.0)]).unwrap();
/// assert!((steps.mean_mm - 35.0).abs() < 1e-9 && (steps.unevenness - 1.0).abs() < 1e-9);
/// assert!(steps.are_lumbar());
/// // a disc is skipped
/// let uneven = CanalSteps::of(&[at(0.0), at(-37.8), at(-109.9), at(-140.0), None]).unwrap();
/// assert!(!uneven.are_lumbar());
/// assert_eq!(CanalSteps::of(&[at(0.0), None, None, None, None]), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CanalSteps {
    /// The mean distance of neighbouring points in mm; each step between known levels counts by its usual share.
    pub mean_mm: f64,
    /// How many times the smallest step goes into the largest, each over its usual share: 1 or more.
    pub unevenness: f64,
}

impl CanalSteps {
    /// Measures the steps between those levels that are known; `None` if fewer than two are.
    #[must_use]
    pub fn of(canal_mm: &[Option<[f64; 3]>; Level::ALL.len()]) -> Option<Self> {
        let known: Vec<(usize, [f64; 3])> =
            canal_mm.iter().enumerate().filter_map(|(level, at_mm)| Some((level, (*at_mm)?))).collect();
        let (mut total_mm, mut usual, mut least, mut most) = (0.0, 0.0, f64::INFINITY, 0.0_f64);
        for pair in known.windows(2) {
            let [(above, from), (below, to)] = [pair[0], pair[1]];
            let step_mm = (0..3).map(|k| (from[k] - to[k]).powi(2)).sum::<f64>().sqrt();
            let share: f64 = CANAL_STEPS[above..below].iter().sum();
            (total_mm, usual) = (total_mm + step_mm, usual + share);
            (least, most) = (least.min(step_mm / share), most.max(step_mm / share));
        }
        (usual > 0.0).then(|| Self { mean_mm: total_mm / usual, unevenness: most / least })
    }

    /// Whether an adult's lumbar spine can have them: [`MEAN_CANAL_STEP_MM`] and [`MOST_UNEVEN_CANAL_STEPS`]. Otherwise
    /// the images show another body part, their pixel spacing is wrong, or a level has the wrong name.
    #[must_use]
    pub fn are_lumbar(&self) -> bool {
        MEAN_CANAL_STEP_MM.contains(&self.mean_mm) && self.unevenness <= MOST_UNEVEN_CANAL_STEPS
    }
}

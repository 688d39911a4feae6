//! How far found points are to be trusted.

use serde::{Deserialize, Serialize};

use crate::anatomy::{CANAL_STEPS, CanalSteps, Condition, ConditionGroup, Level, Target};
use crate::data::found_points::{FoundPoint, FoundPoints, StudyFoundPoints};
use crate::linear::solve;
use crate::metric::{ReliabilityBin, area_under_roc, reliability_of};

/// A point is good if it is at most this far from the annotated one: crops still show their target, see the jitter
/// curve.
pub const GOOD_POINT_MM: f64 = 6.0;

const LEVELS: usize = Level::ALL.len();
/// One intercept for each condition group, and slopes of confidence and irregularity.
const TERMS: usize = 5;
/// Usual deviation of the distance between neighbouring points over its mean from [`CANAL_STEPS`], over the same
/// studies.
const STEP_DEVIATION: f64 = 0.06;
/// Irregularities are at most this, and a point without a neighbour has it.
const IRREGULAR: f64 = 5.0;
/// Confidences are clipped to this, so that their logits are finite.
const LEAST: f64 = 1e-3;
/// What the terms are expected to be before any point was seen, for intercepts, confidence and irregularity: a
/// confidence counts as it is, and two usual deviations of a distance divide the odds by three. Where all points that it
/// is fitted on are good, nothing speaks against this; without it, slopes would stand in for the intercepts and take any
/// sign.
const EXPECTED: [f64; TERMS] = [0.0, 0.0, 0.0, 1.0, -0.6];
/// One over the variance of these expectations: deviations of 1.4, 0.25 and 0.15.
const CERTAINTY: [f64; TERMS] = [0.5, 0.5, 0.5, 16.0, 44.0];
/// Newton's method converges in a few steps.
const STEPS_OF_NEWTON: usize = 30;
/// Bins of the calibration table.
const BINS: usize = 5;

/// The probability that a found point is within 6 mm of the annotated one: a logistic regression over the localiser's
/// confidence and the regularity of the levels' distances, for each condition group.
///
/// Fit it on out-of-fold points. A recess is judged by the canal's distances: it was carried from there.
///
/// The localiser names levels in any image: it knows no body part. Where the steps between the canal's points are not
/// those of a lumbar spine ([`CanalSteps::are_lumbar`]), all reliabilities of the study are 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointReliability {
    /// Intercepts for canal, foramen and recess.
    intercepts: [f64; 3],
    /// For each unit of the confidence's logit.
    confidence: f64,
    /// For each usual deviation of the distance to a neighbouring level.
    irregularity: f64,
}

/// How well found points and their reliabilities agree with annotated points.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointReport {
    /// Errors of canal, foramen and recess points.
    pub errors: [PointErrors; 3],
    /// Area under the ROC curve of the reliability for points within 6 mm; `None` if all are, or none.
    pub auroc: Option<f64>,
    /// Mean reliability and share within 6 mm.
    pub calibration: Vec<ReliabilityBin>,
}

/// Distances of found points from annotated ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PointErrors {
    /// Annotated points that were found.
    pub points: usize,
    /// Annotated points that were not.
    pub missed: usize,
    /// Median distance in mm.
    pub median_mm: f64,
    /// 95th percentile of the distance in mm.
    pub p95_mm: f64,
}

impl PointReliability {
    /// Fits it on found points, where the same target is annotated. Without any such point a confidence is the
    /// reliability of a point at the usual distances.
    ///
    /// A confidence is expected to count as it is, and two usual deviations of a distance to divide the odds by three.
    /// This keeps the terms finite and of the right sign where all points are good.
    #[must_use]
    pub fn fit(found: &FoundPoints, annotated: &FoundPoints) -> Self {
        let rows: Vec<([f64; TERMS], bool)> = pairs(found, annotated)
            .filter_map(|(points, target, found, annotated)| {
                Some((design(points, target, found?.reliability), error_mm(target, found?, annotated) <= GOOD_POINT_MM))
            })
            .collect();
        let mut terms = EXPECTED;
        for _ in 0..STEPS_OF_NEWTON {
            let mut gradient: [f64; TERMS] =
                std::array::from_fn(|term| CERTAINTY[term] * (EXPECTED[term] - terms[term]));
            let mut hessian = [[0.0; TERMS]; TERMS];
            (0..TERMS).for_each(|term| hessian[term][term] = CERTAINTY[term]);
            for (design, is_good) in &rows {
                let p = logistic(dot(&terms, design));
                for i in 0..TERMS {
                    gradient[i] += (f64::from(u8::from(*is_good)) - p) * design[i];
                    (0..TERMS).for_each(|j| hessian[i][j] += p * (1.0 - p) * design[i] * design[j]);
                }
            }
            let step = solve(hessian, gradient.map(|value| [value]));
            (0..TERMS).for_each(|term| terms[term] += step[term][0].clamp(-2.0, 2.0));
            if step.iter().all(|[step]| step.abs() < 1e-9) {
                break;
            }
        }
        let [a, b, c, confidence, irregularity] = terms;
        Self { intercepts: [a, b, c], confidence, irregularity }
    }

    /// The points of a study with calibrated reliabilities in place of the localiser's confidences.
    #[must_use]
    pub fn apply(&self, points: &StudyFoundPoints) -> StudyFoundPoints {
        let ([a, b, c], own) = (self.intercepts, [self.confidence, self.irregularity]);
        let terms = [a, b, c, own[0], own[1]];
        let is_spine = unlikely_steps(points).is_none();
        Target::ALL.map(|target| {
            let point = points[target.index()]?;
            if !is_spine {
                return Some(FoundPoint { reliability: 0.0, ..point });
            }
            let reliability = logistic(dot(&terms, &design(points, target, point.reliability)));
            Some(FoundPoint { reliability, ..point })
        })
    }
}

impl PointReport {
    /// Compares found points with annotated ones.
    #[must_use]
    pub fn new(found: &FoundPoints, annotated: &FoundPoints) -> Self {
        let (mut errors, mut missed, mut events) = ([Vec::new(), Vec::new(), Vec::new()], [0; 3], Vec::new());
        for (_, target, found, annotated) in pairs(found, annotated) {
            let group = group(target);
            match found {
                Some(found) => {
                    let error = error_mm(target, found, annotated);
                    errors[group].push(error);
                    events.push((found.reliability, error <= GOOD_POINT_MM));
                }
                None => missed[group] += 1,
            }
        }
        let mut groups = errors.into_iter().zip(missed);
        Self {
            errors: std::array::from_fn(|_| {
                let (mut errors, missed) = groups.next().unwrap_or_default();
                PointErrors::of(&mut errors, missed)
            }),
            auroc: area_under_roc(&events),
            calibration: reliability_of(&events, BINS),
        }
    }
}

impl PointErrors {
    fn of(errors: &mut [f64], missed: usize) -> Self {
        errors.sort_by(f64::total_cmp);
        let quantile = |share: f64| match errors.len() {
            0 => f64::NAN,
            count => errors[((count - 1) as f64 * share).round() as usize],
        };
        Self { points: errors.len(), missed, median_mm: quantile(0.5), p95_mm: quantile(0.95) }
    }
}

/// The median of what several localisers found in one study: of each target that at least half of them found, the
/// median of its coordinates and the mean confidence, multiplied by the share of localisers that are within 6 mm of the
/// median.
///
/// ```
/// use lumbar::anatomy::Target;
/// use lumbar::data::found_points::{FoundPoint, PointOrigin};
/// use lumbar::predict::median_points;
///
/// let found = |z: f64| {
///     let mut points = [None; Target::COUNT];
///     let position_mm = [0.0, 0.0, z];
///     points[0] = Some(FoundPoint { position_mm, reliability: 0.9, origin: PointOrigin::Sagittal });
///     points
/// };
/// let median = median_points(&[found(1.0), found(2.0), found(40.0)])[0].unwrap();
/// assert_eq!(median.0.position_mm, [0.0, 0.0, 2.0]);
/// assert!((median.1 - 2.0 / 3.0).abs() < 1e-12);
/// ```
#[must_use]
pub fn median_points(localisers: &[StudyFoundPoints]) -> [Option<(FoundPoint, f64)>; Target::COUNT] {
    std::array::from_fn(|target| {
        let found: Vec<FoundPoint> = localisers.iter().filter_map(|points| points[target]).collect();
        let first = found.first().filter(|_| 2 * found.len() >= localisers.len())?;
        let position_mm = std::array::from_fn(|axis| {
            let mut values: Vec<f64> = found.iter().map(|point| point.position_mm[axis]).collect();
            values.sort_by(f64::total_cmp);
            let count = values.len();
            f64::midpoint(values[(count - 1) / 2], values[count / 2])
        });
        let count = localisers.len() as f64;
        let near = found.iter().filter(|point| distance(point.position_mm, position_mm) <= GOOD_POINT_MM).count();
        let reliability = found.iter().map(|point| point.reliability).sum::<f64>() / found.len() as f64;
        Some((FoundPoint { position_mm, reliability, origin: first.origin }, near as f64 / count))
    })
}

/// The steps between the canal's points, if no adult's lumbar spine has them.
pub(crate) fn unlikely_steps(points: &StudyFoundPoints) -> Option<CanalSteps> {
    let canal = |level| Target::new(Condition::SpinalCanalStenosis, level).index();
    let canal_mm = Level::ALL.map(|level| points[canal(level)].map(|point| point.position_mm));
    CanalSteps::of(&canal_mm).filter(|steps| !steps.are_lumbar())
}

/// Annotated points of studies that both tables have, with what was found.
fn pairs<'a>(
    found: &'a FoundPoints,
    annotated: &'a FoundPoints,
) -> impl Iterator<Item = (&'a StudyFoundPoints, Target, Option<FoundPoint>, FoundPoint)> {
    found.iter().filter_map(|(study, points)| Some((points, annotated.get(study)?))).flat_map(|(points, annotated)| {
        Target::ALL
            .into_iter()
            .filter_map(move |target| Some((points, target, points[target.index()], annotated[target.index()]?)))
    })
}

/// The distance in the plane on which the target is annotated: readers' slices are millimetres apart.
fn error_mm(target: Target, found: FoundPoint, annotated: FoundPoint) -> f64 {
    let axis = if target.condition.group() == ConditionGroup::Subarticular { 2 } else { 0 };
    let mut off: [f64; 3] = std::array::from_fn(|k| found.position_mm[k] - annotated.position_mm[k]);
    off[axis] = 0.0;
    distance(off, [0.0; 3])
}

fn group(target: Target) -> usize {
    ConditionGroup::ALL.iter().position(|group| *group == target.condition.group()).unwrap_or(0)
}

fn design(points: &StudyFoundPoints, target: Target, confidence: f64) -> [f64; TERMS] {
    let confidence = confidence.clamp(LEAST, 1.0 - LEAST);
    let mut design = [0.0; TERMS];
    design[group(target)] = 1.0;
    design[3] = (confidence / (1.0 - confidence)).ln();
    design[4] = irregularity(points, target);
    design
}

/// By how many usual deviations the distances to the neighbouring levels differ from the usual ones.
fn irregularity(points: &StudyFoundPoints, target: Target) -> f64 {
    let condition = match target.condition.group() {
        ConditionGroup::Subarticular => Condition::SpinalCanalStenosis,
        _ => target.condition,
    };
    let at = |level: usize| points[Target::new(condition, Level::ALL[level]).index()].map(|point| point.position_mm);
    let steps: [Option<f64>; LEVELS - 1] = std::array::from_fn(|step| Some(distance(at(step)?, at(step + 1)?)));
    let known = || (0..LEVELS - 1).filter_map(|step| Some((CANAL_STEPS[step], steps[step]?)));
    let scale = known().map(|(_, step)| step).sum::<f64>() / known().map(|(usual, _)| usual).sum::<f64>();
    let own = target.level.index();
    let touching = [own.checked_sub(1), Some(own)].into_iter().flatten().filter(|step| *step < LEVELS - 1);
    let off = touching.filter_map(|step| Some((steps[step]? / scale - CANAL_STEPS[step]).abs() / STEP_DEVIATION));
    off.reduce(f64::max).filter(|off| off.is_finite()).map_or(IRREGULAR, |off| off.min(IRREGULAR))
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
}

fn logistic(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}

fn dot(a: &[f64; TERMS], b: &[f64; TERMS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::data::StudyId;
    use crate::data::found_points::PointOrigin;

    fn spine(levels_mm: [f64; LEVELS]) -> StudyFoundPoints {
        Target::ALL.map(|target| {
            let x = match target.condition.side() {
                None => 0.0,
                Some(crate::anatomy::Side::Left) => 12.0,
                Some(crate::anatomy::Side::Right) => -12.0,
            };
            let position_mm = [x, 0.0, levels_mm[target.level.index()]];
            Some(FoundPoint { position_mm, reliability: 1.0, origin: PointOrigin::Annotated })
        })
    }

    const REGULAR: [f64; LEVELS] = [0.0, -37.8, -74.9, -109.9, -140.0];

    /// Points whose chance of being near is `confidence²`; 20 mm off otherwise.
    fn tables(studies: u64, seed: u64) -> (FoundPoints, FoundPoints) {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut found, mut annotated) = (FoundPoints::new(), FoundPoints::new());
        for study in 0..studies {
            let truth = spine(REGULAR);
            let points = truth.map(|point| {
                let mut point = point.unwrap();
                let confidence: f64 = random.random_range(0.05..0.99);
                let off = if random.random_range(0.0..1.0) < confidence * confidence { 2.0 } else { 20.0 };
                point.position_mm[1] += off;
                Some(FoundPoint { reliability: confidence, origin: PointOrigin::Sagittal, ..point })
            });
            found.insert(StudyId(study), points).unwrap();
            annotated.insert(StudyId(study), truth).unwrap();
        }
        (found, annotated)
    }

    fn calibrated(model: &PointReliability, found: &FoundPoints) -> FoundPoints {
        let mut table = FoundPoints::new();
        found.iter().for_each(|(study, points)| table.insert(study, model.apply(points)).unwrap());
        table
    }

    #[test]
    fn confidences_become_probabilities_of_studies_that_were_not_seen() {
        let (found, annotated) = tables(60, 1);
        let model = PointReliability::fit(&found, &annotated);
        let (found, annotated) = tables(60, 2);
        let report = PointReport::new(&calibrated(&model, &found), &annotated);
        assert!(report.auroc.unwrap() > 0.75, "{report:?}");
        for bin in &report.calibration {
            assert!((bin.predicted - bin.observed).abs() < 0.1, "{:?}", report.calibration);
        }
        let raw = PointReport::new(&found, &annotated);
        let off = |report: &PointReport| {
            let bins = report.calibration.iter();
            bins.map(|bin| bin.count as f64 * (bin.predicted - bin.observed).abs()).sum::<f64>()
        };
        assert!(off(&report) < off(&raw), "{} {}", off(&report), off(&raw));
        assert_eq!((raw.errors[0].points, raw.errors[1].points, raw.errors[2].missed), (300, 600, 0));
    }

    #[test]
    fn levels_at_unusual_distances_are_trusted_less_after_such_points_were_wrong() {
        let (mut found, mut annotated) = (FoundPoints::new(), FoundPoints::new());
        for study in 0..40 {
            let truth = spine(REGULAR);
            let points = if study % 4 == 0 { spine([0.0, -37.8, -82.0, -109.9, -140.0]) } else { truth };
            found
                .insert(StudyId(study), points.map(|point| point.map(|p| FoundPoint { reliability: 0.8, ..p })))
                .unwrap();
            annotated.insert(StudyId(study), truth).unwrap();
        }
        let model = PointReliability::fit(&found, &annotated);
        let table = calibrated(&model, &found);
        let of = |study, target: usize| table.get(StudyId(study)).unwrap()[target].unwrap().reliability;
        assert!(of(0, 2) < 0.75 && of(1, 2) > 0.9, "{} {}", of(0, 2), of(1, 2));
    }

    #[test]
    fn points_of_a_spine_of_half_or_twice_the_size_and_of_uneven_steps_have_reliability_0() {
        let (found, annotated) = tables(60, 1);
        let model = PointReliability::fit(&found, &annotated);
        let scaled = |scale: f64| spine(REGULAR.map(|level_mm| scale * level_mm));
        for scale in [0.5, 2.0] {
            let (points, step_mm) = (scaled(scale), 35.0 * scale);
            assert!(model.apply(&points).iter().all(|point| point.unwrap().reliability == 0.0), "{scale}");
            assert!((unlikely_steps(&points).unwrap().mean_mm - step_mm).abs() < 1e-9);
        }
        // a disc is skipped
        let uneven = spine([0.0, -37.8, -109.9, -140.0, -175.0]);
        assert!(model.apply(&uneven).iter().all(|point| point.unwrap().reliability == 0.0));
        // the smallest and the largest spines of phantoms
        for scale in [26.0 / 35.0, 36.0 / 35.0] {
            assert!(model.apply(&scaled(scale)).iter().all(|point| point.unwrap().reliability > 0.9), "{scale}");
            assert_eq!(unlikely_steps(&scaled(scale)), None);
        }
    }

    #[test]
    fn good_points_alone_give_high_reliabilities_that_fall_with_confidence_and_with_unusual_distances() {
        let mut table = FoundPoints::new();
        (0..20).for_each(|study| table.insert(StudyId(study), spine(REGULAR)).unwrap());
        let model = PointReliability::fit(&table, &table);
        let all = calibrated(&model, &table);
        assert!(all.iter().flat_map(|(_, points)| points).all(|p| (0.95..1.0).contains(&p.unwrap().reliability)));
        assert_eq!(PointReport::new(&all, &table).auroc, None);
        let confident =
            |points: StudyFoundPoints, reliability| points.map(|p| p.map(|p| FoundPoint { reliability, ..p }));
        let of = |points: &StudyFoundPoints| model.apply(points)[2].unwrap().reliability;
        let (sure, unsure) = (confident(spine(REGULAR), 0.9), confident(spine(REGULAR), 0.1));
        let uneven = confident(spine([0.0, -37.8, -58.0, -109.9, -140.0]), 0.9);
        assert!(of(&sure) > of(&unsure) + 0.1 && of(&sure) > of(&uneven) + 0.1);
    }

    #[test]
    fn without_a_point_to_be_fitted_on_a_confidence_is_a_reliability() {
        let none = PointReliability::fit(&FoundPoints::new(), &FoundPoints::new());
        let points = spine(REGULAR).map(|point| point.map(|point| FoundPoint { reliability: 0.7, ..point }));
        assert!((none.apply(&points)[3].unwrap().reliability - 0.7).abs() < 0.02);
    }
}

//! From sagittal to axial: where the lateral recesses are, from the points of canal and foramina.
//!
//! The canal's and the foramina's points give each level a frame of its own: the axis from the right to the left
//! foramina, the canal's direction, and the axis to the back. A patient who is turned or bent turns the frame with
//! him. In this frame the recess is an offset from the canal's point, learned from annotated points. It depends on the
//! level and, linearly, on how far the foramina are from each other and from the canal.

use serde::{Deserialize, Serialize};

use super::SeriesKind;
use super::found_points::{FoundPoint, PointOrigin, StudyFoundPoints};
use super::study::Study;
use crate::anatomy::{Condition, ConditionGroup, Level, Side, Target};
use crate::linear::solve;

const LEVELS: usize = Level::ALL.len();
/// Half the distance of the level's foramina, its mean over levels, and the middle of the foramina in the frame.
const FEATURES: usize = 5;
const TERMS: usize = LEVELS + FEATURES;
/// Weights of the directions from right to left foramina of levels that are 0, 1, … levels away. Points scatter by
/// about 2 mm and foramina are 30 mm apart, so one level's direction is off by 4°.
const NEIGHBOURS: [f64; LEVELS] = [1.0, 0.5, 0.25, 0.1, 0.1];
/// Ridge penalties, in rows: a level without rows has the mean offset, a feature needs this much support.
const LEVEL_RIDGE: f64 = 1.0;
const FEATURE_RIDGE: f64 = 20.0;
/// Rows farther from the fit than this many medians, and than this, are annotations of another level.
const OUTLIER_MEDIANS: f64 = 4.0;
const OUTLIER_MM: f64 = 6.0;

/// Where recesses are, beside canal and foramina: learned from the annotated points of studies.
///
/// ```
/// use lumbar::anatomy::{Condition, Level, Target};
/// use lumbar::data::found_points::{FoundPoint, PointOrigin};
/// use lumbar::data::recess::RecessModel;
///
/// // a straight spine: foramina 15 mm to each side, recesses 8 mm to each side and 3 mm in front of the canal's points
/// let spine = Target::ALL.map(|target| {
///     let side = ["left", "right"].map(|side| target.column().starts_with(side));
///     let sign = f64::from(i8::from(side[0]) - i8::from(side[1]));
///     let (across, back) = match target.condition.group().name() {
///         "foraminal" => (15.0, -5.0),
///         "subarticular" => (8.0, -3.0),
///         _ => (0.0, 0.0),
///     };
///     let position_mm = [across * sign, back, -35.0 * target.level.index() as f64];
///     Some(FoundPoint { position_mm, reliability: 1.0, origin: PointOrigin::Annotated })
/// });
/// let model = RecessModel::fit([&spine, &spine]).unwrap();
/// let target = Target::new(Condition::LeftSubarticularStenosis, Level::L3L4);
/// let [x, y, z] = model.position(&spine, target).unwrap();
/// assert!((x - 8.0).abs() < 0.1 && (y + 3.0).abs() < 0.1 && (z + 70.0).abs() < 0.1);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecessModel {
    /// Mean offset from the canal's point in mm: outwards, to the back, to the head.
    mean_mm: [f64; 3],
    /// What is added for each level, and for each millimetre of each feature above its mean.
    terms: [[f64; 3]; TERMS],
    /// Means of the features in mm.
    feature_means_mm: [f64; FEATURES],
}

/// Axes of a level in the patient: to the left, to the back, to the head.
type Frame = [[f64; 3]; 3];

impl RecessModel {
    /// Learns from the annotated points of studies; `None` if no study has a canal and a recess of one level.
    ///
    /// Annotations of a wrong level are left out: what is far from a first fit is not in the second.
    #[must_use]
    pub fn fit<'a>(studies: impl IntoIterator<Item = &'a StudyFoundPoints>) -> Option<Self> {
        let mut rows: Vec<Sample> = studies.into_iter().flat_map(samples).collect();
        let mut model = Self::of_rows(&rows)?;
        for _ in 0..2 {
            let residual = |row: &Sample| length(sub(row.offset_mm, model.offset(row.level, &row.features)));
            let mut residuals: Vec<f64> = rows.iter().map(residual).collect();
            residuals.sort_by(f64::total_cmp);
            let limit = OUTLIER_MM.max(OUTLIER_MEDIANS * residuals[residuals.len() / 2]);
            let kept: Vec<Sample> = rows.iter().filter(|row| residual(row) <= limit).copied().collect();
            model = Self::of_rows(&kept)?;
            rows = kept;
        }
        Some(model)
    }

    /// Ridge regression of the offsets.
    fn of_rows(rows: &[Sample]) -> Option<Self> {
        let count = rows.len() as f64;
        if rows.is_empty() {
            return None;
        }
        let mean_mm = std::array::from_fn(|k| rows.iter().map(|row| row.offset_mm[k]).sum::<f64>() / count);
        let feature_means_mm = std::array::from_fn(|feature| {
            let known: Vec<f64> = rows.iter().filter_map(|row| row.features[feature]).collect();
            known.iter().sum::<f64>() / known.len().max(1) as f64
        });
        let mut model = Self { mean_mm, terms: [[0.0; 3]; TERMS], feature_means_mm };
        let (mut matrix, mut right) = ([[0.0; TERMS]; TERMS], [[0.0; 3]; TERMS]);
        for row in rows {
            let design = model.design(row.level, &row.features);
            let offset = sub(row.offset_mm, mean_mm);
            for i in 0..TERMS {
                (0..TERMS).for_each(|j| matrix[i][j] += design[i] * design[j]);
                (0..3).for_each(|k| right[i][k] += design[i] * offset[k]);
            }
        }
        for (term, row) in matrix.iter_mut().enumerate() {
            row[term] += if term < LEVELS { LEVEL_RIDGE } else { FEATURE_RIDGE };
        }
        model.terms = solve(matrix, right);
        Some(model)
    }

    /// The terms' values: 1 for the own level, features relative to their means; 0 for an unknown feature.
    fn design(&self, level: usize, features: &[Option<f64>; FEATURES]) -> [f64; TERMS] {
        std::array::from_fn(|term| match term.checked_sub(LEVELS) {
            None => f64::from(u8::from(term == level)),
            Some(feature) => features[feature].map_or(0.0, |value| value - self.feature_means_mm[feature]),
        })
    }

    fn offset(&self, level: usize, features: &[Option<f64>; FEATURES]) -> [f64; 3] {
        let design = self.design(level, features);
        let sum = |k: usize| design.iter().zip(&self.terms).map(|(value, term)| value * term[k]).sum::<f64>();
        std::array::from_fn(|k| self.mean_mm[k] + sum(k))
    }

    /// The position in patient mm of a recess, from the canal's and the foramina's points of a study; `None` without a
    /// canal point of the level and for other targets.
    #[must_use]
    pub fn position(&self, points: &StudyFoundPoints, target: Target) -> Option<[f64; 3]> {
        let side = target.condition.side().filter(|_| target.condition.group() == ConditionGroup::Subarticular)?;
        let level = target.level.index();
        let canal = at(points, Condition::SpinalCanalStenosis, level)?;
        let frame = frame(points, level)?;
        let mut offset = self.offset(level, &features(points, level, side, &frame));
        offset[0] *= sign(side);
        Some(std::array::from_fn(|k| canal[k] + (0..3).map(|axis| offset[axis] * frame[axis][k]).sum::<f64>()))
    }

    /// The points of a study with those of its recesses, each on the slice of all axial stacks that shows it best. A
    /// recess that no axial slice covers has none.
    ///
    /// Its reliability is the smallest of the canal's and the foramina's of its level.
    #[must_use]
    pub fn complete(&self, study: &Study, points: &StudyFoundPoints) -> StudyFoundPoints {
        let mut complete = *points;
        for target in Target::ALL.into_iter().filter(is_recess) {
            complete[target.index()] = self.found(study, points, target);
        }
        complete
    }

    fn found(&self, study: &Study, points: &StudyFoundPoints, target: Target) -> Option<FoundPoint> {
        let start = self.position(points, target)?;
        let seen = study.find(start, SeriesKind::AxialT2, None).filter(|seen| seen.place.nearest.covered)?;
        let stack = study.series(seen.series)?.data.stacks.get(seen.place.stack)?;
        let geometry = stack.slices.get(seen.place.nearest.slice)?.geometry?;
        let projection = seen.place.nearest.projection;
        let position_mm = geometry.patient_at(projection.column, projection.row);
        let sources = [Condition::SpinalCanalStenosis]
            .into_iter()
            .chain([Side::Left, Side::Right].map(|side| Condition::of(ConditionGroup::Foraminal, side)));
        let sources = sources.filter_map(|condition| points[Target::new(condition, target.level).index()]);
        let reliability = sources.map(|point| point.reliability).fold(1.0, f64::min);
        Some(FoundPoint { position_mm, reliability, origin: PointOrigin::FromSagittal })
    }
}

/// Whether a target is a lateral recess.
fn is_recess(target: &Target) -> bool {
    target.condition.group() == ConditionGroup::Subarticular
}

/// A recess of one study, in the frame of its level, outwards in place of left.
#[derive(Debug, Clone, Copy)]
struct Sample {
    level: usize,
    features: [Option<f64>; FEATURES],
    offset_mm: [f64; 3],
}

fn samples(points: &StudyFoundPoints) -> Vec<Sample> {
    let sample = |target: Target| {
        let (level, side) = (target.level.index(), target.condition.side()?);
        let canal = at(points, Condition::SpinalCanalStenosis, level)?;
        let frame = frame(points, level)?;
        let from_canal = sub(points[target.index()]?.position_mm, canal);
        let mut offset_mm = frame.map(|axis| dot(axis, from_canal));
        offset_mm[0] *= sign(side);
        Some(Sample { level, features: features(points, level, side, &frame), offset_mm })
    };
    Target::ALL.into_iter().filter(is_recess).filter_map(sample).collect()
}

const fn sign(side: Side) -> f64 {
    match side {
        Side::Left => 1.0,
        Side::Right => -1.0,
    }
}

fn at(points: &StudyFoundPoints, condition: Condition, level: usize) -> Option<[f64; 3]> {
    points[Target::new(condition, *Level::ALL.get(level)?).index()].map(|point| point.position_mm)
}

/// Left and right foramen of a level.
fn foramina(points: &StudyFoundPoints, level: usize) -> Option<[[f64; 3]; 2]> {
    let of = |side| at(points, Condition::of(ConditionGroup::Foraminal, side), level);
    Some([of(Side::Left)?, of(Side::Right)?])
}

/// The axes of a level. Without foramina the first one is the patient's own, without another canal point the third.
/// `None` if they do not span space.
fn frame(points: &StudyFoundPoints, level: usize) -> Option<Frame> {
    let mut left = [0.0; 3];
    for other in 0..LEVELS {
        if let Some([one, two]) = foramina(points, other) {
            let step = sub(one, two);
            (0..3).for_each(|k| left[k] += NEIGHBOURS[level.abs_diff(other)] * step[k]);
        }
    }
    let left = unit(left).unwrap_or([1.0, 0.0, 0.0]);
    let canal = |level| at(points, Condition::SpinalCanalStenosis, level);
    let own = canal(level)?;
    let above = (0..level).rev().find_map(canal).unwrap_or(own);
    let below = (level + 1..LEVELS).find_map(canal).unwrap_or(own);
    let up = unit(sub(above, below)).unwrap_or([0.0, 0.0, 1.0]);
    let along = dot(up, left);
    let up = unit(std::array::from_fn(|k| up[k] - along * left[k]))?;
    let back =
        [up[1] * left[2] - up[2] * left[1], up[2] * left[0] - up[0] * left[2], up[0] * left[1] - up[1] * left[0]];
    Some([left, back, up])
}

fn features(points: &StudyFoundPoints, level: usize, side: Side, frame: &Frame) -> [Option<f64>; FEATURES] {
    let half = |[one, two]: [[f64; 3]; 2]| length(sub(one, two)) / 2.0;
    let halves: Vec<f64> = (0..LEVELS).filter_map(|level| foramina(points, level)).map(half).collect();
    let mean = (!halves.is_empty()).then(|| halves.iter().sum::<f64>() / halves.len() as f64);
    let own = foramina(points, level);
    let middle = own.zip(at(points, Condition::SpinalCanalStenosis, level)).map(|([one, two], canal)| {
        let from_canal = std::array::from_fn(|k| (one[k] + two[k]) / 2.0 - canal[k]);
        frame.map(|axis| dot(axis, from_canal))
    });
    [
        own.map(half),
        mean,
        middle.map(|middle| sign(side) * middle[0]),
        middle.map(|middle| middle[1]),
        middle.map(|middle| middle[2]),
    ]
}

fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| a[k] - b[k])
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|k| a[k] * b[k]).sum()
}

fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

fn unit(a: [f64; 3]) -> Option<[f64; 3]> {
    let length = length(a);
    (length > 1e-6).then(|| a.map(|value| value / length))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lumbar_dicom::{Geometry, Pixels, ReadReport, Series, Slice, Stack};

    use super::*;
    use crate::data::study::StudySeries;
    use crate::data::{DataSplit, SeriesId, StudyId};

    /// A bent spine turned about the patient's long axis, of a size and with a canal of a depth.
    fn spine(turn_deg: f64, size: f64, depth: f64) -> StudyFoundPoints {
        let (sin, cos) = turn_deg.to_radians().sin_cos();
        Target::ALL.map(|target| {
            let level = target.level.index() as f64;
            let side = target.condition.side().map_or(0.0, sign);
            let (across, back) = match target.condition.group() {
                ConditionGroup::Spinal => (0.0, 0.0),
                ConditionGroup::Foraminal => (14.0 * size, -4.0 - depth),
                ConditionGroup::Subarticular => (8.0 * size, -2.0 - 0.5 * depth),
            };
            let [x, y] = [across * side, back * size];
            let z = -34.0 * size * level + if side == 0.0 { 0.0 } else { 2.0 };
            let position_mm = [cos * x - sin * y + 3.0 * level, sin * x + cos * y - level * level, z];
            Some(FoundPoint { position_mm, reliability: 0.9, origin: PointOrigin::Annotated })
        })
    }

    fn worst_mm(model: &RecessModel, points: &StudyFoundPoints) -> f64 {
        let error = |target: Target| {
            let found = model.position(points, target).unwrap();
            length(sub(found, points[target.index()].unwrap().position_mm))
        };
        Target::ALL.into_iter().filter(is_recess).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn recesses_of_turned_patients_of_other_sizes_are_found() {
        let training: Vec<_> = (0..40)
            .map(|k| spine(f64::from(k * 7 % 25) - 12.0, 0.85 + 0.3 * f64::from(k % 11) / 10.0, f64::from(k % 5)))
            .collect();
        let model = RecessModel::fit(&training).unwrap();
        for other in [spine(20.0, 1.1, 1.5), spine(-18.0, 0.9, 3.5), spine(0.0, 1.0, 0.0)] {
            let worst = worst_mm(&model, &other);
            assert!(worst < 0.7, "{worst} mm");
        }
        // turning the whole patient turns the points
        assert!((worst_mm(&model, &spine(0.0, 1.0, 1.0)) - worst_mm(&model, &spine(1e-9, 1.0, 1.0))).abs() < 1e-6);
    }

    #[test]
    fn annotations_of_the_level_below_change_nothing() {
        let mut training: Vec<_> = (0..40).map(|k| spine(0.0, 0.9 + 0.005 * f64::from(k), 1.0)).collect();
        let clean = RecessModel::fit(&training).unwrap();
        for study in &mut training[..3] {
            for target in Target::ALL.into_iter().filter(is_recess) {
                let below = Level::ALL[(target.level.index() + 1).min(4)];
                study[target.index()] = study[Target::new(target.condition, below).index()];
            }
        }
        let slipped = RecessModel::fit(&training).unwrap();
        let one = spine(5.0, 1.0, 1.0);
        assert!((worst_mm(&clean, &one) - worst_mm(&slipped, &one)).abs() < 0.5);
    }

    #[test]
    fn missing_foramina_use_the_patients_axes_and_a_missing_canal_has_no_recess() {
        let model = RecessModel::fit(&vec![spine(0.0, 1.0, 1.0); 10]).unwrap();
        let mut points = spine(0.0, 1.0, 1.0);
        points[5..15].fill(None);
        points[0] = None;
        assert_eq!(model.position(&points, Target::new(Condition::LeftSubarticularStenosis, Level::L1L2)), None);
        let target = Target::new(Condition::RightSubarticularStenosis, Level::L3L4);
        let found = model.position(&points, target).unwrap();
        let off = length(sub(found, points[target.index()].unwrap().position_mm));
        assert!(off < 1.5, "{off} mm");
        assert_eq!(model.position(&points, Target::new(Condition::SpinalCanalStenosis, Level::L3L4)), None);
        assert!(RecessModel::fit(&[[None; Target::COUNT]]).is_none());
        let text = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<RecessModel>(&text).unwrap(), model);
    }

    /// An axial stack of 100 × 100 mm about the spine, slices at these heights in this order.
    fn axial(heights_mm: &[f64]) -> Series {
        // falling heights follow each other along a normal to the feet: the rows then run to the patient's right
        let right = if heights_mm.is_sorted() { 1.0 } else { -1.0 };
        let slices = heights_mm.iter().enumerate().map(|(number, z)| {
            let geometry =
                Geometry::new([-50.0 * right, -50.0, *z], [right, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0]).unwrap();
            let pixels = Pixels::U8(Arc::new(vec![0; 100 * 100]));
            Slice::in_memory(100, 100, pixels, Some(geometry), Some(number as i32 + 1)).unwrap()
        });
        let (uid, study, frame_of_reference, number, modality, description) = (None, None, None, None, None, None);
        let (stacks, report) = (vec![Stack::new(slices.collect())], ReadReport::default());
        Series { uid, study, frame_of_reference, number, modality, description, stacks, report }
    }

    fn study(stacks: &[&[f64]]) -> Study {
        let series = stacks.iter().enumerate().map(|(id, heights_mm)| StudySeries {
            id: SeriesId(id as u64),
            kind: Some(SeriesKind::AxialT2),
            data: axial(heights_mm),
        });
        Study { id: StudyId(1), split: DataSplit::Test, series: series.collect(), warnings: Vec::new() }
    }

    #[test]
    fn a_stack_that_covers_two_levels_gives_their_recesses_and_no_others() {
        let model = RecessModel::fit(&vec![spine(0.0, 1.0, 1.0); 10]).unwrap();
        let points = spine(0.0, 1.0, 1.0);
        // L3/L4 and L4/L5 are at −68 and −102 mm
        let heights: Vec<f64> = (0..11).map(|k| -110.0 + 5.0 * f64::from(k)).collect();
        let found = model.complete(&study(&[&heights]), &points);
        for target in Target::ALL.into_iter().filter(is_recess) {
            let is_covered = matches!(target.level, Level::L3L4 | Level::L4L5);
            assert_eq!(found[target.index()].is_some(), is_covered, "{target}");
            let Some(FoundPoint { position_mm: [x, y, z], reliability, origin }) = found[target.index()] else {
                continue;
            };
            let [right_x, right_y, right_z] = points[target.index()].unwrap().position_mm;
            assert!((x - right_x).hypot(y - right_y) < 0.5 && (z - right_z).abs() <= 2.6);
            assert!(heights.iter().any(|height| (height - z).abs() < 1e-9), "on a slice");
            assert_eq!((reliability, origin), (0.9, PointOrigin::FromSagittal));
        }
        // what was known stays, and the order of the slices changes nothing
        assert_eq!(found[..15], points[..15]);
        let upside_down: Vec<f64> = heights.iter().rev().copied().collect();
        assert_eq!(model.complete(&study(&[&upside_down]), &points), found);
        // two stacks, each with one of the levels; no stack
        let (lower, upper) = heights.split_at(5);
        assert_eq!(model.complete(&study(&[upper, lower]), &points), found);
        assert!(model.complete(&study(&[]), &points)[15..].iter().all(Option::is_none));
    }
}

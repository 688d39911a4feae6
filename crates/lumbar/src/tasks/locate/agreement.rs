//! Annotated points of one level that contradict each other.
//!
//! Readers annotate canal, foramina and recesses of a level on different series, and sometimes count differently. The
//! points of such a level are then one vertebra apart, and it is unknown which of them is right.

use crate::anatomy::{Level, Target};

/// Points of one level are at most this far apart in the sagittal plane. A foramen is about 9 mm from the canal's
/// point, the next level's points are 25 mm and more away.
const FARTHEST_MM: f64 = 15.0;

/// Two annotated points of one level that are too far apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Contradiction {
    pub(super) level: Level,
    /// The two that are farthest apart.
    pub(super) targets: [Target; 2],
    /// How far, in the sagittal plane.
    pub(super) distance_mm: f64,
}

impl Contradiction {
    /// In words, for the warnings of a study.
    pub(super) fn words(&self) -> String {
        let Self { level, targets: [one, other], distance_mm } = self;
        format!(
            "{level}: the annotated points of {} and {} are {distance_mm:.0} mm apart, expected at most {FARTHEST_MM} mm: \
             the level is left out of the localiser's training",
            one.condition, other.condition
        )
    }
}

/// Takes out the points of every level that contradicts itself, and says which these are.
pub(super) fn keep_consistent(points: &mut [Option<[f64; 3]>; Target::COUNT]) -> Vec<Contradiction> {
    let mut found = Vec::new();
    for level in Level::ALL {
        let known: Vec<(Target, [f64; 3])> = Target::ALL
            .into_iter()
            .filter(|target| target.level == level)
            .filter_map(|target| Some((target, points[target.index()]?)))
            .collect();
        let pairs =
            known.iter().enumerate().flat_map(|(place, one)| known[place + 1..].iter().map(move |other| (one, other)));
        let farthest = pairs
            .map(|(one, other)| {
                let distance_mm = super::in_plane_mm(one.1, other.1);
                Contradiction { level, targets: [one.0, other.0], distance_mm }
            })
            .max_by(|a, b| a.distance_mm.total_cmp(&b.distance_mm));
        if let Some(contradiction) = farthest.filter(|pair| pair.distance_mm > FARTHEST_MM) {
            known.iter().for_each(|(target, _)| points[target.index()] = None);
            found.push(contradiction);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Condition;

    #[test]
    fn a_level_whose_points_are_a_vertebra_apart_is_taken_out_and_named() {
        let mut points = Target::ALL.map(|target| {
            let z = -35.0 * target.level.index() as f64;
            Some([0.0, if target.condition.side().is_some() { -5.0 } else { 0.0 }, z])
        });
        let whole = points;
        assert!(keep_consistent(&mut points).is_empty());
        assert_eq!(points, whole);
        // a reader counted one lower on T1
        let slipped = Target::new(Condition::LeftNeuralForaminalNarrowing, Level::L3L4);
        points[slipped.index()] = points[Target::new(slipped.condition, Level::L4L5).index()];
        let found = keep_consistent(&mut points);
        assert_eq!(found.len(), 1);
        assert!((found[0].distance_mm - 35.0_f64.hypot(5.0)).abs() < 1e-9, "{found:?}");
        let words = found[0].words();
        assert!(words.starts_with("L3/L4: the annotated points of ") && words.contains("35 mm apart"), "{words}");
        for target in Target::ALL {
            assert_eq!(points[target.index()].is_none(), target.level == Level::L3L4, "{target}");
        }
    }

    #[test]
    fn a_level_with_one_point_cannot_contradict_itself() {
        let mut points = [None; Target::COUNT];
        points[0] = Some([0.0, 0.0, 500.0]);
        assert!(keep_consistent(&mut points).is_empty());
        assert!(points[0].is_some());
    }
}

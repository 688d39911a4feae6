use crate::anatomy::Target;
use crate::data::SeriesKind;
use crate::data::found_points::FoundPoints;
use crate::data::loader::BoxError;
use crate::data::manifest::StudyRecord;
use crate::data::study::{Study, StudyPoints, StudyWarning};

/// Returns where the targets of a study are: from the annotations, or from a localiser.
pub trait Points: Send + Sync {
    /// Positions in patient mm over [`Target::ALL`]; `None` where a position is not known.
    ///
    /// # Errors
    /// When they cannot be found.
    fn points(&self, study: &Study, record: &StudyRecord) -> Result<[Option<[f64; 3]>; Target::COUNT], BoxError>;

    /// Which targets have a known position and no slice that shows it. None for annotations: each is on a slice.
    fn not_covered(&self, _: &Study) -> Vec<StudyWarning> {
        Vec::new()
    }

    /// Where the points come from, beside the study's own files and annotations: a localiser's name and the hash of
    /// its weights. Studies that were cached for other points are decoded again.
    fn origin(&self) -> String;
}

/// The annotated points alone: a target without one is not visible.
#[derive(Debug, Clone, Copy, Default)]
pub struct Annotated;

impl Points for Annotated {
    fn points(&self, study: &Study, record: &StudyRecord) -> Result<[Option<[f64; 3]>; Target::COUNT], BoxError> {
        Ok(StudyPoints::locate(study, record).annotated().map(|point| point.map(|point| point.position_mm)))
    }

    fn origin(&self) -> String {
        // the name in earlier versions, so that their caches stay valid
        "marks".to_owned()
    }
}

/// The points that a localiser found. A target is visible only where a slice of the series on which it is graded
/// covers its point: there is always a nearest slice, and it may show something else.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a>(pub &'a FoundPoints);

impl Points for Found<'_> {
    fn points(&self, study: &Study, _: &StudyRecord) -> Result<[Option<[f64; 3]>; Target::COUNT], BoxError> {
        let points = self.0.get(study.id).ok_or("no points were looked for in it")?;
        Ok(Target::ALL.map(|target| {
            let position_mm = points[target.index()]?.position_mm;
            let kind = SeriesKind::annotated_for(target.condition);
            let seen = study.find(position_mm, kind, None)?;
            seen.place.nearest.covered.then_some(position_mm)
        }))
    }

    /// A kind without any series is reported by the study itself.
    fn not_covered(&self, study: &Study) -> Vec<StudyWarning> {
        let Some(points) = self.0.get(study.id) else { return Vec::new() };
        let of_kind = |kind: SeriesKind| {
            let is_hidden = |target: &Target| {
                let of_kind = SeriesKind::annotated_for(target.condition) == kind;
                let point = points[target.index()].filter(|point| of_kind && point.reliability > 0.0);
                let place = point.and_then(|point| study.find(point.position_mm, kind, None));
                place.is_some_and(|place| !place.place.nearest.covered)
            };
            let targets: Vec<Target> = Target::ALL.into_iter().filter(is_hidden).collect();
            (!targets.is_empty()).then_some(StudyWarning::NotCovered { kind, targets })
        };
        SeriesKind::ALL.into_iter().filter_map(of_kind).collect()
    }

    fn origin(&self) -> String {
        format!("found {}", self.0.fingerprint())
    }
}

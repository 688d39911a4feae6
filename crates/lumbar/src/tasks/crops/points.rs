use crate::anatomy::Target;
use crate::data::loader::BoxError;
use crate::data::manifest::StudyRecord;
use crate::data::study::{Study, StudyPoint, StudyPoints};

/// Returns where the targets of a study are: from the annotations, or from a localiser.
pub trait Points: Send + Sync {
    /// Positions in patient mm over [`Target::ALL`]; `None` where a position is not known.
    ///
    /// # Errors
    /// When they cannot be found.
    fn points(&self, study: &Study, record: &StudyRecord) -> Result<[Option<[f64; 3]>; Target::COUNT], BoxError>;

    /// Where the points come from, beside the study's own files and annotations: a localiser's name and the hash of
    /// its weights. Studies that were cached for other points are decoded again.
    fn origin(&self) -> String;
}

/// The annotated points alone: a target without one is not visible.
#[derive(Debug, Clone, Copy, Default)]
pub struct Annotated;

impl Points for Annotated {
    fn points(&self, study: &Study, record: &StudyRecord) -> Result<[Option<[f64; 3]>; Target::COUNT], BoxError> {
        Ok(StudyPoints::locate(study, record).points.map(|point| match point {
            StudyPoint::Annotated { position_mm, .. } => Some(position_mm),
            _ => None,
        }))
    }

    fn origin(&self) -> String {
        // the name in earlier versions, so that their caches stay valid
        "marks".to_owned()
    }
}

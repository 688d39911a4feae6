use crate::anatomy::Target;
use crate::data::manifest::StudyRecord;
use crate::data::study::{Study, StudyPoint, StudyPoints};
use crate::train::network::BoxError;

/// Tells where the targets of a study lie: the readers' marks, or a localiser's guess.
pub trait Points: Send + Sync {
    /// Positions in patient mm over [`Target::ALL`]; none where it is not known.
    ///
    /// # Errors
    /// Whatever keeps them from being found.
    fn points(&self, study: &Study, record: &StudyRecord) -> Result<[Option<[f64; 3]>; Target::COUNT], BoxError>;

    /// Where the points come from, beside the study's own files and marks: a localiser's name and the hash of its
    /// weights. Studies that were kept for other points are made anew.
    fn origin(&self) -> String;
}

/// The readers' marks alone: a target without one is not shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Marked;

impl Points for Marked {
    fn points(&self, study: &Study, record: &StudyRecord) -> Result<[Option<[f64; 3]>; Target::COUNT], BoxError> {
        Ok(StudyPoints::locate(study, record).points.map(|point| match point {
            StudyPoint::Annotated { position_mm, .. } => Some(position_mm),
            _ => None,
        }))
    }

    fn origin(&self) -> String {
        "marks".to_owned()
    }
}

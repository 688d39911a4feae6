use super::{StudyAttention, StudySlices};
use crate::anatomy::{Severity, Target};
use crate::data::loader::BoxError;
use crate::explain::{CellCam, ExplainCell, check_in_batch};
use crate::model::{LevelModel, Module};

impl<E: Module> ExplainCell for StudyAttention<E, LevelModel> {
    type Inputs = StudySlices;

    /// The part of a slice that the target looks at, with the map of the model that grades it.
    fn explain(
        &self,
        inputs: &StudySlices,
        study: usize,
        target: Target,
        severity: Severity,
    ) -> Result<Option<CellCam>, BoxError> {
        check_in_batch(study, inputs.studies.len())?;
        self.grader.explain(&self.graded(inputs)?, study, target, severity)
    }
}

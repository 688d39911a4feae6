//! Grading: what tasks have in common that predict the severities of all 25 targets of a study.
//!
//! A network's output is `[studies, 25, 3]` unnormalised log probabilities, targets in the order of
//! [`Target::ALL`]; in training a fourth number may be a loss of the network's own. The [`Grading`] objective trains it on the competition's score and predicts a softmax for every
//! visible target; targets that no image shows get the prior, the best constant of the training studies.

mod config;
mod loss;
mod truth;

use std::path::Path;

use tch::{Device, Kind, Tensor};

pub use config::LossConfig;
pub use loss::{Loss, MASKED};
pub use truth::{GradeTruth, labels_of};

use crate::anatomy::{Mirror, Severity, Target};
use crate::data::StudyId;
use crate::data::augment::Mix;
use crate::metric::{
    ConstantBaseline, Graded, LabelTable, MetricError, PredictionTable, Score, read_predictions, score,
    write_predictions,
};
use crate::train::{Objective, OutOfFold, TrainError, ValidationScore};

/// Probabilities of a study's targets over the three severities; `None` where no image shows the target.
pub type VisibleRow = [Option<[f64; 3]>; Target::COUNT];

/// Probabilities below this count as this at the start: a severity without a label can still be learned.
const LEAST_AT_START: f64 = 1e-3;

/// The logit at which a fresh head starts for a probability of the constant baseline.
pub(super) fn start_logit(probability: f64) -> f32 {
    probability.max(LEAST_AT_START).ln() as f32
}

/// Loss, predictions and score of networks that grade studies.
#[derive(Debug)]
pub struct Grading {
    loss: Loss,
    /// Weight of the network's own loss of each target.
    own_loss: f64,
    labels: LabelTable,
    prior: ConstantBaseline,
}

impl Grading {
    /// The objective of one fold. The prior is the best constant of the training studies' labels.
    ///
    /// # Errors
    /// When the device does not exist.
    pub fn new(
        config: &LossConfig,
        labels: &LabelTable,
        training: &[StudyId],
        device: Device,
    ) -> Result<Self, TrainError> {
        let known = labels.filter(|study| training.contains(&study));
        let prior = ConstantBaseline::best(&known);
        Ok(Self { loss: Loss::new(config, &known, device)?, own_loss: 0.0, labels: labels.clone(), prior })
    }

    /// The objective of a network that returns a fourth number for each target in training: a loss of its own, such as
    /// how far it looks from the target's point, and 0 where it has none. The mean of those above 0 is multiplied by
    /// `weight` and added to the loss.
    #[must_use]
    pub const fn with_own_loss(mut self, weight: f64) -> Self {
        self.own_loss = weight;
        self
    }

    /// The softmax of each study's logits over its visible targets.
    ///
    /// # Shapes
    /// `logits` `[studies, 25, 3]` → one row a study.
    ///
    /// # Errors
    /// When the shape is different.
    pub fn visible_rows(logits: &Tensor, truth: &GradeTruth) -> Result<Vec<VisibleRow>, TrainError> {
        check_logits(logits, truth)?;
        let probabilities = logits.f_softmax(-1, Kind::Double)?.f_to_device(Device::Cpu)?;
        let probabilities: Vec<f64> = Vec::try_from(probabilities.f_flatten(0, -1)?)?;
        let visible: Vec<bool> = Vec::try_from(truth.visible.f_to_device(Device::Cpu)?.f_flatten(0, -1)?)?;
        let cell = |cell: usize| visible[cell].then(|| std::array::from_fn(|class| probabilities[cell * 3 + class]));
        let row = |place: usize| std::array::from_fn(|target| cell(place * Target::COUNT + target));
        Ok((0..visible.len() / Target::COUNT).map(row).collect())
    }
}

/// The mean of a study's row and its mirror image's, left and right swapped back. A target that only one of them
/// shows has that one's probabilities.
#[must_use]
pub fn mean_with_mirrored(plain: &VisibleRow, mirrored: &VisibleRow) -> VisibleRow {
    let swapped = Mirror::targets(mirrored);
    std::array::from_fn(|target| match (plain[target], swapped[target]) {
        (Some(one), Some(other)) => Some(std::array::from_fn(|class| (one[class] + other[class]) / 2.0)),
        (one, other) => one.or(other),
    })
}

impl Objective for Grading {
    type Truth = GradeTruth;
    type Table = PredictionTable;

    fn loss(&self, output: &Tensor, truth: &GradeTruth) -> Result<Tensor, TrainError> {
        let severities = Severity::COUNT as i64;
        if output.dim() != 3 || output.size()[2] != severities + 1 {
            check_logits(output, truth)?;
            return self.loss.of(output, &truth.visible_labels()?);
        }
        let logits = output.f_narrow(2, 0, severities)?;
        check_logits(&logits, truth)?;
        let own = output.f_select(2, severities)?;
        let count = own.f_gt(0.0)?.f_sum(Kind::Float)?.f_clamp_min(1.0)?;
        let own = own.f_sum(Kind::Float)?.f_div(&count)?.f_mul_scalar(self.own_loss)?;
        Ok(self.loss.of(&logits, &truth.visible_labels()?)?.f_add(&own)?)
    }

    /// Labels of the partners. A target that only the study itself shows has its own label, one that it does not
    /// show has none.
    fn partners(&self, truth: &GradeTruth, mix: &Mix) -> Result<GradeTruth, TrainError> {
        Ok(truth.of_partners(&mix.partners)?)
    }

    fn predict(
        &self,
        table: &mut PredictionTable,
        studies: &[StudyId],
        output: &Tensor,
        truth: &GradeTruth,
    ) -> Result<(), TrainError> {
        for (&study, row) in studies.iter().zip(Self::visible_rows(output, truth)?) {
            table.insert(study, std::array::from_fn(|target| row[target].unwrap_or(self.prior.rows()[target])))?;
        }
        Ok(())
    }

    fn score(&self, table: &PredictionTable) -> Result<Option<ValidationScore>, TrainError> {
        let labels = self.labels.filter(|study| table.get(study).is_some());
        match score(&Graded::join(&labels, table)?) {
            Ok(score) => Ok(Some(ValidationScore::new(Score::PARTS.into_iter().zip(score.parts())))),
            Err(MetricError::NothingLabelled { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl OutOfFold for PredictionTable {
    fn write(&self, path: &Path) -> Result<(), TrainError> {
        Ok(write_predictions(path, self)?)
    }

    fn read(path: &Path) -> Result<Self, TrainError> {
        Ok(read_predictions(path)?)
    }

    fn add(&mut self, study: StudyId, from: &Self) -> Result<bool, TrainError> {
        match from.get(study) {
            Some(row) => self.insert(study, *row).map(|()| true).map_err(TrainError::from),
            None => Ok(false),
        }
    }
}

fn check_logits(logits: &Tensor, truth: &GradeTruth) -> Result<(), TrainError> {
    let expected = [truth.labels.size()[0], Target::COUNT as i64, 3];
    if logits.size() == expected {
        return Ok(());
    }
    Err(TrainError::Shape { what: "logits", expected: format!("{expected:?}"), found: logits.size() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_and_right_are_swapped_back_and_a_target_in_one_image_has_its_probabilities() {
        let plain: VisibleRow =
            Target::ALL.map(|target| Some([1.0 - target.index() as f64 / 100.0, 0.0, target.index() as f64 / 100.0]));
        let mirrored = Mirror::targets(&plain);
        assert_eq!(mean_with_mirrored(&plain, &mirrored), plain);
        assert_eq!(mean_with_mirrored(&[None; Target::COUNT], &mirrored), plain);
        assert_eq!(mean_with_mirrored(&plain, &[None; Target::COUNT]), plain);
        assert_eq!(mean_with_mirrored(&[None; Target::COUNT], &[None; Target::COUNT]), [None; Target::COUNT]);
    }
}

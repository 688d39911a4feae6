use serde::{Deserialize, Serialize};

use super::{Cell, Graded, MetricError};
use crate::anatomy::{ConditionGroup, Severity};

/// The competition's score: four log losses and their mean; lower is better, 0 is perfect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Weighted log loss over spinal canal stenosis, all levels.
    pub spinal: f64,
    /// Weighted log loss over neural foraminal narrowing, both sides, all levels.
    pub foraminal: f64,
    /// Weighted log loss over subarticular stenosis, both sides, all levels.
    pub subarticular: f64,
    /// Weighted binary log loss over studies: is the canal severely narrowed at any level?
    pub any_severe_spinal: f64,
}

impl Score {
    /// Names of the four parts, in the order of [`Score::parts`].
    pub const PARTS: [&'static str; 4] = ["spinal", "foraminal", "subarticular", "any_severe_spinal"];

    /// The four parts.
    #[must_use]
    pub const fn parts(&self) -> [f64; 4] {
        [self.spinal, self.foraminal, self.subarticular, self.any_severe_spinal]
    }

    /// The score: the plain mean of the four parts.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.parts().iter().sum::<f64>() / 4.0
    }

    pub(super) const fn from_parts(parts: [f64; 4]) -> Self {
        let [spinal, foraminal, subarticular, any_severe_spinal] = parts;
        Self { spinal, foraminal, subarticular, any_severe_spinal }
    }
}

/// The competition's score, exactly as Kaggle's metric computes it.
///
/// Each labelled cell is a row with weight 1, 2 or 4 ([`Severity::weight`]). Its three predicted values are
/// clipped to [ε, 1 − ε] with ε = 2⁻⁵² and divided by their sum; the loss of a group is
/// Σ w·(−ln p_true) / Σ w. The fourth part has a row per study: label any severe among its labelled spinal
/// rows, weight the largest of theirs, prediction the largest of their predicted severe values (as given,
/// not divided by the row's sum).
///
/// # Errors
/// [`MetricError::NothingLabelled`] when a part has no row.
pub fn score(graded: &Graded) -> Result<Score, MetricError> {
    pooled((0..graded.studies().len()).map(|place| Contribution::of(graded.of_study(place))))
}

/// The score of the studies with these contributions.
pub(super) fn pooled(contributions: impl IntoIterator<Item = Contribution>) -> Result<Score, MetricError> {
    let mut total = Contribution::default();
    for contribution in contributions {
        for part in 0..4 {
            total.loss[part] += contribution.loss[part];
            total.weight[part] += contribution.weight[part];
        }
    }
    if let Some(part) = total.weight.iter().position(|weight| *weight == 0.0) {
        return Err(MetricError::NothingLabelled { part: Score::PARTS[part] });
    }
    Ok(Score::from_parts(std::array::from_fn(|part| total.loss[part] / total.weight[part])))
}

/// What a study adds to numerator and denominator of each of the four parts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Contribution {
    loss: [f64; 4],
    weight: [f64; 4],
}

impl Contribution {
    pub(super) fn of(cells: &[Cell]) -> Self {
        let mut sums = Self::default();
        let mut any_severe: Option<(bool, f64, f64)> = None;
        for cell in cells {
            let weight = cell.truth.weight();
            let part = match cell.target.condition.group() {
                ConditionGroup::Spinal => 0,
                ConditionGroup::Foraminal => 1,
                ConditionGroup::Subarticular => 2,
            };
            sums.loss[part] -= weight * log_probability(&cell.raw, cell.truth.index());
            sums.weight[part] += weight;
            if part == 0 {
                let (label, heaviest, predicted) = any_severe.unwrap_or((false, 0.0, 0.0));
                let severe = cell.truth == Severity::Severe;
                any_severe = Some((label || severe, heaviest.max(weight), predicted.max(cell.raw[2])));
            }
        }
        if let Some((label, weight, predicted)) = any_severe {
            sums.loss[3] = -weight * log_probability(&[1.0 - predicted, predicted], usize::from(label));
            sums.weight[3] = weight;
        }
        sums
    }
}

/// ln of the probability at `class` after clipping to [ε, 1 − ε] and dividing by the sum.
fn log_probability(values: &[f64], class: usize) -> f64 {
    let clip = |value: f64| value.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    (clip(values[class]) / values.iter().copied().map(clip).sum::<f64>()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::StudyId;
    use crate::metric::{ConstantBaseline, LabelTable, PredictionTable};

    fn one_study(change: impl FnOnce(&mut [Option<Severity>; 25], &mut [[f64; 3]; 25])) -> Graded {
        let mut truth = [Some(Severity::NormalMild); 25];
        let mut predicted = [[0.7, 0.2, 0.1]; 25];
        change(&mut truth, &mut predicted);
        let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
        labels.insert(StudyId(1), truth).unwrap();
        predictions.insert(StudyId(1), predicted).unwrap();
        Graded::join(&labels, &predictions).unwrap()
    }

    #[test]
    fn uniform_predictions_give_ln_3_whatever_the_labels() {
        let mut labels = LabelTable::new();
        for study in 0..30 {
            labels
                .insert(
                    StudyId(study as u64),
                    std::array::from_fn(|index| Some(Severity::ALL[(index * 7 + study) % 3])),
                )
                .unwrap();
        }
        let uniform = ConstantBaseline::uniform().predict(labels.studies());
        let score = score(&Graded::join(&labels, &uniform).unwrap()).unwrap();
        for part in &score.parts()[..3] {
            assert!((part - 3f64.ln()).abs() < 1e-12);
        }
    }

    #[test]
    fn severe_rows_weigh_four_times_a_normal_row() {
        let score = score(&one_study(|truth, _| truth[0] = Some(Severity::Severe))).unwrap();
        let expected = -(4.0 * 0.1f64.ln() + 4.0 * 0.7f64.ln()) / 8.0;
        assert!((score.spinal - expected).abs() < 1e-12);
        assert!((score.any_severe_spinal + 0.1f64.ln()).abs() < 1e-12);
        assert!((score.total() - score.parts().iter().sum::<f64>() / 4.0).abs() < 1e-15);
    }

    #[test]
    fn any_severe_takes_the_largest_severe_of_the_labelled_levels() {
        let score = score(&one_study(|truth, predicted| {
            predicted[2] = [0.2, 0.2, 0.6];
            predicted[4] = [0.0, 0.1, 0.9];
            truth[4] = None;
        }))
        .unwrap();
        assert!((score.any_severe_spinal + 0.4f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn a_certain_error_costs_36_and_not_infinity() {
        let score = score(&one_study(|_, predicted| predicted[0..5].fill([0.0, 0.0, 1.0]))).unwrap();
        assert!((score.spinal + f64::EPSILON.ln()).abs() < 1e-9);
        assert!((score.any_severe_spinal + f64::EPSILON.ln()).abs() < 1e-9);
    }

    #[test]
    fn a_group_without_labels_is_an_error_that_names_it() {
        let error = score(&one_study(|truth, _| truth[5..15].fill(None))).unwrap_err();
        assert_eq!(error.to_string(), "no labelled row for the foraminal part of the score");
    }
}

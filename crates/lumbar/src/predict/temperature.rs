use serde::{Deserialize, Serialize};

use crate::anatomy::{ConditionGroup, Target};
use crate::data::StudyId;
use crate::metric::{Cell, Graded, LabelTable, MetricError, PredictionTable, Score, score};

/// Temperatures are searched between 1/20 and 20.
const WIDEST: f64 = 20.0;

/// Smaller probabilities are raised to this, so that their logarithm is finite.
const LEAST: f64 = 1e-12;

/// A temperature for each condition group: p ∝ p^(1/T). Above 1 it makes predictions more cautious, below 1
/// bolder; it changes no ranking within a cell (Guo et al. 2017).
///
/// Fit it on out-of-fold predictions, never on those of the training studies. To judge how much it helps,
/// fit it on the other folds: [`Temperature::out_of_fold`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Temperature {
    /// Of spinal canal stenosis.
    pub spinal: f64,
    /// Of neural foraminal narrowing.
    pub foraminal: f64,
    /// Of subarticular stenosis.
    pub subarticular: f64,
}

impl Temperature {
    /// Changes nothing.
    pub const ONE: Self = Self { spinal: 1.0, foraminal: 1.0, subarticular: 1.0 };

    /// The temperatures that minimise each group's weighted log loss; 1 for a group without labels.
    #[must_use]
    pub fn fit(graded: &Graded) -> Self {
        let [spinal, foraminal, subarticular] = ConditionGroup::ALL.map(|group| {
            let cells = graded.select(|target| target.condition.group() == group);
            if cells.is_empty() { 1.0 } else { best(&cells) }
        });
        Self { spinal, foraminal, subarticular }
    }

    /// The temperatures of predictions that are out of fold: those of [`Temperature::fit`] in the groups in which
    /// temperatures that are fitted on the other folds lower the score, and 1 in the others. To the canal's group
    /// belongs any-severe. With a few dozen studies what is fitted often costs more than it gains.
    ///
    /// # Errors
    /// When labels and predictions do not fit together or `fold_of` returns no fold for a study.
    pub fn fit_where_it_gains(
        labels: &LabelTable,
        predictions: &PredictionTable,
        fold_of: impl Fn(StudyId) -> Option<usize>,
    ) -> Result<Self, MetricError> {
        let plain = Graded::join(labels, predictions)?;
        let scaled = Graded::join(labels, &Self::out_of_fold(labels, predictions, fold_of)?)?;
        let (before, after) = match (score(&plain), score(&scaled)) {
            (Ok(before), Ok(after)) => (before, after),
            // nothing shows a gain
            (Err(MetricError::NothingLabelled { .. }), _) | (_, Err(MetricError::NothingLabelled { .. })) => {
                return Ok(Self::ONE);
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let fitted = Self::fit(&plain);
        let if_gains = |temperature: f64, gains: bool| if gains { temperature } else { 1.0 };
        let canal = |score: &Score| score.spinal + score.any_severe_spinal;
        Ok(Self {
            spinal: if_gains(fitted.spinal, canal(&after) < canal(&before)),
            foraminal: if_gains(fitted.foraminal, after.foraminal < before.foraminal),
            subarticular: if_gains(fitted.subarticular, after.subarticular < before.subarticular),
        })
    }

    /// The temperature of a target.
    #[must_use]
    pub const fn of(&self, target: Target) -> f64 {
        match target.condition.group() {
            ConditionGroup::Spinal => self.spinal,
            ConditionGroup::Foraminal => self.foraminal,
            ConditionGroup::Subarticular => self.subarticular,
        }
    }

    /// The probabilities of a target at its temperature.
    #[must_use]
    pub fn scale(&self, target: Target, probabilities: &[f64; 3]) -> [f64; 3] {
        tempered(probabilities, self.of(target))
    }

    /// Predictions at these temperatures.
    #[must_use]
    pub fn apply(&self, predictions: &PredictionTable) -> PredictionTable {
        let mut table = PredictionTable::new();
        for (study, row) in predictions.iter() {
            let row = Target::ALL.map(|target| self.scale(target, &row[target.index()]));
            table.insert(study, row).expect("the studies of a table differ");
        }
        table
    }

    /// Predictions of each fold at the temperatures that fit the other folds: an unbiased estimate of
    /// what scaling gains.
    ///
    /// # Errors
    /// When labels and predictions do not fit together or `fold_of` returns no fold for a study.
    pub fn out_of_fold(
        labels: &LabelTable,
        predictions: &PredictionTable,
        fold_of: impl Fn(StudyId) -> Option<usize>,
    ) -> Result<PredictionTable, MetricError> {
        let mut folds = Vec::new();
        for &study in predictions.studies() {
            let fold = fold_of(study).ok_or(MetricError::NoFold { study })?;
            if !folds.contains(&fold) {
                folds.push(fold);
            }
        }
        let mut scaled = Vec::new();
        for fold in folds {
            let others = |study: StudyId| fold_of(study) != Some(fold);
            let temperature = Self::fit(&Graded::join(&labels.filter(others), &predictions.filter(others))?);
            scaled.push((fold, temperature.apply(&predictions.filter(|study| !others(study)))));
        }
        let mut table = PredictionTable::new();
        for &study in predictions.studies() {
            let row = scaled.iter().find_map(|(_, part)| part.get(study));
            table.insert(study, *row.expect("every study is in a fold"))?;
        }
        Ok(table)
    }
}

/// The temperature with the least loss: golden-section search over its logarithm. The loss is convex in 1/T, so
/// there is one minimum.
fn best(cells: &[Cell]) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-WIDEST.ln(), WIDEST.ln());
    while high - low > 1e-7 {
        let (left, right) = (high - ratio * (high - low), low + ratio * (high - low));
        if loss(cells, left.exp()) < loss(cells, right.exp()) {
            high = right;
        } else {
            low = left;
        }
    }
    ((low + high) / 2.0).exp()
}

/// Σ w·(−ln p) at a temperature.
fn loss(cells: &[Cell], temperature: f64) -> f64 {
    cells.iter().map(|cell| -cell.truth.weight() * tempered(&cell.raw, temperature)[cell.truth.index()].ln()).sum()
}

fn tempered(row: &[f64; 3], temperature: f64) -> [f64; 3] {
    if temperature == 1.0 {
        return *row;
    }
    let logits = row.map(|p| p.max(LEAST).ln() / temperature);
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials = logits.map(|logit| (logit - largest).exp());
    let sum: f64 = exponentials.iter().sum();
    exponentials.map(|value| value / sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Severity;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Labels drawn from probabilities, and those probabilities made bolder by `boldness`.
    fn bold(studies: usize, boldness: f64) -> (LabelTable, PredictionTable) {
        let mut generator = StdRng::seed_from_u64(9);
        let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
        for study in 0..studies {
            let true_rows: [[f64; 3]; 25] = std::array::from_fn(|_| {
                let logits: [f64; 3] = std::array::from_fn(|_| generator.random_range(-2.0..2.0f64));
                let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
                logits.map(|logit| logit.exp() / sum)
            });
            // weights 1, 2, 4 shift the best prediction: p ∝ w·q has the least weighted loss where q is true
            let truth = true_rows.map(|row| {
                let mut draw = generator.random_range(0.0..1.0);
                let class = row.iter().position(|p| {
                    draw -= p;
                    draw < 0.0
                });
                Some(Severity::ALL[class.unwrap_or(2)])
            });
            let weighted = true_rows.map(|row| {
                let row: [f64; 3] = std::array::from_fn(|class| row[class] * Severity::ALL[class].weight());
                let sum: f64 = row.iter().sum();
                tempered(&row.map(|p| p / sum), 1.0 / boldness)
            });
            labels.insert(StudyId(study as u64), truth).unwrap();
            predictions.insert(StudyId(study as u64), weighted).unwrap();
        }
        (labels, predictions)
    }

    #[test]
    fn predictions_that_are_twice_too_bold_are_found_out() {
        let (labels, predictions) = bold(800, 2.0);
        let temperature = Temperature::fit(&Graded::join(&labels, &predictions).unwrap());
        for found in [temperature.spinal, temperature.foraminal, temperature.subarticular] {
            assert!((found - 2.0).abs() < 0.15, "{temperature:?}");
        }
    }

    #[test]
    fn scaling_helps_out_of_fold_too_and_keeps_probabilities() {
        let (labels, predictions) = bold(200, 3.0);
        let scaled = Temperature::out_of_fold(&labels, &predictions, |study| Some(study.0 as usize % 5)).unwrap();
        let total = |table: &PredictionTable| score(&Graded::join(&labels, table).unwrap()).unwrap().total();
        assert!(total(&scaled) < total(&predictions));
        for cell in scaled.iter().flat_map(|(_, row)| row) {
            assert!((cell.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        assert_eq!(scaled.studies(), predictions.studies());
        assert_eq!(Temperature::ONE.apply(&predictions), predictions);
    }

    #[test]
    fn a_group_without_labels_keeps_its_predictions() {
        let (labels, predictions) = bold(20, 2.0);
        let mut masked = LabelTable::new();
        for (study, row) in labels.iter() {
            let mut row = *row;
            row[5..15].fill(None);
            masked.insert(study, row).unwrap();
        }
        assert_eq!(Temperature::fit(&Graded::join(&masked, &predictions).unwrap()).foraminal, 1.0);
    }

    #[test]
    fn temperatures_that_gain_nothing_on_other_folds_are_not_applied() {
        let fold_of = |study: StudyId| Some(study.0 as usize % 5);
        // right as they are: what is fitted to a few studies is noise
        let (labels, predictions) = bold(25, 1.0);
        assert_ne!(Temperature::fit(&Graded::join(&labels, &predictions).unwrap()), Temperature::ONE);
        let total = |table: &PredictionTable| score(&Graded::join(&labels, table).unwrap()).unwrap();
        let (plain, scaled) =
            (total(&predictions), total(&Temperature::out_of_fold(&labels, &predictions, fold_of).unwrap()));
        let found = Temperature::fit_where_it_gains(&labels, &predictions, fold_of).unwrap();
        assert_eq!(found.foraminal == 1.0, scaled.foraminal >= plain.foraminal);
        assert_eq!(found.subarticular == 1.0, scaled.subarticular >= plain.subarticular);
        let canal = |score: &Score| score.spinal + score.any_severe_spinal;
        assert_eq!(found.spinal == 1.0, canal(&scaled) >= canal(&plain));
        // three times too bold
        let (labels, predictions) = bold(200, 3.0);
        let found = Temperature::fit_where_it_gains(&labels, &predictions, fold_of).unwrap();
        assert_eq!(found, Temperature::fit(&Graded::join(&labels, &predictions).unwrap()));
    }
}

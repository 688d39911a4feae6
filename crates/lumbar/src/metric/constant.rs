use std::collections::BTreeSet;

use super::{LabelTable, MetricError, PredictionTable};
use crate::anatomy::{Severity, Target};
use crate::data::StudyId;

/// Pseudo-labels that each target gets from its condition group.
const PSEUDO_COUNT: f64 = 1.0;

/// A baseline that looks at no image: the same probabilities for every study.
///
/// A model that does not beat [`ConstantBaseline::best`] out of fold has learned nothing from the images. The same
/// constant is the prior: what is predicted for a target that no image shows.
///
/// ```
/// use lumbar::anatomy::Severity;
/// use lumbar::data::StudyId;
/// use lumbar::metric::{ConstantBaseline, LabelTable};
///
/// let mut labels = LabelTable::new();
/// labels.insert(StudyId(1), [Some(Severity::NormalMild); 25])?;
/// labels.insert(StudyId(2), [Some(Severity::Severe); 25])?;
/// // one normal cell of weight 1 and one severe cell of weight 4
/// let [normal, moderate, severe] = ConstantBaseline::best(&labels).rows()[0];
/// assert!((normal - 0.2).abs() < 1e-12 && moderate == 0.0 && (severe - 0.8).abs() < 1e-12);
/// # Ok::<(), lumbar::metric::MetricError>(())
/// ```
///
/// # Shapes
/// `[25][3]`, targets in the order of [`Target::ALL`]; each row sums to one.
#[derive(Debug, Clone, PartialEq)]
pub struct ConstantBaseline {
    rows: [[f64; 3]; Target::COUNT],
}

impl ConstantBaseline {
    /// One third for each severity.
    #[must_use]
    pub fn uniform() -> Self {
        Self { rows: [[1.0 / 3.0; 3]; Target::COUNT] }
    }

    /// Probabilities read from a file.
    ///
    /// # Errors
    /// [`MetricError::NotProbabilities`] when a row is not finite, negative or zero for all three severities.
    pub fn of_rows(rows: [[f64; 3]; Target::COUNT]) -> Result<Self, MetricError> {
        for (target, found) in Target::ALL.into_iter().zip(rows) {
            if found.iter().any(|value| !value.is_finite() || *value < 0.0) || found.iter().sum::<f64>() <= 0.0 {
                return Err(MetricError::NotProbabilities { row: "the constant baseline".to_owned(), target, found });
            }
        }
        Ok(Self { rows })
    }

    /// The constant that minimises each target's weighted log loss over `labels`: its class frequencies
    /// weighted 1/2/4.
    ///
    /// One label of the target's condition group, spread in that group's frequencies, is added to each target, so
    /// that a severity which a target never has among few labels is rare and not impossible. A target without any
    /// label gets its group's frequencies, a group without any label one third each.
    #[must_use]
    pub fn best(labels: &LabelTable) -> Self {
        Self::weighted_frequencies(labels, PSEUDO_COUNT)
    }

    fn weighted_frequencies(labels: &LabelTable, pseudo_count: f64) -> Self {
        let mut counts = [[0.0; 3]; Target::COUNT];
        for (_, row) in labels.iter() {
            for (counts, severity) in counts.iter_mut().zip(row) {
                if let Some(severity) = severity {
                    counts[severity.index()] += 1.0;
                }
            }
        }
        let rows = Target::ALL.map(|target| {
            let mut group = [0.0; 3];
            for other in Target::ALL.into_iter().filter(|other| other.condition.group() == target.condition.group()) {
                for (sum, count) in group.iter_mut().zip(counts[other.index()]) {
                    *sum += count;
                }
            }
            let labelled: f64 = group.iter().sum();
            if labelled == 0.0 {
                return [1.0 / 3.0; 3];
            }
            let own = counts[target.index()];
            let pseudo_count = if own.iter().sum::<f64>() == 0.0 { pseudo_count.max(1.0) } else { pseudo_count };
            let weighted: [f64; 3] = std::array::from_fn(|class| {
                Severity::ALL[class].weight() * (own[class] + pseudo_count * group[class] / labelled)
            });
            let sum: f64 = weighted.iter().sum();
            weighted.map(|weight| weight / sum)
        });
        Self { rows }
    }

    /// Its probabilities, in the order of [`Target::ALL`].
    #[must_use]
    pub const fn rows(&self) -> &[[f64; 3]; Target::COUNT] {
        &self.rows
    }

    /// The same row for each study.
    ///
    /// # Panics
    /// When a study is named twice.
    #[must_use]
    pub fn predict(&self, studies: &[StudyId]) -> PredictionTable {
        let mut table = PredictionTable::new();
        for study in studies {
            table.insert(*study, self.rows).expect("a list of studies names each once");
        }
        table
    }

    /// The best constant out of fold: each study is predicted with the constant of the other folds' labels.
    ///
    /// `fold_of` returns a study's fold.
    ///
    /// # Errors
    /// [`MetricError::NoFold`] when a labelled study has none.
    pub fn best_out_of_fold(
        labels: &LabelTable,
        fold_of: impl Fn(StudyId) -> Option<usize>,
    ) -> Result<PredictionTable, MetricError> {
        let folds = labels
            .studies()
            .iter()
            .map(|&study| fold_of(study).ok_or(MetricError::NoFold { study }))
            .collect::<Result<BTreeSet<_>, _>>()?;
        let constants: Vec<(usize, Self)> = folds
            .into_iter()
            .map(|fold| {
                let others = labels.filter(|study| fold_of(study) != Some(fold));
                (fold, Self::best(&others))
            })
            .collect();
        let mut table = PredictionTable::new();
        for &study in labels.studies() {
            let (_, constant) =
                constants.iter().find(|(fold, _)| Some(*fold) == fold_of(study)).expect("every fold has its constant");
            table.insert(study, constant.rows)?;
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Graded, score};

    fn labels(studies: usize) -> LabelTable {
        let mut labels = LabelTable::new();
        for study in 0..studies {
            let row = std::array::from_fn(|index| match (study * 31 + index * 7) % 20 {
                0 => None,
                1..=13 => Some(Severity::NormalMild),
                14..=17 => Some(Severity::Moderate),
                _ => Some(Severity::Severe),
            });
            labels.insert(StudyId(study as u64), row).unwrap();
        }
        labels
    }

    #[test]
    fn no_constant_beats_the_best_one_in_sample() {
        let labels = labels(200);
        let best = ConstantBaseline::weighted_frequencies(&labels, 0.0);
        let loss = |constant: &ConstantBaseline| {
            let score = score(&Graded::join(&labels, &constant.predict(labels.studies())).unwrap()).unwrap();
            score.spinal + score.foraminal + score.subarticular
        };
        let least = loss(&best);
        for target in 0..25 {
            for class in 0..3 {
                let mut other = best.clone();
                other.rows[target][class] += 0.01;
                let sum: f64 = other.rows[target].iter().sum();
                other.rows[target] = other.rows[target].map(|value| value / sum);
                assert!(loss(&other) > least);
            }
        }
        assert!(loss(&ConstantBaseline::uniform()) > least);
    }

    #[test]
    fn a_fold_is_predicted_without_its_own_labels() {
        let mut labels = labels(20);
        let fold_of = |study: StudyId| Some(study.0 as usize % 5);
        let before = ConstantBaseline::best_out_of_fold(&labels, fold_of).unwrap();
        labels = {
            let mut changed = LabelTable::new();
            for (study, row) in labels.iter() {
                changed.insert(study, if study == StudyId(3) { [Some(Severity::Severe); 25] } else { *row }).unwrap();
            }
            changed
        };
        let after = ConstantBaseline::best_out_of_fold(&labels, fold_of).unwrap();
        for &study in labels.studies() {
            assert_eq!(before.get(study) == after.get(study), fold_of(study) == Some(3), "study {study}");
        }
        assert!(matches!(ConstantBaseline::best_out_of_fold(&labels, |_| None), Err(MetricError::NoFold { .. })));
    }

    #[test]
    fn a_severity_that_never_occurs_is_rare_and_not_impossible() {
        let mut labels = LabelTable::new();
        let mut row = [Some(Severity::NormalMild); 25];
        row[1] = Some(Severity::Severe);
        row[2] = None;
        labels.insert(StudyId(1), row).unwrap();
        let constant = ConstantBaseline::best(&labels);
        assert!(constant.rows[0][2] > 0.0 && constant.rows[0][1] == 0.0);
        // not labelled: the group's three normal rows and one severe one, weighted
        assert_eq!(constant.rows[2], [3.0 / 7.0, 0.0, 4.0 / 7.0]);
    }
}

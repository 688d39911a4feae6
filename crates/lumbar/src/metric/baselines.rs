use serde::Serialize;

use super::{
    BootstrapConfig, ConstantBaseline, Graded, LabelTable, MetricError, PredictionTable, ScoreIntervals,
    score_difference, score_intervals,
};
use crate::data::StudyId;

/// Returns the fold of a study.
pub type FoldOf<'a> = &'a dyn Fn(StudyId) -> Option<usize>;

/// A model's score beside its baselines.
///
/// Lower is better. A model that is no better than the best constant has learned nothing from the images. The
/// oracle, which only phantoms have, knows the degree of disease behind each image: no model does better on average.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baselines {
    /// How many studies were graded.
    pub studies: usize,
    /// How many labelled cells.
    pub cells: usize,
    /// One third for each severity.
    pub uniform: ScoreIntervals,
    /// The best constant of each target: of the other folds' labels where folds are known, else of the same
    /// labels, which is a little too good.
    pub best_constant: ScoreIntervals,
    /// The model.
    pub model: ScoreIntervals,
    /// The oracle, where there is one.
    pub oracle: Option<ScoreIntervals>,
    /// Model minus best constant over the same drawn studies: an interval below zero is more than chance.
    pub to_best_constant: ScoreIntervals,
    /// Share of the gap between the best constant and the oracle that the model closes: the four parts in the order of
    /// [`Score::PARTS`](super::Score::PARTS), then the score. `None` without an oracle, or where the constant is no
    /// worse than it.
    pub gap_closed: [Option<f64>; 5],
}

impl Baselines {
    /// Scores a model and its baselines on the labelled studies.
    ///
    /// # Errors
    /// When the tables do not cover the labels' studies, `fold_of` returns `None` for one, or a part of the score
    /// has no labelled row.
    pub fn new(
        labels: &LabelTable,
        model: &PredictionTable,
        oracle: Option<&PredictionTable>,
        fold_of: Option<FoldOf<'_>>,
        config: &BootstrapConfig,
    ) -> Result<Self, MetricError> {
        let constant = match fold_of {
            Some(fold_of) => ConstantBaseline::best_out_of_fold(labels, fold_of)?,
            None => ConstantBaseline::best(labels).predict(labels.studies()),
        };
        let graded = Graded::join(labels, model)?;
        let constant = Graded::join(labels, &constant)?;
        let uniform = Graded::join(labels, &ConstantBaseline::uniform().predict(labels.studies()))?;
        let oracle = match oracle {
            Some(oracle) => {
                let known = oracle.filter(|study| labels.get(study).is_some());
                Some(score_intervals(&Graded::join(labels, &known)?, config)?)
            }
            None => None,
        };
        let (best_constant, own) = (score_intervals(&constant, config)?, score_intervals(&graded, config)?);
        let gap_closed = std::array::from_fn(|part| {
            let at = |intervals: &ScoreIntervals| intervals.five()[part].estimate;
            let gap = at(&best_constant) - at(oracle.as_ref()?);
            (gap > 0.0).then(|| (at(&best_constant) - at(&own)) / gap)
        });
        Ok(Self {
            studies: labels.len(),
            cells: graded.cells().len(),
            uniform: score_intervals(&uniform, config)?,
            best_constant,
            model: own,
            oracle,
            to_best_constant: score_difference(&graded, &constant, config)?,
            gap_closed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::{Severity, Target};

    #[test]
    fn half_way_to_the_oracle_is_half_the_gap() {
        let (mut labels, mut oracle) = (LabelTable::new(), PredictionTable::new());
        for study in 0..40usize {
            let id = StudyId(study as u64);
            let truth: [usize; Target::COUNT] = std::array::from_fn(|target| (study * 7 + target * 3) % 3);
            labels.insert(id, truth.map(|class| Some(Severity::ALL[class]))).unwrap();
            let near = |class: usize| std::array::from_fn(|other| if other == class { 0.9 } else { 0.05 });
            oracle.insert(id, truth.map(near)).unwrap();
        }
        let config = BootstrapConfig { replicates: 200, ..BootstrapConfig::default() };
        let baselines = Baselines::new(&labels, &oracle, Some(&oracle), None, &config).unwrap();
        assert!(baselines.gap_closed.iter().all(|share| (share.unwrap() - 1.0).abs() < 1e-12), "{baselines:?}");
        assert!(baselines.to_best_constant.total.high < 0.0);
        let constant = ConstantBaseline::best(&labels).predict(labels.studies());
        let baselines = Baselines::new(&labels, &constant, Some(&oracle), None, &config).unwrap();
        assert!(baselines.gap_closed.iter().all(|share| share.unwrap().abs() < 1e-12), "{baselines:?}");
        let baselines = Baselines::new(&labels, &constant, None, Some(&|study| Some(study.0 as usize)), &config);
        assert_eq!(baselines.unwrap().gap_closed, [None; 5]);
    }
}

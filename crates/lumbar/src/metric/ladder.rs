use serde::Serialize;

use super::{
    BootstrapConfig, Graded, LabelTable, MetricError, PredictionTable, Reference, ScoreIntervals, score_difference,
    score_intervals,
};

/// Pseudo-labels of the best constant, as where a model falls back to it.
const PSEUDO_COUNT: f64 = 1.0;

/// Tells the fold of a study by its name.
pub type FoldOf<'a> = &'a dyn Fn(&str) -> Option<usize>;

/// A model beside the predictors between which its score has to be read.
///
/// Lower is better. A model that is no better than the best constant has learned nothing from the pictures;
/// the oracle, which only phantoms have, knows all that can be known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ladder {
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
    /// Share of the way from the best constant to the oracle that the model goes: the four parts in the order of
    /// [`Score::PARTS`](super::Score::PARTS), then the score. None without an oracle, or where the constant is no
    /// worse than it.
    pub gap_closed: [Option<f64>; 5],
}

impl Ladder {
    /// Grades a model and its references on the labelled studies.
    ///
    /// # Errors
    /// When the tables do not cover the labels' studies, `fold_of` knows no fold of one, or a part of the score
    /// has no labelled row.
    pub fn new(
        labels: &LabelTable,
        model: &PredictionTable,
        oracle: Option<&PredictionTable>,
        fold_of: Option<FoldOf<'_>>,
        config: &BootstrapConfig,
    ) -> Result<Self, MetricError> {
        let constant = match fold_of {
            Some(fold_of) => Reference::best_constant_out_of_fold(labels, PSEUDO_COUNT, fold_of)?,
            None => Reference::best_constant(labels, PSEUDO_COUNT).predict(labels.studies()),
        };
        let graded = Graded::join(labels, model)?;
        let constant = Graded::join(labels, &constant)?;
        let uniform = Graded::join(labels, &Reference::uniform().predict(labels.studies()))?;
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
            let truth: [usize; Target::COUNT] = std::array::from_fn(|target| (study * 7 + target * 3) % 3);
            labels.insert(study, truth.map(|class| Some(Severity::ALL[class]))).unwrap();
            let near = |class: usize| std::array::from_fn(|other| if other == class { 0.9 } else { 0.05 });
            oracle.insert(study, truth.map(near)).unwrap();
        }
        let config = BootstrapConfig { replicates: 200, ..BootstrapConfig::default() };
        let ladder = Ladder::new(&labels, &oracle, Some(&oracle), None, &config).unwrap();
        assert!(ladder.gap_closed.iter().all(|share| (share.unwrap() - 1.0).abs() < 1e-12), "{ladder:?}");
        assert!(ladder.to_best_constant.total.high < 0.0);
        let constant = Reference::best_constant(&labels, PSEUDO_COUNT).predict(labels.studies());
        let ladder = Ladder::new(&labels, &constant, Some(&oracle), None, &config).unwrap();
        assert!(ladder.gap_closed.iter().all(|share| share.unwrap().abs() < 1e-12), "{ladder:?}");
        let ladder = Ladder::new(&labels, &constant, None, Some(&|study| study.parse::<usize>().ok()), &config);
        assert_eq!(ladder.unwrap().gap_closed, [None; 5]);
    }
}

use super::{
    Cell, Confusion, Graded, KappaWeights, Positive, auroc, average_precision, brier, classwise_calibration_error,
    ranked_probability_score,
};
use crate::anatomy::{ConditionGroup, Target};

/// Every measure of a set of labelled cells; none where it is not defined (one class only, no cell).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Labelled cells of each severity.
    pub count: [usize; 3],
    /// Weighted log loss, as in the score: Σ w·(−ln p) / Σ w.
    pub weighted_log_loss: Option<f64>,
    /// Area under the receiver operating characteristic, severe against the rest.
    pub auroc_severe: Option<f64>,
    /// The same, moderate or severe against normal/mild.
    pub auroc_at_least_moderate: Option<f64>,
    /// Average precision, severe against the rest.
    pub average_precision_severe: Option<f64>,
    /// The same, moderate or severe against normal/mild.
    pub average_precision_at_least_moderate: Option<f64>,
    /// Mean recall of the severities that occur.
    pub balanced_accuracy: Option<f64>,
    /// Linearly weighted kappa.
    pub kappa_linear: Option<f64>,
    /// Quadratically weighted kappa.
    pub kappa_quadratic: Option<f64>,
    /// Ranked probability score, 0–2.
    pub ranked_probability_score: Option<f64>,
    /// Brier score, 0–2.
    pub brier: Option<f64>,
    /// Class-wise expected calibration error over [`Summary::CALIBRATION_BINS`] bins.
    pub calibration_error: Option<f64>,
}

impl Summary {
    /// Bins of the calibration error: 15 (Guo et al. 2017).
    pub const CALIBRATION_BINS: usize = 15;

    /// Measures the cells.
    #[must_use]
    pub fn of(cells: &[Cell]) -> Self {
        let mut count = [0; 3];
        let (mut loss, mut weight) = (0.0, 0.0);
        for cell in cells {
            count[cell.truth.index()] += 1;
            let probability = cell.probabilities()[cell.truth.index()].clamp(f64::EPSILON, 1.0 - f64::EPSILON);
            loss -= cell.truth.weight() * probability.ln();
            weight += cell.truth.weight();
        }
        let confusion = Confusion::of(cells);
        Self {
            count,
            weighted_log_loss: (weight > 0.0).then(|| loss / weight),
            auroc_severe: auroc(cells, Positive::Severe),
            auroc_at_least_moderate: auroc(cells, Positive::AtLeastModerate),
            average_precision_severe: average_precision(cells, Positive::Severe),
            average_precision_at_least_moderate: average_precision(cells, Positive::AtLeastModerate),
            balanced_accuracy: confusion.balanced_accuracy(),
            kappa_linear: confusion.kappa(KappaWeights::Linear),
            kappa_quadratic: confusion.kappa(KappaWeights::Quadratic),
            ranked_probability_score: ranked_probability_score(cells),
            brier: brier(cells),
            calibration_error: classwise_calibration_error(cells, Self::CALIBRATION_BINS),
        }
    }
}

/// Measures of each of the 25 targets alone, in the order of [`Target::ALL`].
#[must_use]
pub fn by_target(graded: &Graded) -> Vec<(Target, Summary)> {
    Target::ALL.map(|target| (target, Summary::of(&graded.select(|other| other == target)))).into()
}

/// Measures of the three groups of the score, cells of both sides and all levels pooled.
#[must_use]
pub fn by_group(graded: &Graded) -> Vec<(ConditionGroup, Summary)> {
    ConditionGroup::ALL
        .map(|group| (group, Summary::of(&graded.select(|target| target.condition.group() == group))))
        .into()
}

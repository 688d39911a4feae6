use serde::Serialize;

use super::Cell;

/// Mean over the cells of Σ over severities (p − [is it])², 0–2; none without cells.
#[must_use]
pub fn brier(cells: &[Cell]) -> Option<f64> {
    mean(cells, |cell| {
        let truth = cell.truth.index();
        cell.probabilities()
            .iter()
            .enumerate()
            .map(|(class, p)| (p - f64::from(u8::from(class == truth))).powi(2))
            .sum()
    })
}

/// Ranked probability score: mean over the cells of Σ over the two cuts between severities of the squared
/// difference of cumulated probability and cumulated truth, 0–2; none without cells.
///
/// Unlike [`brier`] it knows that severe is further from normal than moderate is (Epstein 1969; not divided
/// by the number of cuts).
#[must_use]
pub fn ranked_probability_score(cells: &[Cell]) -> Option<f64> {
    mean(cells, |cell| {
        let [normal, moderate, _] = cell.probabilities();
        let truth = cell.truth.index();
        let below = |cut: usize| f64::from(u8::from(truth <= cut));
        (normal - below(0)).powi(2) + (normal + moderate - below(1)).powi(2)
    })
}

/// One bin of a reliability curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// How many cells fall into the bin.
    pub count: usize,
    /// Their mean predicted probability.
    pub predicted: f64,
    /// The share of them that has the severity.
    pub observed: f64,
}

/// Reliability of the probability of severity number `class` (0–2): the bins of equal width that are not
/// empty. A bin holds its upper edge and not its lower one; the first holds 0.
#[must_use]
pub fn reliability(cells: &[Cell], class: usize, bins: usize) -> Vec<ReliabilityBin> {
    let events: Vec<(f64, bool)> =
        cells.iter().map(|cell| (cell.probabilities()[class], cell.truth.index() == class)).collect();
    reliability_of(&events, bins)
}

/// Reliability of (probability, whether it happened) pairs, in bins as in [`reliability`].
#[must_use]
pub fn reliability_of(events: &[(f64, bool)], bins: usize) -> Vec<ReliabilityBin> {
    let mut sums = vec![(0usize, 0.0, 0.0); bins.max(1)];
    for &(probability, happened) in events {
        // the first inner edge that is not below the probability, as scikit-learn's calibration_curve
        let edge = |index: usize| index as f64 / bins as f64;
        let mut bin = ((probability * bins as f64).ceil() as usize).clamp(1, bins) - 1;
        while bin > 0 && probability <= edge(bin) {
            bin -= 1;
        }
        while bin + 1 < bins && probability > edge(bin + 1) {
            bin += 1;
        }
        let (count, predicted, observed) = &mut sums[bin];
        *count += 1;
        *predicted += probability;
        *observed += f64::from(u8::from(happened));
    }
    sums.into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, predicted, observed)| ReliabilityBin {
            count,
            predicted: predicted / count as f64,
            observed: observed / count as f64,
        })
        .collect()
}

/// Class-wise expected calibration error: mean over the three severities of
/// Σ over bins count/total · |predicted − observed|; none without cells.
#[must_use]
pub fn classwise_calibration_error(cells: &[Cell], bins: usize) -> Option<f64> {
    if cells.is_empty() || bins == 0 {
        return None;
    }
    let error = |class| -> f64 {
        reliability(cells, class, bins)
            .iter()
            .map(|bin| bin.count as f64 * (bin.predicted - bin.observed).abs())
            .sum::<f64>()
            / cells.len() as f64
    };
    Some((error(0) + error(1) + error(2)) / 3.0)
}

fn mean(cells: &[Cell], loss: impl Fn(&Cell) -> f64) -> Option<f64> {
    (!cells.is_empty()).then(|| cells.iter().map(loss).sum::<f64>() / cells.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::{Severity, Target};

    fn cell(truth: Severity, raw: [f64; 3]) -> Cell {
        Cell { target: Target::ALL[0], truth, raw }
    }

    #[test]
    fn confusing_severe_with_normal_costs_more_than_with_moderate() {
        let far = [cell(Severity::Severe, [1.0, 0.0, 0.0])];
        let near = [cell(Severity::Severe, [0.0, 1.0, 0.0])];
        assert_eq!(brier(&far), brier(&near));
        assert_eq!(ranked_probability_score(&far), Some(2.0));
        assert_eq!(ranked_probability_score(&near), Some(1.0));
    }

    #[test]
    fn a_predictor_that_is_right_as_often_as_it_says_is_calibrated() {
        let cells: Vec<Cell> = (0..10)
            .map(|index| cell(if index < 7 { Severity::NormalMild } else { Severity::Severe }, [0.7, 0.0, 0.3]))
            .collect();
        assert!(classwise_calibration_error(&cells, 15).unwrap() < 1e-12);
        assert_eq!(classwise_calibration_error(&[], 15), None);
        let bins = reliability(&cells, 0, 10);
        assert_eq!((bins.len(), bins[0].count), (1, 10));
    }
}

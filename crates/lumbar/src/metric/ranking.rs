use super::Cell;
use crate::anatomy::Severity;

/// Where three severities are cut in two for measures of a yes-or-no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positive {
    /// Severe against the rest; ranked by the probability of severe.
    Severe,
    /// Moderate or severe against normal/mild; ranked by the sum of both probabilities.
    AtLeastModerate,
}

impl Positive {
    /// The value by which the cell is ranked, and whether it is positive.
    #[must_use]
    pub fn of(self, cell: &Cell) -> (f64, bool) {
        let probabilities = cell.probabilities();
        match self {
            Self::Severe => (probabilities[2], cell.truth == Severity::Severe),
            Self::AtLeastModerate => (probabilities[1] + probabilities[2], cell.truth != Severity::NormalMild),
        }
    }

    fn ranked(self, cells: &[Cell]) -> Vec<(f64, bool)> {
        cells.iter().map(|cell| self.of(cell)).collect()
    }
}

/// Area under the receiver operating characteristic of the cells; none unless both classes are there.
#[must_use]
pub fn auroc(cells: &[Cell], positive: Positive) -> Option<f64> {
    area_under_roc(&positive.ranked(cells))
}

/// Average precision of the cells, Σ (Rₙ − Rₙ₋₁)·Pₙ without interpolation; none unless a positive is there.
#[must_use]
pub fn average_precision(cells: &[Cell], positive: Positive) -> Option<f64> {
    precision_of_ranking(&positive.ranked(cells))
}

/// Area under the receiver operating characteristic of (value, is positive) pairs: the chance that a
/// positive has the larger value than a negative, equal values counted half.
///
/// ```
/// use lumbar::metric::area_under_roc;
/// assert_eq!(area_under_roc(&[(0.9, true), (0.4, false), (0.4, true)]), Some(0.75));
/// assert_eq!(area_under_roc(&[(0.9, true)]), None);
/// ```
#[must_use]
pub fn area_under_roc(ranking: &[(f64, bool)]) -> Option<f64> {
    let (mut below, mut wins) = (0.0, 0.0);
    let mut positives = 0.0;
    for (positive, negative) in ties(ranking, |left, right| left.total_cmp(&right)) {
        wins += positive * (below + 0.5 * negative);
        below += negative;
        positives += positive;
    }
    (positives > 0.0 && below > 0.0).then(|| wins / (positives * below))
}

/// Average precision of (value, is positive) pairs, as scikit-learn's `average_precision_score`.
///
/// ```
/// use lumbar::metric::precision_of_ranking;
/// assert_eq!(precision_of_ranking(&[(0.9, true), (0.6, false), (0.4, true)]), Some(0.5 * 1.0 + 0.5 * 2.0 / 3.0));
/// ```
#[must_use]
pub fn precision_of_ranking(ranking: &[(f64, bool)]) -> Option<f64> {
    let total = ranking.iter().filter(|(_, positive)| *positive).count() as f64;
    let (mut found, mut seen, mut sum) = (0.0, 0.0, 0.0);
    for (positive, negative) in ties(ranking, |left, right| right.total_cmp(&left)) {
        found += positive;
        seen += positive + negative;
        sum += positive / total * (found / seen);
    }
    (total > 0.0).then_some(sum)
}

/// Sorted by value: how many positives and negatives share each value.
fn ties(ranking: &[(f64, bool)], order: impl Fn(f64, f64) -> std::cmp::Ordering) -> Vec<(f64, f64)> {
    let mut sorted = ranking.to_vec();
    sorted.sort_unstable_by(|left, right| order(left.0, right.0));
    sorted
        .chunk_by(|left, right| left.0 == right.0)
        .map(|tie| {
            let positive = tie.iter().filter(|(_, positive)| *positive).count();
            (positive as f64, (tie.len() - positive) as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_ranking_scores_one_and_its_reverse_zero() {
        let ranking: Vec<_> = (0..10).map(|index| (f64::from(index), index >= 6)).collect();
        assert_eq!(area_under_roc(&ranking), Some(1.0));
        assert_eq!(precision_of_ranking(&ranking), Some(1.0));
        let reversed: Vec<_> = ranking.iter().map(|(value, positive)| (-value, *positive)).collect();
        assert_eq!(area_under_roc(&reversed), Some(0.0));
    }

    #[test]
    fn a_constant_ranking_scores_a_half() {
        assert_eq!(area_under_roc(&[(0.3, true), (0.3, false), (0.3, false)]), Some(0.5));
        assert_eq!(precision_of_ranking(&[(0.3, true), (0.3, false)]), Some(0.5));
        assert_eq!(precision_of_ranking(&[(0.3, false)]), None);
    }
}

use super::Cell;

/// Counts of labels against predictions.
///
/// # Shapes
/// `[3][3]`: row the label, column the most probable severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confusion(pub [[u64; 3]; 3]);

/// How much a disagreement by two severities counts beside one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KappaWeights {
    /// Twice as much.
    Linear,
    /// Four times as much.
    Quadratic,
}

impl Confusion {
    /// Counts of the cells.
    #[must_use]
    pub fn of(cells: &[Cell]) -> Self {
        let mut counts = [[0; 3]; 3];
        for cell in cells {
            counts[cell.truth.index()][cell.predicted().index()] += 1;
        }
        Self(counts)
    }

    /// Mean over the severities that occur among the labels of the share that was predicted right; none
    /// when there is no cell.
    #[must_use]
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let recalls: Vec<f64> = self
            .0
            .iter()
            .enumerate()
            .filter_map(|(class, row)| {
                let total: u64 = row.iter().sum();
                (total > 0).then(|| row[class] as f64 / total as f64)
            })
            .collect();
        (!recalls.is_empty()).then(|| recalls.iter().sum::<f64>() / recalls.len() as f64)
    }

    /// Cohen's weighted kappa: 1 − Σ w·observed / Σ w·expected by chance; none when labels and predictions
    /// are all of one and the same severity.
    ///
    /// ```
    /// use lumbar::metric::{Confusion, KappaWeights};
    /// let confusion = Confusion([[5, 0, 0], [0, 3, 0], [0, 0, 2]]);
    /// assert_eq!(confusion.kappa(KappaWeights::Quadratic), Some(1.0));
    /// ```
    #[must_use]
    pub fn kappa(&self, weights: KappaWeights) -> Option<f64> {
        let counts = self.0.map(|row| row.map(|count| count as f64));
        let labelled = counts.map(|row| row.iter().sum::<f64>());
        let predicted: [f64; 3] = std::array::from_fn(|class| counts.iter().map(|row| row[class]).sum());
        let total: f64 = labelled.iter().sum();
        let (mut observed, mut expected) = (0.0, 0.0);
        for (row, counts) in counts.iter().enumerate() {
            for (column, count) in counts.iter().enumerate() {
                let distance = row.abs_diff(column) as f64;
                let weight = match weights {
                    KappaWeights::Linear => distance,
                    KappaWeights::Quadratic => distance * distance,
                };
                observed += weight * count;
                expected += weight * labelled[row] * predicted[column] / total;
            }
        }
        (expected > 0.0).then(|| 1.0 - observed / expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_agreement_has_kappa_zero() {
        let confusion = Confusion([[4, 2, 2], [2, 1, 1], [2, 1, 1]]);
        assert!(confusion.kappa(KappaWeights::Linear).unwrap().abs() < 1e-12);
        assert!(confusion.kappa(KappaWeights::Quadratic).unwrap().abs() < 1e-12);
    }

    #[test]
    fn one_severity_alone_has_no_kappa() {
        assert_eq!(Confusion([[9, 0, 0], [0; 3], [0; 3]]).kappa(KappaWeights::Linear), None);
        assert_eq!(Confusion::default().kappa(KappaWeights::Linear), None);
        assert_eq!(Confusion::default().balanced_accuracy(), None);
    }

    #[test]
    fn severities_that_do_not_occur_do_not_dilute_the_accuracy() {
        assert_eq!(Confusion([[3, 1, 0], [0, 0, 0], [1, 0, 1]]).balanced_accuracy(), Some(0.625));
    }
}

//! The competition's score.

use serde::Serialize;

use crate::target::{CONDITIONS, LEVELS, TARGETS};

/// One study's labels (class index, `None` where empty) or predictions, in train.csv's order.
pub(crate) type Labels = [Option<usize>; TARGETS];
pub(crate) type Probabilities = [[f64; 3]; TARGETS];

/// The four parts of a score: weighted log losses, lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Spinal canal stenosis.
    pub spinal: f64,
    /// Neural foraminal narrowing, both sides.
    pub foraminal: f64,
    /// Subarticular stenosis, both sides.
    pub subarticular: f64,
    /// Any severe spinal canal stenosis in a study.
    pub any_severe_spinal: f64,
}

impl Score {
    /// The plain mean of the four parts.
    pub fn total(&self) -> f64 {
        (self.spinal + self.foraminal + self.subarticular + self.any_severe_spinal) / 4.0
    }
}

/// The metric of the competition: three weighted log losses over all cells of a group, and one over studies for
/// any severe spinal stenosis, whose prediction is the largest severe probability over levels.
pub(crate) fn score(labels: &[Labels], predictions: &[Probabilities]) -> Score {
    let mut groups = [[0.0; 2]; 3];
    let mut any = [0.0; 2];
    for (labels, predictions) in labels.iter().zip(predictions) {
        let (mut severe, mut weight, mut predicted) = (false, 0.0_f64, 0.0_f64);
        for target in 0..TARGETS {
            let Some(label) = labels[target] else { continue };
            let group = CONDITIONS[target / LEVELS.len()].group();
            let cell_weight = f64::from(1 << label);
            groups[group][0] += cell_weight * log_loss(&predictions[target], label);
            groups[group][1] += cell_weight;
            if group == 0 {
                severe |= label == 2;
                weight = weight.max(cell_weight);
                predicted = predicted.max(predictions[target][2]);
            }
        }
        if weight > 0.0 {
            any[0] += weight * log_loss(&[1.0 - predicted, predicted], usize::from(severe));
            any[1] += weight;
        }
    }
    let [spinal, foraminal, subarticular] = groups.map(|[loss, weight]| loss / weight);
    Score { spinal, foraminal, subarticular, any_severe_spinal: any[0] / any[1] }
}

/// −ln of the probability of the label, clipped by machine epsilon and normalised as scikit-learn does.
fn log_loss(probabilities: &[f64], label: usize) -> f64 {
    let clip = |p: f64| p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    let sum: f64 = probabilities.iter().map(|&p| clip(p)).sum();
    -(clip(probabilities[label]) / sum).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disease::DiseaseModel;
    use crate::seed::generator;

    #[test]
    fn uniform_predictions_score_ln_3_in_every_group() {
        let labels = vec![[Some(0); TARGETS], [Some(2); TARGETS]];
        let found = score(&labels, &[[[1.0 / 3.0; 3]; TARGETS]; 2]);
        for part in [found.spinal, found.foraminal, found.subarticular] {
            assert!((part - 3.0_f64.ln()).abs() < 1e-12);
        }
        // one study without (weight 1), one with (weight 4)
        let any = (-(2.0_f64 / 3.0).ln() - 4.0 * (1.0_f64 / 3.0).ln()) / 5.0;
        assert!((found.any_severe_spinal - any).abs() < 1e-12);
    }

    #[test]
    fn missing_labels_are_left_out_of_the_loss() {
        let mut labels = [Some(0); TARGETS];
        let mut predictions = [[0.8, 0.1, 0.1]; TARGETS];
        let whole = score(&[labels], &[predictions]);
        labels[7] = None;
        predictions[7] = [0.0, 0.0, 1.0];
        assert_eq!(score(&[labels], &[predictions]).foraminal, whole.foraminal);
    }

    /// The oracle's score on some studies.
    fn oracle(first: usize, studies: usize, noise_sd: f64) -> f64 {
        let model = DiseaseModel::new(noise_sd, 0.4);
        let drawn: Vec<_> = (first..first + studies)
            .map(|study| model.draw(&mut generator(3, study, "disease"), &[0.0; TARGETS]))
            .collect();
        let labels: Vec<Labels> = drawn.iter().map(|s| s.map(|cell| Some(cell.label))).collect();
        let predictions: Vec<Probabilities> = drawn.iter().map(|s| s.map(|cell| cell.oracle)).collect();
        score(&labels, &predictions).total()
    }

    #[test]
    fn reader_noise_sets_the_oracle_score() {
        for (noise_sd, expected) in [(0.3, 0.25), (0.5, 0.38), (0.6, 0.43)] {
            let found = oracle(0, 4_000, noise_sd);
            assert!((found - expected).abs() < 0.03, "noise {noise_sd}: {found}");
        }
    }

    #[test]
    fn the_oracle_of_64_studies_scatters_around_the_true_one() {
        let found: Vec<f64> = (0..60).map(|sample| oracle(64 * sample, 64, 0.5)).collect();
        let mean = found.iter().sum::<f64>() / 60.0;
        let sd = (found.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / 59.0).sqrt();
        println!("oracle of 64 studies: mean {mean:.4}, standard deviation {sd:.4}");
        assert!((mean - 0.38).abs() < 0.03 && sd < 0.06, "mean {mean}, standard deviation {sd}");
    }
}

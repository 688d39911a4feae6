//! The competition's score and its reference points on a phantom: uniform, best constant, oracle.

use std::collections::BTreeMap;
use std::path::Path;

use rand::seq::SliceRandom;
use serde::Serialize;

use crate::Error;
use crate::csv::Table;
use crate::seed::generator;
use crate::target::{CONDITIONS, LEVELS, SEVERITIES, TARGETS, column};

/// One study's labels (class index, `None` where empty) or predictions, in train.csv's order.
pub(crate) type Labels = [Option<usize>; TARGETS];
pub(crate) type Probabilities = [[f64; 3]; TARGETS];

/// A score and its four parts: weighted log losses, smaller is better.
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

/// What constants and the oracle reach on a phantom's labelled studies.
///
/// A model that does not beat `best_constant` has learned nothing from the pictures; `oracle` knows the degree of
/// disease behind every picture and is the floor for any model, up to sampling of the labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct References {
    /// Labelled studies.
    pub studies: usize,
    /// One third for each class.
    pub uniform: Score,
    /// Weighted class prior per column, estimated on four fifths of the studies and scored on the fifth.
    pub best_constant: Score,
    /// The same prior, estimated and scored on all studies: a little too good.
    pub best_constant_in_sample: Score,
    /// P(label | latent degree), reweighted by 1/2/4.
    pub oracle: Score,
    /// Labelled cells per class, by condition and level.
    pub classes: Vec<ClassCount>,
}

/// Labels of one target over all studies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCount {
    /// `{condition}_{level}`.
    pub column: String,
    /// Cells labelled Normal/Mild, Moderate, Severe.
    pub cells: [usize; 3],
    /// Empty cells.
    pub missing: usize,
    /// Shares of the three classes that the phantom aims at, after the competition's class table.
    pub aim: [f64; 3],
}

/// Reads `train.csv` and `truth/oracle.csv` below `folder` and scores uniform, best constant and oracle.
///
/// The best constant of a column is its class frequency times 1/2/4, normalised; five pseudo-cells with the
/// frequencies of the whole condition keep a class unseen in four folds from an infinite loss.
///
/// # Errors
/// [`Error::Io`] when a table is not there, [`Error::Table`] when it does not read as it was written.
pub fn score_references(folder: &Path) -> Result<References, Error> {
    let (ids, labels) = read_labels(&folder.join("train.csv"))?;
    let oracle = read_predictions(&folder.join("truth").join("oracle.csv"), &ids)?;
    let all: Vec<usize> = (0..labels.len()).collect();
    let prior = weighted_prior(&labels, &all);
    let mut order = all.clone();
    order.shuffle(&mut generator(0, 0, "folds"));
    let mut held_out = vec![prior; labels.len()];
    for fold in 0..5.min(labels.len()) {
        let (test, train): (Vec<(usize, usize)>, Vec<_>) =
            order.iter().copied().enumerate().partition(|(place, _)| place % 5 == fold);
        let train: Vec<usize> = train.into_iter().map(|(_, study)| study).collect();
        let prior = weighted_prior(&labels, &train);
        test.iter().for_each(|&(_, study)| held_out[study] = prior);
    }
    let classes = (0..TARGETS)
        .map(|target| {
            let count = |class| labels.iter().filter(|study| study[target] == class).count();
            ClassCount {
                column: column(target),
                cells: [count(Some(0)), count(Some(1)), count(Some(2))],
                missing: count(None),
                aim: crate::disease::class_rates(target),
            }
        })
        .collect();
    Ok(References {
        studies: labels.len(),
        uniform: score(&labels, &vec![[[1.0 / 3.0; 3]; TARGETS]; labels.len()]),
        best_constant: score(&labels, &held_out),
        best_constant_in_sample: score(&labels, &vec![prior; labels.len()]),
        oracle: score(&labels, &oracle),
        classes,
    })
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

fn weighted_prior(labels: &[Labels], studies: &[usize]) -> Probabilities {
    const PSEUDO_CELLS: f64 = 5.0;
    let mut conditions = [[1.0 / 3.0; 3]; CONDITIONS.len()];
    let mut cells = [[0.0; 3]; TARGETS];
    for &study in studies {
        for (target, label) in labels[study].iter().enumerate() {
            if let Some(label) = *label {
                cells[target][label] += 1.0;
                conditions[target / LEVELS.len()][label] += 1.0;
            }
        }
    }
    std::array::from_fn(|target| {
        let condition = conditions[target / LEVELS.len()];
        let total: f64 = condition.iter().sum();
        let weighted: [f64; 3] = std::array::from_fn(|class| {
            f64::from(1 << class) * (cells[target][class] + PSEUDO_CELLS * condition[class] / total)
        });
        let sum: f64 = weighted.iter().sum();
        weighted.map(|weight| weight / sum)
    })
}

fn read_labels(path: &Path) -> Result<(Vec<String>, Vec<Labels>), Error> {
    let table = Table::read(path)?;
    let mut ids = Vec::new();
    let mut labels = Vec::new();
    for row in table.rows() {
        let mut study: Labels = [None; TARGETS];
        for (target, cell) in study.iter_mut().enumerate() {
            let text = row.text(&column(target))?;
            *cell = match SEVERITIES.iter().position(|severity| *severity == text) {
                None if text.is_empty() => None,
                None => return Err(row.unexpected(&column(target), "Normal/Mild, Moderate, Severe or nothing")),
                found => found,
            };
        }
        ids.push(row.text("study_id")?.to_owned());
        labels.push(study);
    }
    Ok((ids, labels))
}

fn read_predictions(path: &Path, ids: &[String]) -> Result<Vec<Probabilities>, Error> {
    let table = Table::read(path)?;
    let mut by_row_id = BTreeMap::new();
    for row in table.rows() {
        let classes = [row.number("normal_mild")?, row.number("moderate")?, row.number("severe")?];
        by_row_id.insert(row.text("row_id")?.to_owned(), classes);
    }
    ids.iter()
        .map(|id| {
            let mut study = [[0.0; 3]; TARGETS];
            for (target, cell) in study.iter_mut().enumerate() {
                let row_id = format!("{id}_{}", column(target));
                *cell = *by_row_id.get(&row_id).ok_or_else(|| Error::Table {
                    path: path.to_owned(),
                    line: 1,
                    field: "row_id".to_owned(),
                    found: String::new(),
                    expected: "a row for every study and target",
                })?;
            }
            Ok(study)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disease;

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
    fn missing_labels_do_not_count() {
        let mut labels = [Some(0); TARGETS];
        let mut predictions = [[0.8, 0.1, 0.1]; TARGETS];
        let whole = score(&[labels], &[predictions]);
        labels[7] = None;
        predictions[7] = [0.0, 0.0, 1.0];
        assert_eq!(score(&[labels], &[predictions]).foraminal, whole.foraminal);
    }

    #[test]
    fn reader_noise_sets_the_oracle_score() {
        for (noise_sd, expected) in [(0.3, 0.25), (0.5, 0.38), (0.6, 0.43)] {
            let studies: Vec<_> =
                (0..6_000).map(|study| disease::draw(&mut generator(3, study, "disease"), noise_sd, 0.4)).collect();
            let labels: Vec<Labels> = studies.iter().map(|s| s.map(|cell| Some(cell.label))).collect();
            let oracle: Vec<Probabilities> = studies.iter().map(|s| s.map(|cell| cell.oracle)).collect();
            let found = score(&labels, &oracle);
            assert!((found.total() - expected).abs() < 0.03, "noise {noise_sd}: {found:?} = {}", found.total());
        }
    }
}

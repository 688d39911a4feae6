//! Scores of predictors that use no pixel, and of the oracle.

use std::collections::BTreeMap;
use std::path::Path;

use rand::seq::SliceRandom;
use serde::Serialize;

use crate::csv::Table;
use crate::mean_position::{MeanPosition, Place};
use crate::planting::Planting;
use crate::score::{Labels, Probabilities, Score, score};
use crate::seed::generator;
use crate::study::Study;
use crate::target::{CONDITIONS, LEVELS, SEVERITIES, TARGETS, column};
use crate::{Error, PhantomConfig};

/// Scores of constant predictors and of the oracle on a phantom's labelled studies.
///
/// A model that does not beat `best_constant` has learned nothing from the images. `oracle` knows the degree of
/// disease behind every image: except for the sampling of the labels, no model scores lower.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct References {
    /// Labelled studies.
    pub studies: usize,
    /// One third for each class.
    pub uniform: Score,
    /// Weighted class frequencies per column, estimated on four fifths of the studies and scored on the fifth.
    pub best_constant: Score,
    /// The same, estimated and scored on all studies: slightly optimistic.
    pub best_constant_in_sample: Score,
    /// P(label | latent degree), reweighted by 1/2/4.
    pub oracle: Score,
    /// Errors of a localiser that uses no pixel.
    pub mean_position: MeanPosition,
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
    /// Shares of the three classes in the competition's class table.
    pub aim: [f64; 3],
}

/// Reads a phantom's tables and the headers of its sagittal series, and scores the reference predictors.
///
/// The best constant of a column is its class frequencies times 1/2/4, normalised. One label with the frequencies of
/// the column's condition group (both sides, all levels) is added to each column, so that a class which a column never
/// has in four folds is rare and not impossible. `lumbar::metric::ConstantBaseline::best` follows the same rule.
///
/// # Errors
/// [`Error::Io`] when a file is missing, [`Error::Table`] or [`Error::Dicom`] when one does not read as it was written.
pub fn score_references(folder: &Path) -> Result<References, Error> {
    let (ids, labels) = read_labels(&folder.join("train.csv"))?;
    let oracle = read_predictions(&folder.join("truth").join("oracle.csv"), &ids)?;
    let places = crate::mean_position::read_places(folder, &ids)?;
    Ok(references(&labels, &oracle, &places))
}

/// The reference scores of a phantom that is not drawn: equal to [`score_references`] of the drawn one, in a second.
///
/// # Errors
/// [`Error::Config`] for a field that is out of range.
///
/// ```
/// use lumbar_phantom::{PhantomConfig, PhantomPreset, plan_references};
/// let aligned = plan_references(&PhantomConfig::preset(PhantomPreset::Aligned))?;
/// let hard = plan_references(&PhantomConfig::preset(PhantomPreset::Hard))?;
/// assert!(aligned.mean_position.levels_right > 0.95 && hard.mean_position.levels_right < 0.75);
/// # Ok::<(), lumbar_phantom::Error>(())
/// ```
pub fn plan_references(config: &PhantomConfig) -> Result<References, Error> {
    config.check()?;
    let planting = Planting::new(config);
    let studies: Vec<Study> =
        (0..config.studies).map(|index| Study::plan(config, &planting, index, index as u64)).collect();
    let labels: Vec<Labels> = studies.iter().map(|study| study.labels).collect();
    let oracle: Vec<Probabilities> = studies.iter().map(|study| study.disease.map(|cell| cell.oracle)).collect();
    let places: Vec<Place> =
        studies.iter().enumerate().flat_map(|(index, study)| study.sagittal_places(index)).collect();
    Ok(references(&labels, &oracle, &places))
}

fn references(labels: &[Labels], oracle: &[Probabilities], places: &[Place]) -> References {
    let all: Vec<usize> = (0..labels.len()).collect();
    let constant = best_constant(labels, &all);
    let folds = folds(labels.len());
    let mut out_of_fold = vec![constant; labels.len()];
    for fold in 0..FOLDS {
        let train: Vec<usize> = all.iter().copied().filter(|&study| folds[study] != fold).collect();
        let constant = best_constant(labels, &train);
        all.iter().filter(|&&study| folds[study] == fold).for_each(|&study| out_of_fold[study] = constant);
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
    References {
        studies: labels.len(),
        uniform: score(labels, &vec![[[1.0 / 3.0; 3]; TARGETS]; labels.len()]),
        best_constant: score(labels, &out_of_fold),
        best_constant_in_sample: score(labels, &vec![constant; labels.len()]),
        oracle: score(labels, oracle),
        mean_position: MeanPosition::out_of_fold(places, &folds),
        classes,
    }
}

/// Folds of the constants.
pub(crate) const FOLDS: usize = 5;

/// The fold of each study, the same for every phantom of this size.
fn folds(studies: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..studies).collect();
    order.shuffle(&mut generator(0, 0, "folds"));
    let mut folds = vec![0; studies];
    order.into_iter().enumerate().for_each(|(place, study)| folds[study] = place % FOLDS);
    folds
}

/// Labels of a column's condition group that are added to the column.
const PSEUDO_COUNT: f64 = 1.0;

/// The constant of [`score_references`], from the labels of `studies`. A group without any label gets one third each.
fn best_constant(labels: &[Labels], studies: &[usize]) -> Probabilities {
    let mut cells = [[0.0; 3]; TARGETS];
    for &study in studies {
        for (target, label) in labels[study].iter().enumerate() {
            if let Some(label) = *label {
                cells[target][label] += 1.0;
            }
        }
    }
    let group_of = |target: usize| CONDITIONS[target / LEVELS.len()].group();
    std::array::from_fn(|target| {
        let mut group = [0.0; 3];
        for other in (0..TARGETS).filter(|other| group_of(*other) == group_of(target)) {
            group.iter_mut().zip(cells[other]).for_each(|(sum, count)| *sum += count);
        }
        let labelled: f64 = group.iter().sum();
        if labelled == 0.0 {
            return [1.0 / 3.0; 3];
        }
        let weighted: [f64; 3] = std::array::from_fn(|class| {
            f64::from(1 << class) * (cells[target][class] + PSEUDO_COUNT * group[class] / labelled)
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

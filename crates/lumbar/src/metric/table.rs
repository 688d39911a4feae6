use std::collections::HashMap;
use std::ops::Range;

use super::MetricError;
use crate::anatomy::{Severity, Target};
use crate::data::StudyId;

/// A value for each of the 25 targets of each study, in the order in which the studies came.
///
/// # Shapes
/// `[studies][25]`, targets in the order of [`Target::ALL`].
#[derive(Debug, Clone, PartialEq)]
pub struct StudyTable<T> {
    studies: Vec<StudyId>,
    rows: Vec<[T; Target::COUNT]>,
    position: HashMap<StudyId, usize>,
}

/// Severities per study and target; `None` where there is no label.
pub type LabelTable = StudyTable<Option<Severity>>;

/// Probabilities per study and target over the severities normal/mild, moderate, severe.
pub type PredictionTable = StudyTable<[f64; 3]>;

impl<T> Default for StudyTable<T> {
    fn default() -> Self {
        Self { studies: Vec::new(), rows: Vec::new(), position: HashMap::new() }
    }
}

impl<T> StudyTable<T> {
    /// A table without studies.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a study.
    ///
    /// # Errors
    /// [`MetricError::DuplicateStudy`] when the table already has it.
    pub fn insert(&mut self, study: StudyId, row: [T; Target::COUNT]) -> Result<(), MetricError> {
        if self.position.contains_key(&study) {
            return Err(MetricError::DuplicateStudy { study });
        }
        self.position.insert(study, self.studies.len());
        self.studies.push(study);
        self.rows.push(row);
        Ok(())
    }

    /// A table from cells in any order; studies are in the order of their first cells.
    ///
    /// # Errors
    /// When a cell occurs twice, or a study has fewer than 25.
    pub fn from_cells(cells: impl IntoIterator<Item = (StudyId, Target, T)>) -> Result<Self, MetricError> {
        let mut studies: Vec<(StudyId, [Option<T>; Target::COUNT])> = Vec::new();
        let mut position: HashMap<StudyId, usize> = HashMap::new();
        for (study, target, value) in cells {
            let place = *position.entry(study).or_insert_with(|| {
                studies.push((study, std::array::from_fn(|_| None)));
                studies.len() - 1
            });
            if studies[place].1[target.index()].replace(value).is_some() {
                return Err(MetricError::DuplicateCell { study, target });
            }
        }
        let mut table = Self::new();
        for (study, row) in studies {
            let found = row.iter().flatten().count();
            if let Some(missing) = row.iter().position(Option::is_none) {
                return Err(MetricError::MissingCell { study, target: Target::ALL[missing], found });
            }
            table.insert(study, row.map(|cell| cell.expect("every cell was found above")))?;
        }
        Ok(table)
    }

    /// The studies, in order.
    #[must_use]
    pub fn studies(&self) -> &[StudyId] {
        &self.studies
    }

    /// How many studies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.studies.len()
    }

    /// Whether the table has no study.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.studies.is_empty()
    }

    /// The values of a study; `None` if the table does not have it.
    #[must_use]
    pub fn get(&self, study: StudyId) -> Option<&[T; Target::COUNT]> {
        self.position.get(&study).map(|&place| &self.rows[place])
    }

    /// Studies with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (StudyId, &[T; Target::COUNT])> {
        self.studies.iter().copied().zip(&self.rows)
    }

    /// The studies for which `keep` returns true.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(StudyId) -> bool) -> Self
    where
        T: Clone,
    {
        let mut table = Self::new();
        for (study, row) in self.iter().filter(|(study, _)| keep(*study)) {
            table.insert(study, row.clone()).expect("the studies of a table differ");
        }
        table
    }
}

/// A labelled cell with what was predicted for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Which target of the study.
    pub target: Target,
    /// Its label.
    pub truth: Severity,
    /// Predicted for normal/mild, moderate, severe, as it was given: finite, ≥ 0, not all zero.
    pub raw: [f64; 3],
}

impl Cell {
    /// The prediction as probabilities that sum to one.
    #[must_use]
    pub fn probabilities(&self) -> [f64; 3] {
        let sum: f64 = self.raw.iter().sum();
        self.raw.map(|value| value / sum)
    }

    /// The most probable severity; see [`Severity::most_probable`].
    #[must_use]
    pub fn predicted(&self) -> Severity {
        Severity::most_probable(&self.raw)
    }
}

/// Labelled cells with their predictions, grouped by study: what every measure is taken of.
#[derive(Debug, Clone, PartialEq)]
pub struct Graded {
    studies: Vec<StudyId>,
    cells: Vec<Cell>,
    ranges: Vec<Range<usize>>,
}

impl Graded {
    /// Puts labels and predictions of the same studies together; cells without a label are left out.
    ///
    /// # Errors
    /// When a labelled study is not predicted, a predicted one is not labelled, or a prediction is not
    /// finite, negative or zero for all three severities.
    pub fn join(labels: &LabelTable, predictions: &PredictionTable) -> Result<Self, MetricError> {
        fn missing<A, B>(of: &StudyTable<A>, among: &StudyTable<B>) -> Vec<StudyId> {
            of.studies.iter().copied().filter(|study| among.get(*study).is_none()).collect()
        }
        let not_predicted = missing(labels, predictions);
        if !not_predicted.is_empty() {
            return Err(MetricError::NotPredicted { studies: not_predicted });
        }
        let not_labelled = missing(predictions, labels);
        if !not_labelled.is_empty() {
            return Err(MetricError::NotLabelled { studies: not_labelled });
        }
        let mut cells = Vec::new();
        let mut ranges = Vec::new();
        for (study, truths) in labels.iter() {
            let start = cells.len();
            let row = predictions.get(study).expect("every labelled study was found above");
            for (target, (&truth, &raw)) in Target::ALL.into_iter().zip(truths.iter().zip(row)) {
                if raw.iter().any(|value| !value.is_finite() || *value < 0.0) || raw.iter().sum::<f64>() <= 0.0 {
                    return Err(MetricError::NotProbabilities { row: format!("study {study}"), target, found: raw });
                }
                if let Some(truth) = truth {
                    cells.push(Cell { target, truth, raw });
                }
            }
            ranges.push(start..cells.len());
        }
        Ok(Self { studies: labels.studies.clone(), cells, ranges })
    }

    /// The studies, in the order of the labels.
    #[must_use]
    pub fn studies(&self) -> &[StudyId] {
        &self.studies
    }

    /// All labelled cells, study by study.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The labelled cells of the study at `place` in [`Graded::studies`].
    ///
    /// # Panics
    /// When there is no such place.
    #[must_use]
    pub fn of_study(&self, place: usize) -> &[Cell] {
        &self.cells[self.ranges[place].clone()]
    }

    /// The labelled cells of the targets for which `keep` returns true.
    #[must_use]
    pub fn select(&self, keep: impl Fn(Target) -> bool) -> Vec<Cell> {
        self.cells.iter().filter(|cell| keep(cell.target)).copied().collect()
    }

    /// The studies at `places`, each as often as `places` names it: one draw of the bootstrap.
    ///
    /// # Panics
    /// When there is no such place.
    #[must_use]
    pub fn resample(&self, places: &[usize]) -> Self {
        let mut drawn = Self { studies: Vec::new(), cells: Vec::new(), ranges: Vec::new() };
        for &place in places {
            let start = drawn.cells.len();
            drawn.studies.push(self.studies[place]);
            drawn.cells.extend_from_slice(self.of_study(place));
            drawn.ranges.push(start..drawn.cells.len());
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [Option<Severity>; 25] = [Some(Severity::NormalMild); 25];

    fn tables() -> (LabelTable, PredictionTable) {
        let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
        for study in [StudyId(11), StudyId(12)] {
            labels.insert(study, LABELS).unwrap();
            predictions.insert(study, [[0.5, 0.3, 0.2]; 25]).unwrap();
        }
        (labels, predictions)
    }

    #[test]
    fn a_missing_label_is_left_out() {
        let (mut labels, mut predictions) = tables();
        let mut row = LABELS;
        row[7] = None;
        labels.insert(StudyId(13), row).unwrap();
        predictions.insert(StudyId(13), [[1.0, 1.0, 2.0]; 25]).unwrap();
        let graded = Graded::join(&labels, &predictions).unwrap();
        assert_eq!(graded.cells().len(), 74);
        assert_eq!(graded.of_study(2).len(), 24);
        assert_eq!(graded.of_study(2)[0].probabilities(), [0.25, 0.25, 0.5]);
        assert_eq!(graded.of_study(2)[0].predicted(), Severity::Severe);
        assert_eq!(graded.resample(&[2, 0, 2]).cells().len(), 24 + 25 + 24);
    }

    #[test]
    fn tables_of_other_studies_are_refused_by_name() {
        let (mut labels, predictions) = tables();
        labels.insert(StudyId(13), LABELS).unwrap();
        let error = Graded::join(&labels, &predictions).unwrap_err();
        assert_eq!(error.to_string(), "1 labelled studies are not predicted: 13");
        let error = Graded::join(&labels.filter(|study| study == StudyId(11)), &predictions).unwrap_err();
        assert_eq!(error.to_string(), "1 predicted studies are not among the labelled ones: 12");
        assert!(matches!(labels.insert(StudyId(13), LABELS), Err(MetricError::DuplicateStudy { .. })));
    }

    #[test]
    fn a_prediction_that_is_not_finite_is_refused_even_where_no_label_is() {
        let (mut labels, mut predictions) = tables();
        labels.insert(StudyId(13), [None; 25]).unwrap();
        let mut row = [[0.5, 0.3, 0.2]; 25];
        row[4][1] = f64::NAN;
        predictions.insert(StudyId(13), row).unwrap();
        let error = Graded::join(&labels, &predictions).unwrap_err().to_string();
        assert!(error.starts_with("study 13, Spinal Canal Stenosis L5/S1: probabilities [0.5, NaN, 0.2]"), "{error}");
    }

    #[test]
    fn cells_come_in_any_order_but_each_once() {
        let cells =
            |study: u64| Target::SUBMISSION.into_iter().map(move |target| (StudyId(study), target, target.index()));
        let table = StudyTable::from_cells(cells(1).chain(cells(2))).unwrap();
        assert_eq!(table.get(StudyId(2)), Some(&std::array::from_fn(|index| index)));
        let error = StudyTable::from_cells(cells(1).chain(cells(1))).unwrap_err();
        assert!(matches!(error, MetricError::DuplicateCell { .. }));
        let error = StudyTable::from_cells(cells(1).skip(1)).unwrap_err().to_string();
        assert!(error.contains("expected 25 rows a study, found 24"), "{error}");
    }
}

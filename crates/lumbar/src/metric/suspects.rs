//! Labels that predictions out of fold contradict.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use super::{Cell, Graded, TableFileError};
use crate::anatomy::{ConditionGroup, Severity, Target};
use crate::data::{StudyId, atomic};

/// The header of the table of suspects. Conditions and levels are spelt as in `train_label_coordinates.csv`.
pub const SUSPECTS_HEADER: &str = "study_id,condition,level,label,predicted,normal_mild,moderate,severe,loss";

/// A labelled cell whose label may be wrong: a network that did not learn from it is confident of another one.
///
/// It may as well be the network that is wrong. A suspect is a cell to look at, and nothing changes its label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suspect {
    /// The study.
    pub study: StudyId,
    /// Which target.
    pub target: Target,
    /// Its label.
    pub label: Severity,
    /// What the network is confident of.
    pub predicted: Severity,
    /// Of normal/mild, moderate, severe; they sum to one.
    pub probabilities: [f64; 3],
    /// −ln p of the label, in nats.
    pub loss: f64,
}

/// The suspects, the largest loss first.
///
/// A cell is a suspect if the network is confident of another severity than the label. It is confident of a severity
/// whose probability reaches the mean that cells with this label get, in the same condition group; of several, the most
/// probable counts. Because each severity has its own limit, a rare one need not reach one half (Northcutt et al.,
/// *Confident learning*, 2021, arXiv:1911.00068).
///
/// `graded` must be out of fold: a network that learned from a wrong label repeats it.
///
/// ```
/// use lumbar::anatomy::Severity;
/// use lumbar::data::StudyId;
/// use lumbar::metric::{Graded, LabelTable, PredictionTable, suspects};
///
/// let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
/// let mut label = [Some(Severity::NormalMild); 25];
/// label[0] = Some(Severity::Severe);
/// labels.insert(StudyId(1), label)?;
/// predictions.insert(StudyId(1), [[0.9, 0.08, 0.02]; 25])?; // the canal at L1/L2 does not look severe
/// let found = suspects(&Graded::join(&labels, &predictions)?);
/// assert_eq!(found.len(), 1);
/// assert_eq!((found[0].label, found[0].predicted), (Severity::Severe, Severity::NormalMild));
/// # Ok::<(), lumbar::metric::MetricError>(())
/// ```
#[must_use]
pub fn suspects(graded: &Graded) -> Vec<Suspect> {
    let limits: HashMap<ConditionGroup, _> =
        ConditionGroup::ALL.into_iter().map(|group| (group, limits(graded, group))).collect();
    let mut found: Vec<Suspect> = Vec::new();
    for (place, &study) in graded.studies().iter().enumerate() {
        for cell in graded.of_study(place) {
            let (target, label, probabilities) = (cell.target, cell.truth, cell.probabilities());
            let limits = limits[&target.condition.group()];
            let confident = Severity::ALL
                .into_iter()
                .filter(|severity| {
                    limits[severity.index()].is_some_and(|limit| probabilities[severity.index()] >= limit)
                })
                .reduce(
                    |best, other| if probabilities[other.index()] > probabilities[best.index()] { other } else { best },
                );
            if let Some(predicted) = confident.filter(|severity| *severity != label) {
                let loss = -probabilities[label.index()].max(f64::EPSILON).ln();
                found.push(Suspect { study, target, label, predicted, probabilities, loss });
            }
        }
    }
    found.sort_by(|one, other| other.loss.total_cmp(&one.loss));
    found
}

/// The mean probability of each severity over the cells that have it as their label; `None` without such a cell.
fn limits(graded: &Graded, group: ConditionGroup) -> [Option<f64>; 3] {
    let cells = graded.select(|target| target.condition.group() == group);
    Severity::ALL.map(|severity| {
        let own = |cell: &&Cell| cell.truth == severity;
        let count = cells.iter().filter(own).count();
        let sum: f64 = cells.iter().filter(own).map(|cell| cell.probabilities()[severity.index()]).sum();
        (count > 0).then(|| sum / count as f64)
    })
}

/// Writes suspects as a table with the columns of [`SUSPECTS_HEADER`].
///
/// # Errors
/// When the file cannot be written; an existing file is then unchanged.
pub fn write_suspects(path: &Path, suspects: &[Suspect]) -> Result<(), TableFileError> {
    let mut text = format!("{SUSPECTS_HEADER}\n");
    for Suspect { study, target, label, predicted, probabilities: [normal, moderate, severe], loss } in suspects {
        let Target { condition, level } = target;
        let (label, predicted) = (label.title(), predicted.title());
        let _ = writeln!(
            text,
            "{study},{condition},{level},{label},{predicted},{normal:.4},{moderate:.4},{severe:.4},{loss:.4}"
        );
    }
    atomic::write(path, text.as_bytes()).map_err(|source| TableFileError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{LabelTable, PredictionTable};

    /// Ten studies. In all but the last, each cell is predicted as it is labelled.
    fn graded(last: [f64; 3]) -> Graded {
        let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
        for study in 0..10 {
            let severity = Severity::ALL[study % 3];
            let mut row = [[0.1; 3]; Target::COUNT];
            row.iter_mut().for_each(|cell| cell[severity.index()] = 0.8);
            if study == 9 {
                row[7] = last;
            }
            labels.insert(StudyId(study as u64), [Some(severity); Target::COUNT]).unwrap();
            predictions.insert(StudyId(study as u64), row).unwrap();
        }
        Graded::join(&labels, &predictions).unwrap()
    }

    #[test]
    fn a_confident_contradiction_is_found_and_a_doubtful_one_is_not() {
        let found = suspects(&graded([0.05, 0.05, 0.9]));
        assert_eq!(found.len(), 1);
        let suspect = found[0];
        assert_eq!((suspect.study, suspect.target), (StudyId(9), Target::ALL[7]));
        assert_eq!((suspect.label, suspect.predicted), (Severity::NormalMild, Severity::Severe));
        assert!((suspect.loss + 0.05_f64.ln()).abs() < 1e-12);
        // the others' severe cells get 0.8
        assert!(suspects(&graded([0.3, 0.0, 0.7])).is_empty());
    }

    #[test]
    fn the_table_names_cells_as_the_annotations_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("suspects.csv");
        write_suspects(&path, &suspects(&graded([0.05, 0.05, 0.9]))).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(SUSPECTS_HEADER));
        let target = Target::ALL[7];
        let expected =
            format!("9,{},{},Normal/Mild,Severe,0.0500,0.0500,0.9000,2.9957", target.condition, target.level);
        assert_eq!((lines.next(), lines.next()), (Some(expected.as_str()), None));
    }
}

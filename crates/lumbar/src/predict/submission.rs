//! The submission: written in the row order of `sample_submission.csv`, validated before and after.
//!
//! ```
//! use lumbar::data::StudyId;
//! use lumbar::metric::ConstantBaseline;
//! use lumbar::predict::submission::{Overwrite, Sample, validate, write};
//!
//! let folder = tempfile::tempdir()?;
//! let sample = Sample::of_studies([StudyId(44036939)]);
//! let path = folder.path().join("submission.csv");
//! write(&path, &ConstantBaseline::uniform().predict(sample.studies()), &sample, Overwrite::Refuse)?;
//! assert!(validate(&path, &sample)?.is_empty());
//! assert_eq!(std::fs::read_to_string(&path)?.lines().count(), 1 + 25);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::anatomy::Target;
use crate::data::names::quoted_path;
use crate::data::table::{Seen, TableError};
use crate::data::{StudyId, atomic};
use crate::metric::{PredictionTable, SubmissionTable, submission_header};

/// How far the three probabilities of a row may sum from one.
pub const SUM_TOLERANCE: f64 = 1e-6;

/// Which rows a submission has, and in which order: those of `sample_submission.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    studies: Vec<StudyId>,
    rows: Vec<(StudyId, Target)>,
}

/// What to do when the submission's file exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Leave it unchanged; writing is an error.
    Refuse,
    /// Replace the file.
    Replace,
}

/// Why a submission was not written or could not be validated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmissionError {
    /// The file cannot be read, or the sample is not a table with a submission's columns.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The file cannot be written.
    #[error("{}: {source}", quoted_path(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file exists, and [`Overwrite::Refuse`] was given.
    #[error("{} exists and may not be replaced", quoted_path(path))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// `sample_submission.csv` does not have 25 rows of each study.
    #[error("{} is not a sample submission: {reason}", quoted_path(path))]
    Sample {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The predictions do not make a valid submission.
    #[error("{} violations, nothing was written: {}", violations.len(), name_some(violations))]
    Invalid {
        /// All of them.
        violations: Vec<Violation>,
    },
}

/// One thing that is wrong with a submission. Lines count from 1, the header's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The file is not CSV, or its columns are not those of a submission.
    #[error("{reason}")]
    NotATable {
        /// What was expected and found, and on which line.
        reason: String,
    },
    /// A probability that is not a number.
    #[error("row {row_id:?}: {reason}")]
    NotANumber {
        /// The row's name.
        row_id: String,
        /// The line, the column, and what was found.
        reason: String,
    },
    /// A row that the sample does not have: of another study, or with an unknown name.
    #[error("line {line}: row {row_id:?} is not in the sample submission")]
    UnknownRow {
        /// The line.
        line: usize,
        /// The row's name.
        row_id: String,
    },
    /// A row that occurs twice.
    #[error("line {line}: row {row_id:?} is there twice, first in line {first}")]
    DuplicateRow {
        /// The line.
        line: usize,
        /// The row's name.
        row_id: String,
        /// Where it was first.
        first: usize,
    },
    /// A row of the sample that is missing.
    #[error("row {row_id:?} is missing")]
    MissingRow {
        /// The row's name.
        row_id: String,
    },
    /// The rows are all there but not in the sample's order; only the first is named.
    #[error("line {line}: row {found:?}, but the sample submission has {expected:?} here")]
    OtherOrder {
        /// The first line that differs.
        line: usize,
        /// The row there.
        found: String,
        /// The row that belongs there.
        expected: String,
    },
    /// A value that is NaN, infinite or negative.
    #[error("row {row_id:?}: {found:?}, expected three finite numbers ≥ 0")]
    NotProbabilities {
        /// The row's name.
        row_id: String,
        /// Its values.
        found: [f64; 3],
    },
    /// Probabilities that do not sum to one.
    #[error("row {row_id:?}: the probabilities sum to {sum}, expected 1 within 1e-6")]
    Sum {
        /// The row's name.
        row_id: String,
        /// Their sum.
        sum: f64,
    },
    /// Predictions for a study that the sample does not have.
    #[error("study {study} is predicted but not in the sample submission")]
    OtherStudy {
        /// The study.
        study: StudyId,
    },
}

impl Sample {
    /// Reads `sample_submission.csv`.
    ///
    /// # Errors
    /// When the file cannot be read or its rows are not 25 of each study, each once.
    pub fn read(path: &Path) -> Result<Self, SubmissionError> {
        let refused = |reason| SubmissionError::Sample { path: path.to_owned(), reason };
        let (mut studies, mut found, mut seen) = (Vec::new(), Vec::new(), Seen::new());
        let table = SubmissionTable::read(path)?;
        for row in table.rows() {
            let (study, target) = row.study_and_target()?;
            seen.insert(row.row(), row.row_id(), || format!("row {:?}", row.row_id()))?;
            if !studies.contains(&study) {
                studies.push(study);
            }
            found.push((study, target));
        }
        let sample = Self { studies, rows: found };
        if sample.rows.is_empty() {
            return Err(refused("it has no row".to_owned()));
        }
        for study in &sample.studies {
            let count = sample.rows.iter().filter(|(other, _)| other == study).count();
            if count != Target::COUNT {
                return Err(refused(format!("study {study} has {count} rows, expected 25")));
            }
        }
        Ok(sample)
    }

    /// The rows that Kaggle would ask for these studies: 25 each in [`Target::SUBMISSION`] order.
    pub fn of_studies(studies: impl IntoIterator<Item = StudyId>) -> Self {
        let studies: Vec<StudyId> = studies.into_iter().collect();
        let rows =
            studies.iter().flat_map(|study| Target::SUBMISSION.into_iter().map(|target| (*study, target))).collect();
        Self { studies, rows }
    }

    /// The studies, in the order of their first rows.
    #[must_use]
    pub fn studies(&self) -> &[StudyId] {
        &self.studies
    }

    fn row_ids(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|(study, target)| target.row_id(study))
    }
}

/// Writes a submission: the sample's rows in the sample's order.
///
/// # Errors
/// When the predictions are not of the sample's studies or are not probabilities (every violation is in the
/// error), when the file exists and may not be replaced, or when it cannot be written. An existing file is
/// then unchanged.
pub fn write(
    path: &Path,
    predictions: &PredictionTable,
    sample: &Sample,
    overwrite: Overwrite,
) -> Result<(), SubmissionError> {
    let mut text = submission_header();
    let mut violations = Vec::new();
    for (study, target) in &sample.rows {
        let row_id = target.row_id(study);
        match predictions.get(*study) {
            None => violations.push(Violation::MissingRow { row_id }),
            Some(row) => {
                let values @ [normal, moderate, severe] = row[target.index()];
                text.push_str(&format!("{row_id},{normal},{moderate},{severe}\n"));
                violations.extend(check_values(row_id, values));
            }
        }
    }
    let expected: HashSet<StudyId> = sample.studies.iter().copied().collect();
    let others = predictions.studies().iter().filter(|study| !expected.contains(study));
    violations.extend(others.map(|study| Violation::OtherStudy { study: *study }));
    if !violations.is_empty() {
        return Err(SubmissionError::Invalid { violations });
    }
    if overwrite == Overwrite::Refuse && path.exists() {
        return Err(SubmissionError::Exists { path: path.to_owned() });
    }
    atomic::write(path, text.as_bytes()).map_err(|source| SubmissionError::Write { path: path.to_owned(), source })
}

/// Everything that is wrong with a submission's file; empty for a valid one.
///
/// # Errors
/// When the file cannot be read.
pub fn validate(path: &Path, sample: &Sample) -> Result<Vec<Violation>, SubmissionError> {
    let table = match SubmissionTable::read(path) {
        Ok(table) => table,
        Err(error @ TableError::Io { .. }) => return Err(error.into()),
        Err(error) => return Ok(vec![Violation::NotATable { reason: error.to_string() }]),
    };
    let expected: Vec<String> = sample.row_ids().collect();
    let known: HashSet<&str> = expected.iter().map(String::as_str).collect();
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut order = Vec::new();
    let mut violations = Vec::new();
    for row in table.rows() {
        let (line, row_id) = (row.row().line(), row.row_id());
        if !known.contains(row_id) {
            violations.push(Violation::UnknownRow { line, row_id: row_id.to_owned() });
        } else if let Some(&first) = first.get(row_id) {
            violations.push(Violation::DuplicateRow { line, row_id: row_id.to_owned(), first });
        } else {
            first.insert(row_id, line);
            order.push((line, row_id));
        }
        match row.values() {
            Ok(values) => violations.extend(check_values(row_id.to_owned(), values)),
            Err(error) => {
                violations.push(Violation::NotANumber { row_id: row_id.to_owned(), reason: error.to_string() });
            }
        }
    }
    let missing = expected.iter().filter(|row_id| !first.contains_key(row_id.as_str()));
    violations.extend(missing.map(|row_id| Violation::MissingRow { row_id: row_id.clone() }));
    if order.len() == expected.len()
        && let Some(((line, found), expected)) = order.iter().zip(&expected).find(|((_, found), row)| found != row)
    {
        violations.push(Violation::OtherOrder { line: *line, found: (*found).to_owned(), expected: expected.clone() });
    }
    Ok(violations)
}

fn check_values(row_id: String, found: [f64; 3]) -> Option<Violation> {
    let sum: f64 = found.iter().sum();
    if found.iter().any(|value| !value.is_finite() || *value < 0.0) {
        Some(Violation::NotProbabilities { row_id, found })
    } else if (sum - 1.0).abs() > SUM_TOLERANCE {
        Some(Violation::Sum { row_id, sum })
    } else {
        None
    }
}

fn name_some(violations: &[Violation]) -> String {
    let shown = violations.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if violations.len() > 5 { format!("{shown}; and {} more", violations.len() - 5) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::ConstantBaseline;

    fn valid(sample: &Sample) -> (tempfile::TempDir, PathBuf, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("submission.csv");
        write(&path, &ConstantBaseline::uniform().predict(sample.studies()), sample, Overwrite::Refuse).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        (folder, path, text)
    }

    #[test]
    fn each_row_carries_its_own_targets_values() {
        let sample = Sample::of_studies([StudyId(7)]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("submission.csv");
        let mut predictions = PredictionTable::new();
        let of = |target: Target| {
            let severe = 0.01 * target.index() as f64;
            [1.0 - severe, 0.0, severe]
        };
        predictions.insert(StudyId(7), Target::ALL.map(of)).unwrap();
        write(&path, &predictions, &sample, Overwrite::Refuse).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().skip(1).is_sorted());
        let line = text.lines().find(|line| line.starts_with("7_right_subarticular_stenosis_l5_s1,")).unwrap();
        assert_eq!(line, "7_right_subarticular_stenosis_l5_s1,0.76,0,0.24");
        assert_eq!(crate::metric::read_predictions(&path).unwrap(), predictions);
    }

    #[test]
    fn every_violation_is_reported_at_once() {
        let sample = Sample::of_studies([StudyId(7), StudyId(8)]);
        let (_folder, path, text) = valid(&sample);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[1] = "7_left_neural_foraminal_narrowing_l1_l2,NaN,0.5,0.5".to_owned();
        lines[2] = "7_left_neural_foraminal_narrowing_l2_l3,-0.5,1,0.5".to_owned();
        lines[3] = "7_left_neural_foraminal_narrowing_l3_l4,0.5,0.4,0.2".to_owned();
        lines[4] = lines[5].clone();
        lines[6] = "9_left_subarticular_stenosis_l1_l2,1,0,0".to_owned();
        lines[7] = "7_left_subarticular_stenosis_l2_l3,1,many,0".to_owned();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let file = format!("{:?}, ", path.display());
        let found = validate(&path, &sample).unwrap();
        let found: Vec<String> = found.iter().map(|violation| violation.to_string().replace(&file, "")).collect();
        let expected = [
            "row \"7_left_neural_foraminal_narrowing_l1_l2\": [NaN, 0.5, 0.5], expected three finite numbers ≥ 0",
            "row \"7_left_neural_foraminal_narrowing_l2_l3\": [-0.5, 1.0, 0.5], expected three finite numbers ≥ 0",
            "row \"7_left_neural_foraminal_narrowing_l3_l4\": the probabilities sum to 1.1, expected 1 within 1e-6",
            "line 6: row \"7_left_neural_foraminal_narrowing_l5_s1\" is there twice, first in line 5",
            "line 7: row \"9_left_subarticular_stenosis_l1_l2\" is not in the sample submission",
            "row \"7_left_subarticular_stenosis_l2_l3\": line 8, column \"moderate\": found \"many\", expected a number",
            "row \"7_left_neural_foraminal_narrowing_l4_l5\" is missing",
            "row \"7_left_subarticular_stenosis_l1_l2\" is missing",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn another_order_of_rows_is_a_violation() {
        let sample = Sample::of_studies([StudyId(7)]);
        let (_folder, path, text) = valid(&sample);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.swap(3, 20);
        std::fs::write(&path, lines.join("\n")).unwrap();
        let found = validate(&path, &sample).unwrap();
        assert!(matches!(&found[..], [Violation::OtherOrder { line: 4, .. }]), "{found:?}");
    }

    #[test]
    fn an_existing_file_is_replaced_only_when_that_is_asked_for() {
        let sample = Sample::of_studies([StudyId(7)]);
        let (_folder, path, before) = valid(&sample);
        let other = ConstantBaseline::uniform().predict(sample.studies());
        let error = write(&path, &other, &sample, Overwrite::Refuse).unwrap_err();
        assert!(error.to_string().ends_with("submission.csv\" exists and may not be replaced"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        write(&path, &other, &sample, Overwrite::Replace).unwrap();
    }

    #[test]
    fn predictions_of_other_studies_write_nothing() {
        let sample = Sample::of_studies([StudyId(7)]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("submission.csv");
        let error =
            write(&path, &ConstantBaseline::uniform().predict(&[StudyId(8)]), &sample, Overwrite::Refuse).unwrap_err();
        let SubmissionError::Invalid { violations } = error else { panic!("{error}") };
        assert_eq!(violations.len(), 26);
        assert_eq!(violations[25], Violation::OtherStudy { study: StudyId(8) });
        assert!(!path.exists());
        let mut predictions = PredictionTable::new();
        predictions.insert(StudyId(7), [[f64::NAN, 0.0, 1.0]; 25]).unwrap();
        let error = write(&path, &predictions, &sample, Overwrite::Refuse).unwrap_err();
        assert!(error.to_string().starts_with("25 violations, nothing was written: row \"7_left"), "{error}");
    }

    #[test]
    fn rows_are_written_in_the_samples_order() {
        let sample = Sample::of_studies([StudyId(8), StudyId(7)]);
        let (folder, _, text) = valid(&sample);
        let path = folder.path().join("sample_submission.csv");
        let mut lines: Vec<&str> = text.lines().collect();
        lines[1..].reverse();
        std::fs::write(&path, lines.join("\r\n")).unwrap();
        let other = Sample::read(&path).unwrap();
        assert_eq!(other.studies(), [StudyId(7), StudyId(8)]);
        let (_folder, path, written) = valid(&other);
        assert!(written.lines().nth(1).unwrap().starts_with("7_spinal_canal_stenosis_l5_s1,"));
        assert!(validate(&path, &other).unwrap().is_empty());
        std::fs::write(&path, lines[..20].join("\n")).unwrap();
        assert!(Sample::read(&path).unwrap_err().to_string().ends_with("study 7 has 19 rows, expected 25"));
        lines[3] = lines[2];
        std::fs::write(&path, lines.join("\n")).unwrap();
        assert!(Sample::read(&path).unwrap_err().to_string().ends_with("l4_l5\" is already on line 3"));
    }

    #[test]
    fn a_file_that_is_not_a_table_is_one_violation_and_a_missing_file_an_error() {
        let sample = Sample::of_studies([StudyId(7)]);
        let (folder, path, text) = valid(&sample);
        for broken in
            [text.replacen("severe", "worst", 1), text.replacen(",", "\",", 2), text.replacen("0.3", "0,3", 1)]
        {
            std::fs::write(&path, broken).unwrap();
            assert!(matches!(&validate(&path, &sample).unwrap()[..], [Violation::NotATable { .. }]));
        }
        let error = validate(&folder.path().join("none.csv"), &sample).unwrap_err().to_string();
        assert!(error.starts_with("cannot read \""), "{error}");
    }
}

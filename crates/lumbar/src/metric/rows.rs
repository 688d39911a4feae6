use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};

use super::{MetricError, PredictionTable};
use crate::anatomy::Target;
use crate::data::{StudyId, atomic};

/// First line of a submission and of every table of probabilities.
pub(crate) const SUBMISSION_HEADER: &str = "row_id,normal_mild,moderate,severe";

/// Why a table of labels or probabilities could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line that is not a row.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was expected and found.
        reason: String,
    },
    /// Rows that do not make a table.
    #[error("{}: {source}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong with the rows together.
        source: MetricError,
    },
}

/// Writes probabilities as `row_id,normal_mild,moderate,severe`, 25 rows a study in the submission's order of
/// targets. Numbers are written so that reading gives the same bits.
///
/// # Errors
/// When the file cannot be written; an existing file is then unchanged.
pub fn write_predictions(path: &Path, predictions: &PredictionTable) -> Result<(), TableError> {
    write_rows(path, predictions.iter())
}

/// [`write_predictions`] of rows whose names need not be studies: the prior of a run, for one.
///
/// # Errors
/// When the file cannot be written; an existing file is then unchanged.
pub fn write_rows<'a, N: Display>(
    path: &Path,
    rows: impl IntoIterator<Item = (N, &'a [[f64; 3]; Target::COUNT])>,
) -> Result<(), TableError> {
    let mut text = format!("{SUBMISSION_HEADER}\n");
    for (name, row) in rows {
        for target in Target::SUBMISSION {
            let [normal, moderate, severe] = row[target.index()];
            writeln!(text, "{},{normal},{moderate},{severe}", target.row_id(&name)).expect("a string takes text");
        }
    }
    atomic::write(path, text.as_bytes()).map_err(|source| TableError::File { path: path.to_owned(), source })
}

/// Reads what [`write_predictions`] wrote, or any submission.
///
/// # Errors
/// When a line is not a row of a study, or a row occurs twice or is missing.
pub fn read_predictions(path: &Path) -> Result<PredictionTable, TableError> {
    let text = read_text(path)?;
    let mut cells = Vec::new();
    for (line, row) in submission_rows(&text) {
        let refused = |reason| TableError::Line { path: path.to_owned(), line, reason };
        let row = row.map_err(refused)?;
        let (study, target) = row.study_and_target().map_err(refused)?;
        cells.push((study, target, row.values().map_err(refused)?));
    }
    PredictionTable::from_cells(cells).map_err(|source| TableError::Table { path: path.to_owned(), source })
}

pub(super) fn read_text(path: &Path) -> Result<String, TableError> {
    std::fs::read_to_string(path).map_err(|source| TableError::File { path: path.to_owned(), source })
}

/// One line below the header, split into its fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubmissionRow<'a> {
    pub(crate) row_id: &'a str,
    fields: [&'a str; 3],
}

impl SubmissionRow<'_> {
    /// The study and the target of the row.
    pub(crate) fn study_and_target(&self) -> Result<(StudyId, Target), String> {
        let (study, target) = Target::split_row_id(self.row_id).map_err(|error| error.to_string())?;
        let id: StudyId = study.parse().map_err(|_| format!("study {study:?} is not a number"))?;
        if id.to_string() == study { Ok((id, target)) } else { Err(format!("study {study:?}, expected {id}")) }
    }

    /// The three numbers. They may be infinite or NaN.
    pub(crate) fn values(&self) -> Result<[f64; 3], String> {
        let mut values = [0.0; 3];
        for (place, field) in self.fields.iter().enumerate() {
            let name = crate::anatomy::Severity::ALL[place].snake();
            values[place] = field.trim().parse().map_err(|_| format!("{name} is {field:?}, expected a number"))?;
        }
        Ok(values)
    }
}

/// The lines of a table with their numbers, from 1. The first item is an error if the header is not the expected one.
pub(crate) fn submission_rows(text: &str) -> impl Iterator<Item = (usize, Result<SubmissionRow<'_>, String>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let header = text.lines().next().unwrap_or_default().trim_end();
    let wrong = (header != SUBMISSION_HEADER)
        .then(|| (1, Err(format!("the header is {header:?}, expected {SUBMISSION_HEADER:?}"))));
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()).map(|(index, line)| {
        let fields: Vec<&str> = line.trim_end().split(',').collect();
        let row = match fields[..] {
            [row_id, normal, moderate, severe] => Ok(SubmissionRow { row_id, fields: [normal, moderate, severe] }),
            _ => Err(format!("{} fields, expected 4: {SUBMISSION_HEADER}", fields.len())),
        };
        (index + 1, row)
    });
    wrong.into_iter().chain(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_come_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oof.csv");
        let mut table = PredictionTable::new();
        for study in [17u32, 4, 100] {
            let row = std::array::from_fn(|index| {
                let value = (index as f64 + 0.1) / (f64::from(study) + 30.0);
                [value, 1e-300 * value, 1.0 - value]
            });
            table.insert(StudyId(u64::from(study)), row).unwrap();
        }
        write_predictions(&path, &table).unwrap();
        assert_eq!(read_predictions(&path).unwrap(), table);
        write_predictions(&path, &table.filter(|study| study != StudyId(4))).unwrap();
        assert_eq!(read_predictions(&path).unwrap().studies(), [StudyId(17), StudyId(100)]);
    }

    #[test]
    fn a_bad_line_is_named_with_what_was_expected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.csv");
        let message = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_predictions(&path).unwrap_err().to_string()
        };
        assert!(message("row_id,a,b,c\n").contains("line 1: the header is \"row_id,a,b,c\""));
        assert!(
            message(&format!("{SUBMISSION_HEADER}\n1_spinal_canal_stenosis_l1_l2,0.1,x,0.2\n"))
                .ends_with("line 2: moderate is \"x\", expected a number")
        );
        assert!(message(&format!("{SUBMISSION_HEADER}\nL1,0.1,0.1,0.2\n")).contains("line 2: unknown row id \"L1\""));
        assert!(message(&format!("{SUBMISSION_HEADER}\n1_spinal_canal_stenosis_l1_l2,1,0,0\n")).contains("found 1"));
        assert!(message(&format!("{SUBMISSION_HEADER}\n1,2\n")).contains("2 fields, expected 4"));
    }
}

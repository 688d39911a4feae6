use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::anatomy::Target;
use crate::metric::{MetricError, PredictionTable};
use crate::train::atomic;

/// First line of a submission and of every table of probabilities.
pub(super) const HEADER: &str = "row_id,normal_mild,moderate,severe";

/// Why a table of probabilities could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line that is no row.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was expected and found.
        reason: String,
    },
    /// Rows that make no table.
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
/// When the file cannot be written; an existing file is then as it was.
pub fn write_predictions(path: &Path, predictions: &PredictionTable) -> Result<(), RowsError> {
    let text = text(predictions, predictions.studies());
    atomic::write(path, text.as_bytes()).map_err(|source| RowsError::File { path: path.to_owned(), source })
}

/// Reads what [`write_predictions`] wrote, or any submission.
///
/// # Errors
/// When a line is no row, a row is there twice or is missing.
pub fn read_predictions(path: &Path) -> Result<PredictionTable, RowsError> {
    let text = std::fs::read_to_string(path).map_err(|source| RowsError::File { path: path.to_owned(), source })?;
    let mut cells = Vec::new();
    for (line, row) in rows(&text) {
        let refused = |reason| RowsError::Line { path: path.to_owned(), line, reason };
        let row = row.map_err(refused)?;
        let (study, target) = Target::split_row_id(row.row_id).map_err(|error| refused(error.to_string()))?;
        cells.push((study, target, row.values().map_err(refused)?));
    }
    PredictionTable::from_cells(cells).map_err(|source| RowsError::Table { path: path.to_owned(), source })
}

/// The rows of `studies`, with their header.
pub(super) fn text(predictions: &PredictionTable, studies: &[String]) -> String {
    let mut text = format!("{HEADER}\n");
    for study in studies {
        let row = predictions.get(study).expect("the caller names studies of the table");
        for target in Target::SUBMISSION {
            let [normal, moderate, severe] = row[target.index()];
            writeln!(text, "{},{normal},{moderate},{severe}", target.row_id(study)).expect("a string takes text");
        }
    }
    text
}

/// One line below the header, taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) row_id: &'a str,
    fields: [&'a str; 3],
}

impl Row<'_> {
    /// The three numbers; they need not be finite.
    pub(super) fn values(&self) -> Result<[f64; 3], String> {
        let mut values = [0.0; 3];
        for (place, field) in self.fields.iter().enumerate() {
            let name = crate::anatomy::Severity::ALL[place].snake();
            values[place] = field.trim().parse().map_err(|_| format!("{name} is {field:?}, expected a number"))?;
        }
        Ok(values)
    }
}

/// The lines of a table with their numbers, from 1; the first may be the error that the header is another.
pub(super) fn rows(text: &str) -> impl Iterator<Item = (usize, Result<Row<'_>, String>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let header = text.lines().next().unwrap_or_default().trim_end();
    let wrong = (header != HEADER).then(|| (1, Err(format!("the header is {header:?}, expected {HEADER:?}"))));
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()).map(|(index, line)| {
        let fields: Vec<&str> = line.trim_end().split(',').collect();
        let row = match fields[..] {
            [row_id, normal, moderate, severe] => Ok(Row { row_id, fields: [normal, moderate, severe] }),
            _ => Err(format!("{} fields, expected 4: {HEADER}", fields.len())),
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
        for study in [17, 4, 100] {
            let row = std::array::from_fn(|index| {
                let value = (index as f64 + 0.1) / (f64::from(study) + 30.0);
                [value, 1e-300 * value, 1.0 - value]
            });
            table.insert(study, row).unwrap();
        }
        write_predictions(&path, &table).unwrap();
        assert_eq!(read_predictions(&path).unwrap(), table);
        write_predictions(&path, &table.filter(|study| study != "4")).unwrap();
        assert_eq!(read_predictions(&path).unwrap().studies(), ["17", "100"]);
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
            message(&format!("{HEADER}\n1_spinal_canal_stenosis_l1_l2,0.1,x,0.2\n"))
                .ends_with("line 2: moderate is \"x\", expected a number")
        );
        assert!(message(&format!("{HEADER}\nL1,0.1,0.1,0.2\n")).contains("line 2: unknown row id \"L1\""));
        assert!(message(&format!("{HEADER}\n1_spinal_canal_stenosis_l1_l2,1,0,0\n")).contains("found 1"));
        assert!(message(&format!("{HEADER}\n1,2\n")).contains("2 fields, expected 4"));
    }
}

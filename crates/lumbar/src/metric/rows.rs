use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};

use super::{MetricError, PredictionTable};
use crate::anatomy::Target;
use crate::data::names::quoted_path;
use crate::data::table::{Column, Row, Table, TableError};
use crate::data::{StudyId, atomic};

/// The columns of a submission and of every table of probabilities, in their order.
const COLUMNS: [&str; 4] = ["row_id", "normal_mild", "moderate", "severe"];

/// Why a table of labels or probabilities could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableFileError {
    /// The file cannot be written.
    #[error("{}: {source}", quoted_path(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file cannot be read, is not a table, or has a wrong cell.
    #[error(transparent)]
    Read(#[from] TableError),
    /// The rows do not make a table of studies.
    #[error("{}: {source}", quoted_path(path))]
    Rows {
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
pub fn write_predictions(path: &Path, predictions: &PredictionTable) -> Result<(), TableFileError> {
    write_rows(path, predictions.iter())
}

/// [`write_predictions`] of rows whose names need not be studies: the prior of a run, for one.
///
/// # Errors
/// When the file cannot be written; an existing file is then unchanged.
pub fn write_rows<'a, N: Display>(
    path: &Path,
    rows: impl IntoIterator<Item = (N, &'a [[f64; 3]; Target::COUNT])>,
) -> Result<(), TableFileError> {
    let mut text = submission_header();
    for (name, row) in rows {
        for target in Target::SUBMISSION {
            let [normal, moderate, severe] = row[target.index()];
            writeln!(text, "{},{normal},{moderate},{severe}", target.row_id(&name)).expect("a string takes text");
        }
    }
    atomic::write(path, text.as_bytes()).map_err(|source| TableFileError::Write { path: path.to_owned(), source })
}

/// The first line of a submission.
pub(crate) fn submission_header() -> String {
    COLUMNS.join(",") + "\n"
}

/// Reads what [`write_predictions`] wrote, or any submission.
///
/// # Errors
/// When the columns are not those of a submission in their order, a row is not of a study and a target, a probability
/// is not a number, or a row is there twice or missing.
pub fn read_predictions(path: &Path) -> Result<PredictionTable, TableFileError> {
    let table = SubmissionTable::read(path)?;
    let mut cells = Vec::new();
    for row in table.rows() {
        let (study, target) = row.study_and_target()?;
        cells.push((study, target, row.values()?));
    }
    PredictionTable::from_cells(cells).map_err(|source| TableFileError::Rows { path: path.to_owned(), source })
}

/// A file with the columns of a submission. Its cells are text until they are asked for.
#[derive(Debug)]
pub(crate) struct SubmissionTable {
    table: Table,
    row_id: Column,
    probabilities: [Column; 3],
}

impl SubmissionTable {
    /// Reads a file.
    ///
    /// # Errors
    /// When the file cannot be read, is not CSV, or has other columns or another order of them.
    pub(crate) fn read(path: &Path) -> Result<Self, TableError> {
        let table = Table::read(path)?;
        table.expect_header(&COLUMNS)?;
        let [row_id, normal, moderate, severe] = COLUMNS.map(|name| table.column(name));
        let (row_id, probabilities) = (row_id?, [normal?, moderate?, severe?]);
        Ok(Self { table, row_id, probabilities })
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = SubmissionRow<'_>> {
        self.table.rows().map(|row| SubmissionRow { columns: self, row })
    }
}

/// A row of a [`SubmissionTable`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubmissionRow<'a> {
    columns: &'a SubmissionTable,
    row: Row<'a>,
}

impl<'a> SubmissionRow<'a> {
    /// The row of the CSV table.
    pub(crate) const fn row(&self) -> Row<'a> {
        self.row
    }

    /// The error that the first cell is not what it should be.
    pub(crate) fn wrong(&self, expected: &str) -> TableError {
        self.row.wrong(self.columns.row_id, expected)
    }

    /// The text of its first cell.
    pub(crate) fn row_id(&self) -> &'a str {
        self.row.text(self.columns.row_id)
    }

    /// The study and the target of the row.
    ///
    /// # Errors
    /// When the first cell is not `<study>_<condition>_<level>`, or the study's number is not written as
    /// [`StudyId`] writes it.
    pub(crate) fn study_and_target(&self) -> Result<(StudyId, Target), TableError> {
        let Ok((study, target)) = Target::split_row_id(self.row_id()) else {
            return Err(self.wrong("the form \"<study>_<condition>_<level>\""));
        };
        let id: StudyId =
            study.parse().map_err(|_| self.wrong("the form \"<study>_<condition>_<level>\" with a number"))?;
        let expected = target.row_id(id);
        if expected == self.row_id() { Ok((id, target)) } else { Err(self.wrong(&format!("{expected:?}"))) }
    }

    /// The three numbers. They may be infinite or NaN.
    ///
    /// # Errors
    /// When a cell is not a number.
    pub(crate) fn values(&self) -> Result<[f64; 3], TableError> {
        let [normal, moderate, severe] = self.columns.probabilities;
        let value = |column| self.row.parse(column, "a number");
        Ok([value(normal)?, value(moderate)?, value(severe)?])
    }
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
    fn a_bad_cell_is_named_with_what_was_expected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.csv");
        let message = |lines: &[&str]| {
            std::fs::write(&path, lines.join("\n")).unwrap();
            read_predictions(&path).unwrap_err().to_string()
        };
        let header = "row_id,normal_mild,moderate,severe";
        let error = message(&["row_id,a,b,c"]);
        assert!(error.ends_with(&format!("line 1: the header is \"row_id,a,b,c\", expected \"{header}\"")), "{error}");
        let ends = |row: &str, end: &str| {
            let error = message(&[header, row]);
            assert!(error.contains("bad.csv\"") && error.ends_with(end), "{error}");
        };
        let form = "expected the form \"<study>_<condition>_<level>\"";
        ends("1_spinal_canal_stenosis_l1_l2,0.1,x,0.2", "line 2, column \"moderate\": found \"x\", expected a number");
        ends("L1,0.1,0.1,0.2", &format!("line 2, column \"row_id\": found \"L1\", {form}"));
        ends("x_spinal_canal_stenosis_l1_l2,1,0,0", &format!("{form} with a number"));
        ends("01_spinal_canal_stenosis_l1_l2,1,0,0", "expected \"1_spinal_canal_stenosis_l1_l2\"");
        ends("1_spinal_canal_stenosis_l1_l2,1,0,0", "expected 25 rows a study, found 1");
        ends("1,2", "line 2: found 2 cells, expected 4 as in the header");
    }
}

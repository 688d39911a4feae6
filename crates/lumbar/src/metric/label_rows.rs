use std::fmt::Write as _;
use std::path::Path;

use super::{LabelTable, TableFileError};
use crate::anatomy::{Severity, Target};
use crate::data::atomic;
use crate::data::manifest::labels_of_table;
use crate::data::table::Table;

/// Writes labels as `train.csv` has them.
///
/// # Errors
/// When the file cannot be written; an existing file is then unchanged.
pub fn write_labels(path: &Path, labels: &LabelTable) -> Result<(), TableFileError> {
    let mut text = String::from("study_id");
    Target::ALL.iter().for_each(|target| write!(text, ",{}", target.column()).expect("a string takes text"));
    for (study, row) in labels.iter() {
        write!(text, "\n{study}").expect("a string takes text");
        for severity in row {
            write!(text, ",{}", severity.map_or("", Severity::title)).expect("a string takes text");
        }
    }
    text.push('\n');
    atomic::write(path, text.as_bytes()).map_err(|source| TableFileError::Write { path: path.to_owned(), source })
}

/// Reads a table of labels in the form of `train.csv`, its columns in any order.
///
/// # Errors
/// When the file cannot be read, lacks a column, names a study twice, or a cell is neither empty nor a severity.
/// The error names the file, the line, the column, what was found and what was expected.
pub fn read_labels(path: &Path) -> Result<LabelTable, TableFileError> {
    let table = Table::read(path)?;
    let mut labels = LabelTable::new();
    for (study, row) in labels_of_table(&table)? {
        labels.insert(study, row.0).map_err(|source| TableFileError::Rows { path: path.to_owned(), source })?;
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::StudyId;

    #[test]
    fn labels_come_back_in_their_order_and_a_bad_cell_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        let mut labels = LabelTable::new();
        for study in [17, 4, 100] {
            let row = std::array::from_fn(|target| [None, Some(Severity::Severe)][(target + study as usize) % 2]);
            labels.insert(StudyId(study), row).unwrap();
        }
        write_labels(&path, &labels).unwrap();
        assert_eq!(read_labels(&path).unwrap(), labels);
        let text = std::fs::read_to_string(&path).unwrap();
        let message = |text: String| {
            std::fs::write(&path, text).unwrap();
            read_labels(&path).unwrap_err().to_string()
        };
        let error = message(text.replacen("Severe", "Sever", 1));
        let expected = "found \"Sever\", expected \"Normal/Mild\" or \"Moderate\" or \"Severe\" or an empty cell";
        assert!(error.contains("labels.csv\", line 2, column \"") && error.ends_with(expected), "{error}");
        assert!(message(text.replace("\n4,", "\n17,")).ends_with("line 3: study 17 is already on line 2"));
        assert!(
            message(text.replace("\n4,", "\n4,,")).ends_with("line 3: found 27 cells, expected 26 as in the header")
        );
        assert!(message(text.replacen("study_id", "study", 1)).contains("has no column \"study_id\""));
    }
}

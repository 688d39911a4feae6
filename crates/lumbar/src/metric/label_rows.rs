use std::fmt::Write as _;
use std::path::Path;

use super::rows::read_text;
use super::{LabelTable, TableError};
use crate::anatomy::{Severity, Target, UnknownName};
use crate::data::atomic;

/// Writes labels as `train.csv` has them.
///
/// # Errors
/// When the file cannot be written; an existing file is then unchanged.
pub fn write_labels(path: &Path, labels: &LabelTable) -> Result<(), TableError> {
    let mut text = String::from("study_id");
    Target::ALL.iter().for_each(|target| write!(text, ",{}", target.column()).expect("a string takes text"));
    for (study, row) in labels.iter() {
        write!(text, "\n{study}").expect("a string takes text");
        for severity in row {
            write!(text, ",{}", severity.map_or("", Severity::title)).expect("a string takes text");
        }
    }
    text.push('\n');
    atomic::write(path, text.as_bytes()).map_err(|source| TableError::File { path: path.to_owned(), source })
}

/// Reads a table of labels in the form of `train.csv`, its columns in any order.
///
/// # Errors
/// When the file cannot be read, lacks a column, names a study twice, or a cell is neither empty nor a severity.
/// The error names the line.
pub fn read_labels(path: &Path) -> Result<LabelTable, TableError> {
    let text = read_text(path)?;
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(&text).lines().enumerate();
    let header: Vec<&str> = lines.next().map_or("", |(_, line)| line).split(',').map(str::trim).collect();
    let place = |name: &str| {
        let found = header.iter().position(|column| *column == name);
        let reason = || format!("there is no column {name:?}");
        found.ok_or_else(|| TableError::Line { path: path.to_owned(), line: 1, reason: reason() })
    };
    let study = place("study_id")?;
    let mut columns = [0; Target::COUNT];
    for (column, target) in columns.iter_mut().zip(Target::ALL) {
        *column = place(&target.column())?;
    }
    let mut labels = LabelTable::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let refused = |reason: String| TableError::Line { path: path.to_owned(), line: number + 1, reason };
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        if cells.len() != header.len() {
            return Err(refused(format!("{} cells, expected {}", cells.len(), header.len())));
        }
        let mut row = [None; Target::COUNT];
        for (label, &column) in row.iter_mut().zip(&columns) {
            if !cells[column].is_empty() {
                *label = Some(cells[column].parse().map_err(|error: UnknownName| refused(error.to_string()))?);
            }
        }
        let id =
            cells[study].parse().map_err(|_| refused(format!("study_id is {:?}, expected a number", cells[study])))?;
        labels.insert(id, row).map_err(|error| refused(error.to_string()))?;
    }
    Ok(labels)
}

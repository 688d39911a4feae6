//! Tables in CSV: one strict reader for labels, series, points, predictions and submissions.
//!
//! A table is UTF-8 (a byte order mark is allowed) with a header. Columns are found by their names, in any order;
//! cells are trimmed; blank lines are skipped; lines may end as on Windows. Every cell stays text until it is asked
//! for, so that an error can name the file, the line, the column, what was expected and what was found.
//!
//! ```
//! use lumbar::anatomy::Severity;
//! use lumbar::data::StudyId;
//! use lumbar::data::table::Table;
//!
//! let table = Table::parse("labels.csv", "study_id,label\n7,Severe\n8,\n")?;
//! let (study, label) = (table.column("study_id")?, table.column("label")?);
//! let mut labels = Vec::new();
//! for row in table.rows() {
//!     let study: StudyId = row.parse(study, "a study's number")?;
//!     let label: Option<Severity> = row.parse_or_empty(label, "a severity")?;
//!     labels.push((study, label));
//! }
//! assert_eq!(labels, [(StudyId(7), Some(Severity::Severe)), (StudyId(8), None)]);
//!
//! let table = Table::parse("labels.csv", "study_id,label\n7,Severe\n8,Awful\n")?;
//! let (label, row) = (table.column("label")?, table.rows().nth(1).unwrap());
//! let error = row.parse::<Severity>(label, "a severity").unwrap_err().to_string();
//! assert_eq!(error, r#""labels.csv", line 3, column "label": found "Awful", expected a severity"#);
//! # Ok::<(), lumbar::data::table::TableError>(())
//! ```

mod error;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use csv_core::{ReadRecordResult, Reader};

pub use error::TableError;

use super::names::quoted;

/// A table that was read: a header and rows of as many cells.
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<Cells>,
}

/// A column of a [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column(usize);

/// A row of a [`Table`].
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    table: &'a Table,
    cells: &'a Cells,
}

/// The cells of one row.
#[derive(Debug, Clone)]
struct Cells {
    line: usize,
    /// All cells, one after the other.
    text: String,
    /// The end of each cell in `text`.
    ends: Vec<usize>,
}

impl Cells {
    fn len(&self) -> usize {
        self.ends.len()
    }

    /// A cell without spaces around it; nothing if there is no such cell.
    fn get(&self, index: usize) -> &str {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(index).and_then(|end| self.text.get(start..*end)).unwrap_or_default().trim()
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }
}

impl Table {
    /// Reads a file.
    ///
    /// # Errors
    /// When the file cannot be read, is no UTF-8, has no header, names a column twice, or has a row with more or
    /// fewer cells than the header.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, TableError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| TableError::Io { path: path.to_owned(), source })?;
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(path, &text),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
                Err(TableError::Csv { path: path.to_owned(), line, reason: "found bytes that are no UTF-8".to_owned() })
            }
        }
    }

    /// Reads text; `path` is the name that errors show.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Self, TableError> {
        let path = path.as_ref().to_owned();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut records = records(text, &path)?.into_iter();
        let Some(header) = records.next() else {
            return Err(TableError::Csv { path, line: 1, reason: "found nothing, expected a header".to_owned() });
        };
        let line = header.line;
        let header: Vec<String> = header.iter().map(str::to_owned).collect();
        let mut names = HashSet::new();
        if let Some(column) = header.iter().find(|column| !names.insert(column.as_str())) {
            return Err(TableError::Csv { path, line, reason: format!("column {} is there twice", quoted(column)) });
        }
        let rows: Vec<_> = records.collect();
        if let Some(row) = rows.iter().find(|row| row.len() != header.len()) {
            return Err(TableError::Cells { path, line: row.line, found: row.len(), expected: header.len() });
        }
        Ok(Self { path, header, rows })
    }

    /// The file, as errors name it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the columns, in the file's order.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// How many rows there are below the header.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The column of a name.
    ///
    /// # Errors
    /// When there is none.
    pub fn column(&self, name: &str) -> Result<Column, TableError> {
        self.header.iter().position(|column| column == name).map(Column).ok_or_else(|| TableError::MissingColumn {
            path: self.path.clone(),
            column: name.to_owned(),
            found: self.header.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "),
        })
    }

    /// Checks that the header is exactly `expected`: the same columns in the same order.
    ///
    /// # Errors
    /// When it is not.
    pub fn expect_header(&self, expected: &[&str]) -> Result<(), TableError> {
        if self.header == expected {
            return Ok(());
        }
        Err(TableError::Header { path: self.path.clone(), found: self.header.join(","), expected: expected.join(",") })
    }

    /// The rows, in the file's order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { table: self, cells })
    }
}

impl<'a> Row<'a> {
    /// The line of the file on which the row starts; the header is on line 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.cells.line
    }

    /// A cell's text, without spaces around it.
    #[must_use]
    pub fn text(&self, column: Column) -> &'a str {
        self.cells.get(column.0)
    }

    /// A cell's value.
    ///
    /// # Errors
    /// When the cell is empty or is no `T`; `expected` says what it should be.
    pub fn parse<T: FromStr>(&self, column: Column, expected: &str) -> Result<T, TableError> {
        self.text(column).parse().map_err(|_| self.wrong(column, expected))
    }

    /// A cell's value; `None` if the cell is empty.
    ///
    /// # Errors
    /// When the cell is not empty and is no `T`.
    pub fn parse_or_empty<T: FromStr>(&self, column: Column, expected: &str) -> Result<Option<T>, TableError> {
        if self.text(column).is_empty() {
            return Ok(None);
        }
        self.text(column).parse().map(Some).map_err(|_| self.wrong(column, &format!("{expected} or an empty cell")))
    }

    /// A cell's number.
    ///
    /// # Errors
    /// When the cell is no number, infinite or NaN.
    pub fn finite(&self, column: Column, expected: &str) -> Result<f64, TableError> {
        let number: f64 = self.parse(column, expected)?;
        if number.is_finite() { Ok(number) } else { Err(self.wrong(column, expected)) }
    }

    /// The error that a cell is not what it should be.
    #[must_use]
    pub fn wrong(&self, column: Column, expected: &str) -> TableError {
        TableError::Cell {
            path: self.table.path.clone(),
            line: self.line(),
            column: self.table.header.get(column.0).cloned().unwrap_or_default(),
            found: self.text(column).to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// The error that this row says something about what the row on line `first_line` is about.
    #[must_use]
    pub fn twice(&self, first_line: usize, what: impl Into<String>) -> TableError {
        TableError::Twice { path: self.table.path.clone(), line: self.line(), first_line, what: what.into() }
    }
}

/// The lines on which keys were seen: for tables in which a key may be only once.
#[derive(Debug, Default)]
pub struct Seen<K>(HashMap<K, usize>);

impl<K: Eq + Hash> Seen<K> {
    /// No key.
    #[must_use]
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    /// Notes the key of a row.
    ///
    /// # Errors
    /// When an earlier row had the same key; `what` names it: `study 7`.
    pub fn insert(&mut self, row: Row<'_>, key: K, what: impl FnOnce() -> String) -> Result<(), TableError> {
        match self.0.insert(key, row.line()) {
            None => Ok(()),
            Some(first_line) => Err(row.twice(first_line, what())),
        }
    }
}

/// The records of a text, blank lines left out.
fn records(text: &str, path: &Path) -> Result<Vec<Cells>, TableError> {
    let refused = |line, reason: &str| TableError::Csv { path: path.to_owned(), line, reason: reason.to_owned() };
    // The parser takes the end of the file for the end of an open quote.
    let mut quotes = text.match_indices('"').map(|(at, _)| at);
    if quotes.clone().count() % 2 == 1 {
        let last = quotes.next_back().unwrap_or_default();
        let line = 1 + text[..last].matches('\n').count();
        return Err(refused(line, "found an odd number of quotes up to here, expected each to be closed"));
    }
    let (mut reader, mut rest) = (Reader::new(), text.as_bytes());
    // No record is longer than the text or has more cells than the text has commas.
    let (mut bytes, mut ends) = (vec![0; text.len()], vec![0; 1 + text.matches(',').count()]);
    let mut records = Vec::new();
    loop {
        // The parser skips blank lines before a record.
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).filter(|byte| **byte == b'\n').count();
        let line = reader.line() as usize + blank;
        let (mut length, mut cells) = (0, 0);
        loop {
            let (result, read, written, ended) = reader.read_record(rest, &mut bytes[length..], &mut ends[cells..]);
            (rest, length, cells) = (&rest[read..], length + written, cells + ended);
            match result {
                // At the end of the input the parser is asked again, without input.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(records),
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err(refused(line, "found a row that is longer than the file"));
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let record = Cells { line, text, ends: ends[..cells].to_vec() };
        if record.iter().any(|cell| cell.contains('\n')) {
            return Err(refused(line, "found a line break inside a cell, expected none"));
        }
        if record.len() > 1 || !record.get(0).is_empty() {
            records.push(record);
        }
    }
}

#[cfg(test)]
mod tests;

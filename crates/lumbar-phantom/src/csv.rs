//! CSV as the phantom writes it: no quotes, no commas inside fields.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// A table in memory. Every row has as many fields as the heading.
pub(crate) struct Table {
    path: PathBuf,
    heading: Vec<String>,
    lines: Vec<Vec<String>>,
}

impl Table {
    /// Reads a table whose rows all have as many fields as its heading.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let split = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut lines = text.lines();
        let heading = split(lines.next().unwrap_or_default());
        let lines: Vec<Vec<String>> = lines.map(split).collect();
        match lines.iter().position(|line| line.len() != heading.len()) {
            Some(row) => Err(Error::Table {
                path: path.to_owned(),
                line: row + 2,
                field: "the row".to_owned(),
                found: lines[row].join(","),
                expected: "as many fields as the heading has",
            }),
            None => Ok(Self { path: path.to_owned(), heading, lines }),
        }
    }

    /// The rows in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.lines.len()).map(|index| Row { table: self, index })
    }
}

/// A row of a [`Table`].
pub(crate) struct Row<'a> {
    table: &'a Table,
    index: usize,
}

impl<'a> Row<'a> {
    /// The text of a column.
    pub(crate) fn text(&self, column: &str) -> Result<&'a str, Error> {
        match self.table.heading.iter().position(|name| name == column) {
            Some(place) => Ok(&self.table.lines[self.index][place]),
            None => Err(Error::Table {
                path: self.table.path.clone(),
                line: 1,
                field: "the heading".to_owned(),
                found: self.table.heading.join(","),
                expected: "every column of the format",
            }),
        }
    }

    /// The number in a column.
    pub(crate) fn number(&self, column: &str) -> Result<f64, Error> {
        self.text(column)?.parse().map_err(|_| self.unexpected(column, "a number"))
    }

    /// The error for a field with an unexpected value.
    pub(crate) fn unexpected(&self, column: &str, expected: &'static str) -> Error {
        let found = self.text(column).unwrap_or_default().to_owned();
        Error::Table { path: self.table.path.clone(), line: self.index + 2, field: column.to_owned(), found, expected }
    }
}

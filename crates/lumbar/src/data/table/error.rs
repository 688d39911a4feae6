use std::io;
use std::path::PathBuf;

use crate::data::names::{one_line, quoted, quoted_path};

/// Why a table cannot be read, or what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", quoted_path(path))]
    Io {
        /// The table.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is no CSV, or one without a usable header.
    #[error("{}, line {line}: {}", quoted_path(path), one_line(reason))]
    Csv {
        /// The table.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What was expected and found.
        reason: String,
    },
    /// The columns are not those that are expected, in their order.
    #[error("{}, line 1: the header is {}, expected {}", quoted_path(path), quoted(found), quoted(expected))]
    Header {
        /// The table.
        path: PathBuf,
        /// The columns that are there.
        found: String,
        /// The columns that should be there.
        expected: String,
    },
    /// A column is missing.
    #[error("{} has no column {}, its columns are {found}", quoted_path(path), quoted(column))]
    MissingColumn {
        /// The table.
        path: PathBuf,
        /// The column that is needed.
        column: String,
        /// The columns that are there.
        found: String,
    },
    /// A row has more or fewer cells than the header.
    #[error("{}, line {line}: found {found} cells, expected {expected} as in the header", quoted_path(path))]
    Cells {
        /// The table.
        path: PathBuf,
        /// The line.
        line: usize,
        /// How many cells there are.
        found: usize,
        /// How many columns there are.
        expected: usize,
    },
    /// A cell holds something else than it should.
    #[error(
        "{}, line {line}, column {}: found {}, expected {expected}",
        quoted_path(path),
        quoted(column),
        quoted(found)
    )]
    Cell {
        /// The table.
        path: PathBuf,
        /// The line, counted from 1; the header is line 1.
        line: usize,
        /// The column.
        column: String,
        /// The cell.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Two rows say something about the same thing.
    #[error("{}, line {line}: {} is already on line {first_line}", quoted_path(path), one_line(what))]
    Twice {
        /// The table.
        path: PathBuf,
        /// The later line.
        line: usize,
        /// The earlier line.
        first_line: usize,
        /// What is there twice.
        what: String,
    },
}

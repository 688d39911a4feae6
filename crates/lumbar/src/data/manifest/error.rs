use std::io;
use std::path::PathBuf;

/// Why a folder could not be read as a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The path leads nowhere or to a file.
    #[error("no data set at {path:?}: {found}, expected a folder in the competition's layout")]
    NoFolder {
        /// Where was looked.
        path: PathBuf,
        /// `there is nothing` or `it is a file`.
        found: &'static str,
    },
    /// The folder holds none of the tables.
    #[error("no data set in {path:?}: found none of {expected}")]
    NoTables {
        /// The folder.
        path: PathBuf,
        /// The tables of which one is needed.
        expected: String,
    },
    /// A file or folder that is there could not be read.
    #[error("cannot read {path:?}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A table is no CSV.
    #[error("{path:?} is no table: {reason}")]
    Csv {
        /// The table.
        path: PathBuf,
        /// What the reader says.
        reason: String,
    },
    /// A table lacks a column.
    #[error("{path:?} has no column {column:?}, its columns are {found}")]
    MissingColumn {
        /// The table.
        path: PathBuf,
        /// The column that is needed.
        column: String,
        /// The columns that are there.
        found: String,
    },
    /// A cell holds something else than it should.
    #[error("{path:?}, line {line}, column {column:?}: found {found:?}, expected {expected}")]
    Value {
        /// The table.
        path: PathBuf,
        /// Line of the file, counted from 1, where the header is line 1.
        line: usize,
        /// The column.
        column: String,
        /// The cell.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Two rows say something about the same thing.
    #[error("{path:?}, line {line}: {what} is already on line {first_line}")]
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

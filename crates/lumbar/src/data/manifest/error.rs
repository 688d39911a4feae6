use std::io;
use std::path::PathBuf;

use crate::data::names::quoted_path;
use crate::data::table::TableError;

/// Why a folder could not be read as a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// There is nothing at the path, or a file.
    #[error("no data set at {}: {found}, expected a folder in the competition's layout", quoted_path(path))]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// `there is nothing` or `it is a file`.
        found: &'static str,
    },
    /// The folder has none of the tables.
    #[error("no data set in {}: found none of {expected}", quoted_path(path))]
    NoTables {
        /// The folder.
        path: PathBuf,
        /// The tables of which one is needed.
        expected: String,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", quoted_path(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A table is no CSV, lacks a column, or holds something that it should not.
    #[error(transparent)]
    Table(#[from] TableError),
}

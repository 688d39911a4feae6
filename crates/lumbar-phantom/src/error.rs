//! Errors of writing and reading phantoms.

use std::path::{Path, PathBuf};

/// Errors of [`generate`](crate::generate()), [`score_references`](crate::score_references) and
/// [`plan_references`](crate::plan_references).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of [`PhantomConfig`](crate::PhantomConfig) is out of range.
    #[error("phantom config: {field} is {found}, expected {expected}")]
    Config {
        /// The field's name.
        field: &'static str,
        /// The value it has.
        found: String,
        /// The values it may have.
        expected: &'static str,
    },
    /// No preset has this name.
    #[error("no preset is called \"{found}\": the presets are tiny, aligned, default, hard and large")]
    UnknownPreset {
        /// The name that was given.
        found: String,
    },
    /// The target folder is not empty, or is a file.
    #[error("{}: not an empty folder; a phantom is only written to a new or an empty one", path.display())]
    NotEmpty {
        /// The target folder.
        path: PathBuf,
    },
    /// The operating system reported an error.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// What failed, as in "cannot write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A table of a phantom does not have the format in which it was written.
    #[error("{}: line {line}: {field} is \"{found}\", expected {expected}", path.display())]
    Table {
        /// The CSV file.
        path: PathBuf,
        /// Line number, the heading is line 1.
        line: usize,
        /// The column.
        field: String,
        /// The text found.
        found: String,
        /// The text expected, in words.
        expected: &'static str,
    },
    /// A DICOM file could not be encoded or read.
    #[error("{}: not a usable DICOM object: {reason}", path.display())]
    Dicom {
        /// The file.
        path: PathBuf,
        /// What the encoder or decoder reported.
        reason: String,
    },
}

impl Error {
    /// Adds what was tried and the path to an operating-system error.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

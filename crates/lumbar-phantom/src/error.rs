//! What can go wrong while a phantom is made or read back.

use std::path::{Path, PathBuf};

/// Everything that [`generate`](crate::generate()) and [`score_references`](crate::score_references) can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of [`PhantomConfig`](crate::PhantomConfig) lies outside its range.
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
    #[error("no preset is called \"{found}\": the presets are tiny, default and large")]
    UnknownPreset {
        /// The name asked for.
        found: String,
    },
    /// The target folder holds something already, or is a file.
    #[error("{}: not an empty folder; a phantom is only written to a new or an empty one", path.display())]
    NotEmpty {
        /// The target folder.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// What was tried, as in "cannot write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A table of a phantom does not read as it was written.
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
    /// A DICOM object could not be put together.
    #[error("{}: cannot encode the DICOM object: {reason}", path.display())]
    Dicom {
        /// The file it was meant for.
        path: PathBuf,
        /// What the encoder said.
        reason: String,
    },
}

impl Error {
    /// Wraps an operating-system error with what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

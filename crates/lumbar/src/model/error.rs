//! The error of everything under [`crate::model`].

use std::path::PathBuf;

use tch::{Kind, TchError};

/// Why a model could not be built, run, loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch refused an operation.
    #[error("{operation}: {cause}")]
    Torch {
        /// Which layer or step.
        operation: String,
        /// libtorch's words.
        cause: TchError,
    },
    /// libtorch refused an operation, and no layer is known.
    #[error("torch: {0}")]
    Plain(#[from] TchError),
    /// The shim refused.
    #[error(transparent)]
    Ext(#[from] torch_ext::Error),
    /// An input has the wrong shape.
    #[error("{what}: expected a shape of {expected}, found {found:?}")]
    Shape {
        /// Which input.
        what: String,
        /// The expected shape in words.
        expected: String,
        /// The shape that came.
        found: Vec<i64>,
    },
    /// A setting is outside its range.
    #[error("{field}: expected {expected}, found {found}")]
    Config {
        /// The setting.
        field: &'static str,
        /// Its range.
        expected: String,
        /// What came.
        found: String,
    },
    /// No architecture has this name.
    #[error("no architecture is called {found:?}; known are {known}")]
    UnknownArchitecture {
        /// The name that came.
        found: String,
        /// All known names.
        known: String,
    },
    /// No parameter or stage has this name or number.
    #[error("{model} has no {what}; it has {known}")]
    NoSuchPart {
        /// The model.
        model: String,
        /// What was asked for.
        what: String,
        /// What there is.
        known: String,
    },
    /// A weight file could not be opened, read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A file is not a whole safetensors file.
    #[error("{}: not a whole safetensors file ({reason})", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor of a weight file has another shape than the model's.
    #[error("{}: tensor {name}: expected shape {expected:?}, found {found:?}", path.display())]
    WeightShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The model's shape.
        expected: Vec<i64>,
        /// The file's shape.
        found: Vec<i64>,
    },
    /// A tensor of a weight file has another element type than the model's.
    #[error("{}: tensor {name}: expected dtype {expected}, found {found}", path.display())]
    WeightKind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The model's element type in safetensors' words.
        expected: String,
        /// The file's element type.
        found: String,
    },
    /// The file's names are not the model's.
    #[error("{}: {} missing ({}), {} unexpected ({})", path.display(), missing.len(), list(missing), unexpected.len(), list(unexpected))]
    WeightNames {
        /// The file.
        path: PathBuf,
        /// In the model, not in the file.
        missing: Vec<String>,
        /// In the file, not in the model.
        unexpected: Vec<String>,
    },
    /// A file's size or hash is not the stated one.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// `size` or `sha256`.
        what: &'static str,
        /// As stated.
        expected: String,
        /// As found.
        found: String,
    },
    /// Pretrained weights are in no cache and were not downloaded.
    #[error("no weights of {repository} here{}: put {file} at {}, or set HF_HOME to a Hugging Face cache that holds them", reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default(), path.display())]
    WeightsNotHere {
        /// The Hugging Face repository.
        repository: String,
        /// The file's name.
        file: String,
        /// Where it would be found.
        path: PathBuf,
        /// Why it could not be fetched, where that was tried.
        reason: Option<String>,
    },
    /// A tensor of this element type cannot be saved.
    #[error("tensor {name}: dtype {kind:?} cannot be saved")]
    UnsavableKind {
        /// The tensor.
        name: String,
        /// Its type.
        kind: Kind,
    },
}

/// A result with a model [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Names what was being done when libtorch refused.
pub(crate) trait Doing<T> {
    /// Wraps the error with the name of the layer or step.
    fn doing(self, operation: &str) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, TchError> {
    fn doing(self, operation: &str) -> Result<T> {
        self.map_err(|cause| Error::Torch { operation: operation.to_owned(), cause })
    }
}

/// The first few of a list of names.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(", and {} more", names.len() - SHOWN));
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

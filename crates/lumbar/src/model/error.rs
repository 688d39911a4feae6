//! The error of everything under [`crate::model`].

use std::path::PathBuf;

use tch::{Kind, TchError};

use super::architecture::Architecture;
use super::hub::WEIGHTS_FILE;

/// Why a model could not be built, run, loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch failed.
    #[error("{operation}: {cause}")]
    Torch {
        /// The layer or step; `torch` if it is not known.
        operation: String,
        /// libtorch's error.
        cause: TchError,
    },
    /// torch-ext failed.
    #[error(transparent)]
    TorchExt(#[from] torch_ext::Error),
    /// An input has the wrong shape.
    #[error("{what}: expected a shape of {expected}, found {found:?}")]
    Shape {
        /// Which input.
        what: String,
        /// The expected shape in words.
        expected: String,
        /// The input's shape.
        found: Vec<i64>,
    },
    /// A setting is outside its range.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// No architecture has this name.
    #[error("unknown architecture {found:?}, expected one of {known}")]
    UnknownArchitecture {
        /// The name.
        found: String,
        /// All known names.
        known: String,
    },
    /// The model's backbone has no stage of this number.
    #[error("the model has no stage {stage}, expected 0 to {}", count.saturating_sub(1))]
    UnknownStage {
        /// The number.
        stage: usize,
        /// How many stages the backbone has.
        count: usize,
    },
    /// A weight file could not be opened, read or written.
    #[error("{}: {cause}", path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        cause: std::io::Error,
    },
    /// A file is not a whole safetensors file.
    #[error("{}: not a whole safetensors file ({reason})", path.display())]
    WeightFormat {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor in a weight file has a different shape than in the model.
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
    /// A tensor in a weight file has a different element type than in the model.
    #[error("{}: tensor {name}: expected dtype {expected}, found {found}", path.display())]
    WeightKind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The model's element type, by safetensors' name.
        expected: String,
        /// The file's element type.
        found: String,
    },
    /// A weight file's tensors have other names than the model's.
    #[error("{}: {}", path.display(), name_differences(missing, unexpected))]
    WeightNames {
        /// The file.
        path: PathBuf,
        /// In the model, not in the file.
        missing: Vec<String>,
        /// In the file, not in the model.
        unexpected: Vec<String>,
    },
    /// A weight file belongs to another architecture.
    #[error("{}: not the weights of {architecture}: {reason}", path.display())]
    WrongArchitecture {
        /// The file.
        path: PathBuf,
        /// The architecture of the network that it was loaded into.
        architecture: Architecture,
        /// Which names or shapes differ.
        reason: String,
    },
    /// A weight file's hash is not the expected one.
    #[error("{}: SHA-256: expected {expected}, found {found}", path.display())]
    WeightHash {
        /// The file.
        path: PathBuf,
        /// The expected hash.
        expected: String,
        /// The file's hash.
        found: String,
    },
    /// Pretrained weights are not in the cache of the Hugging Face hub.
    #[error("the weights of {repository} are not cached{}: put {WEIGHTS_FILE} at {}, or set HF_HOME to a Hugging Face cache that has them", reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default(), path.display())]
    WeightsNotCached {
        /// The repository.
        repository: String,
        /// Where the file would be.
        path: PathBuf,
        /// Why it could not be downloaded, if that was tried.
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

impl Error {
    /// Turns differences of names and shapes into [`Error::WrongArchitecture`].
    pub(super) fn for_architecture(self, architecture: Architecture) -> Self {
        match self {
            Self::WeightNames { path, missing, unexpected } => {
                Self::WrongArchitecture { path, architecture, reason: name_differences(&missing, &unexpected) }
            }
            Self::WeightShape { path, name, expected, found } => {
                let reason = format!("tensor {name}: expected shape {expected:?}, found {found:?}");
                Self::WrongArchitecture { path, architecture, reason }
            }
            other => other,
        }
    }
}

/// A result with a model [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl From<TchError> for Error {
    fn from(cause: TchError) -> Self {
        Self::Torch { operation: "torch".to_owned(), cause }
    }
}

/// Adds the name of the layer or step to libtorch's errors.
pub(crate) trait Doing<T> {
    /// Adds the name of the layer or step.
    fn doing(self, operation: &str) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, TchError> {
    fn doing(self, operation: &str) -> Result<T> {
        self.map_err(|cause| Error::Torch { operation: operation.to_owned(), cause })
    }
}

fn name_differences(missing: &[String], unexpected: &[String]) -> String {
    let (absent, extra) = (missing.len(), unexpected.len());
    format!("{absent} missing ({}), {extra} unexpected ({})", list(missing), list(unexpected))
}

/// The first names of a list.
fn list(names: &[String]) -> String {
    const COUNT: usize = 5;
    let mut text = names.iter().take(COUNT).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > COUNT {
        text.push_str(&format!(", and {} more", names.len() - COUNT));
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

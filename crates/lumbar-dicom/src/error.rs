//! What can go wrong with a file, by cause.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::tag::Tag;

/// A file that could not be read, and why.
///
/// The text names the file, the attribute, what was expected and what was found. Values that could
/// identify a patient never reach it: of what a file holds, only numbers from geometry and pixel
/// attributes are quoted (see [`crate::privacy`]).
///
/// ```
/// use lumbar_dicom::Header;
/// let error = Header::read_bytes(b"not a picture").unwrap_err();
/// assert_eq!(error.to_string(), "13 bytes in memory: no DICOM data elements found at its start");
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct Error {
    /// Where the bytes came from.
    pub place: Place,
    /// What was wrong.
    pub cause: Cause,
}

/// Where bytes came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A file or folder.
    Path(PathBuf),
    /// So many bytes in memory.
    Memory(usize),
}

impl Place {
    /// The path, when there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Memory(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Memory(bytes) => write!(f, "{bytes} bytes in memory"),
        }
    }
}

/// Why a file, a folder or a frame cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The operating system refused.
    #[error("{text}")]
    Io {
        /// Its kind, for matching.
        kind: std::io::ErrorKind,
        /// The system's words.
        text: String,
    },
    /// A file without a byte.
    #[error("the file is empty (0 bytes)")]
    Empty,
    /// Nothing that reads as DICOM.
    #[error("no DICOM data elements found at its start")]
    NotDicom,
    /// Good DICOM, but a directory, a report, a waveform: something without pixels.
    #[error("no picture: the file holds no pixel data")]
    NoPicture,
    /// A picture, but no slice of measured intensities.
    #[error("not an MR slice: {what}")]
    NotASlice {
        /// What it is instead.
        what: &'static str,
    },
    /// An attribute that a picture cannot do without.
    #[error("{tag} is missing")]
    Missing {
        /// The attribute.
        tag: Tag,
    },
    /// An attribute whose value makes no sense.
    #[error("{tag}: expected {expected}, found {found}")]
    Value {
        /// The attribute.
        tag: Tag,
        /// What the standard or the other attributes ask for.
        expected: String,
        /// What the file has; free text is not quoted.
        found: String,
    },
    /// The file ends before what it announces.
    #[error("cut short: {tag} announces {expected} bytes, {found} are there")]
    Truncated {
        /// The attribute that is cut.
        tag: Tag,
        /// Bytes announced or needed.
        expected: u64,
        /// Bytes present.
        found: u64,
    },
    /// Sequences nested beyond any real file.
    #[error("sequences are nested deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// More data elements than any real header has.
    #[error("more than {limit} data elements before the pixels")]
    TooManyElements {
        /// The limit.
        limit: usize,
    },
    /// A picture whose decoding would need more memory than its file justifies.
    #[error("decoding needs {needed} bytes; {limit} are allowed for a file of this size")]
    TooLarge {
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A transfer syntax without a decoder here.
    #[error("no decoder for the transfer syntax {syntax}")]
    Syntax {
        /// Its UID, or "an unknown one" where the UID is malformed.
        syntax: String,
    },
    /// Compressed pixels that do not decode.
    #[error("{codec} pixels do not decode: {why}")]
    Codec {
        /// The decoder.
        codec: &'static str,
        /// Its words.
        why: String,
    },
    /// A frame that is not there.
    #[error("frame {frame} asked for, the file has {frames}")]
    NoSuchFrame {
        /// The frame asked for, from 0.
        frame: usize,
        /// Frames in the file.
        frames: usize,
    },
    /// A folder without a usable file.
    #[error("no usable DICOM slice among {files} files{}", first_reason(.first))]
    NothingUsable {
        /// Files looked at.
        files: usize,
        /// The first reason given, when there is one.
        first: Option<String>,
    },
    /// Several series where one was asked for.
    #[error("{found} series found where one was expected; read_folder reads many")]
    SeveralSeries {
        /// How many.
        found: usize,
    },
    /// The observer asked to stop.
    #[error("cancelled")]
    Cancelled,
}

fn first_reason(first: &Option<String>) -> String {
    first.as_ref().map(|text| format!("; the first: {text}")).unwrap_or_default()
}

impl Cause {
    pub(crate) fn at(self, place: &Place) -> Error {
        Error { place: place.clone(), cause: self }
    }

    pub(crate) fn io(error: &std::io::Error) -> Self {
        Self::Io { kind: error.kind(), text: error.to_string() }
    }

    pub(crate) fn value(tag: Tag, expected: impl Into<String>, found: impl fmt::Display) -> Self {
        Self::Value { tag, expected: expected.into(), found: found.to_string() }
    }
}

impl Error {
    /// An error about a file or folder.
    pub(crate) fn new(path: &Path, cause: Cause) -> Self {
        Self { place: Place::Path(path.to_owned()), cause }
    }
}

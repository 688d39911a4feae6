//! What can go wrong with a file, by cause.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::tag::Tag;
use crate::text::{counted, escaped};

/// A file that could not be read, and why.
///
/// The text names the file, the attribute, what was expected and what was found. Values that could
/// identify a patient are never quoted: of a file's content, only numbers from geometry and pixel
/// attributes appear (see [`crate::privacy`]). Control characters in file names are escaped.
///
/// ```
/// use lumbar_dicom::Header;
/// let error = Header::read_bytes(b"not an image").unwrap_err();
/// assert_eq!(error.to_string(), "12 bytes in memory: no DICOM data elements found at its start");
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{location}: {cause}")]
pub struct Error {
    /// Where the bytes came from.
    pub location: Location,
    /// What was wrong.
    pub cause: Cause,
}

/// Where bytes came from. Cloning shares the path.
///
/// `Display` escapes what could act on a terminal or a notebook: see [`escaped`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A file or folder.
    Path(Arc<Path>),
    /// So many bytes in memory.
    Memory(usize),
}

impl Location {
    /// The path, if there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Memory(_) => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", escaped(&path.to_string_lossy())),
            Self::Memory(bytes) => write!(f, "{bytes} bytes in memory"),
        }
    }
}

/// Why a file, a folder or a frame cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// An error of the operating system.
    #[error("{text}")]
    Io {
        /// Its kind, for matching.
        kind: std::io::ErrorKind,
        /// The system's message.
        text: String,
    },
    /// A named pipe, a socket or a device. It is not opened.
    #[error("not a regular file: {what}")]
    NotAFile {
        /// What it is.
        what: &'static str,
    },
    /// A symbolic link to a folder that is read under another path.
    #[error("a link to a folder that is read already")]
    VisitedFolder,
    /// A file of zero bytes.
    #[error("the file is empty (0 bytes)")]
    Empty,
    /// Nothing that reads as DICOM.
    #[error("no DICOM data elements found at its start")]
    NotDicom,
    /// Valid DICOM without pixels: a directory, a structured report, a waveform.
    #[error("no image: the file has no pixel data")]
    NoImage,
    /// An image, but not a slice of measured intensities.
    #[error("not an MR slice: {what}")]
    NotASlice {
        /// What it is instead.
        what: &'static str,
    },
    /// A required attribute is missing.
    #[error("{tag} is missing")]
    Missing {
        /// The attribute.
        tag: Tag,
    },
    /// An attribute has an invalid value.
    #[error("{tag}: expected {expected}, found {found}")]
    Value {
        /// The attribute.
        tag: Tag,
        /// What the standard or the other attributes require.
        expected: String,
        /// The value in the file; free text is not quoted.
        found: String,
    },
    /// The file ends before the length that it announces.
    #[error("cut short: {tag} announces {expected} bytes, {found} are there")]
    Truncated {
        /// The attribute that is cut.
        tag: Tag,
        /// Bytes announced or needed.
        expected: u64,
        /// Bytes present.
        found: u64,
    },
    /// Sequences are nested deeper than in any real file.
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
    /// Decoding would need more memory than the size of the file justifies.
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
        /// Its UID if it is one of the standard, else `a private one`.
        syntax: String,
    },
    /// Compressed pixels that do not decode.
    #[error("{codec} pixels do not decode: {why}")]
    Codec {
        /// The decoder.
        codec: &'static str,
        /// Its message.
        why: String,
    },
    /// The reader or a decoder panicked: a bug of this crate or of one below it, limited to this file.
    #[error("the reader panicked on this file, which is a bug; please report it")]
    Panic,
    /// A frame index is out of range.
    #[error("frame {frame} asked for, the file has {frames}")]
    NoSuchFrame {
        /// The frame asked for, from 0.
        frame: usize,
        /// Frames in the file.
        frames: usize,
    },
    /// A folder without a usable file.
    #[error("no usable DICOM slice among {}{}", counted(*files, "file"), first_reason(.first))]
    NothingUsable {
        /// Files looked at.
        files: usize,
        /// The first reason, if there is one.
        first: Option<String>,
    },
    /// Several series where one was expected.
    #[error("{found} series found where one was expected; read_folder reads many")]
    SeveralSeries {
        /// How many.
        found: usize,
    },
    /// [`ReadProgress::is_cancelled`](crate::ReadProgress::is_cancelled) returned `true`.
    #[error("cancelled")]
    Cancelled,
}

fn first_reason(first: &Option<String>) -> String {
    first.as_ref().map(|text| format!("; the first: {text}")).unwrap_or_default()
}

impl Cause {
    pub(crate) fn at(self, location: &Location) -> Error {
        Error { location: location.clone(), cause: self }
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
        Self { location: Location::Path(Arc::from(path)), cause }
    }
}

/// Runs `work` and turns a panic into [`Cause::Panic`], so that one file cannot end the reading of a folder.
///
/// The message of the panic is not kept: it could quote the file. The process's panic hook still sees it.
/// An exhausted stack or memory ends the process all the same; the limits of this crate prevent both.
pub(crate) fn catch<T>(work: impl FnOnce() -> Result<T, Cause>) -> Result<T, Cause> {
    // what `work` leaves behind is a thread's buffers, which every use overwrites
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(Err(Cause::Panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_error_of_the_file() {
        let four = std::hint::black_box(4);
        assert_eq!(catch(|| Ok([1, 2, 3, 4][four])), Err(Cause::Panic));
        assert_eq!(catch(|| Ok(7)), Ok(7));
        assert_eq!(catch::<()>(|| Err(Cause::Empty)), Err(Cause::Empty));
    }

    #[test]
    fn a_file_name_cannot_forge_a_line_or_move_the_cursor() {
        let name = "a\n9 of 9 files used\r\u{1b}[2J\u{9b}1m\u{202e}txt.dcm";
        let shown = Location::Path(Arc::from(Path::new(name))).to_string();
        assert_eq!(shown, "a\\u{a}9 of 9 files used\\u{d}\\u{1b}[2J\\u{9b}1m\\u{202e}txt.dcm");
        let marker = Location::Path(Arc::from(Path::new("EVCXR_BEGIN_CONTENT text/html")));
        assert!(!marker.to_string().contains("EVCXR_BEGIN_CONTENT"), "{marker}");
    }
}

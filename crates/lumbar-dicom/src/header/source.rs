//! Bytes on disk or in memory, read in pieces.
//!
//! Files are read, not memory-mapped: a mapped file that another program truncates kills the process, and
//! for files of less than a megabyte one `read` is as fast as a map.

use std::fmt;
use std::fs::{File, FileType, OpenOptions};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Cause, Location};

/// Where a file's bytes can be read again.
#[derive(Clone)]
pub(crate) enum Source {
    File(Arc<Path>),
    Memory(Arc<[u8]>),
}

/// The location, not the bytes.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.location(), f)
    }
}

/// An open source.
pub(crate) enum Opened<'a> {
    File(File),
    Memory(&'a [u8]),
}

impl Source {
    pub(crate) fn location(&self) -> Location {
        match self {
            Self::File(path) => Location::Path(Arc::clone(path)),
            Self::Memory(bytes) => Location::Memory(bytes.len()),
        }
    }

    /// Opens it and returns its length.
    pub(crate) fn open(&self) -> Result<(Opened<'_>, u64), Cause> {
        match self {
            Self::Memory(bytes) => Ok((Opened::Memory(bytes), bytes.len() as u64)),
            Self::File(path) => open(path).map(|(file, length)| (Opened::File(file), length)),
        }
    }
}

/// Opens a regular file and returns its length. Opening a named pipe would wait for its writer; with
/// `O_NONBLOCK` it returns at once and the pipe is refused.
pub(crate) fn open(path: &Path) -> Result<(File, u64), Cause> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = file.map_err(|error| match (error.raw_os_error(), std::fs::metadata(path)) {
        // sockets and devices without a driver cannot be opened at all
        (Some(libc::ENXIO), Ok(meta)) if !meta.is_file() => not_a_file(meta.file_type()),
        _ => Cause::io(&error),
    })?;
    let meta = file.metadata().map_err(|error| Cause::io(&error))?;
    if meta.is_file() { Ok((file, meta.len())) } else { Err(not_a_file(meta.file_type())) }
}

/// What an entry of a folder is instead of a regular file.
pub(crate) fn not_a_file(kind: FileType) -> Cause {
    let what = match kind {
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_char_device() || kind.is_block_device() => "a device",
        _ if kind.is_dir() => "a folder",
        _ => "something else",
    };
    Cause::NotAFile { what }
}

/// The bytes of a source from some offset on.
pub(crate) struct SourceReader<'a> {
    opened: &'a Opened<'a>,
    at: u64,
}

impl std::io::Read for SourceReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.opened.fill(self.at, out).map_err(|cause| std::io::Error::other(cause.to_string()))?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Opened<'_> {
    pub(crate) fn reader(&self, at: u64) -> SourceReader<'_> {
        SourceReader { opened: self, at }
    }

    /// Fills `buffer` with up to `length` bytes from `offset`; fewer only where the data end.
    pub(crate) fn read(&self, offset: u64, length: usize, buffer: &mut Vec<u8>) -> Result<(), Cause> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let end = start.saturating_add(length).min(bytes.len());
                buffer.clear();
                buffer.extend_from_slice(&bytes[start..end]);
                Ok(())
            }
            Self::File(_) => {
                // bytes of an earlier read are overwritten, so they are not cleared first
                buffer.resize(length, 0);
                let filled = self.fill(offset, buffer)?;
                buffer.truncate(filled);
                Ok(())
            }
        }
    }

    /// Fills `out` from `offset` on; returns how many bytes there were.
    pub(crate) fn fill(&self, offset: u64, out: &mut [u8]) -> Result<usize, Cause> {
        let file = match self {
            Self::Memory(bytes) => {
                let from = usize::try_from(offset).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
                let count = from.len().min(out.len());
                out[..count].copy_from_slice(&from[..count]);
                return Ok(count);
            }
            Self::File(file) => file,
        };
        let mut filled = 0;
        while filled < out.len() {
            match file.read_at(&mut out[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Cause::io(&error)),
            }
        }
        Ok(filled)
    }
}

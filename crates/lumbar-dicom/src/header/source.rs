//! Bytes on disk or in memory, read in pieces.
//!
//! Files are read, not memory-mapped: a mapped file that another program cuts short kills the process,
//! and for files of less than a megabyte one `read` is as quick as a map.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Cause, Place};

/// Where a file's bytes can be had again.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    File(Arc<Path>),
    Memory(Arc<[u8]>),
}

/// An open source.
pub(crate) enum Opened<'a> {
    File(File),
    Memory(&'a [u8]),
}

impl Source {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::File(path) => Place::Path(path.to_path_buf()),
            Self::Memory(bytes) => Place::Memory(bytes.len()),
        }
    }

    /// Opens it and tells its length.
    pub(crate) fn open(&self) -> Result<(Opened<'_>, u64), Cause> {
        match self {
            Self::Memory(bytes) => Ok((Opened::Memory(bytes), bytes.len() as u64)),
            Self::File(path) => open(path).map(|(file, length)| (Opened::File(file), length)),
        }
    }
}

/// Opens a file and tells its length.
pub(crate) fn open(path: &Path) -> Result<(File, u64), Cause> {
    let file = File::open(path).map_err(|error| Cause::io(&error))?;
    let meta = file.metadata().map_err(|error| Cause::io(&error))?;
    if !meta.is_file() {
        let text = "not a regular file".to_owned();
        return Err(Cause::Io { kind: std::io::ErrorKind::InvalidInput, text });
    }
    Ok((file, meta.len()))
}

impl Opened<'_> {
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
            Self::File(file) => {
                // what an earlier read left in the buffer is overwritten: nothing is cleared twice
                buffer.resize(length, 0);
                let mut filled = 0;
                while filled < length {
                    match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                        Ok(0) => break,
                        Ok(count) => filled += count,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(Cause::io(&error)),
                    }
                }
                buffer.truncate(filled);
                Ok(())
            }
        }
    }
}

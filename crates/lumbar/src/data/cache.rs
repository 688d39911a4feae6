//! Blocks of pixels packed in one memory-mapped file.
//!
//! Decoding and resampling a study takes a thousand times as long as reading the result. A cache has named blocks of
//! 16-bit pixels, aligned to 64 bytes, and is memory-mapped: what is read stays in the system's page cache, shared by
//! all processes, and the memory of this process does not grow with the number of studies.
//!
//! A cache belongs to a [`CacheKey`]: the configuration that made it and the [`Fingerprint`] of the data. One
//! with another key is stale. A file is written under a temporary name and renamed (see [`atomic`](super::atomic)), so
//! that a killed process leaves no half cache; header, index and every block have checksums as well. Two processes may
//! build at once: each writes its own file, and the last rename wins with the same content.

mod key;
mod read;
mod write;

use std::io;
use std::path::PathBuf;

use super::names::quoted_path;

pub use key::{CacheKey, Fingerprint};
pub use read::{BlockView, Cache};
pub use write::CacheWriter;

/// Pixels that are stored under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// `[slices, rows, columns]`.
    pub shape: [usize; 3],
    /// Row-major.
    pub pixels: Vec<u16>,
    /// What else is stored with it: geometry, window, labels.
    pub about: serde_json::Value,
}

/// Why a cache cannot be used or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The file cannot be read or written.
    #[error("cache {}: {source}", quoted_path(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file was made by another configuration or from other data.
    #[error("cache {} is stale: its key is {found}, expected {expected}", quoted_path(path))]
    Stale {
        /// The file.
        path: PathBuf,
        /// The key that it carries.
        found: String,
        /// The key that is needed.
        expected: String,
    },
    /// The file is not a cache, or is truncated or changed.
    #[error("cache {} is damaged: {reason}", quoted_path(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is no block of that name.
    #[error("cache {} has no block {name:?}", quoted_path(path))]
    NoBlock {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A block that cannot be stored.
    #[error("block {name:?}: {reason}")]
    BadBlock {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A block could not be made.
    #[error("block {name:?}: {source}")]
    Build {
        /// Its name.
        name: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CacheError {
    /// Whether building the cache again solves it.
    #[must_use]
    pub fn is_rebuildable(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Stale { .. } | Self::Damaged { .. } => true,
            _ => false,
        }
    }
}

/// First bytes of a cache of this version.
const MAGIC: [u8; 16] = *b"lumbar cache 1\n\0";
/// Bytes before the first block.
const HEADER: usize = 128;
/// Blocks start at multiples of this.
const ALIGNMENT: usize = 64;

/// The position of a block in the file.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Entry {
    name: String,
    offset: usize,
    shape: [usize; 3],
    checksum: u64,
    about: serde_json::Value,
}

impl Entry {
    /// Length in bytes; `None` if it does not fit into a `usize`.
    fn bytes(&self) -> Option<usize> {
        self.shape.iter().try_fold(2_usize, |bytes, side| bytes.checked_mul(*side))
    }
}

/// A fast 64-bit checksum against truncated and flipped bytes, not against attackers: four lanes of multiply and
/// rotate.
fn checksum(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b1_85eb_ca87;
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(PRIME).rotate_left(29);
    let word = |bytes: &[u8]| {
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(eight)
    };
    let mut lanes = [1_u64, 2, 3, 4];
    let blocks = bytes.chunks_exact(32);
    let rest = blocks.remainder();
    for block in blocks {
        for (lane, eight) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            *lane = step(*lane, word(eight));
        }
    }
    let start = lanes.into_iter().fold(bytes.len() as u64, step);
    let hash = rest.chunks(8).fold(start, |hash, eight| step(hash, word(eight)));
    step(hash ^ (hash >> 32), 0)
}

#[cfg(test)]
mod tests;

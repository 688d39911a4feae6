use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::Mmap;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::write::CacheWriter;
use super::{Block, CacheError, CacheKey, Entry, HEADER, MAGIC, checksum};

/// An open cache: a mapped file and the positions of its blocks.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    map: Mmap,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    /// Whether the checksum of each block has been compared.
    checked: Vec<AtomicBool>,
}

/// A block of an open cache.
#[derive(Debug, Clone, Copy)]
pub struct BlockView<'a> {
    /// `[slices, rows, columns]`.
    pub shape: [usize; 3],
    /// Row-major.
    pub pixels: &'a [u16],
    /// What else is stored with it.
    pub about: &'a serde_json::Value,
}

impl BlockView<'_> {
    /// One slice: rows × columns pixels.
    ///
    /// # Panics
    /// When there is no such slice.
    #[must_use]
    pub fn slice(&self, number: usize) -> &[u16] {
        let size = self.shape[1] * self.shape[2];
        &self.pixels[number * size..(number + 1) * size]
    }
}

impl Cache {
    /// Opens a cache if it is whole and belongs to `key`. A block is checked when it is read first.
    ///
    /// # Errors
    /// When the file is missing, stale or damaged, for which [`CacheError::is_rebuildable`] is true, or cannot be read.
    pub fn open(path: impl AsRef<Path>, key: CacheKey) -> Result<Self, CacheError> {
        let path = path.as_ref().to_owned();
        let failed = |source| CacheError::Io { path: path.clone(), source };
        let damaged = |reason: &str| CacheError::Damaged { path: path.clone(), reason: reason.to_owned() };
        if cfg!(target_endian = "big") {
            return Err(damaged("its pixels are little endian and this machine is not"));
        }
        let file = File::open(&path).map_err(failed)?;
        // An empty file cannot be mapped.
        if file.metadata().map_err(failed)?.len() < HEADER as u64 {
            return Err(damaged("it is shorter than its header"));
        }
        // SAFETY: a cache is never changed in place: writers rename a new file over it, and the mapping stays with the
        // old one. If another program truncates the file, reading it ends this process (SIGBUS).
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let header = map.get(..HEADER).ok_or_else(|| damaged("it is shorter than its header"))?;
        if header[..16] != MAGIC {
            return Err(damaged("it does not start like a cache of this version"));
        }
        if header[96..] != Sha256::digest(&header[..96])[..] {
            return Err(damaged("its header is not what was written"));
        }
        if header[16..48] != key.0 {
            let found = CacheKey(header[16..48].try_into().unwrap_or_default());
            return Err(CacheError::Stale { path, found: found.to_string(), expected: key.to_string() });
        }
        let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap_or_default()) as usize;
        let (offset, length) = (number(48), number(56));
        if offset.checked_add(length) != Some(map.len()) {
            return Err(damaged("it is not as long as it was written"));
        }
        let index = &map[offset..];
        if header[64..96] != Sha256::digest(index)[..] {
            return Err(damaged("its index is not what was written"));
        }
        let entries: Vec<Entry> =
            serde_json::from_slice(index).map_err(|_| damaged("its index is no list of blocks"))?;
        let fits = |entry: &Entry| {
            let end = entry.bytes().and_then(|bytes| entry.offset.checked_add(bytes));
            entry.offset >= HEADER && entry.offset.is_multiple_of(2) && end.is_some_and(|end| end <= offset)
        };
        if !entries.iter().all(fits) {
            return Err(damaged("a block is outside of it"));
        }
        let by_name = entries.iter().enumerate().map(|(index, entry)| (entry.name.clone(), index)).collect();
        let checked = entries.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Self { path, map, entries, by_name, checked })
    }

    /// Opens the cache at `path`, or builds it when it is missing, stale or damaged.
    ///
    /// `make` is called on all of rayon's threads, for a bounded number of blocks at a time; they are stored in the order
    /// of `names`, so that the file does not depend on the number of threads.
    ///
    /// # Errors
    /// When a block cannot be made or the file cannot be written.
    pub fn open_or_build(
        path: impl AsRef<Path>,
        key: CacheKey,
        names: &[String],
        make: impl Fn(&str) -> Result<Block, Box<dyn std::error::Error + Send + Sync>> + Sync,
    ) -> Result<Self, CacheError> {
        let path = path.as_ref();
        match Self::open(path, key) {
            Err(error) if error.is_rebuildable() => {}
            other => return other,
        }
        let mut writer = CacheWriter::create(path, key)?;
        for names in names.chunks(4 * rayon::current_num_threads()) {
            let blocks: Vec<Result<Block, CacheError>> = names
                .par_iter()
                .map(|name| make(name).map_err(|source| CacheError::Build { name: name.clone(), source }))
                .collect();
            for (name, block) in names.iter().zip(blocks) {
                writer.add(name, &block?)?;
            }
        }
        writer.finish()?;
        Self::open(path, key)
    }

    /// Compares every block with its checksum now.
    ///
    /// # Errors
    /// When a block is damaged.
    pub fn verify(&self) -> Result<(), CacheError> {
        self.entries.iter().try_for_each(|entry| self.get(&entry.name).map(|_| ()))
    }

    /// Takes all blocks as checked, for a file that this process verified before.
    pub(crate) fn trust(&self) {
        self.checked.iter().for_each(|checked| checked.store(true, Ordering::Relaxed));
    }

    /// How many blocks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The blocks' names, in the order in which they were stored.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The block of a name.
    ///
    /// # Errors
    /// When there is no such block, or it is damaged.
    pub fn get(&self, name: &str) -> Result<BlockView<'_>, CacheError> {
        let index = self.by_name.get(name);
        let index = *index.ok_or_else(|| CacheError::NoBlock { path: self.path.clone(), name: name.to_owned() })?;
        let entry = &self.entries[index];
        let bytes = &self.map[entry.offset..entry.offset + entry.bytes().unwrap_or(0)];
        if !self.checked[index].load(Ordering::Relaxed) {
            if checksum(bytes) != entry.checksum {
                let reason = format!("block {name:?} is not what was written");
                return Err(CacheError::Damaged { path: self.path.clone(), reason });
            }
            self.checked[index].store(true, Ordering::Relaxed);
        }
        // SAFETY: any two bytes are a valid u16. The offset is even and a mapping starts at a page, so that nothing
        // is left over before or after.
        let (before, pixels, after) = unsafe { bytes.align_to::<u16>() };
        debug_assert!(before.is_empty() && after.is_empty());
        Ok(BlockView { shape: entry.shape, pixels, about: &entry.about })
    }
}

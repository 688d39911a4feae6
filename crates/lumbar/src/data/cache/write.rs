use std::collections::HashSet;
use std::fs;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{ALIGNMENT, Block, CacheError, CacheKey, Entry, HEADER, MAGIC, checksum};
use crate::data::atomic::AtomicFile;

/// A cache that is being written, under a temporary name in its folder. Dropped before
/// [`finish`](CacheWriter::finish), it removes what it wrote.
#[derive(Debug)]
pub struct CacheWriter {
    path: PathBuf,
    file: BufWriter<AtomicFile>,
    key: CacheKey,
    entries: Vec<Entry>,
    names: HashSet<String>,
    offset: usize,
}

impl CacheWriter {
    /// Starts a cache that will be at `path` when it is finished. Its folder is created if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(path: impl AsRef<Path>, key: CacheKey) -> Result<Self, CacheError> {
        let path = path.as_ref().to_owned();
        let failed = |source| CacheError::Io { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = AtomicFile::create(&path).map_err(failed)?;
        let mut writer = Self {
            path: path.clone(),
            file: BufWriter::with_capacity(1 << 20, file),
            key,
            entries: Vec::new(),
            names: HashSet::new(),
            offset: HEADER,
        };
        // No magic number yet: a file that is cut off has no valid header.
        writer.file.write_all(&[0; HEADER]).map_err(failed)?;
        Ok(writer)
    }

    /// Appends a block.
    ///
    /// # Errors
    /// When the shape does not fit the pixels, the name is taken, or the disk is full.
    pub fn add(&mut self, name: &str, block: &Block) -> Result<(), CacheError> {
        let bad = |reason: String| CacheError::BadBlock { name: name.to_owned(), reason };
        if block.shape.iter().try_fold(1_usize, |n, side| n.checked_mul(*side)) != Some(block.pixels.len()) {
            return Err(bad(format!("{} pixels do not fill {:?}", block.pixels.len(), block.shape)));
        }
        if !self.names.insert(name.to_owned()) {
            return Err(bad("the name is taken".to_owned()));
        }
        let bytes: Vec<u8> = block.pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
        self.entries.push(Entry {
            name: name.to_owned(),
            offset: self.offset,
            shape: block.shape,
            checksum: checksum(&bytes),
            about: block.about.clone(),
        });
        let filled = bytes.len().next_multiple_of(ALIGNMENT);
        self.file
            .write_all(&bytes)
            .and_then(|()| self.file.write_all(&[0; ALIGNMENT][..filled - bytes.len()]))
            .map_err(|source| CacheError::Io { path: self.path.clone(), source })?;
        self.offset += filled;
        Ok(())
    }

    /// Writes the header and gives the file its name.
    ///
    /// # Errors
    /// When the disk is full or the file cannot be renamed.
    pub fn finish(self) -> Result<(), CacheError> {
        let path = self.path.clone();
        self.seal().map_err(|source| CacheError::Io { path, source })
    }

    fn seal(mut self) -> io::Result<()> {
        let index = serde_json::to_vec(&self.entries)?;
        self.file.write_all(&index)?;
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        // Blocks and index are on the disk before the header is valid, and the header before the file has its name.
        file.sync()?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header(self.key, self.offset, &index))?;
        file.commit()
    }
}

/// Magic number, key, position, length and hash of the index, then a hash of all that.
pub(super) fn header(key: CacheKey, index_offset: usize, index: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..16].copy_from_slice(&MAGIC);
    header[16..48].copy_from_slice(&key.0);
    header[48..56].copy_from_slice(&(index_offset as u64).to_le_bytes());
    header[56..64].copy_from_slice(&(index.len() as u64).to_le_bytes());
    header[64..96].copy_from_slice(&Sha256::digest(index));
    let own: [u8; 32] = Sha256::digest(&header[..96]).into();
    header[96..].copy_from_slice(&own);
    header
}

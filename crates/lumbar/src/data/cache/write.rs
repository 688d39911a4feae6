use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{ALIGNMENT, Block, CacheError, CacheKey, Entry, HEADER, MAGIC, checksum};

/// A cache while it is written, under a temporary name next to its own.
///
/// Dropped unfinished, it removes what it wrote.
#[derive(Debug)]
pub struct CacheWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    key: CacheKey,
    entries: Vec<Entry>,
    names: HashSet<String>,
    offset: usize,
    finished: bool,
}

impl CacheWriter {
    /// Starts a cache that will appear at `path` when it is finished.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(path: impl AsRef<Path>, key: CacheKey) -> Result<Self, CacheError> {
        let path = path.as_ref().to_owned();
        let failed = |source| CacheError::Io { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        remove_abandoned(&path);
        let (temporary, file) = temporary(&path).map_err(failed)?;
        let mut writer = Self {
            path: path.clone(),
            temporary,
            file: BufWriter::with_capacity(1 << 20, file),
            key,
            entries: Vec::new(),
            names: HashSet::new(),
            offset: HEADER,
            finished: false,
        };
        // No magic yet: whatever happens now leaves no valid header.
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
            .map_err(|source| CacheError::Io { path: self.temporary.clone(), source })?;
        self.offset += filled;
        Ok(())
    }

    /// Seals the file and puts it in its place.
    ///
    /// # Errors
    /// When the disk is full or the file cannot be renamed.
    pub fn finish(mut self) -> Result<(), CacheError> {
        self.seal().map_err(|source| CacheError::Io { path: self.path.clone(), source })
    }

    fn seal(&mut self) -> io::Result<()> {
        let index = serde_json::to_vec(&self.entries)?;
        self.file.write_all(&index)?;
        self.file.flush()?;
        let file = self.file.get_mut();
        // Everything is on the disk before the header says so, and the header before the name does.
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header(self.key, self.offset, &index))?;
        file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.finished = true;
        sync_folder(&self.path);
        Ok(())
    }
}

impl Drop for CacheWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is removed by the next writer.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Magic, key, place, length and hash of the index, then a hash of all that.
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

/// A new file next to `path`, locked for as long as it is open.
fn temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()));
        match File::options().read(true).write(true).create_new(true).open(&temporary) {
            Ok(file) => {
                // Some network folders know no locks; then an abandoned file stays until someone removes it.
                let _ = file.try_lock();
                return Ok((temporary, file));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file younger than this may be about to be locked by its writer.
const YOUNG: Duration = Duration::from_secs(10);

/// Removes temporary files of this cache whose writer is gone: nobody holds their lock.
fn remove_abandoned(path: &Path) {
    let prefix = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let Some(entries) = path.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix)
            && name.ends_with(".tmp")
            && File::open(entry.path()).is_ok_and(|file| is_old(&file) && file.try_lock().is_ok())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_old(file: &File) -> bool {
    let changed = file.metadata().and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > YOUNG))
}

/// Writes a small file as a whole: to a temporary name, flushed, then renamed.
pub(crate) fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let (temporary, mut file) = temporary(path)?;
    let result = write(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    sync_folder(path);
    result
}

/// Makes a new name last through a power cut, where folders can be flushed.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
}

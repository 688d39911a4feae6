//! Files that are written as a whole or not at all: the only way in which this workspace writes a file that
//! somebody may read.
//!
//! A file is written under a temporary name in the folder of its own name, synced, and renamed. Who reads it, at
//! any moment and after any crash, finds the old content or the new one. Temporary names start with a dot, end in
//! `.part`, and never replace a file that exists. What a killed process left is removed by the next writer of the
//! same file.
//!
//! ```
//! use lumbar::data::atomic;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("table.csv");
//! atomic::write(&path, b"old")?;
//! let failed = atomic::write_with(&path, |_| Err(std::io::Error::other("the disk is full")));
//! assert!(failed.is_err());
//! assert_eq!(std::fs::read(&path)?, b"old");
//! assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// End of a temporary name.
const SUFFIX: &str = ".part";

/// A temporary file that is younger than this may not have been locked by its writer yet.
const YOUNG: Duration = Duration::from_secs(10);

/// Replaces the file `path` by `content`.
///
/// A folder that cannot be synced after the rename is no error: the file is complete and has its name, and only a
/// power cut can still bring the old one back.
///
/// # Errors
/// The system's; nothing temporary is left and an existing file is unchanged.
pub fn write(path: impl AsRef<Path>, content: &[u8]) -> io::Result<()> {
    write_with(path, |file| file.write_all(content))
}

/// [`write()`] for content that is written piece by piece.
///
/// # Errors
/// As [`write()`], and those of `content`.
pub fn write_with(path: impl AsRef<Path>, content: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    content(&mut file.file)?;
    file.commit()
}

/// A file that is being written under a temporary name. [`AtomicFile::commit`] gives it its own name; dropped
/// before, it is removed.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    is_committed: bool,
}

impl AtomicFile {
    /// Starts a file that will be called `path`. Its folder must exist.
    ///
    /// # Errors
    /// When the folder does not exist or cannot be written.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        remove_abandoned(path);
        loop {
            let temporary = temporary_name(path)?;
            match File::options().read(true).write(true).create_new(true).open(&temporary) {
                Ok(file) => {
                    // Some network file systems have no locks: there an abandoned file stays until it is removed by
                    // hand.
                    let _ = file.try_lock();
                    return Ok(Self { path: path.to_owned(), temporary, file, is_committed: false });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Syncs the file and gives it its name, replacing a file that has it.
    ///
    /// # Errors
    /// When the disk is full or the file cannot be renamed; it is removed then.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.is_committed = true;
        sync_folder(&self.path);
        Ok(())
    }

    /// Waits until everything that was written is on the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.is_committed {
            // Errors in Drop are ignored: the next writer removes what is left.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A name in the folder of `path` that this process uses once: `.NAME.PROCESS-NUMBER.part`.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = prefix(name);
    temporary.push(format!("{}-{}{SUFFIX}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(temporary))
}

/// What the temporary names of a file start with.
fn prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    prefix
}

/// Removes temporary files of `path` that no process writes any more: their lock is free.
fn remove_abandoned(path: &Path) {
    let Some(name) = path.file_name() else { return };
    let prefix = prefix(name);
    let Ok(entries) = fs::read_dir(folder_of(path)) else { return };
    for entry in entries.flatten() {
        let is_abandoned = || File::open(entry.path()).is_ok_and(|file| is_old(&file) && file.try_lock().is_ok());
        if is_temporary(&entry.file_name(), &prefix) && is_abandoned() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether `name` is one that [`temporary_name`] makes.
fn is_temporary(name: &OsStr, prefix: &OsStr) -> bool {
    let rest = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
    let Some(rest) = rest.and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes())) else { return false };
    let parts: Vec<&[u8]> = rest.split(|byte| *byte == b'-').collect();
    parts.len() == 2 && parts.iter().all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
}

fn is_old(file: &File) -> bool {
    let changed = file.metadata().and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > YOUNG))
}

/// Makes a new name last through a power cut, where folders can be synced.
fn sync_folder(path: &Path) {
    let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
}

/// The folder in which `path` is; `.` for a bare name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        write(&path, b"old").unwrap();
        let error = write_with(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(error.unwrap_err().to_string(), "the disk is full");
        let panicked = catch_unwind(AssertUnwindSafe(|| write_with(&path, |_| panic!("a writer that panics"))));
        assert!(panicked.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_temporary_name_that_is_taken_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let taken = |number: u64| folder.path().join(format!(".table.csv.{}-{number}.part", std::process::id()));
        let users =
            ["table.csv.new", "table.new", ".table.csv.mine-1.part", ".table.csv.1-2-3.part", ".other.1-1.part"];
        let users = users.map(|name| folder.path().join(name));
        let files: Vec<PathBuf> = (0..2000).map(taken).chain(users).collect();
        let old = SystemTime::now() - 360 * YOUNG;
        for path in &files {
            fs::write(path, b"mine").unwrap();
        }
        for path in &files[2000..] {
            File::options().write(true).open(path).and_then(|file| file.set_modified(old)).unwrap();
        }
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(files.iter().all(|path| fs::read(path).unwrap() == b"mine"));
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_another_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let [abandoned, written] = [1, 2].map(|number| folder.path().join(format!(".table.csv.1-{number}.part")));
        let old = SystemTime::now() - 360 * YOUNG;
        let files = [&abandoned, &written].map(|path| {
            let file = File::create(path).unwrap();
            file.set_modified(old).unwrap();
            file
        });
        files[1].try_lock().unwrap();
        write(&path, b"new").unwrap();
        assert!(!abandoned.exists() && written.exists());
    }

    #[test]
    fn a_bare_name_is_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("table.csv")), Path::new("."));
        assert_eq!(folder_of(Path::new("runs/table.csv")), Path::new("runs"));
        assert!(write("/", b"").is_err());
    }
}

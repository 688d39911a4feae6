use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes a file so that whoever reads it, at any moment and after any crash, finds the old content or the
/// new one: to a temporary name in the same folder, synced, renamed.
///
/// # Errors
/// The system's; the temporary file is removed and an existing file is as it was.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    write_with(path, |file| file.write_all(content))
}

/// The same, for content that is written piece by piece.
pub(crate) fn write_with(path: &Path, content: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary_for(path)?;
    let written = File::create_new(&temporary)
        .and_then(|mut file| {
            content(&mut file)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // the first error says why; a file that was never made cannot be removed
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_folder(path)
}

/// Makes `target` another name of the file `path`, or a copy where the file system has no hard links. Whoever reads
/// `target`, at any moment, finds what was there or the new content.
///
/// # Errors
/// The system's.
pub(crate) fn link(path: &Path, target: &Path) -> io::Result<()> {
    let temporary = temporary_for(target)?;
    if fs::hard_link(path, &temporary).is_err() {
        let mut from = File::open(path)?;
        return write_with(target, |file| io::copy(&mut from, file).map(|_| ()));
    }
    let renamed = fs::rename(&temporary, target);
    // after an error, and where the two were one file already: then renaming does nothing
    let _ = fs::remove_file(&temporary);
    renamed?;
    sync_folder(target)
}

/// A name in the same folder that nobody else writes.
fn temporary_for(path: &Path) -> io::Result<PathBuf> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{}.part", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(temporary))
}

/// Makes a new name in the file's folder last.
fn sync_folder(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_link_replaces_what_was_there_and_may_be_made_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("new"), folder.path().join("old"));
        write(&path, b"new").unwrap();
        write(&target, b"old").unwrap();
        for _ in 0..2 {
            link(&path, &target).unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"new");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
        assert!(link(&folder.path().join("nothing"), &target).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }
}

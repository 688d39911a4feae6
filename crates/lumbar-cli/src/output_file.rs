//! The file that a command writes at its end: checked at its start, replaced in one step.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Fails if `path` exists and is not to be replaced, or cannot be written.
///
/// Called before the work, so that a wrong `--out` costs seconds and not hours. `option` is the one that allows to
/// replace the file.
pub(crate) fn check(path: &Path, replace: bool, option: &str) -> Result<()> {
    if path.is_dir() {
        bail!("{} is a folder, expected a file", path.display());
    }
    if path.exists() && !replace {
        bail!("{} exists; say {option} to replace it", path.display());
    }
    let temporary = temporary_for(path)?;
    let folder = temporary.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        bail!("{}: there is no folder {}", path.display(), folder.display());
    }
    File::create_new(&temporary)
        .and_then(|_| fs::remove_file(&temporary))
        .with_context(|| format!("{}: cannot write in {}", path.display(), folder.display()))
}

/// Writes `text` under a temporary name in the same folder and renames it.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    lumbar::data::atomic::write(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// A name in the folder of `path` that no other process uses.
fn temporary_for(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no file", path.display())));
    };
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.part", std::process::id()));
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_refused_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| check(path, false, "--overwrite").unwrap_err().to_string();
        assert!(refusal(folder.path()).contains("is a folder"));
        assert!(refusal(&folder.path().join("missing/a.csv")).contains("there is no folder"));
        assert!(refusal(Path::new("/proc/a.csv")).contains("cannot write in /proc"));
        assert!(refusal(Path::new("..")).contains("is a folder"));
        let path = folder.path().join("a.csv");
        check(&path, false, "--overwrite").unwrap();
        write(&path, "1").unwrap();
        assert!(refusal(&path).contains("exists; say --overwrite"));
        check(&path, true, "--overwrite").unwrap();
        write(&path, "2").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

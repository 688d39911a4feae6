//! One process trains a fold at a time.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use super::TrainError;

/// Prevents other processes from training in a folder until it is dropped or its process ends, even by SIGKILL.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the open file holds the lock")] File);

impl Lock {
    /// Locks the folder, and creates it if it does not exist.
    ///
    /// On a file system without locks (some network drives) the lock has no effect.
    ///
    /// # Errors
    /// When another process, or another call in this one, trains there, or the folder cannot be written.
    pub(super) fn take(folder: &Path) -> Result<Self, TrainError> {
        let path = folder.join("lock");
        let file_error = |source| TrainError::File { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(file_error)?;
        let file = File::options().create(true).append(true).open(&path).map_err(file_error)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(TrainError::Busy { folder: folder.to_owned() }),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self(file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let fold = folder.path().join("fold-0");
        let lock = Lock::take(&fold).unwrap();
        let error = Lock::take(&fold).unwrap_err().to_string();
        assert!(error.starts_with(&fold.display().to_string()) && error.contains("is being trained"), "{error}");
        drop(lock);
        Lock::take(&fold).unwrap();
    }
}

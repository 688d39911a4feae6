//! Whether files have changed: a hash of names and contents.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// FNV-1a with 64 bits: enough to notice a change, and quick without optimisation.
#[derive(Debug)]
pub(crate) struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        // Two texts are not the same as one that joins them.
        self.0 = (self.0 ^ bytes.len() as u64).wrapping_mul(0x0100_0000_01b3);
    }

    pub(crate) fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// A hash of every file below `folder`.
pub(crate) fn of_folder(folder: &Path) -> Result<String> {
    let mut hash = Hash::default();
    for path in files(folder, &|_| true)? {
        add_file(&mut hash, folder, &path)?;
    }
    Ok(hash.text())
}

/// Adds name and content of a file.
pub(crate) fn add_file(hash: &mut Hash, folder: &Path, path: &Path) -> Result<()> {
    let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
    hash.add(name.as_bytes());
    hash.add(&fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    Ok(())
}

/// Every file below `folder`, sorted; folders for which `enter` is false are left out.
pub(crate) fn files(folder: &Path, enter: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() && enter(&path) {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_changes_with_content_and_name_and_not_with_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.rs");
        fs::write(&file, "one").unwrap();
        let one = of_folder(folder.path()).unwrap();
        fs::write(&file, "one").unwrap();
        assert_eq!(of_folder(folder.path()).unwrap(), one);
        fs::write(&file, "two").unwrap();
        assert_ne!(of_folder(folder.path()).unwrap(), one);
        fs::write(&file, "one").unwrap();
        fs::rename(&file, folder.path().join("b.rs")).unwrap();
        assert_ne!(of_folder(folder.path()).unwrap(), one);
    }
}

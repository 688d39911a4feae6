//! The default data set: the phantom, made at first need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::places::Places;
use crate::{run, setup};

/// Where the default data set lies.
pub(crate) fn default_folder(places: &Places) -> PathBuf {
    places.home.join("phantom")
}

/// What notebooks read: `LUMBAR_DATA`, else the default.
pub(crate) fn folder(places: &Places) -> PathBuf {
    std::env::var_os("LUMBAR_DATA")
        .filter(|value| !value.is_empty())
        .map_or_else(|| default_folder(places), |value| places.workspace.join(value))
}

/// Draws the phantom where it is not there yet, and anew after a change of the crate that draws it.
pub(crate) fn prepare(places: &Places) -> Result<String> {
    let folder = default_folder(places);
    let stamp = folder.with_extension("drawn-by");
    let drawer = fingerprint(&places.workspace.join("crates/lumbar-phantom/src"))?;
    // It is renamed to its place when it is complete.
    if folder.join("train.csv").exists() {
        if fs::read_to_string(&stamp).is_ok_and(|text| text == drawer) {
            return Ok(format!("{} is there", places.show(&folder)));
        }
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    let mut command = Command::new(setup::built(places, "lumbar")?);
    command.arg("phantom").arg("--out").arg(&folder);
    run::show(&mut command).context("the phantom cannot be drawn")?;
    fs::write(&stamp, drawer).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(format!("{} drawn", places.show(&folder)))
}

/// Changes with any file below `folder`: names and contents through FNV-1a.
fn fingerprint(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for path in files {
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for byte in name.bytes().chain(content) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(format!("{hash:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_changes_with_a_files_content_and_not_with_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.rs");
        fs::write(&file, "one").unwrap();
        let one = fingerprint(folder.path()).unwrap();
        fs::write(&file, "one").unwrap();
        assert_eq!(fingerprint(folder.path()).unwrap(), one);
        fs::write(&file, "two").unwrap();
        assert_ne!(fingerprint(folder.path()).unwrap(), one);
    }
}

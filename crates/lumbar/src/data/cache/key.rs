use std::fmt;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::CacheError;
use crate::data::manifest::{Manifest, StudyRecord};
use crate::hash::hex;

/// What a data set's files look like: names, sizes, modification times and annotations. Not their bytes: a cache
/// is there to avoid reading those.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of all images and annotations of a data set.
    ///
    /// # Errors
    /// When the metadata of a listed file cannot be read.
    pub fn of_manifest(manifest: &Manifest) -> Result<Self, CacheError> {
        Self::of_studies(manifest.studies())
    }

    /// Of the images and annotations of some studies, as the manifest lists them.
    ///
    /// # Errors
    /// When the metadata of a listed file cannot be read.
    pub fn of_studies<'a>(studies: impl IntoIterator<Item = &'a StudyRecord>) -> Result<Self, CacheError> {
        let mut hash = Sha256::new();
        for study in studies {
            add_study(&mut hash, study)?;
        }
        Ok(Self(hash.finalize().into()))
    }

    /// Of one study's images and annotations. Folders that the manifest did not list are listed now.
    ///
    /// # Errors
    /// When the metadata of a file cannot be read.
    pub fn of_study(study: &StudyRecord) -> Result<Self, CacheError> {
        let mut hash = Sha256::new();
        add_study(&mut hash, study)?;
        for series in study.series.iter().filter(|series| series.files.is_empty()) {
            // A missing folder has no files.
            let Ok(entries) = std::fs::read_dir(&series.folder) else { continue };
            let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort_unstable();
            for path in paths {
                add_file(&mut hash, &path).map_err(|source| CacheError::Io { path, source })?;
            }
        }
        Ok(Self(hash.finalize().into()))
    }

    /// Of files, by name, size and modification time.
    ///
    /// # Errors
    /// When the metadata of one cannot be read.
    pub fn of_files<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Self, CacheError> {
        let mut hash = Sha256::new();
        for path in files {
            let path = path.as_ref();
            add_file(&mut hash, path).map_err(|source| CacheError::Io { path: path.to_owned(), source })?;
        }
        Ok(Self(hash.finalize().into()))
    }
}

fn add_study(hash: &mut Sha256, study: &StudyRecord) -> Result<(), CacheError> {
    hash.update(format!("study {} {}\n", study.split, study.id));
    for point in &study.points {
        hash.update(format!("{} {} {} ", point.target.column(), point.series, point.instance));
        hash.update(point.x_px.to_le_bytes());
        hash.update(point.y_px.to_le_bytes());
    }
    for series in &study.series {
        hash.update(format!("series {} {:?}\n", series.id, series.kind));
        for file in &series.files {
            add_file(hash, &file.path).map_err(|source| CacheError::Io { path: file.path.clone(), source })?;
        }
    }
    Ok(())
}

fn add_file(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    hash.update(format!("{name} {} {changed}\n", metadata.len()));
    Ok(())
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", hex(&self.0))
    }
}

/// What a cache belongs to: a purpose, a configuration and the data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CacheKey(pub(super) [u8; 32]);

impl CacheKey {
    /// The key of `purpose` (with a version in it: `crops 1`) under a configuration, for some data.
    ///
    /// # Errors
    /// When the configuration cannot be written as JSON.
    pub fn new(purpose: &str, config: &impl Serialize, data: &Fingerprint) -> Result<Self, serde_json::Error> {
        let mut hash = Sha256::new();
        hash.update(format!("{purpose}\n"));
        hash.update(serde_json::to_vec(config)?);
        hash.update(data.0);
        Ok(Self(hash.finalize().into()))
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&hex(&self.0[..8]))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", hex(&self.0))
    }
}

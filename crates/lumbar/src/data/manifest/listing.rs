//! What lies in the folders of pictures.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{ManifestError, ManifestWarning};
use crate::data::{DataSplit, SeriesId, StudyId};

/// Instance numbers by series by study.
pub(super) type Studies = BTreeMap<StudyId, BTreeMap<SeriesId, Vec<u32>>>;

/// Folders with the number that is their name.
type Numbered = Vec<(u64, PathBuf)>;

/// Studies, series and instance numbers that have files.
pub(super) struct Listing {
    train: Option<Studies>,
    test: Option<Studies>,
    pub(super) warnings: Vec<ManifestWarning>,
}

impl Listing {
    pub(super) fn read(folder: &Path) -> Result<Self, ManifestError> {
        let mut warnings = Vec::new();
        let mut half = |split: DataSplit| -> Result<Option<Studies>, ManifestError> {
            let path = folder.join(split.images_folder());
            if !path.is_dir() {
                return Ok(None);
            }
            let (studies, odd) = list_studies(folder, &path)?;
            warnings.extend(odd);
            Ok(Some(studies))
        };
        let (train, test) = (half(DataSplit::Train)?, half(DataSplit::Test)?);
        Ok(Self { train, test, warnings })
    }

    /// The studies of one half; none when its folder of pictures is missing.
    pub(super) fn half(&self, split: DataSplit) -> Option<&Studies> {
        match split {
            DataSplit::Train => self.train.as_ref(),
            DataSplit::Test => self.test.as_ref(),
        }
    }
}

fn list_studies(root: &Path, images: &Path) -> Result<(Studies, Vec<ManifestWarning>), ManifestError> {
    let (folders, mut warnings) = numbered_folders(root, images)?;
    let listed = folders
        .into_par_iter()
        .map(|(study, path)| {
            let (folders, mut warnings) = numbered_folders(root, &path)?;
            let mut series = BTreeMap::new();
            for (id, path) in folders {
                let (instances, odd) = list_instances(root, &path)?;
                series.insert(SeriesId(id), instances);
                warnings.extend(odd);
            }
            Ok((StudyId(study), series, warnings))
        })
        .collect::<Result<Vec<_>, ManifestError>>()?;
    let mut studies = Studies::new();
    for (study, series, odd) in listed {
        studies.insert(study, series);
        warnings.extend(odd);
    }
    Ok((studies, warnings))
}

fn list_instances(root: &Path, series: &Path) -> Result<(Vec<u32>, Vec<ManifestWarning>), ManifestError> {
    let (mut instances, mut warnings) = (Vec::new(), Vec::new());
    for entry in entries(series)? {
        let path = entry.path();
        let number = path
            .extension()
            .filter(|extension| extension.eq_ignore_ascii_case("dcm"))
            .and_then(|_| path.file_stem()?.to_str()?.parse().ok());
        let metadata = fs::metadata(&path).map_err(|source| ManifestError::Io { path: path.clone(), source })?;
        match number {
            Some(number) if metadata.is_file() => {
                instances.push(number);
                if metadata.len() == 0 {
                    warnings.push(ManifestWarning::EmptyFile { path: below(root, &path) });
                }
            }
            _ => warnings.push(ManifestWarning::UnexpectedFile { path: below(root, &path) }),
        }
    }
    instances.sort_unstable();
    Ok((instances, warnings))
}

/// Folders whose name is a number, in rising order; other entries are odd.
fn numbered_folders(root: &Path, folder: &Path) -> Result<(Numbered, Vec<ManifestWarning>), ManifestError> {
    let (mut folders, mut warnings) = (Vec::new(), Vec::new());
    for entry in entries(folder)? {
        let path = entry.path();
        match entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            Some(number) if path.is_dir() => folders.push((number, path)),
            _ => warnings.push(ManifestWarning::UnexpectedFile { path: below(root, &path) }),
        }
    }
    folders.sort_unstable();
    Ok((folders, warnings))
}

/// The entries of a folder in the order of their names.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, ManifestError> {
    let mut entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(|source| ManifestError::Io { path: folder.to_owned(), source })?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn below(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

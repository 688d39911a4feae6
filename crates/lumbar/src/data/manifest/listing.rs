//! What lies in the folders of pictures.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{ManifestError, Oddity};
use crate::data::{SeriesId, Split, StudyId};

/// Instance numbers by series by study.
pub(super) type Studies = BTreeMap<StudyId, BTreeMap<SeriesId, Vec<u32>>>;

/// Folders with the number that is their name.
type Numbered = Vec<(u64, PathBuf)>;

/// Studies, series and instance numbers that have files.
pub(super) struct Listing {
    train: Option<Studies>,
    test: Option<Studies>,
    pub(super) oddities: Vec<Oddity>,
}

impl Listing {
    pub(super) fn read(folder: &Path) -> Result<Self, ManifestError> {
        let mut oddities = Vec::new();
        let mut half = |split: Split| -> Result<Option<Studies>, ManifestError> {
            let path = folder.join(split.images_folder());
            if !path.is_dir() {
                return Ok(None);
            }
            let (studies, odd) = list_studies(folder, &path)?;
            oddities.extend(odd);
            Ok(Some(studies))
        };
        let (train, test) = (half(Split::Train)?, half(Split::Test)?);
        Ok(Self { train, test, oddities })
    }

    /// The studies of one half; none when its folder of pictures is missing.
    pub(super) fn half(&self, split: Split) -> Option<&Studies> {
        match split {
            Split::Train => self.train.as_ref(),
            Split::Test => self.test.as_ref(),
        }
    }
}

fn list_studies(root: &Path, images: &Path) -> Result<(Studies, Vec<Oddity>), ManifestError> {
    let (folders, mut oddities) = numbered_folders(root, images)?;
    let listed = folders
        .into_par_iter()
        .map(|(study, path)| {
            let (folders, mut oddities) = numbered_folders(root, &path)?;
            let mut series = BTreeMap::new();
            for (id, path) in folders {
                let (instances, odd) = list_instances(root, &path)?;
                series.insert(SeriesId(id), instances);
                oddities.extend(odd);
            }
            Ok((StudyId(study), series, oddities))
        })
        .collect::<Result<Vec<_>, ManifestError>>()?;
    let mut studies = Studies::new();
    for (study, series, odd) in listed {
        studies.insert(study, series);
        oddities.extend(odd);
    }
    Ok((studies, oddities))
}

fn list_instances(root: &Path, series: &Path) -> Result<(Vec<u32>, Vec<Oddity>), ManifestError> {
    let (mut instances, mut oddities) = (Vec::new(), Vec::new());
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
                    oddities.push(Oddity::EmptyFile { path: below(root, &path) });
                }
            }
            _ => oddities.push(Oddity::UnexpectedFile { path: below(root, &path) }),
        }
    }
    instances.sort_unstable();
    Ok((instances, oddities))
}

/// Folders whose name is a number, in rising order; other entries are odd.
fn numbered_folders(root: &Path, folder: &Path) -> Result<(Numbered, Vec<Oddity>), ManifestError> {
    let (mut folders, mut oddities) = (Vec::new(), Vec::new());
    for entry in entries(folder)? {
        let path = entry.path();
        match entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            Some(number) if path.is_dir() => folders.push((number, path)),
            _ => oddities.push(Oddity::UnexpectedFile { path: below(root, &path) }),
        }
    }
    folders.sort_unstable();
    Ok((folders, oddities))
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

//! The folders of images: which studies, series and files are there, under the names that they really have.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{InstanceFile, ManifestError, ManifestWarning};
use crate::data::{DataSplit, SeriesId, StudyId};

/// The studies of one half of the data set.
pub(super) type Studies = BTreeMap<StudyId, ListedStudy>;

/// A study's folder and its series.
pub(super) struct ListedStudy {
    pub(super) folder: PathBuf,
    pub(super) series: BTreeMap<SeriesId, ListedSeries>,
}

/// A series' folder and its files, in rising order of instance number.
pub(super) struct ListedSeries {
    pub(super) folder: PathBuf,
    pub(super) files: Vec<InstanceFile>,
}

/// All folders of images.
pub(super) struct Listing {
    train: Option<Studies>,
    test: Option<Studies>,
    pub(super) warnings: Vec<ManifestWarning>,
}

impl Listing {
    /// Lists what is below `folder`. An entry that cannot be read is a warning.
    ///
    /// # Errors
    /// When `train_images` or `test_images` is there and cannot be listed.
    pub(super) fn read(folder: &Path) -> Result<Self, ManifestError> {
        let mut warnings = Vec::new();
        let mut half = |split: DataSplit| -> Result<Option<Studies>, ManifestError> {
            let images = folder.join(split.images_folder());
            if !images.is_dir() {
                return Ok(None);
            }
            let studies = entries(&images).map_err(|source| ManifestError::Io { path: images, source })?;
            Ok(Some(list_studies(folder, studies, &mut warnings)))
        };
        let (train, test) = (half(DataSplit::Train)?, half(DataSplit::Test)?);
        Ok(Self { train, test, warnings })
    }

    /// Takes the studies of one half; `None` if it has no folder of images.
    pub(super) fn take(&mut self, split: DataSplit) -> Option<Studies> {
        match split {
            DataSplit::Train => self.train.take(),
            DataSplit::Test => self.test.take(),
        }
    }
}

/// What is being listed: the data set's folder, the study for the warnings, and the warnings.
struct Lister<'a> {
    root: &'a Path,
    study: Option<StudyId>,
    warnings: Vec<ManifestWarning>,
}

fn list_studies(root: &Path, entries: Vec<DirEntry>, warnings: &mut Vec<ManifestWarning>) -> Studies {
    let mut lister = Lister { root, study: None, warnings: Vec::new() };
    let folders = lister.numbered_folders(entries);
    warnings.append(&mut lister.warnings);
    let listed: Vec<_> = folders
        .into_par_iter()
        .map(|(study, folder)| {
            let study = StudyId(study);
            let mut lister = Lister { root, study: Some(study), warnings: Vec::new() };
            let entries = lister.entries(&folder);
            let series = lister.numbered_folders(entries).into_iter().map(|(id, folder)| {
                let files = lister.files(SeriesId(id), &folder);
                (SeriesId(id), ListedSeries { folder, files })
            });
            let series = series.collect();
            (study, ListedStudy { folder, series }, lister.warnings)
        })
        .collect();
    let mut studies = Studies::new();
    for (id, study, mut of_study) in listed {
        studies.insert(id, study);
        warnings.append(&mut of_study);
    }
    studies
}

impl Lister<'_> {
    /// A path from the data set's folder on.
    fn below(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root).unwrap_or(path).to_owned()
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let (study, path) = (self.study, self.below(path));
        self.warnings.push(ManifestWarning::Unreadable { study, path, cause: error.to_string() });
    }

    fn unexpected(&mut self, path: &Path) {
        self.warnings.push(ManifestWarning::UnexpectedFile { study: self.study, path: self.below(path) });
    }

    /// The entries of a folder; none if it cannot be listed, with a warning.
    fn entries(&mut self, folder: &Path) -> Vec<DirEntry> {
        entries(folder).unwrap_or_else(|error| {
            self.unreadable(folder, &error);
            Vec::new()
        })
    }

    /// What an entry is, behind links; `None` if that cannot be told, with a warning.
    fn metadata(&mut self, path: &Path) -> Option<Metadata> {
        fs::metadata(path).map_err(|error| self.unreadable(path, &error)).ok()
    }

    /// Folders whose name is a number, in rising order, each number once.
    fn numbered_folders(&mut self, entries: Vec<DirEntry>) -> Vec<(u64, PathBuf)> {
        let mut folders: Vec<(u64, PathBuf)> = Vec::new();
        for entry in entries {
            let path = entry.path();
            let Some(metadata) = self.metadata(&path) else { continue };
            match entry.file_name().to_str().and_then(number) {
                Some(number) if metadata.is_dir() => folders.push((number, path)),
                _ => self.unexpected(&path),
            }
        }
        folders.sort_by_cached_key(|(number, path)| (*number, spelling(*number, "", path)));
        let (mut once, mut rest) = (Vec::<(u64, PathBuf)>::new(), folders.into_iter());
        for (number, path) in &mut rest {
            match once.last() {
                Some((same, of)) if *same == number => {
                    let (study, of) = (self.study, self.below(of));
                    self.warnings.push(ManifestWarning::FolderTwice { study, path: self.below(&path), of });
                }
                _ => once.push((number, path)),
            }
        }
        once
    }

    /// The files of a series, in rising order of instance number.
    fn files(&mut self, series: SeriesId, folder: &Path) -> Vec<InstanceFile> {
        let mut files = Vec::new();
        for entry in self.entries(folder) {
            let path = entry.path();
            let Some(metadata) = self.metadata(&path) else { continue };
            match instance_of(&path) {
                Some(instance) if metadata.is_file() => {
                    if metadata.len() == 0 {
                        self.warnings.push(ManifestWarning::EmptyFile { study: self.study, path: self.below(&path) });
                    }
                    files.push(InstanceFile { instance, path });
                }
                _ => self.unexpected(&path),
            }
        }
        files.sort_by_cached_key(|file| (file.instance, spelling(file.instance.into(), ".dcm", &file.path)));
        for same in files.chunk_by(|a, b| a.instance == b.instance).filter(|same| same.len() > 1) {
            let Some(study) = self.study else { continue };
            let (instance, files) = (same[0].instance, same.len());
            self.warnings.push(ManifestWarning::SeveralFilesOfInstance { study, series, instance, files });
        }
        files.shrink_to_fit();
        files
    }
}

/// The instance number of a file: `1.dcm`, `0001.dcm` and `1.DCM` are number 1.
fn instance_of(path: &Path) -> Option<u32> {
    let extension = path.extension()?;
    let stem = path.file_stem()?.to_str().and_then(number)?;
    if extension.eq_ignore_ascii_case("dcm") { stem.try_into().ok() } else { None }
}

/// A number in digits alone; leading zeros are allowed.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Sorts names of one number: the plain spelling first.
fn spelling(number: u64, end: &str, path: &Path) -> (bool, PathBuf) {
    let is_plain = path.file_name().is_some_and(|name| *name == *format!("{number}{end}"));
    (!is_plain, path.to_owned())
}

/// The entries of a folder, in the order of their names.
fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

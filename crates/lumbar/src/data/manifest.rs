//! The competition's tables and folders, joined into studies.
//!
//! [`Manifest::read`] takes a folder in the competition's layout, with the training half, the test half or
//! both. A table that cannot be right (a missing column, an unknown label) is an error. What only needs
//! attention (a missing series, an unlabelled cell, a gap in the instance numbers) is used and listed as a
//! [`ManifestWarning`].
//!
//! ```
//! use lumbar::anatomy::{Severity, Target};
//! use lumbar::data::manifest::Manifest;
//!
//! let folder = std::env::temp_dir().join(format!("lumbar-manifest-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&folder)?;
//! let header = Target::ALL.map(|target| target.column()).join(",");
//! let cells = ["Severe"; 24].join(","); // the 25th cell is empty
//! std::fs::write(folder.join("train.csv"), format!("study_id,{header}\n4003253,{cells},\n"))?;
//!
//! let manifest = Manifest::read(&folder)?;
//! let labels = manifest.studies()[0].labels.unwrap();
//! assert_eq!(labels.get(Target::ALL[0]), Some(Severity::Severe));
//! assert_eq!(labels.get(Target::ALL[24]), None);
//! assert_eq!(manifest.labels_frame().shape(), (25, 4));
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod examine;
mod frames;
mod listing;
mod tables;
mod warning;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DataSplit, SeriesId, SeriesKind, StudyId};
use crate::anatomy::{Mirror, Severity, Target};

pub use error::ManifestError;
pub(crate) use tables::labels as labels_of_table;
pub use warning::ManifestWarning;

/// What [`Manifest::read_with`] does besides reading the tables.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `list_images` | `true` | list the folders of images: files, missing series, empty files. About a second for the whole competition on a local disk; without it folders and files must have their plain names (`7`, not `007`) |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ManifestConfig {
    /// List the folders of images.
    pub list_images: bool,
}

impl Default for ManifestConfig {
    fn default() -> Self {
        Self { list_images: true }
    }
}

/// A folder in the competition's layout: its studies, in rising order of split and number.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    folder: PathBuf,
    studies: Vec<StudyRecord>,
    warnings: Vec<ManifestWarning>,
}

/// One study as the tables and folders describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyRecord {
    /// The study's number.
    pub id: StudyId,
    /// Training or test half. The competition's one public test study is also a training study.
    pub split: DataSplit,
    /// The folder of its series: `<split>_images/<study>`, under the name that it really has.
    pub folder: PathBuf,
    /// Its series in rising order of number.
    pub series: Vec<SeriesRecord>,
    /// Its row of `train.csv`; `None` in the test half or if the table has no such row.
    pub labels: Option<Labels>,
    /// Its rows of `train_label_coordinates.csv`, by target.
    pub points: Vec<PointRecord>,
}

/// One series as the tables and folders describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRecord {
    /// The series' number.
    pub id: SeriesId,
    /// What the table says it is; `None` for a folder that the table does not name.
    pub kind: Option<SeriesKind>,
    /// The folder with its files: `<split>_images/<study>/<series>`, under the name that it really has.
    pub folder: PathBuf,
    /// Its files in rising order of instance number; empty if the folder is missing or was not listed.
    pub files: Vec<InstanceFile>,
}

/// A file of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFile {
    /// The instance number: the stem of the file's name as a number.
    pub instance: u32,
    /// The file, under the name that it really has: `1.dcm`, `0001.dcm` and `1.DCM` are all instance 1.
    pub path: PathBuf,
}

/// An annotation by a reader: the point of a target on one slice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PointRecord {
    /// What is annotated.
    pub target: Target,
    /// On which series.
    pub series: SeriesId,
    /// On which slice: the file name's stem, never an index.
    pub instance: u32,
    /// Column in pixels of the original image; 0 is the middle of the first pixel.
    pub x_px: f64,
    /// Row in pixels of the original image.
    pub y_px: f64,
}

/// The labels of one study over [`Target::ALL`]; `None` for a missing one, which is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub [Option<Severity>; Target::COUNT]);

impl Labels {
    /// The label of `target`.
    #[must_use]
    pub const fn get(&self, target: Target) -> Option<Severity> {
        self.0[target.index()]
    }

    /// The labels of the same patient mirrored: left and right swapped.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        Self(Mirror::targets(&self.0))
    }

    /// Targets with their labels, without missing ones.
    pub fn iter(&self) -> impl Iterator<Item = (Target, Severity)> + '_ {
        Target::ALL.into_iter().filter_map(|target| Some((target, self.get(target)?)))
    }
}

impl StudyRecord {
    /// The series of `kind`, in rising order of number. There may be zero or several.
    pub fn series_of(&self, kind: SeriesKind) -> impl Iterator<Item = &SeriesRecord> {
        self.series.iter().filter(move |series| series.kind == Some(kind))
    }

    /// The series of number `id`.
    #[must_use]
    pub fn series(&self, id: SeriesId) -> Option<&SeriesRecord> {
        self.series.iter().find(|series| series.id == id)
    }

    /// The annotation of `target`: the first if there are several.
    #[must_use]
    pub fn point(&self, target: Target) -> Option<&PointRecord> {
        self.points.iter().find(|point| point.target == target)
    }
}

impl SeriesRecord {
    /// The instance numbers of its files, in rising order.
    pub fn instances(&self) -> impl Iterator<Item = u32> {
        self.files.iter().map(|file| file.instance)
    }

    /// The file of an instance number; the one that is named most plainly if there are several.
    #[must_use]
    pub fn file(&self, instance: u32) -> Option<&InstanceFile> {
        let first = self.files.partition_point(|file| file.instance < instance);
        self.files.get(first).filter(|file| file.instance == instance)
    }
}

/// Whether a program drew the images of a data set: the folder has the phantom's `truth/degrees.csv`.
#[must_use]
pub fn is_synthetic(folder: &Path) -> bool {
    folder.join("truth").join("degrees.csv").is_file()
}

impl Manifest {
    /// Reads `folder` with everything that is in it.
    ///
    /// # Errors
    /// See [`Manifest::read_with`].
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, ManifestError> {
        Self::read_with(folder, &ManifestConfig::default())
    }

    /// Reads the tables of `folder` and, if asked, lists its images.
    ///
    /// One of `train.csv`, `train_series_descriptions.csv` and `test_series_descriptions.csv` is needed. The others and
    /// `train_label_coordinates.csv` may be missing, which is a warning.
    ///
    /// # Errors
    /// When the folder does not exist or has none of the tables, when a table cannot be read, lacks a column, names
    /// something twice, or has a value that is not one of the competition's. Each error names the file, the line and
    /// the column.
    pub fn read_with(folder: impl AsRef<Path>, config: &ManifestConfig) -> Result<Self, ManifestError> {
        let folder = folder.as_ref();
        let tables = tables::Tables::read(folder)?;
        let listing = if config.list_images { Some(listing::Listing::read(folder)?) } else { None };
        let (studies, warnings) = examine::join(folder, tables, listing);
        Ok(Self { folder: folder.to_owned(), studies, warnings })
    }

    /// The folder that was read.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a program drew the images: see [`is_synthetic`]. Figures of such images say so.
    #[must_use]
    pub fn is_synthetic(&self) -> bool {
        is_synthetic(&self.folder)
    }

    /// All studies, training half first, each half in rising order of number.
    #[must_use]
    pub fn studies(&self) -> &[StudyRecord] {
        &self.studies
    }

    /// The studies of one half.
    pub fn of(&self, split: DataSplit) -> impl Iterator<Item = &StudyRecord> {
        self.studies.iter().filter(move |study| study.split == split)
    }

    /// One study of one half.
    #[must_use]
    pub fn study(&self, split: DataSplit, id: StudyId) -> Option<&StudyRecord> {
        self.studies.iter().find(|study| (study.split, study.id) == (split, id))
    }

    /// The same data set with only the studies that are `wanted`, and the warnings about them or about no study.
    ///
    /// ```
    /// use lumbar::data::manifest::Manifest;
    ///
    /// # let folder = std::env::temp_dir().join(format!("lumbar-filter-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let header = lumbar::anatomy::Target::ALL.map(|target| target.column()).join(",");
    /// # let cells = ["Severe"; 25].join(",");
    /// # std::fs::write(folder.join("train.csv"), format!("study_id,{header}\n7,{cells}\n8,{cells}\n9,{cells}\n"))?;
    /// let manifest = Manifest::read(&folder)?;
    /// let mut left = 2;
    /// let first = manifest.filter(|_| { left -= 1; left >= 0 });
    /// assert_eq!((manifest.studies().len(), first.studies().len()), (3, 2));
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn filter(&self, mut wanted: impl FnMut(&StudyRecord) -> bool) -> Self {
        let studies: Vec<StudyRecord> = self.studies.iter().filter(|study| wanted(study)).cloned().collect();
        let is_wanted = |study: StudyId| studies.iter().any(|record| record.id == study);
        let warnings = self.warnings.iter().filter(|warning| warning.study().is_none_or(is_wanted)).cloned().collect();
        Self { folder: self.folder.clone(), studies, warnings }
    }

    /// All warnings, by study.
    #[must_use]
    pub fn warnings(&self) -> &[ManifestWarning] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests;

//! What a run remembers of its data: enough to refuse another data set, and to be judged without its files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RunError;
use crate::anatomy::{Severity, Target, UnknownName};
use crate::data::manifest::StudyRecord;
use crate::metric::{LabelTable, Reference};
use crate::predict::{read_predictions, write_predictions};
use crate::train::atomic;

/// The labelled studies that a run was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecord {
    /// Where they lay when the run was made; they may lie elsewhere later.
    pub folder: PathBuf,
    /// Labelled studies.
    pub studies: usize,
    /// Their series.
    pub series: usize,
    /// Their pictures.
    pub files: usize,
    /// SHA-256 over numbers, labels, marks, and the pictures' names and sizes. Not over times of change: a copy
    /// is the same data.
    pub fingerprint: String,
}

impl DataRecord {
    /// Of the labelled training studies of a data set.
    ///
    /// # Errors
    /// When a picture that was listed cannot be looked at.
    pub(super) fn of(folder: &Path, records: &[StudyRecord]) -> Result<Self, RunError> {
        let mut hash = Sha256::new();
        let (mut series_count, mut files) = (0, 0);
        for study in records {
            hash.update(format!("study {}\n", study.id));
            for (target, severity) in study.labels.iter().flat_map(|labels| labels.iter()) {
                hash.update(format!("{} {}\n", target.column(), severity.snake()));
            }
            for point in &study.points {
                hash.update(format!("{} {} {} ", point.target.column(), point.series, point.instance));
                hash.update(point.x_px.to_le_bytes());
                hash.update(point.y_px.to_le_bytes());
            }
            for series in &study.series {
                series_count += 1;
                hash.update(format!("series {} {:?}\n", series.id, series.kind));
                for instance in &series.instances {
                    files += 1;
                    let path = series.folder.join(format!("{instance}.dcm"));
                    // a file in another spelling (.DCM) counts by its number alone
                    let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                    hash.update(format!("{instance} {size}\n"));
                }
            }
        }
        let fingerprint = crate::hash::hex(&hash.finalize());
        Ok(Self { folder: folder.to_owned(), studies: records.len(), series: series_count, files, fingerprint })
    }

    /// In what another record differs, the folder aside.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let counts = [
            ("studies", self.studies, other.studies),
            ("series", self.series, other.series),
            ("files", self.files, other.files),
        ];
        for (what, here, there) in counts {
            if here != there {
                found.push(format!("{there} {what} there and {here} here"));
            }
        }
        if self.fingerprint != other.fingerprint {
            let short = |text: &str| text.chars().take(12).collect::<String>();
            let (there, here) = (short(&other.fingerprint), short(&self.fingerprint));
            found.push(format!("fingerprint {there} there and {here} here"));
        }
        found
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), RunError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| RunError::format(path, error))?;
        atomic::write(path, text.as_bytes()).map_err(|source| RunError::file(path, source))
    }

    pub(super) fn read(path: &Path) -> Result<Self, RunError> {
        let text = fs::read_to_string(path).map_err(|source| RunError::file(path, source))?;
        serde_json::from_str(&text).map_err(|error| RunError::format(path, error))
    }
}

/// Labels of studies; those of a study without a row are all missing.
pub(super) fn labels_of(records: &[StudyRecord]) -> Result<LabelTable, RunError> {
    let mut labels = LabelTable::new();
    for record in records {
        labels.insert(record.id, record.labels.map_or([None; Target::COUNT], |labels| labels.0))?;
    }
    Ok(labels)
}

/// Writes labels as `train.csv` has them.
pub(super) fn write_labels(path: &Path, labels: &LabelTable) -> Result<(), RunError> {
    let mut text = String::from("study_id");
    Target::ALL.iter().for_each(|target| write!(text, ",{}", target.column()).expect("a string takes text"));
    for (study, row) in labels.iter() {
        write!(text, "\n{study}").expect("a string takes text");
        for severity in row {
            write!(text, ",{}", severity.map_or("", Severity::title)).expect("a string takes text");
        }
    }
    text.push('\n');
    atomic::write(path, text.as_bytes()).map_err(|source| RunError::file(path, source))
}

/// Reads a table of labels in the form of `train.csv`, its columns in any order.
///
/// # Errors
/// When the file cannot be read, lacks a column, names a study twice, or a cell is no severity and not empty;
/// the error names the line.
pub fn read_labels(path: &Path) -> Result<LabelTable, RunError> {
    let text = fs::read_to_string(path).map_err(|source| RunError::file(path, source))?;
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(&text).lines().enumerate();
    let header: Vec<&str> = lines.next().map_or("", |(_, line)| line).split(',').map(str::trim).collect();
    let place = |name: &str| {
        let found = header.iter().position(|column| *column == name);
        found.ok_or_else(|| RunError::format(path, format!("it has no column {name:?}")))
    };
    let study = place("study_id")?;
    let mut columns = [0; Target::COUNT];
    for (column, target) in columns.iter_mut().zip(Target::ALL) {
        *column = place(&target.column())?;
    }
    let mut labels = LabelTable::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let refused = |reason: String| RunError::format(path, format!("line {}: {reason}", number + 1));
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        if cells.len() != header.len() {
            return Err(refused(format!("{} cells, expected {}", cells.len(), header.len())));
        }
        let mut row = [None; Target::COUNT];
        for (label, &column) in row.iter_mut().zip(&columns) {
            if !cells[column].is_empty() {
                *label = Some(cells[column].parse().map_err(|error: UnknownName| refused(error.to_string()))?);
            }
        }
        labels.insert(cells[study], row).map_err(|error| refused(error.to_string()))?;
    }
    Ok(labels)
}

/// The name under which the prior lies in its table.
const PRIOR: &str = "prior";

/// Writes the prior as a table of one study called `prior`: the same bits come back.
pub(super) fn write_prior(path: &Path, prior: &Reference) -> Result<(), RunError> {
    Ok(write_predictions(path, &prior.predict(&[PRIOR]))?)
}

pub(super) fn read_prior(path: &Path) -> Result<Reference, RunError> {
    let table = read_predictions(path)?;
    let row = table.get(PRIOR).ok_or_else(|| RunError::format(path, "it has no rows of \"prior\""))?;
    Ok(Reference::of_rows(*row)?)
}

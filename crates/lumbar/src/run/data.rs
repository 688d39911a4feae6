//! What a run stores about its data: enough to refuse another data set, and to be scored without the data's files.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RunError;
use crate::anatomy::Target;
use crate::data::atomic;
use crate::data::manifest::StudyRecord;
use crate::metric::{ConstantBaseline, SubmissionTable, TableFileError, write_rows};

/// The labelled studies that a run was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecord {
    /// The folder of the data set when the run was created. It may be moved later.
    pub folder: PathBuf,
    /// Labelled studies.
    pub studies: usize,
    /// Their series.
    pub series: usize,
    /// Their images.
    pub files: usize,
    /// SHA-256 over study numbers, labels, annotated points, and the numbers and sizes of the image files. Times of
    /// modification are not part of it: a copy is the same data.
    pub fingerprint: String,
}

impl DataRecord {
    /// The record of the labelled training studies of a data set.
    ///
    /// # Errors
    /// When the size of a listed file cannot be read.
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
                for file in &series.files {
                    files += 1;
                    let metadata = fs::metadata(&file.path).map_err(|source| RunError::file(&file.path, source))?;
                    hash.update(format!("{} {}\n", file.instance, metadata.len()));
                }
            }
        }
        let fingerprint = crate::hash::hex(&hash.finalize());
        Ok(Self { folder: folder.to_owned(), studies: records.len(), series: series_count, files, fingerprint })
    }

    /// How `self` differs from another record; the folder is not compared.
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

/// The name of the prior's rows in its table.
const PRIOR: &str = "prior";

/// Writes the prior as a table of probabilities, its rows named `prior` in place of a study.
pub(super) fn write_prior(path: &Path, prior: &ConstantBaseline) -> Result<(), RunError> {
    Ok(write_rows(path, [(PRIOR, prior.rows())])?)
}

/// Reads what [`write_prior`] wrote: the same bits.
pub(super) fn read_prior(path: &Path) -> Result<ConstantBaseline, RunError> {
    let table = SubmissionTable::read(path).map_err(TableFileError::from)?;
    let mut rows = [None; Target::COUNT];
    for row in table.rows() {
        match Target::split_row_id(row.row_id()) {
            Ok((PRIOR, target)) => rows[target.index()] = Some(row.values().map_err(TableFileError::from)?),
            _ => return Err(TableFileError::from(row.wrong("a row of \"prior\"")).into()),
        }
    }
    let missing = rows.iter().position(Option::is_none);
    if let Some(missing) = missing {
        return Err(RunError::format(path, format!("there is no row for {}", Target::ALL[missing])));
    }
    Ok(ConstantBaseline::of_rows(rows.map(Option::unwrap_or_default))?)
}

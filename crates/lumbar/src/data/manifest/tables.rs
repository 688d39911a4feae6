//! The competition's tables: labels, series and points.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::{Labels, ManifestError, PointRecord};
use crate::anatomy::{Condition, Level, Severity, Target};
use crate::data::table::{Seen, Table, TableError};
use crate::data::{DataSplit, SeriesId, SeriesKind, StudyId};

/// What a table says a series is: a known kind, or its words.
pub(super) type Described = Result<SeriesKind, String>;

pub(super) const LABELS: &str = "train.csv";
pub(super) const POINTS: &str = "train_label_coordinates.csv";

/// What the tables say; `None` for a table that is missing.
pub(super) struct Tables {
    pub(super) labels: Option<BTreeMap<StudyId, Labels>>,
    pub(super) points: Option<Vec<(StudyId, PointRecord)>>,
    pub(super) train_series: Option<BTreeMap<(StudyId, SeriesId), Described>>,
    pub(super) test_series: Option<BTreeMap<(StudyId, SeriesId), Described>>,
}

impl Tables {
    pub(super) fn read(folder: &Path) -> Result<Self, ManifestError> {
        if !folder.is_dir() {
            let found = if folder.exists() { "it is a file" } else { "there is nothing" };
            return Err(ManifestError::NoFolder { path: folder.to_owned(), found });
        }
        let tables = Self {
            labels: open(folder, LABELS)?.as_ref().map(labels).transpose()?.map(BTreeMap::from_iter),
            points: open(folder, POINTS)?.as_ref().map(points).transpose()?,
            train_series: open(folder, DataSplit::Train.series_table())?.as_ref().map(series).transpose()?,
            test_series: open(folder, DataSplit::Test.series_table())?.as_ref().map(series).transpose()?,
        };
        if tables.labels.is_none() && tables.train_series.is_none() && tables.test_series.is_none() {
            let expected = [LABELS, DataSplit::Train.series_table(), DataSplit::Test.series_table()].join(", ");
            return Err(ManifestError::NoTables { path: folder.to_owned(), expected });
        }
        Ok(tables)
    }
}

/// A table of `folder`; `None` if it is not there.
fn open(folder: &Path, name: &str) -> Result<Option<Table>, TableError> {
    match Table::read(folder.join(name)) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

const NUMBER: &str = "a whole number";

/// Labels by study, in the file's order, from a table in the form of `train.csv` with its columns in any order.
///
/// # Errors
/// When a column is missing, a study is there twice, or a cell is neither empty nor a severity.
pub(crate) fn labels(table: &Table) -> Result<Vec<(StudyId, Labels)>, TableError> {
    let study = table.column("study_id")?;
    let columns = Target::ALL.iter().map(|target| table.column(&target.column())).collect::<Result<Vec<_>, _>>()?;
    let expected = one_of(&Severity::ALL.map(Severity::title));
    let (mut seen, mut labels) = (Seen::new(), Vec::with_capacity(table.len()));
    for row in table.rows() {
        let id: StudyId = row.parse(study, NUMBER)?;
        seen.insert(row, id, || format!("study {id}"))?;
        let mut of_study = Labels([None; Target::COUNT]);
        for (label, column) in of_study.0.iter_mut().zip(&columns) {
            *label = row.parse_or_empty::<Severity>(*column, &expected)?;
        }
        labels.push((id, of_study));
    }
    Ok(labels)
}

fn series(table: &Table) -> Result<BTreeMap<(StudyId, SeriesId), Described>, TableError> {
    let (study, series) = (table.column("study_id")?, table.column("series_id")?);
    let description = table.column("series_description")?;
    let (mut seen, mut found) = (Seen::new(), BTreeMap::new());
    for row in table.rows() {
        let key: (StudyId, SeriesId) = (row.parse(study, NUMBER)?, row.parse(series, NUMBER)?);
        seen.insert(row, key, || format!("series {} of study {}", key.1, key.0))?;
        let words = row.text(description);
        found.insert(key, words.parse().map_err(|_| words.to_owned()));
    }
    Ok(found)
}

fn points(table: &Table) -> Result<Vec<(StudyId, PointRecord)>, TableError> {
    let [study, series, instance] = ["study_id", "series_id", "instance_number"].map(|name| table.column(name));
    let [condition, level, x, y] = ["condition", "level", "x", "y"].map(|name| table.column(name));
    let (study, series, instance) = (study?, series?, instance?);
    let (condition, level, x, y) = (condition?, level?, x?, y?);
    let (conditions, levels) = (one_of(&Condition::ALL.map(Condition::title)), one_of(&Level::ALL.map(Level::title)));
    let pixels = "a finite number of pixels";
    table
        .rows()
        .map(|row| {
            let target = Target::new(row.parse(condition, &conditions)?, row.parse(level, &levels)?);
            let point = PointRecord {
                target,
                series: row.parse(series, NUMBER)?,
                instance: row.parse(instance, NUMBER)?,
                x_px: row.finite(x, pixels)?,
                y_px: row.finite(y, pixels)?,
            };
            Ok((row.parse(study, NUMBER)?, point))
        })
        .collect()
}

/// `"A" or "B"`.
fn one_of(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" or ")
}

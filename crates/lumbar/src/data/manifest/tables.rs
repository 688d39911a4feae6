//! The CSVs, read through polars as text and then checked cell by cell, so that an error names file, line and
//! column.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use polars::prelude::{DataFrame, DataType};
use polars_io::SerReader;
use polars_io::csv::read::CsvReadOptions;

use super::{Labels, ManifestError, PointRecord};
use crate::anatomy::{Condition, Level, Severity, Target};
use crate::data::{DataSplit, SeriesId, SeriesKind, StudyId};

/// What a table says a series is: a known kind, or its words.
pub(super) type Described = Result<SeriesKind, String>;

pub(super) const LABELS: &str = "train.csv";
pub(super) const POINTS: &str = "train_label_coordinates.csv";

/// What the tables say, unjoined; a table that is not there is none.
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
            labels: Table::open(folder, LABELS)?.map(|table| table.labels()).transpose()?,
            points: Table::open(folder, POINTS)?.map(|table| table.points()).transpose()?,
            train_series: Table::open(folder, DataSplit::Train.series_table())?
                .map(|table| table.series())
                .transpose()?,
            test_series: Table::open(folder, DataSplit::Test.series_table())?
                .map(|table| table.series())
                .transpose()?,
        };
        if tables.labels.is_none() && tables.train_series.is_none() && tables.test_series.is_none() {
            let expected = [LABELS, DataSplit::Train.series_table(), DataSplit::Test.series_table()].join(", ");
            return Err(ManifestError::NoTables { path: folder.to_owned(), expected });
        }
        Ok(tables)
    }
}

struct Table {
    path: PathBuf,
    frame: DataFrame,
}

/// One column of a table, as text; an empty cell is none.
struct Column<'a> {
    path: &'a Path,
    name: String,
    cells: Vec<Option<&'a str>>,
}

impl Table {
    fn open(folder: &Path, name: &str) -> Result<Option<Self>, ManifestError> {
        let path = folder.join(name);
        if !path.exists() {
            return Ok(None);
        }
        if let Err(source) = std::fs::File::open(&path) {
            return Err(ManifestError::Io { path, source });
        }
        // No types are guessed: every cell stays text until it is checked.
        let read = CsvReadOptions::default()
            .with_infer_schema_length(Some(0))
            .try_into_reader_with_file_path(Some(path.clone()))
            .and_then(|reader| reader.finish());
        match read {
            Ok(frame) => Ok(Some(Self { path, frame })),
            Err(error) => Err(ManifestError::Csv { path, reason: error.to_string() }),
        }
    }

    fn column(&self, name: &str) -> Result<Column<'_>, ManifestError> {
        let missing = || ManifestError::MissingColumn {
            path: self.path.clone(),
            column: name.to_owned(),
            found: self.frame.get_column_names().iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "),
        };
        let column = self.frame.column(name).map_err(|_| missing())?;
        let cells = match column.dtype() {
            DataType::String => column
                .str()
                .map_err(|error| ManifestError::Csv { path: self.path.clone(), reason: error.to_string() })?
                .iter()
                .map(|cell| cell.map(str::trim).filter(|cell| !cell.is_empty()))
                .collect(),
            // A table without rows has columns without a type.
            _ => vec![None; self.frame.height()],
        };
        Ok(Column { path: &self.path, name: name.to_owned(), cells })
    }

    fn rows(&self) -> std::ops::Range<usize> {
        0..self.frame.height()
    }

    fn twice(&self, row: usize, first_row: usize, what: String) -> ManifestError {
        ManifestError::Twice { path: self.path.clone(), line: line(row), first_line: line(first_row), what }
    }

    fn labels(&self) -> Result<BTreeMap<StudyId, Labels>, ManifestError> {
        let studies = self.column("study_id")?;
        let cells = Target::ALL.iter().map(|target| self.column(&target.column())).collect::<Result<Vec<_>, _>>()?;
        let mut first_rows = BTreeMap::new();
        let mut labels = BTreeMap::new();
        for row in self.rows() {
            let study: StudyId = studies.number(row)?;
            if let Some(first_row) = first_rows.insert(study, row) {
                return Err(self.twice(row, first_row, format!("study {study}")));
            }
            let mut of_study = Labels([None; Target::COUNT]);
            for (label, column) in of_study.0.iter_mut().zip(&cells) {
                if column.cells[row].is_some() {
                    let severity = column.name::<Severity>(row, &Severity::ALL.map(Severity::title));
                    *label = Some(severity.map_err(|error| error.or_an_empty_cell())?);
                }
            }
            labels.insert(study, of_study);
        }
        Ok(labels)
    }

    fn series(&self) -> Result<BTreeMap<(StudyId, SeriesId), Described>, ManifestError> {
        let studies = self.column("study_id")?;
        let series = self.column("series_id")?;
        let kinds = self.column("series_description")?;
        let mut first_rows = BTreeMap::new();
        let mut table = BTreeMap::new();
        for row in self.rows() {
            let key = (studies.number(row)?, series.number(row)?);
            if let Some(first_row) = first_rows.insert(key, row) {
                return Err(self.twice(row, first_row, format!("series {} of study {}", key.1, key.0)));
            }
            let words = kinds.cells[row].unwrap_or_default();
            table.insert(key, words.parse().map_err(|_| words.to_owned()));
        }
        Ok(table)
    }

    fn points(&self) -> Result<Vec<(StudyId, PointRecord)>, ManifestError> {
        let studies = self.column("study_id")?;
        let series = self.column("series_id")?;
        let instances = self.column("instance_number")?;
        let conditions = self.column("condition")?;
        let levels = self.column("level")?;
        let (x, y) = (self.column("x")?, self.column("y")?);
        self.rows()
            .map(|row| {
                let point = PointRecord {
                    target: Target::new(
                        conditions.name::<Condition>(row, &Condition::ALL.map(Condition::title))?,
                        levels.name::<Level>(row, &Level::ALL.map(Level::title))?,
                    ),
                    series: series.number(row)?,
                    instance: instances.number(row)?,
                    x_px: x.pixels(row)?,
                    y_px: y.pixels(row)?,
                };
                Ok((studies.number(row)?, point))
            })
            .collect()
    }
}

/// Line of the file on which a row stands: the header is line 1.
const fn line(row: usize) -> usize {
    row + 2
}

impl Column<'_> {
    fn wrong(&self, row: usize, expected: String) -> ManifestError {
        ManifestError::Value {
            path: self.path.to_owned(),
            line: line(row),
            column: self.name.clone(),
            found: self.cells[row].unwrap_or_default().to_owned(),
            expected,
        }
    }

    fn parse<T: FromStr>(&self, row: usize, expected: impl FnOnce() -> String) -> Result<T, ManifestError> {
        self.cells[row].and_then(|cell| cell.parse().ok()).ok_or_else(|| self.wrong(row, expected()))
    }

    fn number<T: FromStr>(&self, row: usize) -> Result<T, ManifestError> {
        self.parse(row, || "a whole number".to_owned())
    }

    fn pixels(&self, row: usize) -> Result<f64, ManifestError> {
        let expected = || "a finite number of pixels".to_owned();
        let pixels: f64 = self.parse(row, expected)?;
        if pixels.is_finite() { Ok(pixels) } else { Err(self.wrong(row, expected())) }
    }

    fn name<T: FromStr>(&self, row: usize, names: &[&str]) -> Result<T, ManifestError> {
        self.parse(row, || names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" or "))
    }
}

impl ManifestError {
    fn or_an_empty_cell(mut self) -> Self {
        if let Self::Value { expected, .. } = &mut self {
            expected.push_str(" or an empty cell");
        }
        self
    }
}

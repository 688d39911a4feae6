//! The manifest as tables for notebooks.

use polars::prelude::{Column, DataFrame, NamedFrom, Series};

use super::{Manifest, ManifestWarning, PointRecord, SeriesRecord, StudyRecord};
use crate::anatomy::{Severity, Target};

impl Manifest {
    /// One row per study: `split`, `study_id`, `series` (how many), `labelled` (how many of the 25 targets),
    /// `severe` (how many of them), `points`.
    #[must_use]
    pub fn studies_frame(&self) -> DataFrame {
        let rows = || self.studies.iter();
        let count = |number: usize| number as u32;
        let labelled = |study: &StudyRecord| study.labels.map_or(0, |labels| labels.iter().count());
        let severe = |study: &StudyRecord| {
            study.labels.map_or(0, |labels| labels.iter().filter(|(_, label)| *label == Severity::Severe).count())
        };
        frame(vec![
            text("split", rows().map(|study| Some(study.split.name()))),
            numbers("study_id", rows().map(|study| study.id.0)),
            small("series", rows().map(|study| count(study.series.len()))),
            small("labelled", rows().map(|study| count(labelled(study)))),
            small("severe", rows().map(|study| count(severe(study)))),
            small("points", rows().map(|study| count(study.points.len()))),
        ])
    }

    /// One row per series: `split`, `study_id`, `series_id`, `series_description` (null when no table names the
    /// series), `instances` (how many files), `first_instance`, `last_instance`.
    #[must_use]
    pub fn series_frame(&self) -> DataFrame {
        let rows: Vec<(&StudyRecord, &SeriesRecord)> =
            self.studies.iter().flat_map(|study| study.series.iter().map(move |series| (study, series))).collect();
        let rows = || rows.iter().copied();
        frame(vec![
            text("split", rows().map(|(study, _)| Some(study.split.name()))),
            numbers("study_id", rows().map(|(study, _)| study.id.0)),
            numbers("series_id", rows().map(|(_, series)| series.id.0)),
            text("series_description", rows().map(|(_, series)| series.kind.map(|kind| kind.title()))),
            small("instances", rows().map(|(_, series)| series.files.len() as u32)),
            optional("first_instance", rows().map(|(_, series)| series.instances().next())),
            optional("last_instance", rows().map(|(_, series)| series.instances().last())),
        ])
    }

    /// One row per labelled study and target, in `train.csv`'s order: `study_id`, `condition`, `level`
    /// (`L1/L2`), `severity` (null when the label is missing).
    #[must_use]
    pub fn labels_frame(&self) -> DataFrame {
        let rows: Vec<(u64, Target, Option<Severity>)> = self
            .studies
            .iter()
            .filter_map(|study| Some((study, study.labels?)))
            .flat_map(|(study, labels)| Target::ALL.map(|target| (study.id.0, target, labels.get(target))))
            .collect();
        let rows = || rows.iter();
        frame(vec![
            numbers("study_id", rows().map(|(study, ..)| *study)),
            text("condition", rows().map(|(_, target, _)| Some(target.condition.snake()))),
            text("level", rows().map(|(_, target, _)| Some(target.level.title()))),
            text("severity", rows().map(|(.., severity)| severity.map(Severity::title))),
        ])
    }

    /// One row per annotation: `study_id`, `series_id`, `instance_number`, `condition` and `level` spelled as in
    /// [`Manifest::labels_frame`], `x`, `y` in pixels.
    #[must_use]
    pub fn points_frame(&self) -> DataFrame {
        let rows: Vec<(u64, &PointRecord)> =
            self.studies.iter().flat_map(|study| study.points.iter().map(|point| (study.id.0, point))).collect();
        let rows = || rows.iter().copied();
        frame(vec![
            numbers("study_id", rows().map(|(study, _)| study)),
            numbers("series_id", rows().map(|(_, point)| point.series.0)),
            small("instance_number", rows().map(|(_, point)| point.instance)),
            text("condition", rows().map(|(_, point)| Some(point.target.condition.snake()))),
            text("level", rows().map(|(_, point)| Some(point.target.level.title()))),
            reals("x", rows().map(|(_, point)| point.x_px)),
            reals("y", rows().map(|(_, point)| point.y_px)),
        ])
    }

    /// One row per warning: `warning` (its kind), `study_id` (null if it is not about one study), `text`.
    #[must_use]
    pub fn warnings_frame(&self) -> DataFrame {
        let texts: Vec<String> = self.warnings.iter().map(ManifestWarning::to_string).collect();
        let studies: Vec<Option<u64>> =
            self.warnings.iter().map(|warning| warning.study().map(|study| study.0)).collect();
        frame(vec![
            text("warning", self.warnings.iter().map(|warning| Some(warning.name()))),
            Series::new("study_id".into(), studies).into(),
            text("text", texts.iter().map(|text| Some(text.as_str()))),
        ])
    }
}

fn frame(columns: Vec<Column>) -> DataFrame {
    DataFrame::new_infer_height(columns).expect("columns of one iterator have one length and different names")
}

fn text<'a>(name: &str, values: impl Iterator<Item = Option<&'a str>>) -> Column {
    Series::new(name.into(), values.collect::<Vec<_>>()).into()
}

fn numbers(name: &str, values: impl Iterator<Item = u64>) -> Column {
    Series::new(name.into(), values.collect::<Vec<_>>()).into()
}

fn small(name: &str, values: impl Iterator<Item = u32>) -> Column {
    Series::new(name.into(), values.collect::<Vec<_>>()).into()
}

fn optional(name: &str, values: impl Iterator<Item = Option<u32>>) -> Column {
    Series::new(name.into(), values.collect::<Vec<_>>()).into()
}

fn reals(name: &str, values: impl Iterator<Item = f64>) -> Column {
    Series::new(name.into(), values.collect::<Vec<_>>()).into()
}

use std::path::PathBuf;

use serde::Serialize;

use crate::anatomy::Target;
use crate::data::names::{one_line, quoted, quoted_path};
use crate::data::{DataSplit, SeriesId, SeriesKind, StudyId};

/// Something in a data set that needs attention and does not prevent its use.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[serde(tag = "warning", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ManifestWarning {
    /// A table of a half that has other tables is missing.
    #[error("there is no {file}")]
    TableMissing {
        /// The table.
        file: &'static str,
    },
    /// A table names a study that `train.csv` does not: it has no labels.
    #[error("study {study} has no row in train.csv")]
    StudyWithoutLabels {
        /// The study.
        study: StudyId,
    },
    /// `train.csv` names a study for which the table of series has no row.
    #[error("study {study} has no row in the table of series")]
    StudyWithoutSeries {
        /// The study.
        study: StudyId,
    },
    /// The study has no folder of images.
    #[error("study {study} has no folder in {}", split.images_folder())]
    StudyFolderMissing {
        /// The study.
        study: StudyId,
        /// Training or test half.
        split: DataSplit,
    },
    /// A folder of images that no table names.
    #[error("folder {}/{study} is in no table", split.images_folder())]
    StudyNotInTables {
        /// The study.
        study: StudyId,
        /// Training or test half.
        split: DataSplit,
    },
    /// The same study is in the training and in the test half, as the competition's public test study is.
    #[error("study {study} is in the training and in the test half")]
    StudyInBothHalves {
        /// The study.
        study: StudyId,
    },
    /// The table names a series whose folder is not there.
    #[error("series {series} of study {study} has no folder")]
    SeriesFolderMissing {
        /// The study.
        study: StudyId,
        /// The series.
        series: SeriesId,
    },
    /// The folder of a series has no images.
    #[error("series {series} of study {study} has no images")]
    SeriesEmpty {
        /// The study.
        study: StudyId,
        /// The series.
        series: SeriesId,
    },
    /// A folder of a series that the table does not name; its kind can only be told from the images.
    #[error("series {series} of study {study} is not in the table of series")]
    SeriesNotInTable {
        /// The study.
        study: StudyId,
        /// The series.
        series: SeriesId,
    },
    /// The table describes a series as something that is not one of the competition's kinds; its kind can only be told
    /// from the images.
    #[error("series {series} of study {study} is called {}, expected {}", quoted(found), known_kinds())]
    UnknownDescription {
        /// The study.
        study: StudyId,
        /// The series.
        series: SeriesId,
        /// What the table says.
        found: String,
    },
    /// The study has no series of a kind.
    #[error("study {study} has no {kind} series")]
    NoSeriesOfKind {
        /// The study.
        study: StudyId,
        /// The kind that is missing.
        kind: SeriesKind,
    },
    /// The study has several series of a kind; levels may be spread over them.
    #[error("study {study} has {} {kind} series", series.len())]
    SeveralSeriesOfKind {
        /// The study.
        study: StudyId,
        /// The kind.
        kind: SeriesKind,
        /// The series.
        series: Vec<SeriesId>,
    },
    /// Instance numbers have gaps.
    #[error("series {series} of study {study} has {count} instances from {first} to {last}: {missing} are left out")]
    InstanceGap {
        /// The study.
        study: StudyId,
        /// The series.
        series: SeriesId,
        /// The smallest instance number.
        first: u32,
        /// The largest instance number.
        last: u32,
        /// How many there are.
        count: usize,
        /// How many numbers between first and last are left out.
        missing: usize,
    },
    /// Instance numbers do not start at 1.
    #[error("series {series} of study {study} starts at instance {first}")]
    InstancesDoNotStartAtOne {
        /// The study.
        study: StudyId,
        /// The series.
        series: SeriesId,
        /// The smallest instance number.
        first: u32,
    },
    /// Something in a folder of images that is no `<number>.dcm` or no folder with a number as its name.
    #[error("{} is not <number>.dcm", quoted_path(path))]
    UnexpectedFile {
        /// The study in whose folder it is.
        study: Option<StudyId>,
        /// The path from the data set's folder on.
        path: PathBuf,
    },
    /// A file or folder that cannot be read, such as a link to nothing. It is left out.
    #[error("{} is left out: {}", quoted_path(path), one_line(cause))]
    Unreadable {
        /// The study in whose folder it is.
        study: Option<StudyId>,
        /// The path from the data set's folder on.
        path: PathBuf,
        /// The system's reason.
        cause: String,
    },
    /// A second folder with the same number, such as `007` beside `7`. It is left out.
    #[error("{} is left out: it has the number of {}", quoted_path(path), quoted_path(of))]
    FolderTwice {
        /// The study in whose folder it is.
        study: Option<StudyId>,
        /// The folder that is left out, from the data set's folder on.
        path: PathBuf,
        /// The folder that is read.
        of: PathBuf,
    },
    /// Several files of one instance number, such as `1.dcm` and `0001.dcm`.
    #[error("instance {instance} of series {series} of study {study} has {files} files")]
    SeveralFilesOfInstance {
        /// The study.
        study: StudyId,
        /// The series.
        series: SeriesId,
        /// The instance number.
        instance: u32,
        /// How many files have it.
        files: usize,
    },
    /// A file of zero bytes.
    #[error("{} is empty", quoted_path(path))]
    EmptyFile {
        /// The study in whose folder it is.
        study: Option<StudyId>,
        /// The path from the data set's folder on.
        path: PathBuf,
    },
    /// A cell of `train.csv` is empty: it is masked in loss and score.
    #[error("study {study} has no label for {target}")]
    LabelMissing {
        /// The study.
        study: StudyId,
        /// The target.
        target: Target,
    },
    /// A label without an annotation.
    #[error("study {study} has a label but no point for {target}")]
    LabelWithoutPoint {
        /// The study.
        study: StudyId,
        /// The target.
        target: Target,
    },
    /// An annotation without a label.
    #[error("study {study} has a point but no label for {target}")]
    PointWithoutLabel {
        /// The study.
        study: StudyId,
        /// The target.
        target: Target,
    },
    /// Several annotations of one target.
    #[error("study {study} has {count} points for {target}")]
    SeveralPoints {
        /// The study.
        study: StudyId,
        /// The target.
        target: Target,
        /// How many.
        count: usize,
    },
    /// An annotation on a series that the study does not have.
    #[error("the point of study {study} for {target} is on series {series}, which the study does not have")]
    PointOnUnknownSeries {
        /// The study.
        study: StudyId,
        /// The target.
        target: Target,
        /// The series that the point names.
        series: SeriesId,
    },
    /// An annotation on another kind of series than the condition is annotated on.
    #[error("the point of study {study} for {target} is on series {series}, {found} instead of {expected}")]
    PointOnOtherKind {
        /// The study.
        study: StudyId,
        /// The target.
        target: Target,
        /// The series that the point names.
        series: SeriesId,
        /// What that series is.
        found: SeriesKind,
        /// What it should be.
        expected: SeriesKind,
    },
    /// An annotation on a slice whose file is missing.
    #[error("the point of study {study} for {target} is on instance {instance} of series {series}, which has no file")]
    PointOnMissingInstance {
        /// The study.
        study: StudyId,
        /// The target.
        target: Target,
        /// The series.
        series: SeriesId,
        /// The instance that the point names.
        instance: u32,
    },
    /// An annotation left of or above the image. One right of or below it is found when the image is opened.
    #[error("the point of study {study} for {target} is outside of the image: x {x_px}, y {y_px}")]
    PointOutsideImage {
        /// The study.
        study: StudyId,
        /// The target.
        target: Target,
        /// Column in pixels.
        x_px: f64,
        /// Row in pixels.
        y_px: f64,
    },
}

impl ManifestWarning {
    /// A short name of the kind of warning, for counting: `instance_gap`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TableMissing { .. } => "table_missing",
            Self::StudyWithoutLabels { .. } => "study_without_labels",
            Self::StudyWithoutSeries { .. } => "study_without_series",
            Self::StudyFolderMissing { .. } => "study_folder_missing",
            Self::StudyNotInTables { .. } => "study_not_in_tables",
            Self::StudyInBothHalves { .. } => "study_in_both_halves",
            Self::SeriesFolderMissing { .. } => "series_folder_missing",
            Self::SeriesEmpty { .. } => "series_empty",
            Self::SeriesNotInTable { .. } => "series_not_in_table",
            Self::UnknownDescription { .. } => "unknown_description",
            Self::NoSeriesOfKind { .. } => "no_series_of_kind",
            Self::SeveralSeriesOfKind { .. } => "several_series_of_kind",
            Self::InstanceGap { .. } => "instance_gap",
            Self::InstancesDoNotStartAtOne { .. } => "instances_do_not_start_at_one",
            Self::UnexpectedFile { .. } => "unexpected_file",
            Self::Unreadable { .. } => "unreadable",
            Self::FolderTwice { .. } => "folder_twice",
            Self::SeveralFilesOfInstance { .. } => "several_files_of_instance",
            Self::EmptyFile { .. } => "empty_file",
            Self::LabelMissing { .. } => "label_missing",
            Self::LabelWithoutPoint { .. } => "label_without_point",
            Self::PointWithoutLabel { .. } => "point_without_label",
            Self::SeveralPoints { .. } => "several_points",
            Self::PointOnUnknownSeries { .. } => "point_on_unknown_series",
            Self::PointOnOtherKind { .. } => "point_on_other_kind",
            Self::PointOnMissingInstance { .. } => "point_on_missing_instance",
            Self::PointOutsideImage { .. } => "point_outside_image",
        }
    }

    /// The study that it is about; `None` if it is not about one study.
    #[must_use]
    pub const fn study(&self) -> Option<StudyId> {
        match self {
            Self::TableMissing { .. } => None,
            Self::UnexpectedFile { study, .. }
            | Self::Unreadable { study, .. }
            | Self::FolderTwice { study, .. }
            | Self::EmptyFile { study, .. } => *study,
            Self::StudyWithoutLabels { study }
            | Self::StudyWithoutSeries { study }
            | Self::StudyFolderMissing { study, .. }
            | Self::StudyNotInTables { study, .. }
            | Self::StudyInBothHalves { study }
            | Self::SeriesFolderMissing { study, .. }
            | Self::SeriesEmpty { study, .. }
            | Self::SeriesNotInTable { study, .. }
            | Self::SeveralFilesOfInstance { study, .. }
            | Self::UnknownDescription { study, .. }
            | Self::NoSeriesOfKind { study, .. }
            | Self::SeveralSeriesOfKind { study, .. }
            | Self::InstanceGap { study, .. }
            | Self::InstancesDoNotStartAtOne { study, .. }
            | Self::LabelMissing { study, .. }
            | Self::LabelWithoutPoint { study, .. }
            | Self::PointWithoutLabel { study, .. }
            | Self::SeveralPoints { study, .. }
            | Self::PointOnUnknownSeries { study, .. }
            | Self::PointOnOtherKind { study, .. }
            | Self::PointOnMissingInstance { study, .. }
            | Self::PointOutsideImage { study, .. } => Some(*study),
        }
    }
}

fn known_kinds() -> String {
    SeriesKind::ALL.map(|kind| format!("{:?}", kind.title())).join(" or ")
}

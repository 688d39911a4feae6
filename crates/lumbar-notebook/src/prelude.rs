//! The names that a notebook works with: `use lumbar_notebook::prelude::*;`

pub use std::collections::{BTreeMap, HashMap};
pub use std::path::{Path, PathBuf};

pub use lumbar::anatomy::{Condition, Level, Severity, Side, Target};
pub use lumbar::data::manifest::{Manifest, Oddity, PointRecord, SeriesRecord, StudyRecord};
pub use lumbar::data::{SeriesId, SeriesKind, Split, StudyId};
pub use lumbar::explain::{CellCam, ExplainCell, grad_cam};
pub use lumbar::figure::{
    self, CellGroup, ClassCount, Curve, CurvePanel, Figure, FoldHistory, LadderStep, Line, Mark, MontageConfig,
    ReferenceLine, SEVERITY_COLOURS, Tile, class_bars, confusion_matrices, curves, learning_curves, montage,
    probability_distributions, reliability_diagram, score_ladder, severity_table, window_of,
};
pub use lumbar::metric::{
    BootstrapConfig, Confusion, Graded, LabelTable, Ladder, PredictionTable, Reference, Score, ScoreIntervals,
    by_group, by_target, score, score_difference, score_intervals,
};
pub use lumbar::predict::{Temperature, read_predictions, submission, write_predictions};
pub use lumbar::report::{
    Mistake, Report, ReportConfig, WorstCell, cam_tiles, case_picture, cell_cam, slice_tile, worst_cells,
};
pub use lumbar::run::{Preset, Run, RunConfig};
pub use lumbar::train::TrainConfig;
pub use lumbar::train::history::{EpochRecord, History};
pub use lumbar::{anatomy, data, metric, predict, report, run, train};
pub use lumbar_dicom::{self, Geometry, Plane, ReadOptions, Series as DicomSeries, Slice, Stack, read_series};
pub use ndarray::{self, Array1, Array2, Array3, Axis};
pub use plotters::{self, style::RGBColor};
pub use polars::prelude::*;
pub use tch::{self, Cuda, Device, Kind, Tensor};

pub use crate::banner::{self, banner, data_folder};
pub use crate::show::{EvcxrDisplay, Show, Shown};

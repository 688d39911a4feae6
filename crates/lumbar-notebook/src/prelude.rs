//! The names that a notebook uses: `use lumbar_notebook::prelude::*;`

pub use std::collections::{BTreeMap, HashMap};
pub use std::path::{Path, PathBuf};
pub use std::sync::Arc;

pub use lumbar::anatomy::{Condition, ConditionGroup, Level, Mirror, Severity, Side, Target};
pub use lumbar::data::augment::{
    AffineRange, AugmentConfig, Augmentation, BiasRange, DistortionRange, DropoutRange, FilterRange, ToneRange,
};
pub use lumbar::data::channels::{ChannelConfig, ChannelCounts, Channels, channels};
pub use lumbar::data::crop::{CropConfig, CropFrame, CropPlace, crop};
pub use lumbar::data::domain::{DomainDifference, DomainSummary, Measure, Percentiles, StudyMeasures};
pub use lumbar::data::found_points::{FoundPoint, FoundPoints, StudyFoundPoints};
pub use lumbar::data::intensity::{IntensityConfig, IntensityWindow};
pub use lumbar::data::loader::{Batch, Dataset, Loader, LoaderConfig, Plan};
pub use lumbar::data::manifest::{Labels, Manifest, ManifestWarning, PointRecord, SeriesRecord, StudyRecord};
pub use lumbar::data::random::generator;
pub use lumbar::data::render::Renderer;
pub use lumbar::data::study::{Study, StudyPoint, StudyPoints};
pub use lumbar::data::{Affine2, DataSplit, SeriesId, SeriesKind, StudyId};
pub use lumbar::explain::{CellCam, ExplainCell, grad_cam};
pub use lumbar::figure::{
    self, CellGroup, ClassCount, Curve, CurvePanel, Figure, FoldHistory, LEVEL_COLOURS, LegendEntry, Line, LinkedView,
    LinkedViewConfig, Marker, MontageConfig, ReferenceLine, SEVERITY_COLOURS, ScoreRow, StackView, Tile, class_bars,
    condition_colour, confusion_matrices, curves, learning_curves, level_colour, montage, probability_distributions,
    reliability_diagram, score_baselines, severity_colour, severity_table, stack_montage, ternary_plots, window_of,
};
pub use lumbar::metric::{
    Baselines, BootstrapConfig, Confusion, ConstantBaseline, Graded, LabelTable, PredictionTable, Score,
    ScoreIntervals, by_group, by_target, read_labels, read_predictions, score, score_difference, score_intervals,
    write_predictions,
};
pub use lumbar::model::{
    Architecture, BackboneConfig, EfficientNet, Features, Mode, Module, Registry, Role, SpineConfig, SpineModel,
    Summary,
};
pub use lumbar::predict::{LocaliserFile, PointReport, Predictions, Temperature, submission};
pub use lumbar::report::{
    CamView, Mistake, Report, ReportConfig, WorstCell, cam_tiles, case_image, cell_cam, cell_tiles, level_tiles,
    points_tile, slice_tile, worst_cells,
};
pub use lumbar::run::{Fitted, Run, RunConfig};
pub use lumbar::tasks::crops::{Annotated, CropSource, CropSourceConfig, CropsTask};
pub use lumbar::tasks::locate::{LevelMaps, LocateTask, nearest_level};
pub use lumbar::tasks::study_attention::{SliceSource, SliceSourceConfig, StudyAttentionTask};
pub use lumbar::tasks::whole_study::{StudySource, StudySourceConfig, WholeStudyTask};
pub use lumbar::tasks::{Preset, TaskConfig};
pub use lumbar::train::history::{EpochRecord, History};
pub use lumbar::train::observer::{Event, Observer, StopToken};
pub use lumbar::train::{TrainConfig, ValidationScore};
pub use lumbar::{anatomy, data, metric, model, predict, report, run, tasks, train};
pub use lumbar_dicom::{self, Geometry, Plane, ReadOptions, Series as DicomSeries, Slice, Stack, read_series};
pub use ndarray::{self, Array1, Array2, Array3, Axis, s};
pub use plotters::{self, style::RGBColor};
pub use polars::prelude::*;
pub use tch::{self, Cuda, Device, Kind, Tensor};

pub use crate::banner::{self, banner, data_folder, runs_folder};
pub use crate::progress::ProgressPrinter;
pub use crate::python_files::python_package;
pub use crate::show::{EvcxrDisplay, Show, Shown};

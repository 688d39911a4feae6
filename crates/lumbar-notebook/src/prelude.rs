//! The names that a notebook works with: `use lumbar_notebook::prelude::*;`

pub use std::collections::{BTreeMap, HashMap};
pub use std::path::{Path, PathBuf};

pub use lumbar::anatomy::{Condition, Level, Severity, Side, Target};
pub use lumbar::data::manifest::{Manifest, Oddity, PointRecord, SeriesRecord, StudyRecord};
pub use lumbar::data::{SeriesId, SeriesKind, Split, StudyId};
pub use lumbar::figure::{
    self, ClassCount, Figure, Line, Mark, MontageConfig, SEVERITY_COLOURS, Tile, class_bars, montage, window_of,
};
pub use lumbar::{anatomy, data};
pub use lumbar_dicom::{self, Geometry, Plane, ReadOptions, Series as DicomSeries, Slice, Stack, read_series};
pub use ndarray::{self, Array1, Array2, Array3, Axis};
pub use plotters::{self, style::RGBColor};
pub use polars::prelude::*;
pub use tch::{self, Cuda, Device, Kind, Tensor};

pub use crate::banner::{self, banner, data_folder};
pub use crate::show::{EvcxrDisplay, Show, Shown};

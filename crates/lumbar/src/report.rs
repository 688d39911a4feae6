//! A run on one page: a self-contained HTML file without external resources. A policy in it forbids browsers to load
//! anything. Its one script brings the [linked views](crate::figure::LinkedView) of the worst cases to life; without it,
//! and on paper, the page shows static images. It has at most [`PAGE_BYTES`] bytes.
//!
//! A [`Report`] turns tables, histories and images into text; [`Report::of_run`] reads them from a run's folder and its
//! data. The page contains no path, no name, no UID and no study number. Images of a study are left out, with a
//! sentence that says so, if one of its files says that the pixels may show a name (BurnedInAnnotation).
//!
//! ```
//! use lumbar::anatomy::Severity;
//! use lumbar::data::StudyId;
//! use lumbar::metric::{ConstantBaseline, LabelTable};
//! use lumbar::report::{BaselineKind, Baseline, Report};
//!
//! let mut labels = LabelTable::new();
//! for study in 0..9 {
//!     labels.insert(StudyId(study as u64), std::array::from_fn(|target| Some(Severity::ALL[(study + target) % 3])))?;
//! }
//! let predictions = ConstantBaseline::best(&labels).predict(labels.studies());
//! let uniform = ConstantBaseline::uniform().predict(labels.studies());
//! let mut report = Report::new("a run", labels, predictions);
//! report.baselines.push(Baseline { kind: BaselineKind::Uniform, predictions: uniform });
//! let page = report.html()?;
//! assert!(page.contains("not a medical device") && !page.contains("<script"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod case_image;
mod level_tiles;
mod of_run;
mod page;
mod sections;
mod worst;
mod worst_section;

use std::fmt;

pub use crate::figure::escape;
use crate::figure::{Figure, FigureError, FoldHistory, LinkedView};
use crate::metric::{BootstrapConfig, LabelTable, MetricError, PredictionTable};

pub use case_image::{CamView, cam_tiles, case_image, slice_tile};
pub use level_tiles::{level_tiles, points_tile};
pub use of_run::{ReportConfig, cell_cam, cell_tiles};
pub use worst::{Mistake, WorstCell, worst_cells};

/// The warning on every page.
pub const DISCLAIMER: &str =
    "For research and teaching only. This is not a medical device, and nothing on this page is for diagnosis.";

/// Maximum size of a page in bytes, so that it can be sent and opens at once. Views, and then images, of cases that are
/// further down are left out, with a sentence that says so.
pub const PAGE_BYTES: usize = 10_000_000;

/// Everything that a report is made of.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was trained.
    pub title: String,
    /// Names and values for the head of the page: architecture, number of folds, seed, … All of it
    /// is shown, so it must not contain paths.
    pub facts: Vec<(String, String)>,
    /// What a reader has to know first: folds that are missing, studies that were left out.
    pub notes: Vec<String>,
    /// Labels of the studies that are predicted.
    pub labels: LabelTable,
    /// Out-of-fold predictions of the same studies.
    pub predictions: PredictionTable,
    /// Predictors of the same studies to compare with.
    pub baselines: Vec<Baseline>,
    /// The epochs of each fold; may be empty.
    pub histories: Vec<FoldHistory>,
    /// Cells that were predicted worst, with their images; may be empty.
    pub worst: Vec<WorstCase>,
    /// How intervals are drawn.
    pub bootstrap: BootstrapConfig,
}

/// Which predictor there is to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaselineKind {
    /// One third each.
    Uniform,
    /// The other folds' class frequencies, weighted as the score weighs: the best score without looking
    /// at an image.
    BestConstant,
    /// The run itself at temperatures that fit the other folds.
    Scaled,
    /// Knows the latent degree of disease of a phantom, and not the readers' noise: a lower bound for any model.
    Oracle,
}

impl fmt::Display for BaselineKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Uniform => "uniform",
            Self::BestConstant => "best constant",
            Self::Scaled => "temperature-scaled",
            Self::Oracle => "oracle",
        })
    }
}

/// A predictor to compare with.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// Which.
    pub kind: BaselineKind,
    /// What it predicts.
    pub predictions: PredictionTable,
}

/// A badly predicted cell with its image.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstCase {
    /// The cell.
    pub cell: WorstCell,
    /// The slice, the crop and where the model looked; `None` if there is no image; the reason is then in
    /// `remark`.
    pub image: Option<Figure>,
    /// Sagittal and axial slices at the target, with the study's labels and predictions; `None` if the series do not
    /// allow it or the case is not among the first.
    pub view: Option<LinkedView>,
    /// A sentence below it; may be empty.
    pub remark: String,
}

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Tables that do not fit together, or nothing to measure.
    #[error("the report of {what}: {source}")]
    Metric {
        /// The predictor whose table it is.
        what: String,
        /// What is wrong.
        source: MetricError,
    },
    /// A chart that cannot be drawn.
    #[error(transparent)]
    Figure(#[from] FigureError),
}

impl Report {
    /// A report of predictions alone; the other fields can be filled in.
    #[must_use]
    pub fn new(title: impl Into<String>, labels: LabelTable, predictions: PredictionTable) -> Self {
        Self {
            title: title.into(),
            facts: Vec::new(),
            notes: Vec::new(),
            labels,
            predictions,
            baselines: Vec::new(),
            histories: Vec::new(),
            worst: Vec::new(),
            bootstrap: BootstrapConfig::default(),
        }
    }

    /// The page.
    ///
    /// # Errors
    /// When labels and predictions (the run's or a reference's) are not of the same studies, a part of the
    /// score has no labelled row, or the bootstrap's config is out of range.
    pub fn html(&self) -> Result<String, ReportError> {
        sections::page(self)
    }
}

#[cfg(test)]
mod tests;

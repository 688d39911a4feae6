//! Tasks: what is trained on what.
//!
//! A [`Task`] is a config, a network, a data set that makes its batches, and an objective. Each has a folder of its
//! own and one line in the table at the end of this module; [`TaskConfig`] and [`Preset`] follow from that table.
//!
//! | task | network | looks at |
//! |---|---|---|
//! | [`study_attention`] | a slice encoder, and attention of all 25 targets | all slices of a study |
//! | [`whole_study`] | one network for all 25 targets | all slices of a study, as channels |
//! | [`crops`] | a network for each plane | crops around the annotated points |
//! | [`locate`] | a U-Net that finds the points | sagittal slices |
//!
//! Adding one: a folder with a config that implements [`Task`], and a line in the table. A task that grades studies
//! uses [`grading::Grading`] as its objective; another one brings its own [`Objective`].

mod blocks;
pub mod crops;
pub mod grading;
pub mod locate;
pub mod study_attention;
mod table;
pub mod whole_study;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Device;

use crate::data::StudyId;
use crate::data::found_points::FoundPoints;
use crate::data::loader::{BoxError, Dataset, Tensors};
use crate::data::manifest::StudyRecord;
use crate::metric::LabelTable;
use crate::model::{Init, PretrainedWeights};
use crate::train::network::Network;
use crate::train::{Objective, TrainConfig, TrainError};

pub use table::{GradingTask, GradingVisitor, Preset, TaskConfig, TaskVisitor, UnknownPreset};

/// What is trained on what.
///
/// The type is the task's config: it is saved with a run, and a run can be repeated from it.
pub trait Task: Clone + std::fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the network looks at.
    type Inputs: Tensors;
    /// What the objective compares with.
    type Truth: Tensors;
    /// The network.
    type Network: Network<Inputs = Self::Inputs>;
    /// The network made ready for inference, its batch norms folded into convolutions.
    type Folded: Network<Inputs = Self::Inputs>;
    /// Makes samples and batches.
    type Dataset: Dataset<Inputs = Self::Inputs, Truth = Self::Truth>;
    /// What is optimised.
    type Objective: Objective<Truth = Self::Truth>;

    /// The config and the training of the task's preset: small enough for five folds of 64 studies in minutes on two
    /// cores.
    fn preset() -> (Self, TrainConfig);

    /// # Errors
    /// The first field that is out of its range.
    fn check(&self) -> Result<(), TaskError>;

    /// Where the first weights of its backbones come from.
    fn init(&self) -> &Init;

    /// The file of the weights of [`Init::Shipped`], if the task has one.
    fn shipped() -> Option<&'static [u8]> {
        None
    }

    /// A fresh network, its kernels stored channels-last. Its first weights depend on `seed` and on `pretrained` alone,
    /// which are those of [`Task::init`]. Without a seed they are not drawn: for a network that trained weights are
    /// loaded into.
    ///
    /// # Errors
    /// When the config is out of range, the device does not exist or the pretrained weights do not fit.
    fn network(
        &self,
        seed: Option<u64>,
        pretrained: Option<&PretrainedWeights>,
        device: Device,
    ) -> Result<Self::Network, TaskError>;

    /// Prepares a network that is not trained yet for a fold: its head starts at what the labels of the training
    /// studies say without any image, so that no step is spent on finding that out. By default it does nothing.
    ///
    /// # Errors
    /// libtorch's.
    fn start(&self, network: &Self::Network, labels: &LabelTable, training: &[StudyId]) -> Result<(), TaskError> {
        let _ = (network, labels, training);
        Ok(())
    }

    /// The network made ready for inference.
    ///
    /// # Errors
    /// When a layer cannot be folded.
    fn folded(&self, network: &Self::Network) -> Result<Self::Folded, TaskError>;

    /// Decodes studies, into the cache `cache` or, without one, into memory.
    ///
    /// What cannot be read or decoded is left out and reported by [`Task::warnings`]: no study is refused.
    ///
    /// # Errors
    /// When the cache cannot be written, and [`TaskError::Stopped`] when `progress` cancels.
    fn open(
        &self,
        records: &[&StudyRecord],
        cache: Option<&Path>,
        progress: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<Self::Dataset, TaskError>;

    /// Decodes studies as [`Task::open`] does, to be looked at around points that were found in place of annotated ones.
    ///
    /// # Errors
    /// As [`Task::open`], and [`TaskError::NoPoints`] when the task looks at no points, which is the default.
    fn open_at(
        &self,
        records: &[&StudyRecord],
        points: &FoundPoints,
        cache: Option<&Path>,
        progress: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<Self::Dataset, TaskError> {
        let _ = (records, points, cache, progress);
        Err(TaskError::NoPoints { task: Self::title() })
    }

    /// What was missing or unreadable in a study's files, in words.
    fn warnings(dataset: &Self::Dataset, study: StudyId) -> Vec<String>;

    /// A title for reports: `Crop grader`.
    fn title() -> &'static str;

    /// The network and what it looks at, in a few words for reports.
    fn description(&self) -> String;

    /// The objective of a fold, from its data, all known labels and the studies that it trains on.
    ///
    /// # Errors
    /// When the device does not exist.
    fn objective(
        &self,
        dataset: &Self::Dataset,
        labels: &LabelTable,
        training: &[StudyId],
        device: Device,
    ) -> Result<Self::Objective, TrainError>;
}

/// Why a task could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// A network or its config.
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    /// A setting of the loss.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A setting of the data's.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// Studies could not be decoded or cached.
    #[error("{0}")]
    Data(BoxError),
    /// The task does not look at points.
    #[error("{task} does not look at points: a localiser is of no use to it")]
    NoPoints {
        /// The task's title.
        task: &'static str,
    },
    /// Decoding was stopped on request.
    #[error("the decoding of studies was stopped")]
    Stopped,
}

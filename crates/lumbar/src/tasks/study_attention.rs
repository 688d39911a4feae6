//! Grading whole studies: one slice encoder for all slices, and attention of each target over slices and planes.
//!
//! The network has all slices and no points. It learns where to look from the annotated points of the training studies,
//! by a second loss that compares each target's attention with a Gaussian about its point, and from the labels.

mod attention;
mod config;
mod explain;
mod images;
mod network;
mod source;

use std::path::Path;

use tch::{Device, Kind};

pub use attention::Attention;
pub use config::{AttentionConfig, SliceSourceConfig, StudyAttentionTask};
pub use network::{StudyAttention, StudySlices};
pub use source::{SliceSample, SliceSource};

use super::crops::LevelBias;
use super::grading::{GradeTruth, Grading};
use super::{Task, TaskError};
use crate::data::StudyId;
use crate::data::augment::AugmentConfig;
use crate::data::manifest::StudyRecord;
use crate::metric::{ConstantBaseline, LabelTable};
use crate::model::{Inference, Init, Module as _, PretrainedWeights, SliceEncoder};
use crate::train::{TrainConfig, TrainError};

impl Task for StudyAttentionTask {
    type Inputs = StudySlices;
    type Truth = GradeTruth;
    type Network = StudyAttention<SliceEncoder>;
    type Folded = StudyAttention<Inference<SliceEncoder>>;
    type Dataset = SliceSource;
    type Objective = Grading;

    fn preset() -> (Self, TrainConfig) {
        let mut augment = AugmentConfig::light();
        augment.affine.rotate_deg = 10.0;
        let mut task = Self::default();
        task.source.augment = augment;
        task.loss.label_smoothing = 0.05;
        let mut train = TrainConfig { epochs: 12, batch_size: 2, ..TrainConfig::default() };
        train.optimizer.lr = 4e-3;
        (task, train)
    }

    fn check(&self) -> Result<(), TaskError> {
        self.encoder.check()?;
        self.attention.check()?;
        self.init.check()?;
        self.source.check()?;
        Ok(self.loss.check()?)
    }

    fn init(&self) -> &Init {
        &self.init
    }

    fn network(
        &self,
        seed: Option<u64>,
        pretrained: Option<&PretrainedWeights>,
        device: Device,
    ) -> Result<Self::Network, TaskError> {
        let encoder = SliceEncoder::new(&self.encoder, seed, device)?;
        if let Some(weights) = pretrained {
            weights.load_into(encoder.backbone())?;
        }
        encoder.registry().to_channels_last()?;
        let attention = Attention::new(&self.attention, self.encoder.features, seed, device)?;
        Ok(StudyAttention { encoder, attention, level_bias: LevelBias::new(device)? })
    }

    fn folded(&self, network: &Self::Network) -> Result<Self::Folded, TaskError> {
        let encoder = Inference::of(&network.encoder, Kind::Float)?;
        let (attention, level_bias) = (network.attention.copied()?, network.level_bias.folded()?);
        Ok(StudyAttention { encoder, attention, level_bias })
    }

    fn start(&self, network: &Self::Network, labels: &LabelTable, training: &[StudyId]) -> Result<(), TaskError> {
        network.level_bias.set(&ConstantBaseline::best(&labels.filter(|study| training.contains(&study))))
    }

    fn open(
        &self,
        records: &[&StudyRecord],
        cache: Option<&Path>,
        progress: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<SliceSource, TaskError> {
        let file = cache.map(|path| path.with_extension("cache"));
        SliceSource::open(records, &self.source, file.as_deref(), progress)
    }

    fn warnings(dataset: &SliceSource, study: StudyId) -> Vec<String> {
        dataset.warnings(study)
    }

    fn title() -> &'static str {
        "Whole-study model"
    }

    fn description(&self) -> String {
        let SliceSourceConfig { width_px, height_px, .. } = self.source;
        format!("{} over slices of {width_px} × {height_px} pixels, with attention", self.encoder.architecture)
    }

    fn objective(
        &self,
        _: &SliceSource,
        labels: &LabelTable,
        training: &[StudyId],
        device: Device,
    ) -> Result<Grading, TrainError> {
        Ok(Grading::new(&self.loss, labels, training, device)?.with_own_loss(self.attention.point_weight))
    }
}

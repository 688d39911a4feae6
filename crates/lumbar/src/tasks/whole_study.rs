//! Grading whole studies with one network that has all slices of a study as channels, as most public notebooks begin.
//! The preset is `channels`; in a config its name is that of earlier versions, `whole_study`.

mod config;
mod explain;
mod network;
mod source;

use std::path::Path;

use tch::{Device, Kind, Tensor};

pub use config::{StudySourceConfig, WholeStudyTask};
pub use network::WholeStudy;
pub use source::StudySource;

use super::grading::{GradeTruth, Grading, start_logit};
use super::{Task, TaskError};
use crate::data::StudyId;
use crate::data::augment::AugmentConfig;
use crate::data::channels::ChannelConfig;
use crate::data::manifest::StudyRecord;
use crate::metric::{ConstantBaseline, LabelTable};
use crate::model::{Inference, Init, Module as _, PretrainedWeights, SpineConfig, SpineModel};
use crate::train::{TrainConfig, TrainError};

impl Task for WholeStudyTask {
    type Inputs = Tensor;
    type Truth = GradeTruth;
    type Network = WholeStudy<SpineModel>;
    type Folded = WholeStudy<Inference<SpineModel>>;
    type Dataset = StudySource;
    type Objective = Grading;

    /// EfficientNet-B0 over 10 + 10 + 10 slices. With a few dozen studies it overfits after ten epochs.
    fn preset() -> (Self, TrainConfig) {
        let spine = SpineConfig { dropout: 0.5, drop_path_rate: 0.1, ..SpineConfig::default() };
        let channels = ChannelConfig { size_px: 96, ..ChannelConfig::default() };
        let source = StudySourceConfig { channels, augment: AugmentConfig::light(), ..StudySourceConfig::default() };
        let mut train = TrainConfig { epochs: 10, batch_size: 8, ..TrainConfig::default() };
        train.optimizer.lr = 5e-4;
        (Self { spine, source, ..Self::default() }, train)
    }

    fn check(&self) -> Result<(), TaskError> {
        self.spine.check()?;
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
        let model = SpineModel::build(&self.spine, seed, device)?;
        if let Some(weights) = pretrained {
            weights.load_into(model.backbone())?;
        }
        model.registry().to_channels_last()?;
        Ok(WholeStudy(model))
    }

    fn folded(&self, network: &Self::Network) -> Result<Self::Folded, TaskError> {
        Ok(WholeStudy(Inference::of(&network.0, Kind::Float)?))
    }

    fn start(&self, network: &Self::Network, labels: &LabelTable, training: &[StudyId]) -> Result<(), TaskError> {
        let known = labels.filter(|study| training.contains(&study));
        let constant = ConstantBaseline::best(&known);
        let logits: Vec<f32> = constant.rows().concat().into_iter().map(start_logit).collect();
        Ok(network.0.start_at(&logits)?)
    }

    fn open(
        &self,
        records: &[&StudyRecord],
        cache: Option<&Path>,
        progress: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<StudySource, TaskError> {
        let file = cache.map(|path| path.with_extension("cache"));
        StudySource::open(records, &self.spine, &self.source, file.as_deref(), progress)
    }

    fn warnings(dataset: &StudySource, study: StudyId) -> Vec<String> {
        dataset.warnings(study)
    }

    fn title() -> &'static str {
        "Whole study as channels"
    }

    fn description(&self) -> String {
        let spine = &self.spine;
        let [t1, t2, axial] = [spine.sagittal_t1_slices, spine.sagittal_t2_slices, spine.axial_t2_slices];
        let size = self.source.channels.size_px;
        format!("{} over {t1} + {t2} + {axial} slices of {size} pixels", spine.architecture)
    }

    fn objective(
        &self,
        _: &StudySource,
        labels: &LabelTable,
        training: &[StudyId],
        device: Device,
    ) -> Result<Grading, TrainError> {
        Grading::new(&self.loss, labels, training, device)
    }
}

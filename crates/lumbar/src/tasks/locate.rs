//! The localiser: where canal and foramina of the five levels are, in a study without annotations.
//!
//! One small U-Net looks at sagittal slices of T1 and T2, resampled to fixed millimetres. It returns, for each slice,
//! maps of the canal and of the foramen at five levels, and one of any disc. A map's softmax over all slices and pixels
//! of a series is the probability of the point. Left and right follow from the slices' positions in the patient: one
//! map serves both foramina of a level, and the network sees each slice's neighbours without their order, so that sides
//! cannot be swapped.
//!
//! Levels are named together, by an ordered chain over candidate discs. Each point is then the centroid of its map's
//! peak, the mean over T1 and T2 where both show it. Points of the recesses are not found here: axial slices show them.

mod agreement;
mod chain;
mod config;
mod decode;
mod grid;
mod local;
mod maps;
mod network;
mod objective;
mod source;
mod stack;
mod synthetic;
mod truth;

use std::path::Path;

use tch::Device;

pub use config::{LocateSourceConfig, LocateTask};
pub use grid::{ImageGrid, StackGrid, StackPosition};
pub use maps::{ImagePlace, LevelMaps};
pub use network::Localiser;
pub use objective::{Locating, in_plane_mm, nearest_level};
pub use source::{LocateSample, LocateSource};
pub use synthetic::SyntheticStudies;
pub use truth::{LocateTruth, StackTruth, TrainingMaps};

use super::{Task, TaskError};
use crate::anatomy::Level;
use crate::data::StudyId;
use crate::data::manifest::StudyRecord;
use crate::metric::LabelTable;
use crate::model::{Init, Module as _, PretrainedWeights, UNet};
use crate::train::{TrainConfig, TrainError};

/// The file of the localiser that is part of the library; `weights/README.md` says how it was made.
pub(crate) const SHIPPED: &[u8] = include_bytes!("locate/weights/localiser.safetensors");
/// The ranges of what was measured of its synthetic studies; `weights/README.md` says how it was made.
pub(crate) const SHIPPED_DOMAIN: &str = include_str!("locate/weights/domain.json");
/// Channels of an image: a slice, and the smaller and the larger of its neighbours' values.
const CHANNELS: i64 = 3;
/// Maps of an image: the canal's and the foramen's at each level, and any disc.
const MAPS: usize = 2 * Level::ALL.len() + 1;
/// The sagittal targets are the first ones of [`Target::ALL`](crate::anatomy::Target::ALL): the canal, the left and the
/// right foramen at each level.
const SAGITTAL: usize = 3 * Level::ALL.len();

/// The config and the training of the preset `synthetic`.
pub(super) fn synthetic_preset() -> (LocateTask, TrainConfig) {
    let mut train = TrainConfig { epochs: 16, batch_size: 2, ema_decay: 0.995, ..TrainConfig::default() };
    train.optimizer.lr = 3e-3;
    (LocateTask::synthetic(), train)
}

impl Task for LocateTask {
    type Inputs = tch::Tensor;
    type Truth = LocateTruth;
    type Network = Localiser;
    type Folded = Localiser;
    type Dataset = LocateSource;
    type Objective = Locating;

    /// Starts from the localiser that is part of the library, which synthetic studies have taught.
    fn preset() -> (Self, TrainConfig) {
        let mut train = TrainConfig { epochs: 4, batch_size: 2, ema_decay: 0.97, ..TrainConfig::default() };
        train.optimizer.lr = 1e-3;
        (Self { init: Init::Shipped, ..Self::synthetic() }, train)
    }

    fn check(&self) -> Result<(), TaskError> {
        self.init.check()?;
        Ok(self.check_ranges()?)
    }

    fn init(&self) -> &Init {
        &self.init
    }

    fn shipped() -> Option<&'static [u8]> {
        Some(SHIPPED)
    }

    fn network(
        &self,
        seed: Option<u64>,
        pretrained: Option<&PretrainedWeights>,
        device: Device,
    ) -> Result<Localiser, TaskError> {
        self.check()?;
        let unet = UNet::new(&self.unet, seed, device)?;
        if let Some(weights) = pretrained {
            weights.load_first_into(unet.registry())?;
        }
        Ok(Localiser(unet))
    }

    /// A copy: group norms depend on the image and cannot be folded.
    fn folded(&self, network: &Localiser) -> Result<Localiser, TaskError> {
        Ok(Localiser(network.0.copied()?))
    }

    fn open(
        &self,
        records: &[&StudyRecord],
        cache: Option<&Path>,
        progress: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<LocateSource, TaskError> {
        self.check()?;
        let file = cache.map(|path| path.with_extension("cache"));
        LocateSource::open(records, &self.source, file.as_deref(), progress)
    }

    fn warnings(dataset: &LocateSource, study: StudyId) -> Vec<String> {
        dataset.warnings(study)
    }

    fn title() -> &'static str {
        "Localiser"
    }

    fn description(&self) -> String {
        let LocateTask { unet, source, .. } = self;
        format!(
            "a U-Net of {:?} channels over sagittal slices of {} × {} pixels of {} mm",
            unet.widths, source.width_px, source.height_px, source.pixel_mm
        )
    }

    fn objective(
        &self,
        dataset: &LocateSource,
        _: &LabelTable,
        _: &[StudyId],
        _: Device,
    ) -> Result<Locating, TrainError> {
        Ok(Locating::new(dataset.points().clone()))
    }
}

//! The two kinds of runs, behind one face.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::RunError;
use super::config::{CropsTask, WholeStudyTask};
use crate::data::manifest::StudyRecord;
use crate::model::{Inference, LevelModel, Module as _, SpineModel};
use crate::train::crop_source::{CacheProgress, CropCache, CropSource, Marked};
use crate::train::grader::{CropGrader, Crops, WholeStudy};
use crate::train::network::{Network, Source};
use crate::train::observer::StopToken;
use crate::train::study_source::StudySource;

/// What is trained on what.
pub(super) trait Task: Sync {
    type Inputs: Send + 'static;
    type Network: Network<Inputs = Self::Inputs>;
    /// The network made ready for inference.
    type Folded: Network<Inputs = Self::Inputs>;
    type Source: Source<Self::Inputs> + Send;

    /// A fresh network, its kernels stored channels-last; its first weights depend on `seed` alone. Without one
    /// they are not drawn: for a network that trained weights are loaded into.
    fn network(&self, seed: Option<u64>, device: Device) -> Result<Self::Network, RunError>;

    fn folded(&self, network: &Self::Network) -> Result<Self::Folded, RunError>;

    /// Decodes studies, into `cache` or, for a few, into memory.
    fn open(
        &self,
        records: &[&StudyRecord],
        cache: Option<&Path>,
        device: Device,
        observer: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<Self::Source, RunError>;

    /// What was odd about a study's files.
    fn oddities(source: &Self::Source, study: &str) -> Vec<String>;
}

impl Task for WholeStudyTask {
    type Inputs = Tensor;
    type Network = WholeStudy<SpineModel>;
    type Folded = WholeStudy<Inference<SpineModel>>;
    type Source = StudySource;

    fn network(&self, seed: Option<u64>, device: Device) -> Result<Self::Network, RunError> {
        let model = SpineModel::build(&self.spine, seed, device)?;
        model.registry().to_channels_last()?;
        Ok(WholeStudy(model))
    }

    fn folded(&self, network: &Self::Network) -> Result<Self::Folded, RunError> {
        Ok(WholeStudy(Inference::of(&network.0, Kind::Float)?))
    }

    fn open(
        &self,
        records: &[&StudyRecord],
        cache: Option<&Path>,
        device: Device,
        observer: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<Self::Source, RunError> {
        let file = cache.map(|path| path.with_extension("cache"));
        StudySource::open(records, &self.spine, &self.source, file.as_deref(), device, observer)
            .map_err(RunError::Source)
    }

    fn oddities(source: &Self::Source, study: &str) -> Vec<String> {
        source.oddities(study)
    }
}

impl Task for CropsTask {
    type Inputs = Crops;
    type Network = CropGrader<LevelModel>;
    type Folded = CropGrader<Inference<LevelModel>>;
    type Source = CropSource;

    fn network(&self, seed: Option<u64>, device: Device) -> Result<Self::Network, RunError> {
        let model = |part: u64| -> Result<LevelModel, RunError> {
            let seed = seed.map(|seed| seed.wrapping_mul(3).wrapping_add(part));
            let model = LevelModel::build(&self.level, seed, device)?;
            model.registry().to_channels_last()?;
            Ok(model)
        };
        Ok(CropGrader { canal: model(0)?, foramen: model(1)?, recess: model(2)? })
    }

    fn folded(&self, network: &Self::Network) -> Result<Self::Folded, RunError> {
        let folded = |model: &LevelModel| Inference::of(model, Kind::Float);
        Ok(CropGrader {
            canal: folded(&network.canal)?,
            foramen: folded(&network.foramen)?,
            recess: folded(&network.recess)?,
        })
    }

    fn open(
        &self,
        records: &[&StudyRecord],
        cache: Option<&Path>,
        device: Device,
        observer: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<Self::Source, RunError> {
        let Some(folder) = cache else {
            return CropSource::open(records, &Marked, &self.source, device).map_err(RunError::Source);
        };
        let cache = CropCache { folder: folder.to_owned(), stop: StopToken::new() };
        let progress = |at: CacheProgress| {
            observer.progress(at.done, at.total);
            if observer.is_cancelled() {
                cache.stop.stop();
            }
        };
        let source = CropSource::open_cached(records, &Marked, &self.source, device, &cache, &progress);
        source.map_err(RunError::Source)?.ok_or_else(|| RunError::Source("the making of the cache was stopped".into()))
    }

    fn oddities(source: &Self::Source, study: &str) -> Vec<String> {
        source.oddities(study)
    }
}

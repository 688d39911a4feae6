//! Batches for the crop grader, from the files of studies.

mod held;
mod points;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};
use torch_ext::floats::Floats;

use super::TrainError;
use super::grader::{Crops, GroupCrops};
use super::loss::MASKED;
use super::network::{Batch, BoxError, Plan, Source};
use crate::anatomy::{ConditionGroup, Mirror, Severity, Side, Target};
use crate::data::augment::{AugmentConfig, Augmentation};
use crate::data::cached::{CachedStudy, CachedStudyError, CropExtent};
use crate::data::crop::{CropConfig, CropPlace};
use crate::data::intensity::IntensityConfig;
use crate::data::manifest::StudyRecord;
use crate::data::random::generator;
use crate::data::render::Renderer;
use crate::data::{SeriesKind, StudyId};
use crate::metric::LabelTable;

pub use held::{CacheProgress, CropCache};
use held::{Held, Place, keep};
pub use points::{Marked, Points};

/// Batches that wait for the network while it works.
const PREFETCH: usize = 2;

/// Where crops are taken and what is done to them.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `crop` | 50 mm, 96 px, 5 slices | size of a crop | see [`CropConfig`] |
/// | `intensity` | percentiles of the series | what becomes 0…1 | see [`IntensityConfig`] |
/// | `augment` | the top teams' set | of training crops; mirroring is left to `CropGrader`'s canal | see [`AugmentConfig`] |
/// | `jitter_mm` | 3 | training points are moved by up to this along each axis of the patient | 0–50 |
/// | `evaluation_jitter_mm` | 0 | the same for predictions: how well must a localiser find the points? | 0–50 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CropSourceConfig {
    /// Size of a crop.
    pub crop: CropConfig,
    /// What becomes 0…1.
    pub intensity: IntensityConfig,
    /// Of training crops.
    pub augment: AugmentConfig,
    /// Of training points.
    pub jitter_mm: f64,
    /// Of points in predictions.
    pub evaluation_jitter_mm: f64,
}

impl Default for CropSourceConfig {
    fn default() -> Self {
        Self {
            crop: CropConfig::default(),
            intensity: IntensityConfig::default(),
            augment: AugmentConfig::default(),
            jitter_mm: 3.0,
            evaluation_jitter_mm: 0.0,
        }
    }
}

impl CropSourceConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), BoxError> {
        self.crop.check()?;
        self.intensity.check()?;
        self.augment.check()?;
        for (field, value) in [("jitter_mm", self.jitter_mm), ("evaluation_jitter_mm", self.evaluation_jitter_mm)] {
            if !(0.0..=50.0).contains(&value) {
                return Err(TrainError::Config { field, found: value.to_string(), allowed: "0–50" }.into());
            }
        }
        Ok(())
    }

    /// What has to be kept of a study for these crops.
    #[must_use]
    pub fn reach(&self) -> CropExtent {
        CropExtent::new(&self.crop, &self.augment, self.jitter_mm.max(self.evaluation_jitter_mm))
    }
}

struct Shared {
    config: CropSourceConfig,
    device: Device,
    labels: LabelTable,
    studies: HashMap<String, Held>,
}

/// Crops around the points of studies. Of each study only what crops can show is kept ([`CachedStudy`]): in memory
/// ([`CropSource::open`]), a few MB a study, or in files ([`CropSource::open_cached`]), so that memory does not
/// depend on the number of studies. Batches are made by all threads, two ahead of the network; each crop is drawn
/// from (seed, epoch, study, target) alone and is the same from memory and from files.
#[derive(Clone)]
pub struct CropSource(Arc<Shared>);

impl std::fmt::Debug for CropSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CropSource").field("studies", &self.0.studies.len()).finish_non_exhaustive()
    }
}

impl CropSource {
    /// Opens and decodes studies into memory. Those without labels are there to be predicted.
    ///
    /// # Errors
    /// When the config is out of range or a study's points cannot be found. What cannot be read or decoded is left
    /// out, see [`CropSource::oddities`].
    pub fn open(
        records: &[&StudyRecord],
        points: &dyn Points,
        config: &CropSourceConfig,
        device: Device,
    ) -> Result<Self, BoxError> {
        config.check()?;
        let reach = config.reach();
        let keep = |record: &&StudyRecord| {
            let kept = Arc::new(keep(record, points, &reach, config)?);
            let oddities = kept.warnings().to_vec();
            Ok((record.id.to_string(), Held { id: record.id, place: Place::Memory(kept), oddities }))
        };
        let studies = records.par_iter().map(keep).collect::<Result<_, BoxError>>()?;
        Self::of(records, studies, config, device)
    }

    /// Opens studies that are kept in files, and makes those files that are missing, stale or damaged. `progress`
    /// is called after each study, from several threads. None when it was asked to stop.
    ///
    /// Several processes may do this at once.
    ///
    /// # Errors
    /// As [`CropSource::open`], and when a file cannot be written.
    pub fn open_cached(
        records: &[&StudyRecord],
        points: &dyn Points,
        config: &CropSourceConfig,
        device: Device,
        cache: &CropCache,
        progress: &(dyn Fn(CacheProgress) + Sync),
    ) -> Result<Option<Self>, BoxError> {
        config.check()?;
        let (reach, origin, total) = (config.reach(), points.origin(), records.len());
        let counts = Mutex::new(CacheProgress { done: 0, made: 0, total });
        let keep = |record: &&StudyRecord| {
            if cache.stop.is_stopped() {
                return Ok(None);
            }
            let path = cache.folder.join(format!("{}_{}.crops", record.split, record.id));
            let key = CachedStudy::key(record, &origin, &reach, &config.intensity)?;
            // checksums are compared when the study is first used
            let (made, oddities) = match CachedStudy::open(&path, key, true) {
                Ok(kept) => (false, kept.warnings().to_vec()),
                Err(error) if error.is_rebuildable() => {
                    let kept = keep(record, points, &reach, config)?;
                    kept.write(&path, key)?;
                    (true, kept.warnings().to_vec())
                }
                Err(source) => return Err(CachedStudyError::Cache { study: record.id, source }.into()),
            };
            {
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                counts.done += 1;
                counts.made += usize::from(made);
                progress(*counts);
            }
            let place = Place::File { path, key, verified: AtomicBool::new(false) };
            Ok(Some((record.id.to_string(), Held { id: record.id, place, oddities })))
        };
        let studies: Option<HashMap<String, Held>> = records.par_iter().map(keep).collect::<Result<_, BoxError>>()?;
        studies.map(|studies| Self::of(records, studies, config, device)).transpose()
    }

    fn of(
        records: &[&StudyRecord],
        studies: HashMap<String, Held>,
        config: &CropSourceConfig,
        device: Device,
    ) -> Result<Self, BoxError> {
        let mut labels = LabelTable::new();
        for record in records {
            labels.insert(record.id, record.labels.map_or([None; Target::COUNT], |labels| labels.0))?;
        }
        Ok(Self(Arc::new(Shared { config: config.clone(), device, labels, studies })))
    }

    /// What was odd about a study's files, in words; nothing for a study that is not open.
    #[must_use]
    pub fn oddities(&self, study: &str) -> Vec<String> {
        self.0.studies.get(study).map_or_else(Vec::new, |held| held.oddities.clone())
    }
}

impl Source<Crops> for CropSource {
    fn labels(&self) -> &LabelTable {
        &self.0.labels
    }

    fn batches<'a>(&'a self, plan: &Plan) -> Box<dyn Iterator<Item = Result<Batch<Crops>, BoxError>> + 'a> {
        let (sender, receiver) = sync_channel(PREFETCH);
        let (shared, plan) = (Arc::clone(&self.0), plan.clone());
        std::thread::spawn(move || {
            for studies in &plan.batches {
                // nobody waits any more: the run stopped
                if sender.send(shared.batch(&plan, studies)).is_err() {
                    return;
                }
            }
        });
        Box::new(receiver.into_iter())
    }
}

impl Shared {
    fn batch(&self, plan: &Plan, studies: &[String]) -> Result<Batch<Crops>, BoxError> {
        let mut ready = Vec::with_capacity(studies.len());
        for study in studies {
            ready.push(self.studies.get(study).ok_or_else(|| format!("study {study} is not open"))?);
        }
        let ready: Vec<(StudyId, Arc<CachedStudy>)> =
            ready.par_iter().map(|held| Ok((held.id, held.open()?))).collect::<Result<_, BoxError>>()?;
        let wanted: Vec<(usize, Target)> =
            (0..studies.len()).flat_map(|place| Target::ALL.map(|target| (place, target))).collect();
        let cut: Vec<Option<Vec<f32>>> = wanted
            .par_iter()
            .map_init(Renderer::new, |renderer, &(place, target)| {
                let (study, kept) = &ready[place];
                let failed = |source: BoxError| TrainError::Study { study: *study, source };
                Ok(self.cut(plan, *study, kept, target, renderer).map_err(failed)?)
            })
            .collect::<Result<_, BoxError>>()?;
        let mut groups = [None, None, None];
        for (slot, group) in groups.iter_mut().zip(ConditionGroup::ALL) {
            let shown = || {
                let all = wanted.iter().zip(&cut).filter(|((_, target), _)| target.condition.group() == group);
                all.filter_map(|(cell, pixels)| Some((*cell, pixels.as_ref()?)))
            };
            let cells: Vec<(usize, Target)> = shown().map(|(cell, _)| cell).collect();
            if cells.is_empty() {
                continue;
            }
            let (slices, height, width) = self.config.crop.shape();
            let mut values = Floats::zeros(&[cells.len(), slices, height, width].map(|side| side as i64))?;
            for (values, (_, pixels)) in values.chunks_exact_mut(slices * height * width).zip(shown()) {
                values.copy_from_slice(pixels);
            }
            *slot = Some(GroupCrops { pixels: values.into_tensor().f_to_device(self.device)?, cells });
        }
        let inputs = Crops { studies: studies.len(), groups, device: self.device };
        let shown = Some(inputs.shown()?);
        let class = |label: Option<Severity>| label.map_or(MASKED, |label| label.index() as i64);
        let mut classes = Vec::with_capacity(wanted.len());
        for study in studies {
            let row = self.labels.get(study).ok_or_else(|| format!("study {study} is not open"))?;
            let row = if plan.mirrored { Mirror::targets(row) } else { *row };
            classes.extend(row.map(class));
        }
        let shape = [studies.len() as i64, Target::COUNT as i64];
        let labels = Tensor::f_from_slice(&classes)?.f_view(shape)?.f_to_device(self.device)?;
        Ok(Batch { studies: studies.to_vec(), inputs, labels, shown })
    }

    /// The crop of a target, right sides mirrored; none where its point or series is missing, or where the mirrored
    /// patient's would be the same picture again.
    fn cut(
        &self,
        plan: &Plan,
        study: StudyId,
        kept: &CachedStudy,
        target: Target,
        renderer: &mut Renderer,
    ) -> Result<Option<Vec<f32>>, BoxError> {
        // what a target of the mirrored patient shows lies on the other side of the patient as he is
        let seen = if plan.mirrored { Mirror::target(target) } else { target };
        let CropSourceConfig { crop: size, augment, jitter_mm, evaluation_jitter_mm, .. } = &self.config;
        let is_drawn = plan.augmented || *evaluation_jitter_mm > 0.0;
        if plan.mirrored && seen.condition.side().is_some() && !is_drawn {
            // all sided crops look like left ones: the mirrored patient's are those of the patient as he is
            return Ok(None);
        }
        let Some(mut centre_mm) = kept.points()[seen.index()] else { return Ok(None) };
        let mut random = generator(plan.seed, plan.epoch, study, &format!("crop/{}", target.column()));
        let jitter = if plan.augmented { *jitter_mm } else { *evaluation_jitter_mm };
        if jitter > 0.0 {
            centre_mm.iter_mut().for_each(|position| *position += random.random_range(-jitter..=jitter));
        }
        let mut augmentation =
            if plan.augmented { augment.draw(size.width_px, size.height_px, &mut random) } else { Augmentation::NONE };
        let mirror = match seen.condition.side() {
            // all sided crops look like left ones: another mirroring would undo that
            Some(side) => {
                augmentation.mirror = false;
                side == Side::Right
            }
            None => plan.mirrored,
        };
        let place = CropPlace { mirror, ..CropPlace::at(centre_mm) };
        let kind = SeriesKind::annotated_for(seen.condition);
        let pixels = kept.crop(kind, &place, size, &augmentation, renderer)?;
        Ok(pixels.map(|pixels| pixels.into_raw_vec_and_offset().0))
    }
}

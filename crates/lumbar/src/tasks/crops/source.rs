//! Samples and batches of the crop grader, from the files of studies.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt;
use rayon::prelude::*;
use torch_ext::floats::Floats;

use super::decoded::{CacheProgress, CropCache, DecodedLocation, DecodedStudy, decode};
use super::{CropSourceConfig, Crops, GroupCrops, Points};
use crate::anatomy::{ConditionGroup, Mirror, Severity, Side, Target};
use crate::data::augment::Augmentation;
use crate::data::cached::{CachedStudy, CachedStudyError};
use crate::data::crop::CropPlace;
use crate::data::loader::{BoxError, Dataset, Plan};
use crate::data::manifest::StudyRecord;
use crate::data::random::generator;
use crate::data::render::Renderer;
use crate::data::{SeriesKind, StudyId};
use crate::metric::LabelTable;
use crate::tasks::TaskError;
use crate::tasks::grading::{GradeTruth, labels_of};

/// Crops around the points of studies. Of each study only what crops can show is decoded ([`CachedStudy`]): into memory
/// ([`CropSource::open`]), a few MB a study, or into files ([`CropSource::open_cached`]), so that memory does not
/// depend on the number of studies. Each crop is drawn from (seed, epoch, study, target) alone and is the same from
/// memory and from files.
pub struct CropSource {
    config: CropSourceConfig,
    labels: LabelTable,
    studies: HashMap<StudyId, DecodedStudy>,
}

impl std::fmt::Debug for CropSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CropSource").field("studies", &self.studies.len()).finish_non_exhaustive()
    }
}

/// The crops of one study.
#[derive(Debug)]
pub struct CropSample {
    /// Pixels of each visible target, row-major.
    ///
    /// # Shapes
    /// `[slices, height, width]` each.
    crops: Vec<(Target, Vec<f32>)>,
    labels: [Option<Severity>; Target::COUNT],
}

impl CropSource {
    /// Decodes studies into memory. Studies without labels can be predicted.
    ///
    /// # Errors
    /// When the config is out of range or a study's points cannot be found. What cannot be read or decoded is left
    /// out, see [`CropSource::warnings`].
    pub fn open(records: &[&StudyRecord], points: &dyn Points, config: &CropSourceConfig) -> Result<Self, TaskError> {
        config.check()?;
        let extent = config.extent();
        let decode = |record: &&StudyRecord| {
            let study = Arc::new(decode(record, points, &extent, config)?);
            let warnings = study.warnings().to_vec();
            let location = DecodedLocation::Memory(study);
            Ok((record.id, DecodedStudy { location, warnings }))
        };
        let studies = records.par_iter().map(decode).collect::<Result<_, BoxError>>().map_err(TaskError::Data)?;
        Self::of(records, studies, config)
    }

    /// Opens studies that are cached in files, and writes the files that are missing, stale or damaged. `progress` is
    /// called after each study, from several threads. `None` if the cache's token stopped it.
    ///
    /// Several processes may do this at once.
    ///
    /// # Errors
    /// As [`CropSource::open`], and when a file cannot be written.
    pub fn open_cached(
        records: &[&StudyRecord],
        points: &dyn Points,
        config: &CropSourceConfig,
        cache: &CropCache,
        progress: &(dyn Fn(CacheProgress) + Sync),
    ) -> Result<Option<Self>, TaskError> {
        config.check()?;
        let (extent, origin, total) = (config.extent(), points.origin(), records.len());
        let counts = Mutex::new(CacheProgress { done: 0, made: 0, total });
        let open = |record: &&StudyRecord| {
            if cache.stop.is_stopped() {
                return Ok(None);
            }
            let path = cache.folder.join(format!("{}_{}.crops", record.split, record.id));
            let key = CachedStudy::key(record, &origin, &extent, &config.intensity)?;
            // checksums are compared when the study is first used
            let (made, warnings) = match CachedStudy::open(&path, key, true) {
                Ok(study) => (false, study.warnings().to_vec()),
                Err(error) if error.is_rebuildable() => {
                    let study = decode(record, points, &extent, config)?;
                    study.write(&path, key)?;
                    (true, study.warnings().to_vec())
                }
                Err(source) => return Err(CachedStudyError::Cache { study: record.id, source }.into()),
            };
            {
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                counts.done += 1;
                counts.made += usize::from(made);
                progress(*counts);
            }
            let location = DecodedLocation::File { path, key, verified: AtomicBool::new(false) };
            Ok(Some((record.id, DecodedStudy { location, warnings })))
        };
        let studies: Result<Option<HashMap<_, _>>, BoxError> = records.par_iter().map(open).collect();
        studies.map_err(TaskError::Data)?.map(|studies| Self::of(records, studies, config)).transpose()
    }

    fn of(
        records: &[&StudyRecord],
        studies: HashMap<StudyId, DecodedStudy>,
        config: &CropSourceConfig,
    ) -> Result<Self, TaskError> {
        let labels = labels_of(records.iter().copied()).map_err(|error| TaskError::Data(error.into()))?;
        Ok(Self { config: config.clone(), labels, studies })
    }

    /// What was missing or unreadable in a study's files, in words. Empty for a study that is not open.
    #[must_use]
    pub fn warnings(&self, study: StudyId) -> Vec<String> {
        self.studies.get(&study).map_or_else(Vec::new, |study| study.warnings.clone())
    }

    /// The labels of its studies.
    #[must_use]
    pub const fn labels(&self) -> &LabelTable {
        &self.labels
    }

    /// The crop of a target, right sides mirrored. `None` if its point or series is missing, or if the mirrored
    /// patient's crop would be the same image again.
    fn cut(
        &self,
        plan: &Plan,
        id: StudyId,
        study: &CachedStudy,
        target: Target,
        renderer: &mut Renderer,
    ) -> Result<Option<Vec<f32>>, BoxError> {
        // a target of the mirrored patient is on the other side of the real patient
        let shown = if plan.mirrored { Mirror::target(target) } else { target };
        let CropSourceConfig { crop: size, augment, jitter_mm, evaluation_jitter_mm, .. } = &self.config;
        let is_drawn = plan.augmented || *evaluation_jitter_mm > 0.0;
        // All sided crops look like left ones, and mirroring reverses the order of the canal's sagittal slices, of which
        // there may be one alone: the mirrored patient's crops are those of the real patient.
        let looks_the_same = shown.condition.side().is_some() || size.slices == 1;
        if plan.mirrored && looks_the_same && !is_drawn {
            return Ok(None);
        }
        let Some(mut centre_mm) = study.points()[shown.index()] else { return Ok(None) };
        let mut random = generator(plan.seed, plan.epoch, id, &format!("crop/{}", target.column()));
        let jitter = if plan.augmented { *jitter_mm } else { *evaluation_jitter_mm };
        if jitter > 0.0 {
            centre_mm.iter_mut().for_each(|position| *position += random.random_range(-jitter..=jitter));
        }
        let mut augmentation =
            if plan.augmented { augment.draw(size.width_px, size.height_px, &mut random) } else { Augmentation::NONE };
        let mirror = match shown.condition.side() {
            // all sided crops look like left ones: another mirroring would undo that
            Some(side) => {
                augmentation.mirror = false;
                side == Side::Right
            }
            None => plan.mirrored,
        };
        let place = CropPlace { mirror, ..CropPlace::at(centre_mm) };
        let kind = SeriesKind::annotated_for(shown.condition);
        let pixels = study.crop(kind, &place, size, &augmentation, renderer)?;
        Ok(pixels.map(|pixels| pixels.into_raw_vec_and_offset().0))
    }
}

impl Dataset for CropSource {
    type Sample = CropSample;
    type Inputs = Crops;
    type Truth = GradeTruth;

    fn sample(&self, plan: &Plan, id: StudyId) -> Result<CropSample, BoxError> {
        let not_open = || format!("study {id} is not open");
        let study = self.studies.get(&id).ok_or_else(not_open)?.open()?;
        let labels = self.labels.get(id).ok_or_else(not_open)?;
        let crops: Vec<Option<(Target, Vec<f32>)>> = Target::ALL
            .par_iter()
            .map_init(Renderer::new, |renderer, &target| {
                Ok(self.cut(plan, id, &study, target, renderer)?.map(|pixels| (target, pixels)))
            })
            .collect::<Result<_, BoxError>>()?;
        let labels = if plan.mirrored { Mirror::targets(labels) } else { *labels };
        Ok(CropSample { crops: crops.into_iter().flatten().collect(), labels })
    }

    fn collate(&self, _: &Plan, samples: Vec<CropSample>) -> Result<(Crops, GradeTruth), BoxError> {
        let (slices, height, width) = self.config.crop.shape();
        let mut groups = [None, None, None];
        for (slot, group) in groups.iter_mut().zip(ConditionGroup::ALL) {
            let of_group = || {
                let all = samples.iter().enumerate();
                let all = all.flat_map(|(study, sample)| sample.crops.iter().map(move |crop| (study, crop)));
                all.filter(|(_, (target, _))| target.condition.group() == group)
            };
            let cells: Vec<(usize, Target)> = of_group().map(|(study, (target, _))| (study, *target)).collect();
            if cells.is_empty() {
                continue;
            }
            let mut values = Floats::zeros(&[cells.len(), slices, height, width].map(|side| side as i64))?;
            for (values, (_, (_, pixels))) in values.chunks_exact_mut(slices * height * width).zip(of_group()) {
                values.copy_from_slice(pixels);
            }
            *slot = Some(GroupCrops { pixels: values.into_tensor(), cells });
        }
        let rows: Vec<_> = samples
            .iter()
            .map(|sample| {
                let mut visible = [false; Target::COUNT];
                sample.crops.iter().for_each(|(target, _)| visible[target.index()] = true);
                (sample.labels, visible)
            })
            .collect();
        Ok((Crops { studies: samples.len(), groups }, GradeTruth::new(&rows)?))
    }
}

//! Batches for the crop grader, from the files of studies.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::TrainError;
use super::grader::{Crops, GroupCrops};
use super::loss::MASKED;
use super::network::{Batch, BoxError, Plan, Source};
use crate::anatomy::{ConditionGroup, Mirror, Severity, Side, Target};
use crate::data::augment::{AugmentConfig, Augmentation};
use crate::data::crop::{CropConfig, CropPlace, crop};
use crate::data::intensity::{IntensityConfig, Window};
use crate::data::manifest::StudyRecord;
use crate::data::random::generator;
use crate::data::render::Renderer;
use crate::data::study::{Study, StudyPoint, StudyPoints};
use crate::data::{SeriesId, SeriesKind, StudyId};
use crate::metric::LabelTable;

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
}

/// Tells where the targets of a study lie: the readers' marks, or a localiser's guess.
pub trait Points: Send + Sync {
    /// Positions in patient mm over [`Target::ALL`]; none where it is not known.
    ///
    /// # Errors
    /// Whatever keeps them from being found.
    fn points(&self, study: &Study, record: &StudyRecord) -> Result<[Option<[f64; 3]>; Target::COUNT], BoxError>;
}

/// The readers' marks alone: a target without one is not shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Marked;

impl Points for Marked {
    fn points(&self, study: &Study, record: &StudyRecord) -> Result<[Option<[f64; 3]>; Target::COUNT], BoxError> {
        Ok(StudyPoints::locate(study, record).points.map(|point| match point {
            StudyPoint::Marked { position_mm, .. } => Some(position_mm),
            _ => None,
        }))
    }
}

/// A study ready to be cropped.
struct Ready {
    id: StudyId,
    study: Study,
    windows: HashMap<SeriesId, Window>,
    points: [Option<[f64; 3]>; Target::COUNT],
}

struct Shared {
    config: CropSourceConfig,
    device: Device,
    labels: LabelTable,
    studies: HashMap<String, Ready>,
}

/// Crops around the points of studies that are held decoded in memory, about 20 MB a study. Batches are made
/// by all threads, two ahead of the network; each crop is drawn from (seed, epoch, study, target) alone.
#[derive(Clone)]
pub struct CropSource(Arc<Shared>);

impl std::fmt::Debug for CropSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CropSource").field("studies", &self.0.studies.len()).finish_non_exhaustive()
    }
}

impl CropSource {
    /// Opens and decodes studies. Those without labels are there to be predicted.
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
        let opened: Vec<(String, Ready)> = records
            .par_iter()
            .map(|record| {
                let study = Study::salvage(record);
                let mut windows = HashMap::new();
                for series in &study.series {
                    windows.insert(series.id, Window::of_series(&series.data, &config.intensity)?);
                }
                let points = points.points(&study, record)?;
                Ok((record.id.to_string(), Ready { id: record.id, study, windows, points }))
            })
            .collect::<Result<_, BoxError>>()?;
        let mut labels = LabelTable::new();
        for record in records {
            labels.insert(record.id, record.labels.map_or([None; Target::COUNT], |labels| labels.0))?;
        }
        let studies = opened.into_iter().collect();
        Ok(Self(Arc::new(Shared { config: config.clone(), device, labels, studies })))
    }

    /// What was odd about a study's files, in words; nothing for a study that is not open.
    #[must_use]
    pub fn oddities(&self, study: &str) -> Vec<String> {
        let ready = self.0.studies.get(study);
        ready.map_or_else(Vec::new, |ready| ready.study.oddities.iter().map(ToString::to_string).collect())
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
        let wanted: Vec<(usize, Target)> =
            (0..studies.len()).flat_map(|place| Target::ALL.map(|target| (place, target))).collect();
        let cut: Vec<Option<Vec<f32>>> = wanted
            .par_iter()
            .map_init(Renderer::new, |renderer, &(place, target)| self.cut(plan, ready[place], target, renderer))
            .collect::<Result<_, BoxError>>()?;
        let mut groups = [None, None, None];
        for (slot, group) in groups.iter_mut().zip(ConditionGroup::ALL) {
            let (mut values, mut cells) = (Vec::new(), Vec::new());
            for (&(place, target), pixels) in wanted.iter().zip(&cut) {
                if let Some(pixels) = pixels.as_ref().filter(|_| target.condition.group() == group) {
                    values.extend_from_slice(pixels);
                    cells.push((place, target));
                }
            }
            if !cells.is_empty() {
                let (slices, height, width) = self.config.crop.shape();
                let shape = [cells.len() as i64, slices as i64, height as i64, width as i64];
                let pixels = Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(self.device)?;
                *slot = Some(GroupCrops { pixels, cells });
            }
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

    /// The crop of a target, right sides mirrored; none where its point or series is missing.
    fn cut(
        &self,
        plan: &Plan,
        ready: &Ready,
        target: Target,
        renderer: &mut Renderer,
    ) -> Result<Option<Vec<f32>>, BoxError> {
        // what a target of the mirrored patient shows lies on the other side of the patient as he is
        let seen = if plan.mirrored { Mirror::target(target) } else { target };
        let Some(mut centre_mm) = ready.points[seen.index()] else { return Ok(None) };
        let CropSourceConfig { crop: size, augment, jitter_mm, evaluation_jitter_mm, .. } = &self.config;
        let mut random = generator(plan.seed, plan.epoch, ready.id, &format!("crop/{}", target.column()));
        let jitter = if plan.augmented { *jitter_mm } else { *evaluation_jitter_mm };
        if jitter > 0.0 {
            centre_mm.iter_mut().for_each(|position| *position += random.random_range(-jitter..=jitter));
        }
        let kind = SeriesKind::marked_for(seen.condition);
        let Some(sighting) = ready.study.find(centre_mm, kind, None) else { return Ok(None) };
        let series = ready.study.series(sighting.series).ok_or("the study lost a series")?;
        let stack = series.data.stacks.get(sighting.place.stack).ok_or("the series lost a stack")?;
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
        let window = ready.windows.get(&series.id).ok_or("the series has no window")?;
        let pixels = crop(stack, &place, window, size, &augmentation, renderer)?;
        Ok(Some(pixels.into_raw_vec_and_offset().0))
    }
}

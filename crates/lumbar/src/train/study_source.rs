//! Batches for the whole-study model, from the files of studies.
//!
//! Studies are decoded once, into channels with a margin that lie in a memory-mapped
//! [`Cache`]: memory does not grow with their number. A batch samples from there,
//! augmentation included.
//!
//! A cell is shown when the kind of series is there on which its condition is marked: the canal on sagittal
//! T2/STIR, the foramina on sagittal T1, the recesses on axial T2. Other planes may hint at it, but a guess from
//! a hint is what the prior is for; so a cell that is not shown is neither trained on nor predicted.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::loss::MASKED;
use super::network::{Batch, BoxError, Plan, Source};
use crate::anatomy::{Mirror, Severity, Target};
use crate::data::augment::{AugmentConfig, Augmentation, check_range};
use crate::data::cache::{Block, Cache, CacheKey, Fingerprint};
use crate::data::channels::{ChannelConfig, ChannelCounts, channels, plane_of};
use crate::data::manifest::StudyRecord;
use crate::data::random::generator;
use crate::data::render::{Border, Normalisation, Plane, Region, Renderer, Request};
use crate::data::study::Study;
use crate::data::{Affine, SeriesKind, StudyId};
use crate::metric::LabelTable;
use crate::model::SpineConfig;

/// Batches that wait for the network while it works.
const PREFETCH: usize = 2;

/// What is done to the channels of a study.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `channels` | 96 px, the whole slices | how a study becomes channels | see [`ChannelConfig`] |
/// | `augment` | the top teams' set | of training studies, mirroring included | see [`AugmentConfig`] |
/// | `normalisation` | 0, 1 | mean and std of the last step | std 1e-6–1e6 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudySourceConfig {
    /// How a study becomes channels.
    pub channels: ChannelConfig,
    /// Of training studies.
    pub augment: AugmentConfig,
    /// The last step.
    pub normalisation: Normalisation,
}

impl Default for StudySourceConfig {
    fn default() -> Self {
        Self {
            channels: ChannelConfig::default(),
            augment: AugmentConfig::default(),
            normalisation: Normalisation::NONE,
        }
    }
}

impl StudySourceConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), BoxError> {
        self.channels.check()?;
        self.augment.check()?;
        check_range("normalisation.std", f64::from(self.normalisation.std), 1e-6, 1e6)?;
        Ok(())
    }
}

/// What else is kept with a study's channels.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct About {
    /// Over [`SeriesKind::ALL`].
    shown: [bool; 3],
    oddities: Vec<String>,
}

/// Makes batches for [`WholeStudy`](super::grader::WholeStudy).
#[derive(Debug, Clone)]
pub struct StudySource(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: StudySourceConfig,
    counts: ChannelCounts,
    device: Device,
    labels: LabelTable,
    store: Store,
}

/// Where the channels are.
#[derive(Debug)]
enum Store {
    Mapped(Cache),
    Memory(Vec<(String, Block)>),
}

impl StudySource {
    /// Decodes studies into the cache file `cache`, or opens the one that is there when it belongs to the same
    /// files and settings; without a file the channels stay in memory, for a few studies.
    ///
    /// What cannot be read or decoded is left out, see [`StudySource::oddities`]: no study is refused.
    ///
    /// # Errors
    /// When the config is out of range, the cache cannot be written, or `observer` cancels.
    pub fn open(
        records: &[&StudyRecord],
        spine: &SpineConfig,
        config: &StudySourceConfig,
        cache: Option<&Path>,
        device: Device,
        observer: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<Self, BoxError> {
        config.check()?;
        spine.check()?;
        let counts = ChannelCounts(
            [spine.sagittal_t1_slices, spine.sagittal_t2_slices, spine.axial_t2_slices].map(|count| count as usize),
        );
        let mut labels = LabelTable::new();
        for record in records {
            labels.insert(record.id, record.labels.map_or([None; Target::COUNT], |labels| labels.0))?;
        }
        let done = std::sync::atomic::AtomicUsize::new(0);
        let make = |record: &StudyRecord| {
            if observer.is_cancelled() {
                return Err(BoxError::from("asked to stop"));
            }
            let block = block(record, counts, &config.channels)?;
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            observer.progress(done, records.len());
            Ok(block)
        };
        let store = match cache {
            Some(path) => {
                let key = key(records, counts, &config.channels)?;
                let of_name = |name: &str| records.iter().find(|record| record.id.to_string() == name);
                let cache = Cache::open_or_build(path, key, labels.studies(), |name| {
                    make(of_name(name).ok_or_else(|| format!("study {name} is not among the studies"))?)
                })?;
                Store::Mapped(cache)
            }
            None => {
                let blocks: Vec<(String, Block)> = records
                    .par_iter()
                    .map(|record| Ok((record.id.to_string(), make(record)?)))
                    .collect::<Result<_, BoxError>>()?;
                Store::Memory(blocks)
            }
        };
        Ok(Self(Arc::new(Shared { config: config.clone(), counts, device, labels, store })))
    }

    /// What was odd about a study's files, in words; nothing for a study that is not open.
    #[must_use]
    pub fn oddities(&self, study: &str) -> Vec<String> {
        self.0.about(study).map(|about| about.oddities).unwrap_or_default()
    }
}

impl Source<Tensor> for StudySource {
    fn labels(&self) -> &LabelTable {
        &self.0.labels
    }

    /// # Shapes
    /// Inputs are `[studies, channels, size, size]`.
    fn batches<'a>(&'a self, plan: &Plan) -> Box<dyn Iterator<Item = Result<Batch<Tensor>, BoxError>> + 'a> {
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

/// The channels of a study from its files.
fn block(record: &StudyRecord, counts: ChannelCounts, config: &ChannelConfig) -> Result<Block, BoxError> {
    let study = Study::salvage(record);
    let made = channels(&study, counts, config)?;
    let oddities = study.oddities.iter().map(ToString::to_string).collect();
    let about = serde_json::to_value(About { shown: made.shown, oddities })?;
    Ok(Block { about, ..made.block })
}

fn key(records: &[&StudyRecord], counts: ChannelCounts, config: &ChannelConfig) -> Result<CacheKey, BoxError> {
    let mut files = Vec::new();
    let mut names = Vec::new();
    for record in records {
        let series: Vec<_> = record.series.iter().map(|series| (series.id, series.kind, &series.instances)).collect();
        names.push((record.split, record.id, series));
        for series in &record.series {
            let paths = series.instances.iter().map(|instance| series.folder.join(format!("{instance}.dcm")));
            // a file in another spelling (.DCM) is named by its number alone
            files.extend(paths.filter(|path| path.exists()));
        }
    }
    Ok(CacheKey::new("channels 1", &(config, counts, names), &Fingerprint::of_files(files)?)?)
}

impl Shared {
    fn channels(&self, study: &str) -> Result<(&[u16], &serde_json::Value), BoxError> {
        match &self.store {
            Store::Mapped(cache) => {
                let view = cache.get(study)?;
                Ok((view.pixels, view.about))
            }
            Store::Memory(blocks) => {
                let found = blocks.iter().find(|(name, _)| name == study);
                let (_, block) = found.ok_or_else(|| format!("study {study} is not open"))?;
                Ok((&block.pixels, &block.about))
            }
        }
    }

    fn about(&self, study: &str) -> Result<About, BoxError> {
        Ok(About::deserialize(self.channels(study)?.1)?)
    }

    fn batch(&self, plan: &Plan, studies: &[String]) -> Result<Batch<Tensor>, BoxError> {
        let size = self.config.channels.size_px;
        let count = self.counts.total();
        let mut drawn = Vec::with_capacity(studies.len());
        let (mut classes, mut shown) = (Vec::new(), Vec::new());
        for study in studies {
            let id: StudyId = study.parse().map_err(|_| format!("study {study} is not named by a number"))?;
            let (pixels, _) = self.channels(study)?;
            let augmentation = if plan.augmented {
                self.config.augment.draw(size, size, &mut generator(plan.seed, plan.epoch, id, "study"))
            } else {
                Augmentation::NONE
            };
            let mirrored = augmentation.mirror != plan.mirrored;
            let row = self.labels.get(study).ok_or_else(|| format!("study {study} is not open"))?;
            let row = if mirrored { Mirror::targets(row) } else { *row };
            classes.extend(row.map(|label: Option<Severity>| label.map_or(MASKED, |label| label.index() as i64)));
            let kinds = self.about(study)?.shown;
            // kinds have no side: mirroring changes nothing here
            shown.extend(Target::ALL.map(|target| kinds[SeriesKind::marked_for(target.condition) as usize]));
            drawn.push((pixels, augmentation, mirrored));
        }
        let mut values = vec![0.0; studies.len() * count * size * size];
        values.par_chunks_exact_mut(size * size).enumerate().try_for_each_init(
            Renderer::new,
            |renderer, (place, out)| {
                let (pixels, augmentation, mirrored) = &drawn[place / count];
                self.draw(pixels, augmentation, *mirrored, place % count, renderer, out)
            },
        )?;
        let to_device = |tensor: Tensor, shape: &[i64]| tensor.f_view(shape)?.f_to_device(self.device);
        let (batch, side) = (studies.len() as i64, size as i64);
        let cells = [batch, Target::COUNT as i64];
        Ok(Batch {
            studies: studies.to_vec(),
            inputs: to_device(Tensor::f_from_slice(&values)?, &[batch, count as i64, side, side])?,
            labels: to_device(Tensor::f_from_slice(&classes)?, &cells)?,
            shown: Some(to_device(Tensor::f_from_slice(&shown)?, &cells)?),
        })
    }

    fn draw(
        &self,
        pixels: &[u16],
        augmentation: &Augmentation,
        mirrored: bool,
        number: usize,
        renderer: &mut Renderer,
        out: &mut [f32],
    ) -> Result<(), BoxError> {
        let ChannelConfig { size_px: size, .. } = self.config.channels;
        let (kept, margin) = (self.config.channels.kept_px(), self.config.channels.margin_px() as f64);
        let from = if mirrored { self.counts.mirrored(number) } else { number };
        let axial = self.counts.kind(number).is_some_and(|kind| plane_of(kind) == lumbar_dicom::Plane::Axial);
        let from_crop = Affine::shift([margin; 2]);
        let plane = Plane {
            pixels: pixels[from * kept * kept..(from + 1) * kept * kept].into(),
            rows: kept,
            columns: kept,
            region: Region::whole(kept, kept),
            from_crop: if mirrored && axial { Affine::flip_columns(size).then(&from_crop) } else { from_crop },
            gain: 1.0 / f32::from(u16::MAX),
            offset: 0.0,
        };
        let request = Request {
            width: size,
            height: size,
            border: Border::Constant(0.0),
            augmentation,
            normalisation: self.config.normalisation,
        };
        Ok(renderer.render(Some(&plane), &request, number, out)?)
    }
}

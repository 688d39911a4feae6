//! Samples and batches of the whole-study model, from the files of studies.
//!
//! Studies are decoded once, into channels with a margin in a memory-mapped [`Cache`](crate::data::cache::Cache):
//! memory does not grow with their number. A sample is drawn from there, augmentation included.
//!
//! A target is visible when the study has the kind of series on which its condition is annotated: the canal on sagittal
//! T2/STIR, the foramina on sagittal T1, the recesses on axial T2. Other planes may hint at it, but a guess from a hint
//! is no better than the prior: a target that is not visible is neither trained on nor predicted.

use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::StudySourceConfig;
use crate::anatomy::{Mirror, Severity, Target};
use crate::data::augment::Augmentation;
use crate::data::cache::{Block, CacheKey, Fingerprint};
use crate::data::channels::{ChannelConfig, ChannelCounts, channels, plane_of};
use crate::data::loader::{BoxError, Dataset, Plan};
use crate::data::manifest::{SeriesRecord, StudyRecord};
use crate::data::random::generator;
use crate::data::render::{Border, Region, Renderer, Request, SourceImage};
use crate::data::study::Study;
use crate::data::{Affine2, SeriesKind, StudyId};
use crate::metric::LabelTable;
use crate::model::SpineConfig;
use crate::tasks::TaskError;
use crate::tasks::blocks::StudyBlocks;
use crate::tasks::grading::{GradeTruth, labels_of};

/// What is stored beside a study's channels. The names in the file are those of earlier versions, so that their caches
/// stay valid.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct About {
    /// Over [`SeriesKind::ALL`].
    #[serde(rename = "shown")]
    visible: [bool; 3],
    #[serde(rename = "oddities")]
    warnings: Vec<String>,
}

/// Makes samples and batches for [`WholeStudy`](super::WholeStudy).
#[derive(Debug)]
pub struct StudySource {
    config: StudySourceConfig,
    counts: ChannelCounts,
    labels: LabelTable,
    channels: StudyBlocks,
}

/// The channels of one study.
#[derive(Debug)]
pub struct StudySample {
    /// # Shapes
    /// `[channels, size, size]`, row-major.
    channels: Vec<f32>,
    labels: [Option<Severity>; Target::COUNT],
    visible: [bool; Target::COUNT],
}

impl StudySource {
    /// Decodes studies into the cache file `cache`, or opens that file if it belongs to the same images and settings.
    /// Without a file the channels are in memory, for a few studies.
    ///
    /// What cannot be read or decoded is left out, see [`StudySource::warnings`]: no study is refused.
    ///
    /// # Errors
    /// When the config is out of range or the cache cannot be written, and [`TaskError::Stopped`] when `progress`
    /// cancels.
    pub fn open(
        records: &[&StudyRecord],
        spine: &SpineConfig,
        config: &StudySourceConfig,
        cache: Option<&Path>,
        progress: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<Self, TaskError> {
        config.check()?;
        spine.check()?;
        let counts = ChannelCounts(
            [spine.sagittal_t1_slices, spine.sagittal_t2_slices, spine.axial_t2_slices].map(|count| count as usize),
        );
        let labels = labels_of(records.iter().copied()).map_err(|error| TaskError::Data(error.into()))?;
        let key = || key(records, counts, &config.channels);
        let decode = |record: &StudyRecord| block(record, counts, &config.channels);
        let channels = StudyBlocks::open(records, cache, key, decode, progress)?;
        Ok(Self { config: config.clone(), counts, labels, channels })
    }

    /// What was missing or unreadable in a study's files, in words. Empty for a study that is not open.
    #[must_use]
    pub fn warnings(&self, study: StudyId) -> Vec<String> {
        self.about(study).map(|about| about.warnings).unwrap_or_default()
    }

    /// The labels of its studies.
    #[must_use]
    pub const fn labels(&self) -> &LabelTable {
        &self.labels
    }
}

impl Dataset for StudySource {
    type Sample = StudySample;
    type Inputs = Tensor;
    type Truth = GradeTruth;

    fn sample(&self, plan: &Plan, study: StudyId) -> Result<StudySample, BoxError> {
        let size = self.config.channels.size_px;
        let (pixels, _) = self.channels.get(study)?;
        let augmentation = if plan.augmented {
            self.config.augment.draw(size, size, &mut generator(plan.seed, plan.epoch, study, "study"))
        } else {
            Augmentation::NONE
        };
        let mirrored = augmentation.mirror != plan.mirrored;
        let labels = self.labels.get(study).ok_or_else(|| format!("study {study} is not open"))?;
        let kinds = self.about(study)?.visible;
        let mut channels = vec![0.0; self.counts.total() * size * size];
        channels
            .par_chunks_exact_mut(size * size)
            .enumerate()
            .try_for_each_init(Renderer::new, |renderer, (number, out)| {
                self.draw(pixels, &augmentation, mirrored, number, renderer, out)
            })?;
        Ok(StudySample {
            channels,
            labels: if mirrored { Mirror::targets(labels) } else { *labels },
            // kinds of series have no side: mirroring changes nothing here
            visible: Target::ALL.map(|target| kinds[SeriesKind::annotated_for(target.condition) as usize]),
        })
    }

    /// # Shapes
    /// Inputs are `[studies, channels, size, size]`.
    fn collate(&self, _: &Plan, samples: Vec<StudySample>) -> Result<(Tensor, GradeTruth), BoxError> {
        let (size, count) = (self.config.channels.size_px as i64, self.counts.total() as i64);
        let values: Vec<f32> = samples.iter().flat_map(|sample| sample.channels.iter().copied()).collect();
        let inputs = Tensor::f_from_slice(&values)?.f_view([samples.len() as i64, count, size, size])?;
        let rows: Vec<_> = samples.iter().map(|sample| (sample.labels, sample.visible)).collect();
        Ok((inputs, GradeTruth::new(&rows)?))
    }
}

/// The channels of a study from its files.
fn block(record: &StudyRecord, counts: ChannelCounts, config: &ChannelConfig) -> Result<Block, BoxError> {
    let study = Study::open_lossy(record);
    let made = channels(&study, counts, config)?;
    let warnings = study.warnings.iter().map(ToString::to_string).collect();
    let about = serde_json::to_value(About { visible: made.shown, warnings })?;
    Ok(Block { about, ..made.block })
}

fn key(records: &[&StudyRecord], counts: ChannelCounts, config: &ChannelConfig) -> Result<CacheKey, BoxError> {
    let mut files = Vec::new();
    let mut names = Vec::new();
    for record in records {
        let instances = |series: &SeriesRecord| series.instances().collect::<Vec<u32>>();
        let series: Vec<_> = record.series.iter().map(|series| (series.id, series.kind, instances(series))).collect();
        names.push((record.split, record.id, series));
        files.extend(record.series.iter().flat_map(|series| series.files.iter().map(|file| &file.path)));
    }
    Ok(CacheKey::new("channels 1", &(config, counts, names), &Fingerprint::of_files(files)?)?)
}

impl StudySource {
    fn about(&self, study: StudyId) -> Result<About, BoxError> {
        Ok(About::deserialize(self.channels.get(study)?.1)?)
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
        let (cached, margin) = (self.config.channels.cached_px(), self.config.channels.margin_px() as f64);
        let from = if mirrored { self.counts.mirrored(number) } else { number };
        let axial = self.counts.kind(number).is_some_and(|kind| plane_of(kind) == lumbar_dicom::Plane::Axial);
        let from_crop = Affine2::shift([margin; 2]);
        let plane = SourceImage {
            pixels: pixels[from * cached * cached..(from + 1) * cached * cached].into(),
            rows: cached,
            columns: cached,
            region: Region::whole(cached, cached),
            from_crop: if mirrored && axial { Affine2::flip_columns(size).then(&from_crop) } else { from_crop },
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

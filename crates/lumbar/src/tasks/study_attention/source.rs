//! Samples and batches of the study-attention model, from the files of studies.

use std::path::Path;

use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::Deserialize as _;
use tch::Tensor;
use torch_ext::floats::Floats;

use super::SliceSourceConfig;
use super::images::{About, ImageFrame, block};
use super::network::StudySlices;
use crate::anatomy::{Mirror, Severity, Target};
use crate::data::augment::Augmentation;
use crate::data::cache::{CacheKey, Fingerprint};
use crate::data::channels::plane_of;
use crate::data::loader::{BoxError, Dataset, Plan};
use crate::data::manifest::StudyRecord;
use crate::data::random::{Generator, generator};
use crate::data::render::{Border, Region, Renderer, Request, SourceImage};
use crate::data::{Affine2, SeriesKind, StudyId};
use crate::metric::LabelTable;
use crate::tasks::TaskError;
use crate::tasks::blocks::StudyBlocks;
use crate::tasks::grading::{GradeTruth, labels_of};

/// The slices of studies as images of fixed millimetres. Studies are decoded once, into a memory-mapped
/// [`Cache`](crate::data::cache::Cache) or, without a file, into memory.
///
/// A training sample has a few slices: those at annotated points, and others at random. Where a study has no points,
/// all of them are random. Other samples have all slices.
///
/// A target is visible when the sample has the kind of series on which its condition is annotated, and a sagittal one:
/// without that a level cannot be named. In training one of the chosen slices must show its annotated point as well.
/// Other targets are neither trained on nor predicted. Of the mirrored patient nothing is visible outside of training: its
/// grades would be those of the patient, sides swapped.
#[derive(Debug)]
pub struct SliceSource {
    config: SliceSourceConfig,
    labels: LabelTable,
    images: StudyBlocks,
}

/// The images of one study.
#[derive(Debug)]
pub struct SliceSample {
    /// `[images, height, width]`.
    pixels: Vec<f32>,
    frames: Vec<ImageFrame>,
    /// Images of each kind of series.
    counts: [usize; 3],
    points: Option<[Option<[f64; 3]>; Target::COUNT]>,
    labels: [Option<Severity>; Target::COUNT],
    visible: [bool; Target::COUNT],
}

impl SliceSource {
    /// Decodes studies into the cache file `cache`, or opens that file if it belongs to the same images, annotations
    /// and settings.
    ///
    /// What cannot be read or decoded is left out, see [`SliceSource::warnings`]: no study is refused.
    ///
    /// # Errors
    /// When the config is out of range or the cache cannot be written, and [`TaskError::Stopped`] when `progress`
    /// cancels.
    pub fn open(
        records: &[&StudyRecord],
        config: &SliceSourceConfig,
        cache: Option<&Path>,
        progress: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<Self, TaskError> {
        config.check()?;
        let labels = labels_of(records.iter().copied()).map_err(|error| TaskError::Data(error.into()))?;
        let sizes = (config.width_px, config.height_px, config.margin_px, config.most_slices);
        let stored = (sizes, config.sagittal_pixel_mm, config.axial_pixel_mm, config.intensity);
        let key = || Ok(CacheKey::new("slices 1", &stored, &Fingerprint::of_studies(records.iter().copied())?)?);
        let decode =
            |record: &StudyRecord| Ok(block(record, config).map_err(|error| format!("study {}: {error}", record.id))?);
        let images = StudyBlocks::open(records, cache, key, decode, progress)?;
        Ok(Self { config: config.clone(), labels, images })
    }

    /// What was missing or unreadable in a study's files, in words. Empty for a study that is not open.
    #[must_use]
    pub fn warnings(&self, study: StudyId) -> Vec<String> {
        self.study(study).map(|(_, about)| about.warnings).unwrap_or_default()
    }

    fn study(&self, study: StudyId) -> Result<(&[u16], About), BoxError> {
        let (pixels, about) = self.images.get(study)?;
        Ok((pixels, About::deserialize(about)?))
    }

    /// The images of a training sample.
    fn chosen(&self, about: &About, random: &mut Generator) -> Vec<usize> {
        let points = about.points();
        let kinds: Vec<(SeriesKind, Vec<usize>)> =
            SeriesKind::ALL.into_iter().map(|kind| (kind, about.of_kind(kind))).collect();
        let mut shown = [true; 3];
        for kind in SeriesKind::ALL {
            shown[kind as usize] = !random.random_bool(self.config.plane_dropout);
        }
        let sagittal = [SeriesKind::SagittalT1, SeriesKind::SagittalT2];
        if sagittal.iter().all(|kind| !shown[*kind as usize] || kinds[*kind as usize].1.is_empty()) {
            sagittal.iter().for_each(|kind| shown[*kind as usize] = true);
        }
        let mut chosen = Vec::new();
        for (kind, images) in kinds {
            let want = self.config.training_slices[kind as usize];
            if !shown[kind as usize] {
                continue;
            }
            if images.len() <= want {
                chosen.extend(images);
                continue;
            }
            let mut own: Vec<usize> = Vec::new();
            for target in graded_on(kind, random) {
                let Some(point) = points[target.index()] else { continue };
                let distance = |place: &usize| about.images[images[*place]].1.distance_mm(point);
                let nearest = (0..images.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0);
                if own.len() < want && !own.contains(&images[nearest]) {
                    own.push(images[nearest]);
                }
            }
            let mut others: Vec<usize> = images.into_iter().filter(|image| !own.contains(image)).collect();
            others.shuffle(random);
            own.extend(others.into_iter().take(want - own.len()));
            own.sort_unstable();
            chosen.extend(own);
        }
        chosen
    }
}

/// The targets that are graded on a kind of series, in random order.
fn graded_on(kind: SeriesKind, random: &mut Generator) -> Vec<Target> {
    let own = |target: &Target| SeriesKind::annotated_for(target.condition) == kind;
    let mut targets: Vec<Target> = Target::ALL.into_iter().filter(own).collect();
    targets.shuffle(random);
    targets
}

impl Dataset for SliceSource {
    type Sample = SliceSample;
    type Inputs = StudySlices;
    type Truth = GradeTruth;

    fn sample(&self, plan: &Plan, study: StudyId) -> Result<SliceSample, BoxError> {
        let SliceSourceConfig { width_px, height_px, margin_px, augment, normalisation, .. } = &self.config;
        let (width, height) = (*width_px, *height_px);
        let (pixels, mut about) = self.study(study)?;
        if plan.mirrored && !plan.augmented {
            // Parts of slices that are graded look like those of left sides, sagittal ones are the same slices: nothing of
            // the mirrored patient is worth being looked at.
            about.images.clear();
        }
        let labels = self.labels.get(study).ok_or_else(|| format!("study {study} is not open"))?;
        let mut random = generator(plan.seed, plan.epoch, study, "slices");
        let (chosen, augmentations, mirror) = if plan.augmented {
            let mirror = random.random_bool(augment.mirror_p);
            let each = [(); 3].map(|()| Augmentation { mirror: false, ..augment.draw(width, height, &mut random) });
            (self.chosen(&about, &mut random), each, mirror)
        } else {
            ((0..about.images.len()).collect(), [(); 3].map(|()| Augmentation::NONE), false)
        };
        let mirrored = mirror != plan.mirrored;
        let (columns, rows) = (width + 2 * margin_px, height + 2 * margin_px);
        let mut values = vec![0.0; chosen.len() * width * height];
        let draw = |renderer: &mut Renderer, (out, &image): (&mut [f32], &usize)| {
            let (kind, frame) = about.images[image];
            let augmentation = &augmentations[kind as usize];
            let inner = Affine2::shift([*margin_px as f64; 2]);
            let axial = plane_of(kind) == lumbar_dicom::Plane::Axial;
            let from_crop = if mirrored && axial { Affine2::flip_columns(width).then(&inner) } else { inner };
            let source = SourceImage {
                pixels: pixels[image * columns * rows..(image + 1) * columns * rows].into(),
                rows,
                columns,
                region: Region::whole(rows, columns),
                from_crop,
                gain: 1.0 / f32::from(u16::MAX),
                offset: 0.0,
            };
            let border = Border::Constant(0.0);
            let request = Request { width, height, border, augmentation, normalisation: *normalisation };
            renderer.render(Some(&source), &request, image, out)?;
            let undone = augmentation.affine.inverse().ok_or("the augmentation's affine map has no inverse")?;
            let frame = frame.through(&undone.then(&from_crop));
            Ok(if mirrored { frame.mirrored() } else { frame })
        };
        let frames: Vec<ImageFrame> = values
            .par_chunks_exact_mut(width * height)
            .zip(&chosen)
            .map_init(Renderer::new, draw)
            .collect::<Result<_, BoxError>>()?;
        let mut counts = [0; 3];
        chosen.iter().for_each(|&image| counts[about.images[image].0 as usize] += 1);
        let points = about.points();
        let visible = Target::ALL.map(|target| {
            let kind = SeriesKind::annotated_for(target.condition);
            let sagittal = counts[SeriesKind::SagittalT1 as usize] + counts[SeriesKind::SagittalT2 as usize] > 0;
            let near = |point: [f64; 3]| {
                let own = chosen.iter().map(|&image| &about.images[image]).filter(|(own, _)| *own == kind);
                own.map(|(_, frame)| frame.distance_mm(point)).any(SliceSourceConfig::shows)
            };
            let shown = !plan.augmented || points[target.index()].is_none_or(near);
            sagittal && counts[kind as usize] > 0 && shown
        });
        let mirrored_points = || Mirror::targets(&points.map(|point| point.map(|[x, y, z]| [-x, y, z])));
        Ok(SliceSample {
            pixels: values,
            frames,
            counts,
            points: plan.augmented.then(|| if mirrored { mirrored_points() } else { points }),
            labels: if mirrored { Mirror::targets(labels) } else { *labels },
            visible: if mirrored { Mirror::targets(&visible) } else { visible },
        })
    }

    fn collate(&self, _: &Plan, samples: Vec<SliceSample>) -> Result<(StudySlices, GradeTruth), BoxError> {
        let (width, height) = (self.config.width_px, self.config.height_px);
        let area = width * height;
        let count: usize = samples.iter().map(|sample| sample.frames.len()).sum();
        let mut values = Floats::zeros(&[count, 1, height, width].map(|side| side as i64))?;
        let (mut image, mut frames) = (0, Vec::with_capacity(9 * count));
        for sample in &samples {
            values[image * area..][..sample.pixels.len()].copy_from_slice(&sample.pixels);
            image += sample.frames.len();
            for frame in &sample.frames {
                for vector in [frame.origin_mm, frame.column_mm, frame.row_mm] {
                    frames.extend(vector.map(|value| value as f32));
                }
            }
        }
        let rows: Vec<_> = samples.iter().map(|sample| (sample.labels, sample.visible)).collect();
        let unknown = [f64::NAN; 3];
        let points: Option<Vec<f32>> = samples
            .iter()
            .map(|sample| {
                let points = sample.points?;
                Some(points.into_iter().flat_map(|point| point.unwrap_or(unknown).map(|value| value as f32)))
            })
            .collect::<Option<Vec<_>>>()
            .map(|studies| studies.into_iter().flatten().collect());
        let targets = Target::COUNT as i64;
        let inputs = StudySlices {
            pixels: values.into_tensor(),
            frames: Tensor::f_from_slice(&frames)?.f_view([count as i64, 3, 3])?,
            studies: samples.iter().map(|sample| sample.counts).collect(),
            points: points.map(|points| Tensor::f_from_slice(&points)?.f_view([-1, targets, 3])).transpose()?,
        };
        Ok((inputs, GradeTruth::new(&rows)?))
    }
}

//! Samples and batches of the localiser, from the files of studies.

use std::collections::HashMap;
use std::path::Path;

use rand::RngExt;
use rayon::prelude::*;
use serde::Deserialize as _;
use tch::Tensor;
use torch_ext::floats::Floats;

use super::config::LocateSourceConfig;
use super::decode::{Precision, StackMaps, decode};
use super::grid::{ImageGrid, StackGrid};
use super::local;
use super::stack::{About, AnnotatedPoints, StoredStack, block, points_of, stored_pixel_mm};
use super::synthetic::{DrawnStudy, SyntheticStudies, drawn_pixel_mm};
use super::truth::{LocateTruth, SampleMaps, StackTruth};
use super::{CHANNELS, SAGITTAL};
use crate::anatomy::{Level, Target};
use crate::data::StudyId;
use crate::data::augment::Augmentation;
use crate::data::cache::{CacheKey, Fingerprint};
use crate::data::found_points::StudyFoundPoints;
use crate::data::loader::{BoxError, Dataset, Plan};
use crate::data::manifest::StudyRecord;
use crate::data::random::{Generator, generator};
use crate::data::render::{Border, Normalisation, Region, Renderer, Request, SourceImage};
use crate::model::UNetInference;
use crate::tasks::TaskError;
use crate::tasks::blocks::StudyBlocks;

/// Where a pair of slices begins, in slices from the one that is nearest to a point.
const FIRST_OF_PAIR: [isize; 6] = [-2, -1, -1, 0, 0, 1];
/// Slices of a training sample that may show anything.
const ANYWHERE: usize = 2;

/// Added to the local standard deviation, in that of [`NORMALISATION`]: where nothing is, noise stays small.
const LEAST_DEVIATION: f32 = 0.1;

/// Mean and standard deviation of images in 0…1, about.
const NORMALISATION: Normalisation = Normalisation { mean: 0.25, std: 0.25 };

/// Sagittal slices of studies as small images of fixed millimetres, with the annotated points.
///
/// Studies are decoded once, into a memory-mapped [`Cache`](crate::data::cache::Cache) or, without a file, into memory.
/// In training a study's sample has a few slices of each series, drawn from (seed, epoch, study) alone; otherwise it has
/// all slices.
#[derive(Debug)]
pub struct LocateSource {
    config: LocateSourceConfig,
    points: AnnotatedPoints,
    images: Location,
}

#[derive(Debug)]
enum Location {
    Files(StudyBlocks),
    /// Drawn when they are asked for.
    Drawn(SyntheticStudies),
}

/// The images of one study.
#[derive(Debug)]
pub struct LocateSample(Vec<StackSample>);

/// A stored stack, its pixels, and the points of its study.
struct Stored<'a> {
    stack: &'a StoredStack,
    pixels: &'a [u16],
    pixel_mm: f64,
    points: &'a [Option<[f64; 3]>; Target::COUNT],
}

#[derive(Debug)]
struct StackSample {
    /// `[slices, 3, height, width]`.
    pixels: Vec<f32>,
    grid: StackGrid,
    maps: Option<SampleMaps>,
}

impl LocateSource {
    /// Decodes studies into the cache file `cache`, or opens that file if it belongs to the same images, annotations
    /// and settings. Studies without annotations can be predicted.
    ///
    /// What cannot be read or decoded is left out, see [`LocateSource::warnings`]: no study is refused.
    ///
    /// # Errors
    /// When the config is out of range or the cache cannot be written, and [`TaskError::Stopped`] when `progress`
    /// cancels.
    pub fn open(
        records: &[&StudyRecord],
        config: &LocateSourceConfig,
        cache: Option<&Path>,
        progress: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<Self, TaskError> {
        let stored = (config.pixel_mm, config.intensity);
        let key =
            || Ok(CacheKey::new("sagittal images 2", &stored, &Fingerprint::of_studies(records.iter().copied())?)?);
        let decode =
            |record: &StudyRecord| Ok(block(record, config).map_err(|error| format!("study {}: {error}", record.id))?);
        let images = Location::Files(StudyBlocks::open(records, cache, key, decode, progress)?);
        let mut source = Self { config: config.clone(), points: HashMap::new(), images };
        for record in records {
            let about = source.study(record.id).map_err(TaskError::Data)?.1;
            source.points.insert(record.id, points_of(&about));
        }
        Ok(source)
    }

    /// Studies that are drawn when they are asked for; `seed` is that of the training's plans.
    ///
    /// # Errors
    /// When a config is out of range.
    pub fn synthetic(studies: &SyntheticStudies, config: &LocateSourceConfig, seed: u64) -> Result<Self, TaskError> {
        studies.check()?;
        let validation = studies.split().1.into_par_iter();
        let points = validation.map(|study| (study, DrawnStudy::validation(studies, config, seed, study).points));
        Ok(Self { config: config.clone(), points: points.collect(), images: Location::Drawn(studies.clone()) })
    }

    /// What was missing or unreadable in a study's files, in words. Empty for a study that is not open.
    #[must_use]
    pub fn warnings(&self, study: StudyId) -> Vec<String> {
        self.study(study).map(|(_, about)| about.warnings).unwrap_or_default()
    }

    /// The annotated points of its studies in patient mm, over [`Target::ALL`].
    #[must_use]
    pub const fn points(&self) -> &HashMap<StudyId, [Option<[f64; 3]>; Target::COUNT]> {
        &self.points
    }

    fn study(&self, study: StudyId) -> Result<(&[u16], About), BoxError> {
        let Location::Files(images) = &self.images else { return Err(format!("study {study} has no files").into()) };
        let (pixels, about) = images.get(study)?;
        Ok((pixels, About::deserialize(about)?))
    }

    fn stack_sample(
        &self,
        plan: &Plan,
        study: StudyId,
        stored: &StoredStack,
        pixels: &[u16],
        points: &[Option<[f64; 3]>; Target::COUNT],
    ) -> Result<StackSample, BoxError> {
        let LocateSourceConfig { width_px, height_px, augment, .. } = &self.config;
        let mut random = generator(plan.seed, plan.epoch, study, &format!("locate/{}", stored.grid.kind.title()));
        let (chosen, augmentation) = if plan.augmented {
            let chosen = Self::chosen(&stored.grid, points, &mut random);
            (chosen, augment.draw(*width_px, *height_px, &mut random))
        } else {
            ((0..stored.grid.offsets_mm.len()).collect(), Augmentation::NONE)
        };
        let of = Stored { stack: stored, pixels, pixel_mm: stored_pixel_mm(&self.config), points };
        self.images_of(&of, &chosen, &augmentation, plan.augmented)
    }

    /// The samples of a drawn study: in training a few slices, as often as there are views.
    fn drawn_samples(
        &self,
        studies: &SyntheticStudies,
        plan: &Plan,
        study: StudyId,
    ) -> Result<Vec<StackSample>, BoxError> {
        let LocateSourceConfig { width_px, height_px, augment, .. } = &self.config;
        let drawn = DrawnStudy::of_plan(studies, &self.config, plan, study);
        let mut random = generator(plan.seed, plan.epoch, study, "locate/synthetic");
        let count = drawn.stored.grid.offsets_mm.len();
        let chosen = if plan.augmented { drawn.chosen(studies.slices, &mut random) } else { (0..count).collect() };
        let pixels = drawn.pixels(&shown(&chosen, count), &self.config)?;
        let pixel_mm = drawn_pixel_mm(&self.config);
        let of = Stored { stack: &drawn.stored, pixels: &pixels, pixel_mm, points: &drawn.points };
        let views = if plan.augmented { studies.views } else { 1 };
        let views = (0..views).map(|_| {
            let augmentation =
                if plan.augmented { augment.draw(*width_px, *height_px, &mut random) } else { Augmentation::NONE };
            self.images_of(&of, &chosen, &augmentation, plan.augmented)
        });
        views.collect()
    }

    /// Some slices of a stack, augmented, and in training the maps to be learned.
    fn images_of(
        &self,
        &Stored { stack: stored, pixels, pixel_mm, points }: &Stored<'_>,
        chosen: &[usize],
        augmentation: &Augmentation,
        with_maps: bool,
    ) -> Result<StackSample, BoxError> {
        let LocateSourceConfig { width_px, height_px, .. } = &self.config;
        let image = ImageGrid::of(&self.config);
        let count = stored.grid.offsets_mm.len();
        let shown = shown(chosen, count);
        let area = width_px * height_px;
        let mut planes = vec![Vec::new(); count];
        let mut renderer = Renderer::new();
        let request = Request {
            width: *width_px,
            height: *height_px,
            border: Border::Constant(0.0),
            augmentation,
            normalisation: NORMALISATION,
        };
        for slice in (0..count).filter(|&slice| shown[slice]) {
            let size = stored.rows * stored.columns;
            let from = SourceImage {
                pixels: pixels[stored.start + slice * size..][..size].into(),
                rows: stored.rows,
                columns: stored.columns,
                region: Region::whole(stored.rows, stored.columns),
                from_crop: image.to_stored(pixel_mm, stored.columns, stored.rows),
                gain: 1.0 / f32::from(u16::MAX),
                offset: 0.0,
            };
            planes[slice] = vec![0.0; area];
            renderer.render(Some(&from), &request, slice, &mut planes[slice])?;
            if self.config.local_mm > 0.0 {
                let radius = (self.config.local_mm / self.config.pixel_mm).round().max(1.0) as usize;
                local::normalise(&mut planes[slice], *width_px, radius, LEAST_DEVIATION);
            }
        }
        let mut images = Vec::with_capacity(chosen.len() * CHANNELS as usize * area);
        for &slice in chosen {
            let [before, own, after] = neighbours(slice, count).map(|slice| planes[slice].as_slice());
            images.extend_from_slice(own);
            images.extend(before.iter().zip(after).map(|(a, b)| a.min(*b)));
            images.extend(before.iter().zip(after).map(|(a, b)| a.max(*b)));
        }
        let mut grid = stored.grid.clone();
        grid.offsets_mm = chosen.iter().map(|&slice| stored.grid.offsets_mm[slice]).collect();
        let maps = with_maps.then(|| self.maps(&grid, points, augmentation, image));
        Ok(StackSample { pixels: images, grid, maps })
    }

    /// Slices of a training sample: a pair of neighbours about a canal point, another about a foramen of one side, and
    /// slices from anywhere. Pairs teach how the probability falls from slice to slice, the others where it is low.
    fn chosen(grid: &StackGrid, points: &[Option<[f64; 3]>; Target::COUNT], random: &mut Generator) -> Vec<usize> {
        let count = grid.offsets_mm.len();
        let mut chosen = [0; ANYWHERE].map(|_: usize| random.random_range(0..count.max(1))).to_vec();
        // one map serves both sides
        let foramen = random.random_range(1..SAGITTAL / Level::ALL.len());
        for group in [0, foramen] {
            let level = random.random_range(0..Level::ALL.len());
            let first = FIRST_OF_PAIR[random.random_range(0..FIRST_OF_PAIR.len())];
            let point = points[group * Level::ALL.len() + level].map(|point| grid.project(point).left_mm);
            let Some((nearest, _)) = point.and_then(|left_mm| grid.nearest(left_mm)) else { continue };
            chosen.extend([first, first + 1].map(|step| nearest.saturating_add_signed(step)));
        }
        chosen.retain(|slice| *slice < count);
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    fn maps(
        &self,
        grid: &StackGrid,
        points: &[Option<[f64; 3]>; Target::COUNT],
        augmentation: &Augmentation,
        image: ImageGrid,
    ) -> SampleMaps {
        let (width, height) = (self.config.width_px, self.config.height_px);
        let positions: [_; SAGITTAL] = std::array::from_fn(|target| points[target].map(|point| grid.project(point)));
        let places = positions.map(|position| {
            let position = position?;
            let at = augmentation.point(image.image_pixel([position.back_mm, position.down_mm]), width, height)?;
            let inside = |at: f64, size: usize| (0.0..=size as f64 - 1.0).contains(&at);
            let is_inside = inside(at[0], width) && inside(at[1], height);
            is_inside.then_some((ImageGrid::map_pixel(at), position.left_mm))
        });
        let levels = Level::ALL.len();
        let canal = std::array::from_fn(|level| {
            let [canal, left, right] = [0, 1, 2].map(|group| positions[group * levels + level].map(|at| at.left_mm));
            canal.or_else(|| Some((left? + right?) / 2.0))
        });
        SampleMaps::new(&places, &canal, &grid.offsets_mm, image, self.config.sigma_mm)
    }
}

impl LocateSource {
    /// What each of several networks finds in a study.
    pub(crate) fn find(&self, study: StudyId, networks: &[UNetInference]) -> Result<Vec<StudyFoundPoints>, BoxError> {
        let LocateSample(stacks) = self.sample(&Plan::in_order(&[study], 1), study)?;
        let (size, networks) = ([self.config.height_px, self.config.width_px], networks.iter().collect::<Vec<_>>());
        // of each stack by each network
        let maps: Vec<Vec<Vec<f32>>> =
            stacks.iter().map(|stack| UNetInference::run(&networks, &stack.pixels, size)).collect();
        let image = ImageGrid::of(&self.config);
        let of_network = |network: usize| {
            let stacks = stacks.iter().zip(&maps).map(|(stack, maps)| {
                let logits = &maps[network];
                StackMaps { grid: &stack.grid, image, logits, precision: Precision::Single }
            });
            decode(&stacks.collect::<Vec<_>>())
        };
        Ok((0..networks.len()).into_par_iter().map(of_network).collect())
    }
}

/// Which slices of a stack are needed for some of them: these and their neighbours.
fn shown(chosen: &[usize], count: usize) -> Vec<bool> {
    let mut shown = vec![false; count];
    chosen.iter().flat_map(|&slice| neighbours(slice, count)).for_each(|slice| shown[slice] = true);
    shown
}

/// A slice and its neighbours; at the ends of the stack the slice itself.
fn neighbours(slice: usize, count: usize) -> [usize; 3] {
    [slice.saturating_sub(1), slice, (slice + 1).min(count - 1)]
}

impl Dataset for LocateSource {
    type Sample = LocateSample;
    type Inputs = Tensor;
    type Truth = LocateTruth;

    fn sample(&self, plan: &Plan, study: StudyId) -> Result<LocateSample, BoxError> {
        if let Location::Drawn(studies) = &self.images {
            return Ok(LocateSample(self.drawn_samples(studies, plan, study)?));
        }
        let (pixels, about) = self.study(study)?;
        let points = points_of(&about);
        let stacks = about.stacks.par_iter().map(|stored| self.stack_sample(plan, study, stored, pixels, &points));
        Ok(LocateSample(stacks.collect::<Result<_, BoxError>>()?))
    }

    /// # Shapes
    /// Inputs are `[slices, 3, height, width]`: each slice, and the smaller and the larger of its two neighbours' values.
    /// They do not depend on the order of the slices, so that neither do the points.
    fn collate(&self, _: &Plan, samples: Vec<LocateSample>) -> Result<(Tensor, LocateTruth), BoxError> {
        let image = ImageGrid::of(&self.config);
        let stacks = || samples.iter().flat_map(|sample| &sample.0);
        let count: usize = stacks().map(|stack| stack.grid.offsets_mm.len()).sum();
        let shape = [count as i64, CHANNELS, self.config.height_px as i64, self.config.width_px as i64];
        let mut values = Floats::zeros(&shape)?;
        let mut start = 0;
        for stack in stacks() {
            values[start..start + stack.pixels.len()].copy_from_slice(&stack.pixels);
            start += stack.pixels.len();
        }
        let mut truths = Vec::new();
        for (study, sample) in samples.into_iter().enumerate() {
            for StackSample { grid, maps, .. } in sample.0 {
                let slices = grid.offsets_mm.len();
                let maps = maps.map(|maps| maps.into_tensors(slices)).transpose()?;
                truths.push(StackTruth { study, slices, grid, maps });
            }
        }
        Ok((values.into_tensor(), LocateTruth { stacks: truths, image }))
    }
}

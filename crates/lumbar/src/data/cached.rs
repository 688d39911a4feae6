//! A study reduced to what crops around its targets can show: the parts of its slices within a [`CropExtent`], as
//! they are stored in its files, with the headers of the slices and the windows of the series.
//!
//! Crops of a cached study equal those of the whole one, bit for bit; a crop that needs more is an error. In memory a
//! study takes a few MB. In a file (see [`cache`](super::cache)) it takes none: the parts are mapped, and a file of
//! another configuration or of other images is made again.

mod extent;
mod head;

use std::collections::HashMap;
use std::path::Path;

use lumbar_dicom::{Pixels, Rescale, Slice};
use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::augment::Augmentation;
use super::cache::{Block, Cache, CacheError, CacheKey, CacheWriter};
use super::crop::{CropConfig, CropError, CropPlace, placed_slices, request};
use super::intensity::{IntensityConfig, IntensityWindow};
use super::render::{Region, Renderer, Samples, SourceImage};
use super::study::{Study, StudyError};
use super::{SeriesId, SeriesKind, StudyId};
use crate::anatomy::Target;

pub use extent::CropExtent;
use head::Head;

/// Purpose and version of what is stored, for keys. Its words are those of the first version, so that files that
/// were made by it are still used.
const PURPOSE: &str = "kept study 1";
/// Name of the block with the head and without pixels.
const HEAD: &str = "head";

/// A study reduced to what crops can show.
#[derive(Debug)]
pub struct CachedStudy {
    study: Study,
    windows: HashMap<SeriesId, IntensityWindow>,
    points: [Option<[f64; 3]>; Target::COUNT],
    warnings: Vec<String>,
    /// Maps series, stack and slice to the number of the cached part.
    numbers: HashMap<(SeriesId, usize, usize), usize>,
    parts: Vec<(Area, Kind)>,
    pixels: StoredPixels,
}

#[derive(Debug)]
enum StoredPixels {
    Memory(Vec<Vec<u16>>),
    Mapped(Cache),
}

/// A part of one slice of a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Area {
    series: SeriesId,
    stack: usize,
    slice: usize,
    region: Region,
}

/// How pixels were stored before they became 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// 8 or 16 unsigned bits, unchanged.
    Unsigned,
    /// 8 or 16 signed bits, unchanged.
    Signed,
    /// Floats, unchanged: the lower halves of all, then the upper halves.
    Float,
    /// Wider integers and doubles, rescaled to floats.
    Rescaled,
}

impl Kind {
    /// How many 16-bit values a pixel takes.
    const fn planes(self) -> usize {
        match self {
            Self::Unsigned | Self::Signed => 1,
            Self::Float | Self::Rescaled => 2,
        }
    }
}

/// Why a study cannot be cached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CachedStudyError {
    /// It cannot be decoded.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// A slice cannot be decoded.
    #[error("study {study}: {source}")]
    Pixels {
        /// The study.
        study: StudyId,
        /// The cause.
        source: lumbar_dicom::Error,
    },
    /// Its file cannot be read or written.
    #[error("study {study}: {source}")]
    Cache {
        /// The study.
        study: StudyId,
        /// The cause.
        source: CacheError,
    },
}

impl CachedStudy {
    /// Decodes a study and caches in memory what crops around `points` (patient mm, over [`Target::ALL`]) can show.
    ///
    /// # Errors
    /// When a slice cannot be decoded.
    pub fn new(
        study: &Study,
        points: [Option<[f64; 3]>; Target::COUNT],
        extent: &CropExtent,
        intensity: &IntensityConfig,
    ) -> Result<Self, CachedStudyError> {
        let failed = |source| CachedStudyError::Pixels { study: study.id, source };
        let mut regions: HashMap<(SeriesId, usize, usize), Region> = HashMap::new();
        for target in Target::ALL {
            let Some(point) = points[target.index()] else { continue };
            for area in extent.areas(study, SeriesKind::annotated_for(target.condition), point) {
                let region = regions.entry((area.series, area.stack, area.slice)).or_insert(area.region);
                *region = region.union(&area.region);
            }
        }
        let (mut parts, mut pixels, mut windows) = (Vec::new(), Vec::new(), Vec::new());
        for series in &study.series {
            windows.push(IntensityWindow::of_series(&series.data, intensity).map_err(failed)?);
            for (stack, slices) in series.data.stacks.iter().enumerate() {
                for (slice, head) in slices.slices.iter().enumerate() {
                    let Some(region) = regions.get(&(series.id, stack, slice)) else { continue };
                    let (kind, values) = part(head, *region).map_err(failed)?;
                    parts.push((Area { series: series.id, stack, slice, region: *region }, kind));
                    pixels.push(values);
                }
            }
        }
        let warnings = study.warnings.iter().map(ToString::to_string).collect();
        Self::of(&Head::new(study, &windows, &points, warnings, parts), StoredPixels::Memory(pixels)).map_err(failed)
    }

    fn of(head: &Head, pixels: StoredPixels) -> Result<Self, lumbar_dicom::Error> {
        let (study, windows) = head.study()?;
        let number = |(number, (area, _)): (usize, &(Area, Kind))| ((area.series, area.stack, area.slice), number);
        Ok(Self {
            study,
            windows: windows.into_iter().collect(),
            points: head.points(),
            warnings: head.warnings.clone(),
            numbers: head.parts.iter().enumerate().map(number).collect(),
            parts: head.parts.clone(),
            pixels,
        })
    }

    /// The key of a file: the study's images and annotations, what is cached of them, and `points`, which says where
    /// the points come from.
    ///
    /// # Errors
    /// When the metadata of a file cannot be read.
    pub fn key(
        record: &super::manifest::StudyRecord,
        points: &str,
        extent: &CropExtent,
        intensity: &IntensityConfig,
    ) -> Result<CacheKey, CachedStudyError> {
        let failed = |source| CachedStudyError::Cache { study: record.id, source };
        let data = super::cache::Fingerprint::of_study(record).map_err(failed)?;
        CacheKey::new(PURPOSE, &(points, extent, intensity), &data)
            .map_err(|source| failed(CacheError::Build { name: HEAD.to_owned(), source: source.into() }))
    }

    /// Writes a file that [`CachedStudy::open`] reads.
    ///
    /// # Errors
    /// When it cannot be written; an existing file is unchanged.
    pub fn write(&self, path: &Path, key: CacheKey) -> Result<(), CachedStudyError> {
        self.write_blocks(path, key).map_err(|source| CachedStudyError::Cache { study: self.study.id, source })
    }

    fn write_blocks(&self, path: &Path, key: CacheKey) -> Result<(), CacheError> {
        let bad = |name: &str, reason: String| CacheError::BadBlock { name: name.to_owned(), reason };
        let windows: Vec<IntensityWindow> =
            self.study.series.iter().filter_map(|series| self.windows.get(&series.id).copied()).collect();
        let head = Head::new(&self.study, &windows, &self.points, self.warnings.clone(), self.parts.clone());
        let about = serde_json::to_value(head).map_err(|error| bad(HEAD, error.to_string()))?;
        let mut writer = CacheWriter::create(path, key)?;
        writer.add(HEAD, &Block { shape: [0; 3], pixels: Vec::new(), about })?;
        for (number, (Area { region, .. }, kind)) in self.parts.iter().enumerate() {
            let pixels = self.stored(number)?.to_vec();
            let shape = [kind.planes(), region.height, region.width];
            writer.add(&number.to_string(), &Block { shape, pixels, about: serde_json::Value::Null })?;
        }
        writer.finish()
    }

    /// Opens a file that [`CachedStudy::write`] made. Its checksums are compared now, unless `verified` says that this
    /// process has done so before.
    ///
    /// # Errors
    /// When there is no file, or it is stale or damaged.
    pub fn open(path: &Path, key: CacheKey, verified: bool) -> Result<Self, CacheError> {
        let cache = Cache::open(path, key)?;
        if verified {
            cache.trust();
        } else {
            cache.verify()?;
        }
        let damaged = |reason: String| CacheError::Damaged { path: path.to_owned(), reason };
        let head = Head::deserialize(cache.get(HEAD)?.about).map_err(|error| damaged(error.to_string()))?;
        Self::of(&head, StoredPixels::Mapped(cache)).map_err(|error| damaged(error.to_string()))
    }

    /// The study with the headers of its slices and without pixels. Series of unknown kind are left out.
    #[must_use]
    pub const fn study(&self) -> &Study {
        &self.study
    }

    /// The positions of the targets in patient mm, over [`Target::ALL`].
    #[must_use]
    pub const fn points(&self) -> &[Option<[f64; 3]>; Target::COUNT] {
        &self.points
    }

    /// The warnings about the study's files, as text.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Bytes of all cached pixels.
    #[must_use]
    pub fn pixel_bytes(&self) -> usize {
        let bytes = |(area, kind): &(Area, Kind)| 2 * kind.planes() * area.region.width * area.region.height;
        self.parts.iter().map(bytes).sum()
    }

    /// Cuts a crop around `place` from the series of `kind` that shows it best; `None` if there is no such
    /// series. See [`crop`](super::crop::crop).
    ///
    /// # Shapes
    /// Returns `[slices, height, width]`.
    ///
    /// # Errors
    /// When the crop shows more than is cached, or the file cannot be read.
    pub fn crop(
        &self,
        kind: SeriesKind,
        place: &CropPlace,
        config: &CropConfig,
        augmentation: &Augmentation,
        renderer: &mut Renderer,
    ) -> Result<Option<Array3<f32>>, CropError> {
        let Some(slice_match) = self.study.find(place.centre_mm, kind, None) else { return Ok(None) };
        let (id, stack_index) = (slice_match.series, slice_match.place.stack);
        let series = self.study.series(id).ok_or(CropError::NoGeometry)?;
        let (stack, window) = (&series.data.stacks[stack_index], self.windows[&id]);
        let request = request(config, augmentation);
        let mut out = Array3::zeros(config.shape());
        let placed = placed_slices(stack, place, config, augmentation.mirror)?;
        for ((number, mut slice_out), placed) in out.outer_iter_mut().enumerate().zip(placed) {
            let pixels_out = slice_out.as_slice_mut().unwrap_or_default();
            let Some((slice, from_crop)) = placed else {
                renderer.render(None, &request, number, pixels_out)?;
                continue;
            };
            let part = self.numbers.get(&(id, stack_index, slice)).ok_or(CropError::SliceNotCached { slice })?;
            let head = &stack.slices[slice];
            let (Area { region, .. }, kind) = self.parts[*part];
            let stored = self.stored(*part)?;
            let floats: Vec<f32>;
            let (pixels, rescale) = match kind {
                Kind::Unsigned => (Samples::U16(stored), head.rescale),
                Kind::Signed => (Samples::I16(signed(stored)), head.rescale),
                Kind::Float | Kind::Rescaled => {
                    let (low, high) = stored.split_at(stored.len() / 2);
                    let joined = low.iter().zip(high).map(|(low, high)| u32::from(*low) | u32::from(*high) << 16);
                    floats = joined.map(f32::from_bits).collect();
                    let rescale = if kind == Kind::Float { head.rescale } else { Rescale::NONE };
                    (Samples::F32(&floats), rescale)
                }
            };
            let (gain, offset) = window.gain_offset(rescale, head.is_inverted());
            let image = SourceImage { pixels, rows: head.rows, columns: head.columns, region, from_crop, gain, offset };
            renderer.render(Some(&image), &request, number, pixels_out)?;
        }
        Ok(Some(out))
    }

    fn stored(&self, part: usize) -> Result<&[u16], CacheError> {
        match &self.pixels {
            StoredPixels::Memory(parts) => Ok(&parts[part]),
            StoredPixels::Mapped(cache) => Ok(cache.get(&part.to_string())?.pixels),
        }
    }
}

/// The same bits as signed values.
fn signed(pixels: &[u16]) -> &[i16] {
    // SAFETY: both types have the same size and alignment, and every bit pattern is valid for both.
    unsafe { std::slice::from_raw_parts(pixels.as_ptr().cast(), pixels.len()) }
}

/// The part of a slice within a region.
fn part(slice: &Slice, region: Region) -> Result<(Kind, Vec<u16>), lumbar_dicom::Error> {
    fn cut<T: Copy>(values: &[T], columns: usize, region: Region, turn: impl Fn(T) -> u16) -> Vec<u16> {
        let rows = values.chunks_exact(columns).skip(region.y).take(region.height);
        rows.flat_map(|row| &row[region.x..region.x + region.width]).map(|value| turn(*value)).collect()
    }
    let columns = slice.columns;
    let halves = |values: &[f32]| {
        let mut halves = cut(values, columns, region, |value| value.to_bits() as u16);
        halves.extend(cut(values, columns, region, |value| (value.to_bits() >> 16) as u16));
        halves
    };
    Ok(match &slice.pixels()? {
        Pixels::U8(values) => (Kind::Unsigned, cut(values, columns, region, u16::from)),
        Pixels::U16(values) => (Kind::Unsigned, cut(values, columns, region, |value| value)),
        Pixels::I8(values) => (Kind::Signed, cut(values, columns, region, |value| i16::from(value).cast_unsigned())),
        Pixels::I16(values) => (Kind::Signed, cut(values, columns, region, i16::cast_unsigned)),
        Pixels::F32(values) => (Kind::Float, halves(values)),
        // rescaled before they are rounded to floats, as `crop` does
        wide => (Kind::Rescaled, halves(&wide.rescaled(slice.rescale))),
    })
}

#[cfg(test)]
mod tests;

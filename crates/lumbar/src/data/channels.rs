//! A whole study as one image with many channels: slices of each plane, evenly spread over the body.
//!
//! Channels are the sagittal T1 slices, then the sagittal T2/STIR ones, from the patient's right to the left,
//! then the axial T2 ones from the feet to the head. All stacks of all series of a kind are pooled and sorted by the
//! position of the slices' centres in the patient; the order of files and the scanner's numbering do not matter. With `n` channels, channel `k` is the slice nearest to the fraction `(k + ½)/n` of the way from
//! the first slice to the last, so that a level is in about the same channels in every study.
//!
//! Images have the orientation of [`crop`](super::crop) (columns to the back or to the left), so that
//! mirroring the patient reverses the order of sagittal channels and the columns of axial ones.

use lumbar_dicom::{Geometry, Plane, Slice, Stack};
use serde::{Deserialize, Serialize};

use super::augment::Augmentation;
use super::crop::{CropConfig, CropError, CropFrame, CropPlace, crop};
use super::intensity::{IntensityConfig, IntensityWindow};
use super::render::{Normalisation, Renderer};
use super::study::Study;
use super::{SeriesKind, cache::Block};
use crate::config::{ConfigError, check_range};

/// An image is rendered at most this many times finer before it is averaged down.
const FINEST: usize = 8;

/// How a study becomes channels.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `size_px` | 96 | side of the square images | 8–1024 |
/// | `margin` | 0.1 | fraction of the side that is cached beyond each edge, for shifts and rotations | 0–0.5 |
/// | `sagittal_field_mm` | 0 | side in the patient, about the slice's middle; 0 is the whole slice's longer side | 0–1000 |
/// | `axial_field_mm` | 0 | the same for axial slices | 0–1000 |
/// | `intensity` | percentiles of the series | what becomes 0…1 | see [`IntensityConfig`] |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct ChannelConfig {
    pub size_px: usize,
    pub margin: f64,
    pub sagittal_field_mm: f64,
    pub axial_field_mm: f64,
    pub intensity: IntensityConfig,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            size_px: 96,
            margin: 0.1,
            sagittal_field_mm: 0.0,
            axial_field_mm: 0.0,
            intensity: IntensityConfig::default(),
        }
    }
}

impl ChannelConfig {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_range("channels.size_px", self.size_px, 8, 1024)?;
        check_range("channels.margin", self.margin, 0.0, 0.5)?;
        check_range("channels.sagittal_field_mm", self.sagittal_field_mm, 0.0, 1000.0)?;
        check_range("channels.axial_field_mm", self.axial_field_mm, 0.0, 1000.0)?;
        self.intensity.check()
    }

    /// Pixels beyond each edge of the image.
    #[must_use]
    pub fn margin_px(&self) -> usize {
        (self.size_px as f64 * self.margin).round() as usize
    }

    /// Side of the images with their margin.
    #[must_use]
    pub fn cached_px(&self) -> usize {
        self.size_px + 2 * self.margin_px()
    }

    fn field_mm(&self, kind: SeriesKind) -> f64 {
        match plane_of(kind) {
            Plane::Axial => self.axial_field_mm,
            _ => self.sagittal_field_mm,
        }
    }
}

/// How many channels show each kind of series, in the order of [`SeriesKind::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelCounts(pub [usize; 3]);

impl ChannelCounts {
    /// All channels.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }

    /// The channel that channel `number` of the mirrored patient shows: sagittal channels are in reverse order, axial
    /// ones are the same.
    #[must_use]
    pub fn mirrored(&self, number: usize) -> usize {
        let mut first = 0;
        for (kind, count) in SeriesKind::ALL.into_iter().zip(self.0) {
            if (first..first + count).contains(&number) {
                let turned = plane_of(kind) == Plane::Sagittal;
                return if turned { 2 * first + count - 1 - number } else { number };
            }
            first += count;
        }
        number
    }

    /// The kind of series that a channel is from.
    #[must_use]
    pub fn kind(&self, number: usize) -> Option<SeriesKind> {
        let mut first = 0;
        SeriesKind::ALL.into_iter().zip(self.0).find_map(|(kind, count)| {
            first += count;
            (number < first).then_some(kind)
        })
    }
}

/// A study's channels, ready to be cached.
#[derive(Debug, Clone, PartialEq)]
pub struct Channels {
    /// `[channels, size, size]` with the margin; 0…65535 is the window's 0…1. A kind that is missing is 0 throughout.
    pub block: Block,
    /// Which kinds of series the study has, in the order of [`SeriesKind::ALL`].
    pub shown: [bool; 3],
}

/// The plane of a kind of series.
pub(crate) const fn plane_of(kind: SeriesKind) -> Plane {
    match kind {
        SeriesKind::SagittalT1 | SeriesKind::SagittalT2 => Plane::Sagittal,
        SeriesKind::AxialT2 => Plane::Axial,
    }
}

/// A slice in its plane, with a position in the patient.
pub(crate) struct PlacedSlice<'a> {
    /// Position of its middle along the body's axis.
    position_mm: f64,
    stack: &'a Stack,
    slice: &'a Slice,
    geometry: Geometry,
    window: IntensityWindow,
}

/// Size of the image of a slice.
pub(crate) struct ImageSize {
    pub(crate) pixel_mm: f64,
    pub(crate) width_px: usize,
    pub(crate) height_px: usize,
}

/// Makes the channels of a study.
///
/// # Errors
/// When a slice cannot be decoded. [`Study::open_lossy`] leaves such slices out.
pub fn channels(study: &Study, counts: ChannelCounts, config: &ChannelConfig) -> Result<Channels, CropError> {
    let side = config.cached_px();
    let mut pixels = Vec::with_capacity(counts.total() * side * side);
    let mut renderer = Renderer::new();
    let mut shown = [false; 3];
    for (kind, count) in SeriesKind::ALL.into_iter().zip(counts.0) {
        let slices = if count > 0 { placed_slices(study, kind, &config.intensity)? } else { Vec::new() };
        shown[kind as usize] = !slices.is_empty();
        let mut last: Option<(*const Slice, usize)> = None;
        for number in 0..count {
            let start = pixels.len();
            match (nearest(&slices, number, count), last) {
                // more channels than slices: the same image again
                (Some(place), Some((before, from))) if std::ptr::eq(place.slice, before) => {
                    pixels.extend_from_within(from..from + side * side);
                }
                (Some(place), _) => {
                    draw(place, config, kind, &mut renderer, &mut pixels)?;
                    last = Some((place.slice, start));
                }
                (None, _) => pixels.resize(start + side * side, 0),
            }
        }
    }
    let about = serde_json::Value::Null;
    Ok(Channels { block: Block { shape: [counts.total(), side, side], pixels, about }, shown })
}

/// All slices of a kind in its plane, along the body's axis: from right to left, from feet to head.
pub(crate) fn placed_slices<'a>(
    study: &'a Study,
    kind: SeriesKind,
    intensity: &IntensityConfig,
) -> Result<Vec<PlacedSlice<'a>>, CropError> {
    let axis = if plane_of(kind) == Plane::Axial { 2 } else { 0 };
    let mut slices = Vec::new();
    for series in study.series_of(kind) {
        let window = IntensityWindow::of_series(&series.data, intensity)?;
        for stack in &series.data.stacks {
            for slice in &stack.slices {
                let Some(geometry) = slice.geometry.filter(|geometry| geometry.plane() == plane_of(kind)) else {
                    continue;
                };
                let position_mm = middle_mm(slice, &geometry)[axis];
                slices.push(PlacedSlice { position_mm, stack, slice, geometry, window });
            }
        }
    }
    slices.sort_by(|a, b| {
        let instance = |place: &PlacedSlice| place.slice.instance_number;
        a.position_mm.total_cmp(&b.position_mm).then(instance(a).cmp(&instance(b)))
    });
    Ok(slices)
}

fn middle_mm(slice: &Slice, geometry: &Geometry) -> [f64; 3] {
    geometry.patient_at((slice.columns as f64 - 1.0) / 2.0, (slice.rows as f64 - 1.0) / 2.0)
}

fn nearest<'a, 'b>(slices: &'b [PlacedSlice<'a>], number: usize, count: usize) -> Option<&'b PlacedSlice<'a>> {
    let (low, high) = (slices.first()?.position_mm, slices.last()?.position_mm);
    let wanted = low + (high - low) * (number as f64 + 0.5) / count as f64;
    slices.iter().min_by(|a, b| (a.position_mm - wanted).abs().total_cmp(&(b.position_mm - wanted).abs()))
}

/// Appends the image of a slice as a channel.
fn draw(
    place: &PlacedSlice,
    config: &ChannelConfig,
    kind: SeriesKind,
    renderer: &mut Renderer,
    pixels: &mut Vec<u16>,
) -> Result<(), CropError> {
    let PlacedSlice { slice, geometry, .. } = place;
    let (across_mm, down_mm) =
        (slice.columns as f64 * geometry.column_spacing_mm, slice.rows as f64 * geometry.row_spacing_mm);
    let field_mm = config.field_mm(kind);
    let field_mm = if field_mm > 0.0 { field_mm } else { across_mm.max(down_mm) };
    let side = config.cached_px();
    let size = ImageSize { pixel_mm: field_mm / config.size_px as f64, width_px: side, height_px: side };
    place.draw(&size, renderer, pixels)
}

impl PlacedSlice<'_> {
    /// Appends the image about the slice's middle, rendered as fine as the slice's own pixels and then averaged down, so
    /// that no pixel is skipped. 0…65535 is the window's 0…1.
    pub(crate) fn draw(
        &self,
        size: &ImageSize,
        renderer: &mut Renderer,
        pixels: &mut Vec<u16>,
    ) -> Result<(), CropError> {
        let Self { geometry, window, .. } = self;
        let own_mm = geometry.column_spacing_mm.min(geometry.row_spacing_mm);
        let finer = ((size.pixel_mm / own_mm).round() as usize).clamp(1, FINEST);
        let fine = crop(&self.alone(), &self.place(), window, &size.finer(finer), &Augmentation::NONE, renderer)?;
        let fine = fine.as_slice().unwrap_or_default();
        let scale = f32::from(u16::MAX) / (finer * finer) as f32;
        let line = finer * size.width_px;
        for rows in fine.chunks_exact(finer * line) {
            for x in 0..size.width_px {
                let sum: f32 = rows.chunks_exact(line).flat_map(|row| &row[x * finer..(x + 1) * finer]).sum();
                pixels.push((sum * scale).round() as u16);
            }
        }
        Ok(())
    }

    /// Where the pixels of such an image are in the patient.
    pub(crate) fn frame(&self, size: &ImageSize) -> Option<CropFrame> {
        CropFrame::new(&self.alone(), &self.place(), &size.finer(1))
    }

    fn place(&self) -> CropPlace {
        CropPlace::at(middle_mm(self.slice, &self.geometry))
    }

    /// A stack of its own, so that no other slice at the same position is taken.
    fn alone(&self) -> Stack {
        if self.stack.slices.len() == 1 { self.stack.clone() } else { Stack::new(vec![self.slice.clone()]) }
    }
}

impl ImageSize {
    /// A crop of this size in pixels that are `finer` times as fine.
    fn finer(&self, finer: usize) -> CropConfig {
        CropConfig {
            width_mm: self.pixel_mm * self.width_px as f64,
            height_mm: self.pixel_mm * self.height_px as f64,
            width_px: self.width_px * finer,
            height_px: self.height_px * finer,
            slices: 1,
            outside: 0.0,
            normalisation: Normalisation::NONE,
        }
    }
}

#[cfg(test)]
mod tests;

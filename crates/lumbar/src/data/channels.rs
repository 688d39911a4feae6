//! The slices of a whole study as channels of one picture: what a model sees that looks at everything at once.
//!
//! The channels are those of sagittal T1, then sagittal T2/STIR, then axial T2, each from the patient's right to
//! the left or from the feet to the head. They lie in one tensor but not in one place: a pixel of a sagittal
//! channel and the same pixel of an axial one show different parts of the patient.

use lumbar_dicom::Slice;
use ndarray::{Array3, Axis};
use serde::{Deserialize, Serialize};

use super::augment::{Augmentation, ConfigError, check_range};
use super::crop::{CropConfig, CropError, CropPlace, crop_into};
use super::intensity::{IntensityConfig, Window};
use super::render::{Normalisation, Renderer};
use super::study::{Study, StudySeries};
use super::{SeriesId, SeriesKind, StudyId};

/// Which slices become channels, and how large they are.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `sagittal_t1_slices` | 10 | channels from the sagittal T1 series | 0–300 |
/// | `sagittal_t2_slices` | 10 | channels from the sagittal T2/STIR series | 0–300 |
/// | `axial_t2_slices` | 10 | channels from all axial T2 series | 0–300 |
/// | `sagittal_mm` | 240 | side of the square that a sagittal channel shows, about the slice's middle | 1–1000 |
/// | `axial_mm` | 160 | the same of an axial channel | 1–1000 |
/// | `side_px` | 224 | side of the picture | 1–4096 |
/// | `intensity` | percentiles of the series | what becomes 0…1 | see [`IntensityConfig`] |
/// | `normalisation` | 0, 1 | mean and std of the last step | std above 0 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct ChannelConfig {
    pub sagittal_t1_slices: usize,
    pub sagittal_t2_slices: usize,
    pub axial_t2_slices: usize,
    pub sagittal_mm: f64,
    pub axial_mm: f64,
    pub side_px: usize,
    pub intensity: IntensityConfig,
    pub normalisation: Normalisation,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            sagittal_t1_slices: 10,
            sagittal_t2_slices: 10,
            axial_t2_slices: 10,
            sagittal_mm: 240.0,
            axial_mm: 160.0,
            side_px: 224,
            intensity: IntensityConfig::default(),
            normalisation: Normalisation::NONE,
        }
    }
}

impl ChannelConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// Names the field, its range and what it is.
    pub fn check(&self) -> Result<(), ConfigError> {
        for kind in SeriesKind::ALL {
            check_range(&format!("channels.slices of {kind}"), self.slices(kind) as f64, 0.0, 300.0)?;
        }
        check_range("channels.slices of all kinds", self.channels() as f64, 1.0, 900.0)?;
        self.intensity.check()?;
        SeriesKind::ALL.into_iter().try_for_each(|kind| self.crop(kind).check())
    }

    /// How many channels a kind of series has.
    #[must_use]
    pub const fn slices(&self, kind: SeriesKind) -> usize {
        match kind {
            SeriesKind::SagittalT1 => self.sagittal_t1_slices,
            SeriesKind::SagittalT2 => self.sagittal_t2_slices,
            SeriesKind::AxialT2 => self.axial_t2_slices,
        }
    }

    /// How many channels there are.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.sagittal_t1_slices + self.sagittal_t2_slices + self.axial_t2_slices
    }

    /// A channel is a crop of one slice.
    fn crop(&self, kind: SeriesKind) -> CropConfig {
        let side_mm = if is_sagittal(kind) { self.sagittal_mm } else { self.axial_mm };
        let (width_mm, height_mm, width_px, height_px) = (side_mm, side_mm, self.side_px, self.side_px);
        let normalisation = self.normalisation;
        CropConfig { width_mm, height_mm, width_px, height_px, slices: 1, outside: 0.0, normalisation }
    }
}

/// What a channel shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// The kind of series that it is meant for.
    pub kind: SeriesKind,
    /// The slice; none where the study has no such series, and the channel is empty.
    pub shown: Option<ChannelSlice>,
}

/// The slice of a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelSlice {
    /// Its series.
    pub series: SeriesId,
    /// Its instance number.
    pub instance: Option<i32>,
    /// Its middle in patient mm.
    pub centre_mm: [f64; 3],
}

/// The channels of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyChannels {
    /// The pictures.
    ///
    /// # Shapes
    /// `[channels, side, side]`.
    pub pixels: Array3<f32>,
    /// What each channel shows.
    pub channels: Vec<Channel>,
}

/// Why a study's channels could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A slice cannot be decoded.
    #[error("study {study}, series {series}: {source}")]
    Slice {
        /// The study.
        study: StudyId,
        /// The series.
        series: SeriesId,
        /// The cause.
        source: CropError,
    },
}

/// The channels of a study, its slices evenly spread over those of each kind.
///
/// Sagittal slices come from the series of the kind with the most slices, axial ones from all series of the
/// kind. Where there are fewer slices than channels, neighbouring channels show the same one. `augmentation` is
/// done to all channels alike; mirrored, the sagittal channels come in reverse order and the axial ones flipped.
///
/// # Errors
/// When a setting is out of range or a slice cannot be decoded.
pub fn study_channels(
    study: &Study,
    config: &ChannelConfig,
    augmentation: &Augmentation,
    renderer: &mut Renderer,
) -> Result<StudyChannels, ChannelError> {
    config.check()?;
    let empty = (0.0 - config.normalisation.mean) / config.normalisation.std;
    let mut pixels = Array3::from_elem((config.channels(), config.side_px, config.side_px), empty);
    let mut channels = Vec::with_capacity(config.channels());
    for kind in SeriesKind::ALL {
        let count = config.slices(kind);
        let size = config.crop(kind);
        let found = in_order(study, kind);
        let mut window: Option<(SeriesId, Window)> = None;
        for number in 0..count {
            let taken = if augmentation.mirror && is_sagittal(kind) { count - 1 - number } else { number };
            let Some(place) = evenly(taken, count, found.len()).map(|index| &found[index]) else {
                channels.push(Channel { kind, shown: None });
                continue;
            };
            let series = place.series.id;
            let failed = |source: CropError| ChannelError::Slice { study: study.id, series, source };
            let window = match window {
                Some((of, window)) if of == series => window,
                _ => {
                    let made = Window::of_series(&place.series.data, &config.intensity);
                    window.insert((series, made.map_err(|error| failed(error.into()))?)).1
                }
            };
            let mut own = augmentation.clone();
            if let Some(noise) = &mut own.noise {
                noise.seed = noise.seed.wrapping_add(channels.len() as u64);
            }
            let mut picture = pixels.index_axis_mut(Axis(0), channels.len());
            let out = picture.as_slice_mut().expect("a channel of a new array is contiguous");
            let stack = lumbar_dicom::Stack::new(vec![place.slice.clone()]);
            let at = CropPlace::at(place.centre_mm);
            crop_into(&stack, &at, &window, &size, &own, renderer, out).map_err(failed)?;
            let (instance, centre_mm) = (place.slice.instance_number, place.centre_mm);
            channels.push(Channel { kind, shown: Some(ChannelSlice { series, instance, centre_mm }) });
        }
    }
    Ok(StudyChannels { pixels, channels })
}

const fn is_sagittal(kind: SeriesKind) -> bool {
    matches!(kind, SeriesKind::SagittalT1 | SeriesKind::SagittalT2)
}

/// A slice of a study with its middle.
struct Placed<'a> {
    series: &'a StudySeries,
    slice: &'a Slice,
    centre_mm: [f64; 3],
}

/// The slices of a kind that lie somewhere, to the patient's left or to the head.
fn in_order(study: &Study, kind: SeriesKind) -> Vec<Placed<'_>> {
    let mut series: Vec<&StudySeries> = study.series_of(kind).collect();
    if is_sagittal(kind) {
        // the first of several equally long ones
        series.sort_by_key(|series| std::cmp::Reverse(series.data.len()));
        series.truncate(1);
    }
    let middle = |size: usize| (size as f64 - 1.0) / 2.0;
    let mut found: Vec<Placed<'_>> = Vec::new();
    for series in series {
        found.extend(series.data.slices().filter_map(|slice| {
            let centre_mm = slice.geometry?.patient_at(middle(slice.columns), middle(slice.rows));
            Some(Placed { series, slice, centre_mm })
        }));
    }
    let axis = if is_sagittal(kind) { 0 } else { 2 };
    found.sort_by(|a, b| a.centre_mm[axis].total_cmp(&b.centre_mm[axis]));
    found
}

/// Which of `there` slices channel `number` of `count` shows: the first and the last among them; the middle one
/// for a single channel.
fn evenly(number: usize, count: usize, there: usize) -> Option<usize> {
    let last = there.checked_sub(1)?;
    if count == 1 {
        return Some(last / 2);
    }
    Some((number as f64 * last as f64 / (count - 1) as f64).round() as usize)
}

#[cfg(test)]
mod tests;

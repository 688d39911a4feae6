//! Crops: from a position in the patient and a size in millimetres to a small block of pixels.
//!
//! Crops have the same orientation for every scanner: columns run to the patient's back (sagittal) or left (coronal,
//! axial), rows to the feet (sagittal, coronal) or to the back (axial), and slices to the left (sagittal), to the back
//! (coronal) or to the head (axial). A flip therefore always means the same.

mod frame;

use lumbar_dicom::{Pixels, Plane, Slice, Stack};
use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::Affine2;
use super::augment::Augmentation;
use super::intensity::IntensityWindow;
use super::render::{Border, Normalisation, NotCached, Region, Renderer, Request, SourceImage};
use crate::config::{ConfigError, check_range};

pub use frame::CropFrame;

/// The size of a crop in the patient and in pixels.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `width_mm`, `height_mm` | 50 | size in the patient, from the outer edge of the first to that of the last pixel | 1–1000 |
/// | `width_px`, `height_px` | 96 | size of the image | 1–4096 |
/// | `slices` | 5 | how many, the nearest to the centre in the middle; an odd number | 1–255 |
/// | `outside` | 0 | value in 0…1 beyond a slice's edge and beyond the stack | 0–1 |
/// | `normalisation` | 0, 1 | mean and std of the last step, after augmentation | std above 0 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct CropConfig {
    pub width_mm: f64,
    pub height_mm: f64,
    pub width_px: usize,
    pub height_px: usize,
    pub slices: usize,
    pub outside: f32,
    pub normalisation: Normalisation,
}

impl Default for CropConfig {
    fn default() -> Self {
        Self {
            width_mm: 50.0,
            height_mm: 50.0,
            width_px: 96,
            height_px: 96,
            slices: 5,
            outside: 0.0,
            normalisation: Normalisation::NONE,
        }
    }
}

impl CropConfig {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_range("crop.width_mm", self.width_mm, 1.0, 1000.0)?;
        check_range("crop.height_mm", self.height_mm, 1.0, 1000.0)?;
        check_range("crop.width_px", self.width_px, 1, 4096)?;
        check_range("crop.height_px", self.height_px, 1, 4096)?;
        check_range("crop.slices", self.slices, 1, 255)?;
        if self.slices.is_multiple_of(2) {
            return Err(ConfigError::new("crop.slices", self.slices, "an odd number"));
        }
        check_range("crop.outside", f64::from(self.outside), 0.0, 1.0)?;
        check_range("crop.normalisation.std", f64::from(self.normalisation.std), 1e-6, 1e6)
    }

    /// `[slices, height, width]`.
    #[must_use]
    pub const fn shape(&self) -> (usize, usize, usize) {
        (self.slices, self.height_px, self.width_px)
    }
}

/// The position of a crop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropPlace {
    /// The centre of the crop in patient mm.
    pub centre_mm: [f64; 3],
    /// The crop is rotated by this angle against the canonical orientation, from its columns towards its rows.
    pub angle_deg: f64,
    /// The crop shows the mirrored patient, so that both sides look alike.
    pub mirror: bool,
}

impl CropPlace {
    /// A crop without rotation about a position.
    #[must_use]
    pub const fn at(centre_mm: [f64; 3]) -> Self {
        Self { centre_mm, angle_deg: 0.0, mirror: false }
    }
}

/// Why there is no crop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CropError {
    /// The stack has no slice with a position in the patient.
    #[error("the stack has no position in the patient, so that millimetres have no meaning")]
    NoGeometry,
    /// A slice cannot be decoded.
    #[error(transparent)]
    Pixels(#[from] lumbar_dicom::Error),
    /// The cached part of the slice does not contain all that the crop shows.
    #[error(transparent)]
    NotCached(#[from] NotCached),
    /// No part of the slice is cached.
    #[error("the crop shows slice {slice} of its stack, which is not cached")]
    SliceNotCached {
        /// Index of the slice in its stack.
        slice: usize,
    },
    /// The cache cannot be read.
    #[error(transparent)]
    Cache(#[from] super::cache::CacheError),
}

/// Cuts a crop from a stack. Pixels are sampled once, with the augmentation composed into the coordinate map.
///
/// Slices are taken at whole steps of the stack's spacing from the slice nearest to the centre. Outside the stack and
/// in its gaps a slice is [`CropConfig::outside`] throughout.
///
/// # Shapes
/// Returns `[slices, height, width]`.
///
/// # Errors
/// When the stack has no position in the patient or a slice cannot be decoded.
pub fn crop(
    stack: &Stack,
    place: &CropPlace,
    window: &IntensityWindow,
    config: &CropConfig,
    augmentation: &Augmentation,
    renderer: &mut Renderer,
) -> Result<Array3<f32>, CropError> {
    let mut out = Array3::zeros(config.shape());
    let pixels = out.as_slice_mut().expect("a new array is contiguous");
    crop_into(stack, place, window, config, augmentation, renderer, pixels)?;
    Ok(out)
}

/// [`crop`] into a buffer.
///
/// # Shapes
/// `out` is row-major, `[slices, height, width]`.
///
/// # Errors
/// As [`crop`].
///
/// # Panics
/// When `out` has another size than the crop.
pub fn crop_into(
    stack: &Stack,
    place: &CropPlace,
    window: &IntensityWindow,
    config: &CropConfig,
    augmentation: &Augmentation,
    renderer: &mut Renderer,
    out: &mut [f32],
) -> Result<(), CropError> {
    let (slices, height, width) = config.shape();
    assert_eq!(out.len(), slices * height * width, "the buffer has the crop's size");
    let request = request(config, augmentation);
    let placed = placed_slices(stack, place, config, augmentation.mirror)?;
    for ((number, image), placed) in out.chunks_exact_mut((height * width).max(1)).enumerate().zip(placed) {
        match placed {
            None => renderer.render(None, &request, number, image)?,
            Some((index, from_crop)) => {
                render_slice(&stack.slices[index], from_crop, window, &request, number, renderer, image)?;
            }
        }
    }
    Ok(())
}

pub(super) fn request<'a>(config: &CropConfig, augmentation: &'a Augmentation) -> Request<'a> {
    Request {
        width: config.width_px,
        height: config.height_px,
        border: Border::Constant(config.outside),
        augmentation,
        normalisation: config.normalisation,
    }
}

/// For each slice of a crop the slice of the stack that it shows, and the map from the crop's pixels to that slice's;
/// `None` outside the stack and in its gaps.
pub(super) fn placed_slices(
    stack: &Stack,
    place: &CropPlace,
    config: &CropConfig,
    mirrored: bool,
) -> Result<Vec<Option<(usize, Affine2)>>, CropError> {
    let frame = CropFrame::new(stack, place, config).ok_or(CropError::NoGeometry)?;
    // Mirroring reverses the columns of axial and coronal crops, and the order of sagittal slices.
    let mirror = place.mirror != mirrored;
    let across = frame.plane() != Plane::Sagittal;
    let placed = |number: usize| {
        let taken = if mirror && !across { config.slices - 1 - number } else { number };
        let index = frame.slice(taken)?;
        let from_crop = frame.from_crop(stack.slices[index].geometry.as_ref()?);
        let flip = Affine2::flip_columns(config.width_px);
        Some((index, if mirror && across { flip.then(&from_crop) } else { from_crop }))
    };
    Ok((0..config.slices).map(placed).collect())
}

fn render_slice(
    slice: &Slice,
    from_crop: Affine2,
    window: &IntensityWindow,
    request: &Request,
    number: usize,
    renderer: &mut Renderer,
    out: &mut [f32],
) -> Result<(), CropError> {
    let (rows, columns) = (slice.rows, slice.columns);
    let region = Region::whole(rows, columns);
    let (gain, offset) = window.gain_offset(slice.rescale, slice.is_inverted());
    macro_rules! render {
        ($pixels:expr) => {
            renderer.render(
                Some(&SourceImage { pixels: $pixels.into(), rows, columns, region, from_crop, gain, offset }),
                request,
                number,
                out,
            )?
        };
    }
    match &slice.pixels()? {
        Pixels::U8(pixels) => render!(pixels.as_slice()),
        Pixels::I8(pixels) => render!(pixels.as_slice()),
        Pixels::U16(pixels) => render!(pixels.as_slice()),
        Pixels::I16(pixels) => render!(pixels.as_slice()),
        Pixels::F32(pixels) => render!(pixels.as_slice()),
        wide => {
            // 32- and 64-bit values are rescaled before they are rounded to f32.
            let (gain, offset) = window.gain_offset(lumbar_dicom::Rescale::NONE, slice.is_inverted());
            let pixels = wide.rescaled(slice.rescale);
            let image =
                SourceImage { pixels: pixels.as_slice().into(), rows, columns, region, from_crop, gain, offset };
            renderer.render(Some(&image), request, number, out)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

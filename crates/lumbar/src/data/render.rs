//! From stored pixels to a crop in one pass: coordinates composed, pixels interpolated, rescaled, windowed,
//! augmented and normalised row by row, without a picture in between.

mod sample;

use serde::{Deserialize, Serialize};

use super::Affine;
use super::augment::{Augmentation, BiasField, FilterScratch, WarpRows, to_unit};
use sample::Row;

/// A stored value that turns into a float: what pixels are stored as.
pub trait Pixel: Copy + Send + Sync {
    /// The value.
    fn value(self) -> f32;
}

macro_rules! pixel {
    ($($kind:ty),*) => { $(impl Pixel for $kind {
        #[inline(always)]
        fn value(self) -> f32 {
            self as f32
        }
    })* };
}
pixel!(u8, i8, u16, i16, f32);

/// One slice of pixels to sample from.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a, P> {
    /// Row-major, `rows` × `columns`.
    pub pixels: &'a [P],
    /// Height.
    pub rows: usize,
    /// Width.
    pub columns: usize,
    /// Where each pixel of the crop (before augmentation) lies in this slice, in pixels.
    pub from_crop: Affine,
    /// A stored value times `gain` plus `offset` is 0…1; beyond, it is cut off.
    pub gain: f32,
    /// See `gain`.
    pub offset: f32,
}

/// What is beyond the edge of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// This value of 0…1; between it and the last pixel is interpolated.
    Constant(f32),
    /// The last pixel.
    Repeat,
    /// The picture turned round, without repeating the last pixel.
    Reflect,
}

/// The last step: `(v − mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Becomes 0.
    pub mean: f32,
    /// Becomes 1; above 0.
    pub std: f32,
}

impl Normalisation {
    /// Leaves 0…1 as it is.
    pub const NONE: Self = Self { mean: 0.0, std: 1.0 };
}

/// Draws crops; holds the buffers that it needs, for one thread.
///
/// The same crop comes out on every machine: vector instructions are used where there are some, and none that
/// would round differently.
#[derive(Debug, Default)]
pub struct Renderer {
    row: Row,
    filter: FilterScratch,
}

/// What is asked of a [`Renderer`].
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Columns of the crop.
    pub width: usize,
    /// Rows of the crop.
    pub height: usize,
    /// What is beyond a slice's edge.
    pub border: Border,
    /// What is done to the crop.
    pub augmentation: &'a Augmentation,
    /// The last step.
    pub normalisation: Normalisation,
}

impl Renderer {
    /// A renderer with empty buffers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Draws one slice of a crop; `slice` is its number in the crop, for the noise. A plane that is none lies
    /// beyond the stack: the border's constant (0 for the other borders) before augmentation.
    ///
    /// [`Augmentation::mirror`] is not looked at: which axis it turns round is the plane's matter.
    ///
    /// # Shapes
    /// `out` is row-major, `height` × `width`.
    ///
    /// # Panics
    /// When `out` or `plane.pixels` has another size than was said.
    pub fn render<P: Pixel>(&mut self, plane: Option<&Plane<P>>, request: &Request, slice: usize, out: &mut [f32]) {
        assert_eq!(out.len(), request.width * request.height, "the crop's buffer fits its size");
        if let Some(plane) = plane {
            assert_eq!(plane.pixels.len(), plane.rows * plane.columns, "a slice has rows × columns pixels");
        }
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions, as was just asked.
            unsafe { self.render_avx2(plane, request, slice, out) };
            return;
        }
        self.render_here(plane, request, slice, out);
    }

    /// The same code compiled for AVX2. Fused multiply-add stays off: it would round differently.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn render_avx2<P: Pixel>(&mut self, plane: Option<&Plane<P>>, request: &Request, slice: usize, out: &mut [f32]) {
        self.render_here(plane, request, slice, out);
    }

    #[inline(always)]
    fn render_here<P: Pixel>(&mut self, plane: Option<&Plane<P>>, request: &Request, slice: usize, out: &mut [f32]) {
        let Request { width, height, border, augmentation, normalisation } = *request;
        if out.is_empty() {
            return;
        }
        let outside = if let Border::Constant(value) = border { value } else { 0.0 };
        let back = augmentation.affine.inverse();
        match (plane, back) {
            (Some(plane), Some(back)) if plane.rows > 0 && plane.columns > 0 => {
                let to_source = back.then(&plane.from_crop);
                let warp = WarpRows::new(&augmentation.warp, width, height);
                self.row.resize(width);
                for (y, line) in out.chunks_exact_mut(width).enumerate() {
                    self.row.place(&warp, y, &to_source);
                    self.row.sample(plane, border, line);
                }
            }
            _ => out.fill(to_unit(outside)),
        }
        self.finish(augmentation, normalisation, width, height, slice, out);
    }

    #[inline(always)]
    fn finish(
        &mut self,
        augmentation: &Augmentation,
        normalisation: Normalisation,
        width: usize,
        height: usize,
        slice: usize,
        out: &mut [f32],
    ) {
        let bias =
            augmentation.bias.as_ref().map(|bias: &BiasField| super::augment::BiasRows::new(bias, width, height));
        for (y, line) in out.chunks_exact_mut(width).enumerate() {
            super::augment::apply_tone(&augmentation.tone, line);
            if let Some(bias) = &bias {
                bias.apply(y, line);
            }
        }
        augmentation.filter.apply_with(out, width, &mut self.filter);
        if let Some(noise) = &augmentation.noise {
            noise.apply(out, slice);
        }
        for hole in &augmentation.holes {
            hole.apply(out, width, augmentation.hole_value);
        }
        if normalisation != Normalisation::NONE {
            let scale = 1.0 / normalisation.std;
            for value in out {
                *value = (*value - normalisation.mean) * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests;

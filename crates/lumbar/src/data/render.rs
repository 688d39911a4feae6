//! Renders crops from stored pixels in one pass: coordinate maps are composed, and each row is interpolated, rescaled,
//! windowed, augmented and normalised without an intermediate image.

mod sample;
mod source;

use serde::{Deserialize, Serialize};

use super::augment::{Augmentation, BiasRows, FilterRows, NoiseRows, WarpRows, apply_tone, to_unit};
use sample::Row;

pub use source::{NotCached, Region, Samples, SourceImage};

/// The values beyond the edge of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// This value in 0…1; values between the last pixel and it are interpolated.
    Constant(f32),
    /// The last pixel repeated.
    Repeat,
    /// The image reflected, without repeating the last pixel.
    Reflect,
}

/// The last step, normalisation: `(v − mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// The value that becomes 0.
    pub mean: f32,
    /// The difference that becomes 1; above 0.
    pub std: f32,
}

impl Normalisation {
    /// No normalisation.
    pub const NONE: Self = Self { mean: 0.0, std: 1.0 };
}

/// Renders crops; has the buffers for it, for one thread.
///
/// The result is the same on every machine: vector instructions are used where the processor has them, and none that
/// would round differently.
#[derive(Debug, Default)]
pub struct Renderer {
    row: Row,
    /// The row of the crop that is being rendered.
    line: Vec<f32>,
    filter: FilterRows,
}

/// What a [`Renderer`] renders.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Columns of the crop.
    pub width: usize,
    /// Rows of the crop.
    pub height: usize,
    /// The values beyond a slice's edge.
    pub border: Border,
    /// The augmentation of the crop.
    pub augmentation: &'a Augmentation,
    /// The normalisation.
    pub normalisation: Normalisation,
}

impl Renderer {
    /// A renderer with empty buffers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Renders one slice of a crop; `slice` is its number in the crop, for the noise. `None` stands for a slice outside
    /// the stack: the border's constant (0 for the other borders) before augmentation.
    ///
    /// [`Augmentation::mirror`] is ignored: which axis it reverses depends on the plane, so the caller composes it into
    /// [`SourceImage::from_crop`].
    ///
    /// # Shapes
    /// `out` is row-major, `height` × `width`.
    ///
    /// # Errors
    /// When the crop shows a part of the slice that is outside the image's region.
    ///
    /// # Panics
    /// When `out` or `image.pixels` has another size than declared, or the region is not within the slice.
    pub fn render(
        &mut self,
        image: Option<&SourceImage>,
        request: &Request,
        slice: usize,
        out: &mut [f32],
    ) -> Result<(), NotCached> {
        assert_eq!(out.len(), request.width * request.height, "the crop's buffer fits its size");
        if let Some(SourceImage { pixels, rows, columns, region, .. }) = image {
            assert_eq!(pixels.len(), region.width * region.height, "a region has width × height pixels");
            let inside = region.x + region.width <= *columns && region.y + region.height <= *rows;
            assert!(inside, "the region {region:?} is within a slice of {columns} × {rows} pixels");
        }
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            // SAFETY: the processor has the instructions, as is checked before each call.
            if has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq") {
                return unsafe { self.render_avx512(image, request, slice, out) };
            }
            if has!("avx2") {
                return unsafe { self.render_avx2(image, request, slice, out) };
            }
        }
        self.render_here(image, request, slice, out)
    }

    /// The same code compiled for AVX-512. Rust does not fuse multiplications with additions, so that no bit changes.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    fn render_avx512(
        &mut self,
        image: Option<&SourceImage>,
        request: &Request,
        slice: usize,
        out: &mut [f32],
    ) -> Result<(), NotCached> {
        self.render_here(image, request, slice, out)
    }

    /// The same code compiled for AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn render_avx2(
        &mut self,
        image: Option<&SourceImage>,
        request: &Request,
        slice: usize,
        out: &mut [f32],
    ) -> Result<(), NotCached> {
        self.render_here(image, request, slice, out)
    }

    #[inline(always)]
    fn render_here(
        &mut self,
        image: Option<&SourceImage>,
        request: &Request,
        slice: usize,
        out: &mut [f32],
    ) -> Result<(), NotCached> {
        let Request { width, height, border, augmentation, normalisation } = *request;
        if out.is_empty() {
            return Ok(());
        }
        let outside = to_unit(if let Border::Constant(value) = border { value } else { 0.0 });
        let seen = image.filter(|image| image.rows > 0 && image.columns > 0);
        let seen = seen.and_then(|image| Some((image, augmentation.affine.inverse()?.then(&image.from_crop))));
        let warp = WarpRows::new(&augmentation.warp, width, height);
        let bias = augmentation.bias.as_ref().map(|bias| BiasRows::new(bias, width, height));
        let finish = Finish::new(request, slice);
        let Self { row, line, filter } = self;
        row.resize(width);
        line.resize(width, 0.0);
        let filtered = filter.start(&augmentation.filter, width, height);
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            let values = if filtered { filter.row_mut(y) } else { &mut line[..] };
            match seen {
                Some((image, to_source)) => row.sample(image, &warp, &to_source, border, y, values)?,
                None => values.fill(outside),
            }
            apply_tone(&augmentation.tone, values);
            if let Some(bias) = &bias {
                bias.apply(y, values);
            }
            if filtered {
                filter.end_row(y);
            } else {
                finish.apply(y * width, values, out);
            }
        }
        if filtered {
            for (y, out) in out.chunks_exact_mut(width).enumerate() {
                filter.filtered(y, line);
                finish.apply(y * width, line, out);
            }
        }
        // Holes are applied last: overwriting before or after the normalisation is the same.
        let Normalisation { mean, std } = normalisation;
        for hole in &augmentation.holes {
            hole.apply(out, width, (augmentation.hole_value - mean) * (1.0 / std));
        }
        Ok(())
    }
}

/// The steps after the blur: noise and normalisation.
struct Finish {
    noise: Option<NoiseRows>,
    mean: f32,
    scale: f32,
}

impl Finish {
    fn new(request: &Request, slice: usize) -> Self {
        let noise = request.augmentation.noise.as_ref().map(|noise| NoiseRows::new(noise, slice));
        Self { noise, mean: request.normalisation.mean, scale: 1.0 / request.normalisation.std }
    }

    /// `start` is the number of the row's first pixel in the image.
    #[inline(always)]
    fn apply(&self, start: usize, values: &mut [f32], out: &mut [f32]) {
        if let Some(noise) = &self.noise {
            noise.apply(start, values);
        }
        for (out, value) in out.iter_mut().zip(values) {
            *out = (*value - self.mean) * self.scale;
        }
    }
}

#[cfg(test)]
mod tests;

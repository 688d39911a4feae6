//! Convolutions, group norms and SiLU over the feature maps of one image, for inference on CPUs with AVX2.
//!
//! # Why?
//!
//! A small U-Net over many small images is what a localiser spends its time with. Its maps have 16 to 96 channels:
//! oneDNN computes their convolutions directly, at half of what the processor can do, and between them group norm, SiLU,
//! enlargement and addition each read and write all maps of a batch, which no cache holds. Here one image passes through
//! all layers before the next, so that its maps stay in the second cache; a 3×3 convolution of stride 1 takes a quarter
//! of the products (`transform.rs`); and group norm and SiLU are one pass over a map.
//!
//! # Layout
//!
//! Channels are last, and around each map is a border of zeros, so that a convolution needs no test for the edge.
//!
//! There are no gradients. Results agree with torch's within rounding: 1e-4 of the greatest magnitude after a whole U-Net.

mod kernels;
mod transform;

use tch::{Device, Kind, Tensor};

use crate::{Error, Result, cpu_kernels};
use kernels::PANEL;
use transform::{OUT, TILES};

/// Values of one image over rows, columns and channels, with a border of zeros.
#[derive(Debug, Clone)]
pub struct FeatureMap {
    height: usize,
    width: usize,
    channels: usize,
    /// Pixels of a row with its border.
    row: usize,
    values: Vec<f32>,
}

impl FeatureMap {
    /// A map of zeros.
    #[must_use]
    pub fn zeros(height: usize, width: usize, channels: usize) -> Self {
        // one pixel before, and at least one after the last whole tile
        let padded = |side: usize| side.div_ceil(OUT) * OUT + 2;
        let values = vec![0.0; padded(height) * padded(width) * channels];
        Self { height, width, channels, row: padded(width), values }
    }

    /// Rows, columns and channels.
    #[must_use]
    pub const fn size(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    /// Where a pixel begins in `values`.
    const fn at(&self, row: usize, column: usize) -> usize {
        ((row + 1) * self.row + column + 1) * self.channels
    }

    /// Replaces all values by those of planes.
    ///
    /// # Shapes
    /// `planes` `[channels, height, width]`, row-major.
    ///
    /// # Panics
    /// When `planes` has another size.
    pub fn set_planes(&mut self, planes: &[f32]) {
        let area = self.height * self.width;
        assert_eq!(planes.len(), area * self.channels, "planes of the map's size");
        for row in 0..self.height {
            let start = self.at(row, 0);
            let pixels = &mut self.values[start..start + self.width * self.channels];
            for (channel, plane) in planes.chunks_exact(area).enumerate() {
                let line = &plane[row * self.width..][..self.width];
                for (pixel, value) in pixels.chunks_exact_mut(self.channels).zip(line) {
                    pixel[channel] = *value;
                }
            }
        }
    }

    /// Writes its first channels as planes, and adds a bias to each.
    ///
    /// # Shapes
    /// `planes` `[bias.len(), height, width]`, row-major.
    ///
    /// # Panics
    /// When `planes` has another size, or the map has fewer channels.
    pub fn write_planes(&self, bias: &[f32], planes: &mut [f32]) {
        let area = self.height * self.width;
        assert_eq!(planes.len(), area * bias.len(), "planes of the map's size");
        for row in 0..self.height {
            let start = self.at(row, 0);
            let pixels = &self.values[start..start + self.width * self.channels];
            for ((channel, plane), bias) in planes.chunks_exact_mut(area).enumerate().zip(bias) {
                let line = &mut plane[row * self.width..][..self.width];
                for (value, pixel) in line.iter_mut().zip(pixels.chunks_exact(self.channels)) {
                    *value = pixel[channel] + bias;
                }
            }
        }
    }

    /// Adds a map of half its size, each pixel of which covers 2×2 of its own.
    ///
    /// # Panics
    /// When the other map has other channels or not half the sides, rounded up.
    pub fn add_enlarged(&mut self, low: &Self) {
        let half = [self.height.div_ceil(2), self.width.div_ceil(2), self.channels];
        assert_eq!(low.size(), half, "a map of half the size");
        for row in 0..self.height {
            let (start, from) = (self.at(row, 0), low.at(row / 2, 0));
            let pixels = self.values[start..start + self.width * self.channels].chunks_mut(2 * self.channels);
            for (pair, add) in pixels.zip(low.values[from..].chunks_exact(self.channels)) {
                for pixel in pair.chunks_exact_mut(self.channels) {
                    pixel.iter_mut().zip(add).for_each(|(value, add)| *value += add);
                }
            }
        }
    }

    /// Group norm and SiLU, in place.
    ///
    /// # Panics
    /// When the norm has another number of channels, or the processor lacks what [`Convolution::new`] asks for.
    pub fn norm_silu(&mut self, norm: &GroupNorm) {
        assert_eq!(norm.weight.len(), self.channels, "a norm of the map's channels");
        assert!(cpu_kernels::has_avx2(), "a processor with AVX2 and FMA");
        let mut sums = vec![[0.0_f64; 2]; self.channels];
        for row in 0..self.height {
            let start = self.at(row, 0);
            let pixels = &self.values[start..start + self.width * self.channels];
            // SAFETY: the processor has the instructions.
            unsafe { kernels::add_moments(pixels, &mut sums) };
        }
        let size = self.channels / norm.groups;
        let count = (self.height * self.width * size) as f64;
        let (mut scale, mut shift) = (vec![0.0; self.channels], vec![0.0; self.channels]);
        for group in 0..norm.groups {
            let own = group * size..(group + 1) * size;
            let [sum, square] = [0, 1].map(|k| sums[own.clone()].iter().map(|sums| sums[k]).sum::<f64>() / count);
            let spread = 1.0 / ((square - sum * sum).max(0.0) + norm.eps).sqrt();
            for channel in own {
                let factor = f64::from(norm.weight[channel]) * spread;
                scale[channel] = factor as f32;
                shift[channel] = (f64::from(norm.bias[channel]) - sum * factor) as f32;
            }
        }
        for row in 0..self.height {
            let start = self.at(row, 0);
            let pixels = &mut self.values[start..start + self.width * self.channels];
            // SAFETY: the processor has the instructions.
            unsafe { kernels::scale_silu(pixels, &scale, &shift) };
        }
    }
}

/// Weights of a group norm.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    groups: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
}

impl GroupNorm {
    /// A group norm over groups of neighbouring channels.
    ///
    /// # Shapes
    /// `weight` and `bias` `[channels]`, a multiple of 8 and of `groups`.
    ///
    /// # Errors
    /// The shapes do not fit, or libtorch fails.
    pub fn new(groups: i64, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Self> {
        let (weight, bias) = (floats(weight)?, floats(bias)?);
        let groups = usize::try_from(groups).unwrap_or(0);
        let fits = groups > 0 && weight.len().is_multiple_of(groups) && weight.len().is_multiple_of(8);
        if !fits || weight.len() != bias.len() {
            let (weight, bias) = (weight.len(), bias.len());
            return Err(Error::Fused {
                reason: format!("a group norm of {weight} and {bias} channels, {groups} groups"),
            });
        }
        Ok(Self { groups, weight, bias, eps })
    }
}

/// A convolution with a square kernel of 1 or 3, padded by zeros so that stride 1 keeps the size. It has no bias.
#[derive(Debug, Clone)]
pub struct Convolution {
    kernel: usize,
    stride: usize,
    inputs: usize,
    /// Outputs with those of zero that fill the last panel.
    outputs: usize,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// `[panels][kernel²][inputs][PANEL]`
    Direct(Vec<f32>),
    /// `[products][panels][inputs][PANEL]`
    Transformed(Vec<f32>),
}

/// Memory of a thread for [`Convolution::run`].
#[derive(Debug, Default)]
pub struct Scratch {
    inputs: Vec<f32>,
    products: Vec<f32>,
}

impl Convolution {
    /// Copies the weights of a convolution into the layout of these kernels. `None` where the kernels are switched off
    /// ([`cpu_kernels`]), the processor lacks AVX2 or FMA, or they do not serve the convolution.
    ///
    /// # Shapes
    /// `weight` `[out, in, k, k]` with k of 1 or 3. The result has `out` channels, rounded up to a multiple of 16; the
    /// last ones are zero.
    ///
    /// # Errors
    /// libtorch fails.
    pub fn new(weight: &Tensor, stride: i64) -> Result<Option<Self>> {
        let size: Vec<usize> = weight.size().into_iter().map(|side| usize::try_from(side).unwrap_or(0)).collect();
        let &[count, inputs, kernel, width] = size.as_slice() else { return Ok(None) };
        let fits = matches!((kernel, stride), (1, 1) | (3, 1 | 2)) && width == kernel && count * inputs > 0;
        if !fits || !cpu_kernels::are_used_with_avx2() {
            return Ok(None);
        }
        let weight = floats(weight)?;
        let outputs = count.next_multiple_of(PANEL);
        let at = |output: usize, input: usize, tap: usize| match output < count {
            true => weight[(output * inputs + input) * kernel * kernel + tap],
            false => 0.0,
        };
        let form = if kernel == 3 && stride == 1 && inputs.is_multiple_of(8) {
            Form::Transformed(transform::weights(outputs, inputs, at))
        } else {
            let mut direct = Vec::with_capacity(outputs * inputs * kernel * kernel);
            for panel in (0..outputs).step_by(PANEL) {
                for tap in 0..kernel * kernel {
                    let inputs =
                        (0..inputs).flat_map(|input| (panel..panel + PANEL).map(move |output| (output, input)));
                    direct.extend(inputs.map(|(output, input)| at(output, input, tap)));
                }
            }
            Form::Direct(direct)
        };
        Ok(Some(Self { kernel, stride: stride as usize, inputs, outputs, form }))
    }

    /// Channels of the result.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Replaces all values of `to` by the convolution of `from`.
    ///
    /// # Panics
    /// When the maps' channels or sizes do not fit.
    pub fn run(&self, from: &FeatureMap, to: &mut FeatureMap, scratch: &mut Scratch) {
        let sides = [from.height, from.width].map(|side| side.div_ceil(self.stride));
        assert_eq!(from.channels, self.inputs, "channels of the input");
        assert_eq!(to.size(), [sides[0], sides[1], self.outputs], "size of the result");
        match &self.form {
            Form::Direct(weight) => self.run_direct(weight, from, to),
            Form::Transformed(weight) => self.run_transformed(weight, from, to, scratch),
        }
    }

    fn run_direct(&self, weight: &[f32], from: &FeatureMap, to: &mut FeatureMap) {
        let line = (from.row * self.inputs) as isize;
        let offset = |row: isize, column: isize| row * line + column * self.inputs as isize;
        let taps: Vec<isize> = match self.kernel {
            1 => vec![0],
            _ => (0..9).map(|tap| offset(tap / 3 - 1, tap % 3 - 1)).collect(),
        };
        let panel_floats = taps.len() * self.inputs * PANEL;
        for row in 0..to.height {
            let (start, out) = (from.at(row * self.stride, 0), to.at(row, 0));
            for (panel, weight) in weight.chunks_exact(panel_floats).enumerate() {
                // SAFETY: the processor has the instructions, or there was no `Self`. The border of `from` has all
                // pixels around those of its rows; the row of `to` has room for its pixels; the weights of the panel
                // are whole.
                unsafe {
                    kernels::multiply(
                        kernels::Left {
                            start: from.values.as_ptr().add(start),
                            step: self.stride * self.inputs,
                            taps: &taps,
                            depth: self.inputs,
                        },
                        to.width,
                        weight.as_ptr(),
                        to.values.as_mut_ptr().add(out + panel * PANEL),
                        self.outputs,
                    );
                }
            }
        }
    }

    fn run_transformed(&self, weight: &[f32], from: &FeatureMap, to: &mut FeatureMap, scratch: &mut Scratch) {
        let [rows, columns] = [to.height.div_ceil(OUT), to.width.div_ceil(OUT)];
        let Scratch { inputs, products } = scratch;
        let grown = |floats: &mut Vec<f32>, channels: usize| {
            floats.resize(floats.len().max(transform::PRODUCTS * TILES * channels), 0.0);
        };
        grown(inputs, self.inputs);
        grown(products, self.outputs);
        for first in (0..rows * columns).step_by(TILES) {
            let count = TILES.min(rows * columns - first);
            for tile in 0..count {
                let (row, column) = ((first + tile) / columns * OUT, (first + tile) % columns * OUT);
                // the tile's inputs begin one pixel before its results
                let start = from.at(row, column) - (from.row + 1) * self.inputs;
                // SAFETY: the processor has the instructions, or there was no `Self`. The map has a border of one pixel
                // about whole tiles; the scratch memory has room for all products of the tiles.
                unsafe {
                    transform::inputs(
                        from.values.as_ptr().add(start),
                        from.row * self.inputs,
                        self.inputs,
                        inputs.as_mut_ptr().add(tile * self.inputs),
                        TILES * self.inputs,
                    );
                }
            }
            for (place, weight) in weight.chunks_exact(self.inputs * PANEL).enumerate() {
                let panels = self.outputs / PANEL;
                let (product, panel) = (place / panels, place % panels);
                let left = kernels::Left {
                    start: inputs[product * TILES * self.inputs..].as_ptr(),
                    step: self.inputs,
                    taps: &[0],
                    depth: self.inputs,
                };
                let out = &mut products[product * TILES * self.outputs + panel * PANEL..];
                // SAFETY: as above; the weights of the panel are whole.
                unsafe { kernels::multiply(left, count, weight.as_ptr(), out.as_mut_ptr(), self.outputs) };
            }
            for tile in 0..count {
                let (row, column) = ((first + tile) / columns * OUT, (first + tile) % columns * OUT);
                let (start, line) = (to.at(row, column), to.row * self.outputs);
                let shown = [OUT.min(to.height - row), OUT.min(to.width - column)];
                // SAFETY: as above; only pixels inside the map are written.
                unsafe {
                    transform::outputs(
                        products.as_ptr().add(tile * self.outputs),
                        TILES * self.outputs,
                        self.outputs,
                        to.values.as_mut_ptr().add(start),
                        line,
                        shown,
                    );
                }
            }
        }
    }
}

/// The largest of some values; negative infinity if there is none. A NaN is not a value.
///
/// ```
/// assert_eq!(torch_ext::feature_map::largest_of(&[1.0, f32::NAN, 2.5, -3.0]), 2.5);
/// ```
#[must_use]
pub fn largest_of(values: &[f32]) -> f32 {
    let (largest, rest) = if cpu_kernels::are_used_with_avx2() {
        // SAFETY: the processor has the instructions.
        unsafe { kernels::largest_of(values) }
    } else {
        (f32::NEG_INFINITY, values)
    };
    rest.iter().copied().fold(largest, f32::max)
}

/// e^(value − largest) of each value, in single precision: what a softmax is made of.
///
/// # Shapes
/// `values` and `out` have the same length; no value is above `largest`. A NaN stays a NaN.
///
/// # Panics
/// When the lengths differ.
///
/// ```
/// let mut odds = [0.0; 3];
/// torch_ext::feature_map::exp_below(&[1.0, 0.0, -99.0], 1.0, &mut odds);
/// assert!(odds[0] == 1.0 && (odds[1] - 0.367_879_44).abs() < 1e-6 && odds[2] < 1e-37);
/// ```
pub fn exp_below(values: &[f32], largest: f32, out: &mut [f32]) {
    assert_eq!(values.len(), out.len(), "as many results as values");
    if cpu_kernels::are_used_with_avx2() {
        // SAFETY: the processor has the instructions.
        unsafe { kernels::exp_below(values, largest, out) }
    } else {
        out.iter_mut().zip(values).for_each(|(out, value)| *out = (value - largest).exp());
    }
}

/// The values of a tensor, row-major.
fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    let torch = |error: tch::TchError| Error::Torch(error.to_string());
    let flat =
        tensor.f_detach().and_then(|own| own.f_to_device(Device::Cpu)).and_then(|own| own.f_to_kind(Kind::Float));
    let flat = flat.and_then(|own| own.f_contiguous()).and_then(|own| own.f_flatten(0, -1)).map_err(torch)?;
    Vec::try_from(flat).map_err(torch)
}

#[cfg(test)]
mod tests;

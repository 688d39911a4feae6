//! EfficientNet's blocks, with timm's names for their tensors.

use tch::Tensor;

use super::conv::{Activation, ConvNorm, ConvSpec, Padding};
use super::error::{Doing, Result};
use super::linear::drop_path;
use super::pass::{Mode, Pass};
use super::registry::Builder;

/// Squeeze-and-excitation: scales each channel by a number in (0, 1) that depends on the means of all channels (Hu et
/// al. 2018, arXiv:1709.01507).
#[derive(Debug)]
pub struct SqueezeExcite {
    reduce: ConvNorm,
    expand: ConvNorm,
}

impl SqueezeExcite {
    fn new(builder: &mut Builder<'_>, channels: i64, squeezed: i64) -> Result<Self> {
        let reduce = ConvSpec::new(channels, squeezed, 1, 1).with_bias();
        let expand = ConvSpec::new(squeezed, channels, 1, 1).with_bias();
        Ok(Self {
            reduce: ConvNorm::new(builder, "conv_reduce", reduce, None, Activation::Silu)?,
            expand: ConvNorm::new(builder, "conv_expand", expand, None, Activation::Sigmoid)?,
        })
    }

    /// Scales the channels.
    ///
    /// # Shapes
    /// `[batch, channels, height, width]` → the same.
    ///
    /// # Errors
    /// [`Error::Torch`](super::Error::Torch) if the number of channels does not fit.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(xs.shallow_clone(), &mut Pass::new(mode))
    }

    fn run(&self, mut xs: Tensor, pass: &mut Pass) -> Result<Tensor> {
        let means = xs.f_mean_dim([2i64, 3].as_slice(), true, None).doing("squeeze")?;
        let gate = self.expand.run(&self.reduce.run(&means, pass)?, pass)?;
        // a folded model records no gradients, so that the activations can be overwritten
        if self.expand.is_folded() { xs.f_mul_(&gate) } else { xs.f_mul(&gate) }.doing("excite")
    }
}

/// The kinds of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Convolution, norm, activation (`cn` in timm).
    ConvBnAct,
    /// Depthwise, squeeze-excite, pointwise (`ds`).
    DepthwiseSeparable,
    /// Pointwise expansion, depthwise, squeeze-excite, pointwise projection: MBConv (`ir`).
    InvertedResidual,
    /// Full expansion convolution, pointwise projection: Fused-MBConv (`er`).
    EdgeResidual,
}

/// The numbers of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockSpec {
    pub(crate) kind: BlockKind,
    pub(crate) channels_in: i64,
    pub(crate) channels_out: i64,
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    pub(crate) expansion: i64,
    pub(crate) squeeze: bool,
    pub(crate) skip: bool,
    pub(crate) drop_path: f64,
    pub(crate) same_padding: bool,
    pub(crate) norm_eps: f64,
}

/// One block of an EfficientNet.
#[derive(Debug)]
pub struct Block {
    /// All convolutions but the last; squeeze-and-excitation and the last convolution follow.
    before: Vec<ConvNorm>,
    squeeze_excite: Option<SqueezeExcite>,
    last: ConvNorm,
    skip: bool,
    drop_path: f64,
}

impl Block {
    pub(crate) fn new(builder: &mut Builder<'_>, spec: BlockSpec) -> Result<Self> {
        use Activation::{None as Linear, Silu};
        let BlockSpec { kind, channels_in, channels_out, kernel, stride, norm_eps: eps, .. } = spec;
        let pad = |conv: ConvSpec| if spec.same_padding { conv.with_padding(Padding::Same) } else { conv };
        let wide = divisible_by_8(channels_in as f64 * spec.expansion as f64);
        let conv = |cin, cout, kernel, stride| pad(ConvSpec::new(cin, cout, kernel, stride));
        let depthwise = |channels| pad(ConvSpec::depthwise(channels, kernel, stride));
        // The squeezed width follows the block's input, not the expanded width.
        let squeezed = (channels_in as f64 * 0.25).round_ties_even() as i64;
        let squeeze_excite = |builder: &mut Builder<'_>, channels| {
            spec.squeeze.then(|| SqueezeExcite::new(&mut builder.at("se"), channels, squeezed)).transpose()
        };
        let b = builder;
        let (before, squeeze_excite, last) = match kind {
            BlockKind::ConvBnAct => {
                let conv = conv(channels_in, channels_out, kernel, stride);
                (vec![], None, ConvNorm::new(b, "conv", conv, Some(("bn1", eps)), Silu)?)
            }
            BlockKind::DepthwiseSeparable => {
                let dw = ConvNorm::new(b, "conv_dw", depthwise(channels_in), Some(("bn1", eps)), Silu)?;
                let se = squeeze_excite(b, channels_in)?;
                let pw = conv(channels_in, channels_out, 1, 1);
                (vec![dw], se, ConvNorm::new(b, "conv_pw", pw, Some(("bn2", eps)), Linear)?)
            }
            BlockKind::InvertedResidual => {
                let pw = conv(channels_in, wide, 1, 1);
                let pw = ConvNorm::new(b, "conv_pw", pw, Some(("bn1", eps)), Silu)?;
                let dw = ConvNorm::new(b, "conv_dw", depthwise(wide), Some(("bn2", eps)), Silu)?;
                let se = squeeze_excite(b, wide)?;
                let pwl = conv(wide, channels_out, 1, 1);
                (vec![pw, dw], se, ConvNorm::new(b, "conv_pwl", pwl, Some(("bn3", eps)), Linear)?)
            }
            BlockKind::EdgeResidual => {
                let exp = conv(channels_in, wide, kernel, stride);
                let exp = ConvNorm::new(b, "conv_exp", exp, Some(("bn1", eps)), Silu)?;
                let se = squeeze_excite(b, wide)?;
                let pwl = conv(wide, channels_out, 1, 1);
                (vec![exp], se, ConvNorm::new(b, "conv_pwl", pwl, Some(("bn2", eps)), Linear)?)
            }
        };
        let skip = spec.skip && stride == 1 && channels_in == channels_out;
        Ok(Self { before, squeeze_excite, last, skip, drop_path: spec.drop_path })
    }

    /// Whether the input is added to the result.
    pub fn has_skip(&self) -> bool {
        self.skip
    }

    /// Its squeeze-and-excitation, if it has one.
    pub fn squeeze_excite(&self) -> Option<&SqueezeExcite> {
        self.squeeze_excite.as_ref()
    }

    /// Number of output channels.
    pub fn channels_out(&self) -> i64 {
        self.last.channels_out()
    }

    /// Runs the block.
    ///
    /// # Shapes
    /// `[batch, in, height, width]` → `[batch, out, ⌈height / stride⌉, ⌈width / stride⌉]`.
    ///
    /// # Errors
    /// [`Error::Torch`](super::Error::Torch) if the input has another number of channels.
    pub fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(xs, &mut Pass::new(mode))
    }

    pub(crate) fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let mut ys = xs.shallow_clone();
        for conv in &self.before {
            ys = conv.run(&ys, pass)?;
        }
        if let Some(squeeze_excite) = &self.squeeze_excite {
            ys = squeeze_excite.run(ys, pass)?;
        }
        if !self.skip {
            return self.last.run(&ys, pass);
        }
        if self.drop_path > 0.0 && pass.training() {
            let ys = self.last.run(&ys, pass)?;
            return drop_path(ys, self.drop_path, pass)?.f_add(xs).doing("skip");
        }
        self.last.run_add(&ys, xs, false, pass)
    }

    pub(crate) fn each_conv(&mut self, f: &mut dyn FnMut(&mut ConvNorm) -> Result<()>) -> Result<()> {
        for conv in &mut self.before {
            f(conv)?;
        }
        if let Some(squeeze_excite) = &mut self.squeeze_excite {
            f(&mut squeeze_excite.reduce)?;
            f(&mut squeeze_excite.expand)?;
        }
        f(&mut self.last)
    }
}

/// The nearest multiple of 8 that is at least 0.9 times the width (timm's `make_divisible`; Howard et al. 2017,
/// arXiv:1704.04861).
pub(crate) fn divisible_by_8(width: f64) -> i64 {
    divisible_by_8_within(width, 0.9)
}

/// As [`divisible_by_8`], with another limit than 0.9.
pub(crate) fn divisible_by_8_within(width: f64, limit: f64) -> i64 {
    let rounded = (((width + 4.0) as i64) / 8 * 8).max(8);
    if (rounded as f64) < limit * width { rounded + 8 } else { rounded }
}

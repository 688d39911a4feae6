//! The stage tables of the EfficientNets.

use super::blocks::{BlockKind, divisible_by_8, divisible_by_8_within};

/// One stage: blocks of one kind. The first may halve the size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// The kind of its blocks.
    pub kind: BlockKind,
    /// Number of blocks before depth scaling.
    pub repeats: i64,
    /// Kernel of the spatial convolution.
    pub kernel: i64,
    /// Stride of the first block.
    pub stride: i64,
    /// Channels inside a block over channels of its input.
    pub expansion: i64,
    /// Output channels before width scaling.
    pub channels: i64,
    /// Whether blocks have squeeze-and-excitation (to a quarter of their input's channels).
    pub squeeze: bool,
    /// Whether blocks with equal input and output shapes add their input.
    pub skip: bool,
}

const fn stage(kind: BlockKind, repeats: i64, kernel: i64, stride: i64, expansion: i64, channels: i64) -> Stage {
    let squeeze = matches!(kind, BlockKind::DepthwiseSeparable | BlockKind::InvertedResidual);
    Stage { kind, repeats, kernel, stride, expansion, channels, squeeze, skip: true }
}

use BlockKind::{ConvBnAct as Cn, DepthwiseSeparable as Ds, EdgeResidual as Er, InvertedResidual as Ir};

/// EfficientNet (Tan and Le 2019, arXiv:1905.11946, table 1).
const V1: &[Stage] = &[
    stage(Ds, 1, 3, 1, 1, 16),
    stage(Ir, 2, 3, 2, 6, 24),
    stage(Ir, 2, 5, 2, 6, 40),
    stage(Ir, 3, 3, 2, 6, 80),
    stage(Ir, 3, 5, 1, 6, 112),
    stage(Ir, 4, 5, 2, 6, 192),
    stage(Ir, 1, 3, 1, 6, 320),
];

/// EfficientNetV2-S (Tan and Le 2021, arXiv:2104.00298, table 4, as released).
pub(super) const V2_S: &[Stage] = &[
    stage(Cn, 2, 3, 1, 1, 24),
    stage(Er, 4, 3, 2, 4, 48),
    stage(Er, 4, 3, 2, 4, 64),
    stage(Ir, 6, 3, 2, 4, 128),
    stage(Ir, 9, 3, 1, 6, 160),
    stage(Ir, 15, 3, 2, 6, 256),
];

/// EfficientNetV2-M, as released.
pub(super) const V2_M: &[Stage] = &[
    stage(Cn, 3, 3, 1, 1, 24),
    stage(Er, 5, 3, 2, 4, 48),
    stage(Er, 5, 3, 2, 4, 80),
    stage(Ir, 7, 3, 2, 4, 160),
    stage(Ir, 14, 3, 1, 6, 176),
    stage(Ir, 18, 3, 2, 6, 304),
    stage(Ir, 5, 3, 1, 6, 512),
];

/// EfficientNetV2-B0, as released.
pub(super) const V2_B0: &[Stage] = &[
    stage(Cn, 1, 3, 1, 1, 16),
    stage(Er, 2, 3, 2, 4, 32),
    stage(Er, 2, 3, 2, 4, 48),
    stage(Ir, 3, 3, 2, 4, 96),
    stage(Ir, 5, 3, 1, 6, 112),
    stage(Ir, 8, 3, 2, 6, 192),
];

/// What distinguishes the EfficientNets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    pub(super) stages: &'static [Stage],
    /// Channels of the stem before width scaling.
    pub(super) stem: i64,
    /// Channels of the pooled features before width scaling.
    pub(super) features: i64,
    /// Factor for channels.
    width: f64,
    /// Factor for the number of blocks.
    depth: f64,
    /// Rounding may not reduce a scaled width below this share of it.
    round_limit: f64,
    /// Whether convolutions pad as TensorFlow does.
    pub(super) same_padding: bool,
    /// ε of the batch norms.
    pub(super) norm_eps: f64,
}

impl Plan {
    /// EfficientNet with factors for width and depth (Tan and Le 2019, arXiv:1905.11946; timm's).
    pub(super) const fn v1(width: f64, depth: f64) -> Self {
        let (stem, features, round_limit) = (32, 1280, 0.9);
        Self { stages: V1, stem, features, width, depth, round_limit, same_padding: false, norm_eps: 1e-5 }
    }

    /// EfficientNetV2.
    pub(super) const fn v2(stages: &'static [Stage], stem: i64, round_limit: f64) -> Self {
        Self { stages, stem, round_limit, ..Self::v1(1.0, 1.0).tensorflow() }
    }

    /// With TensorFlow's padding and ε, for weights that were trained there.
    pub(super) const fn tensorflow(self) -> Self {
        Self { same_padding: true, norm_eps: 1e-3, ..self }
    }

    /// A number of channels, scaled and rounded.
    pub(super) fn channels(&self, channels: i64) -> i64 {
        let scaled = channels as f64 * self.width;
        if self.round_limit == 0.9 { divisible_by_8(scaled) } else { divisible_by_8_within(scaled, self.round_limit) }
    }

    /// A stage's number of blocks, scaled.
    pub(super) fn repeats(&self, repeats: i64) -> i64 {
        (repeats as f64 * self.depth).ceil() as i64
    }
}

//! The stage tables from which the EfficientNets are built.

use super::blocks::{BlockKind, divisible_by_8, divisible_by_8_within};

/// One stage: blocks of one kind, the first of which may halve the size.
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
    /// Width of the inside over the width of the input.
    pub expansion: i64,
    /// Channels that come out, before width scaling.
    pub channels: i64,
    /// Whether blocks have squeeze-and-excitation, to a quarter of their input.
    pub squeeze: bool,
    /// Whether blocks of equal input and output add their input.
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
const V2_S: &[Stage] = &[
    stage(Cn, 2, 3, 1, 1, 24),
    stage(Er, 4, 3, 2, 4, 48),
    stage(Er, 4, 3, 2, 4, 64),
    stage(Ir, 6, 3, 2, 4, 128),
    stage(Ir, 9, 3, 1, 6, 160),
    stage(Ir, 15, 3, 2, 6, 256),
];

/// EfficientNetV2-M, as released.
const V2_M: &[Stage] = &[
    stage(Cn, 3, 3, 1, 1, 24),
    stage(Er, 5, 3, 2, 4, 48),
    stage(Er, 5, 3, 2, 4, 80),
    stage(Ir, 7, 3, 2, 4, 160),
    stage(Ir, 14, 3, 1, 6, 176),
    stage(Ir, 18, 3, 2, 6, 304),
    stage(Ir, 5, 3, 1, 6, 512),
];

/// EfficientNetV2-B0, as released.
const V2_B0: &[Stage] = &[
    stage(Cn, 1, 3, 1, 1, 16),
    stage(Er, 2, 3, 2, 4, 32),
    stage(Er, 2, 3, 2, 4, 48),
    stage(Ir, 3, 3, 2, 4, 96),
    stage(Ir, 5, 3, 1, 6, 112),
    stage(Ir, 8, 3, 2, 6, 192),
];

/// What makes one EfficientNet different from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    pub(crate) stages: &'static [Stage],
    pub(crate) stem: i64,
    pub(crate) features: i64,
    pub(crate) width: f64,
    pub(crate) depth: f64,
    /// The least share of a scaled width that rounding may leave.
    pub(crate) round_limit: f64,
    pub(crate) same_padding: bool,
    pub(crate) norm_eps: f64,
}

impl Plan {
    const fn v1(width: f64, depth: f64) -> Self {
        let (stem, features, round_limit) = (32, 1280, 0.9);
        Self { stages: V1, stem, features, width, depth, round_limit, same_padding: false, norm_eps: 1e-5 }
    }

    const fn v2(stages: &'static [Stage], stem: i64, round_limit: f64) -> Self {
        Self { stages, stem, round_limit, ..Self::v1(1.0, 1.0).tensorflow() }
    }

    /// Weights trained in TensorFlow: its padding and its ε.
    const fn tensorflow(self) -> Self {
        Self { same_padding: true, norm_eps: 1e-3, ..self }
    }

    /// The plan of a timm name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (base, tensorflow) = name.strip_prefix("tf_").map_or((name, false), |base| (base, true));
        let plan = match base {
            "efficientnet_b0" => Self::v1(1.0, 1.0),
            "efficientnet_b1" => Self::v1(1.0, 1.1),
            "efficientnet_b2" => Self::v1(1.1, 1.2),
            "efficientnet_b3" => Self::v1(1.2, 1.4),
            "efficientnet_b4" => Self::v1(1.4, 1.8),
            "efficientnet_b5" => Self::v1(1.6, 2.2),
            "efficientnet_b6" => Self::v1(1.8, 2.6),
            "efficientnet_b7" => Self::v1(2.0, 3.1),
            "efficientnetv2_s" if tensorflow => Self::v2(V2_S, 24, 0.9),
            "efficientnetv2_m" if tensorflow => Self::v2(V2_M, 24, 0.9),
            "efficientnetv2_b0" if tensorflow => Self::v2(V2_B0, 32, 0.0),
            _ => return None,
        };
        Some(if tensorflow { plan.tensorflow() } else { plan })
    }

    /// A width scaled to the variant and rounded.
    pub(crate) fn channels(&self, channels: i64) -> i64 {
        let scaled = channels as f64 * self.width;
        if self.round_limit == 0.9 { divisible_by_8(scaled) } else { divisible_by_8_within(scaled, self.round_limit) }
    }

    /// A stage's number of blocks scaled to the variant.
    pub(crate) fn repeats(&self, repeats: i64) -> i64 {
        (repeats as f64 * self.depth).ceil() as i64
    }
}

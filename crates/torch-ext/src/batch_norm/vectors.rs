//! Activations of sixteen numbers at a time.

use std::arch::x86_64::{
    __m512, __mmask16, _CMP_NLE_UQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm512_add_ps, _mm512_cmp_ps_mask,
    _mm512_div_ps, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
    _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_sub_ps,
};

/// Floats of a vector.
pub(super) const LANES: usize = 16;

/// Activations, with the numbers of [`crate::fused::Activation`].
pub(super) const NONE: i64 = 0;
pub(super) const RELU: i64 = 1;
pub(super) const SILU: i64 = 2;

/// A mask of the first `count` lanes.
pub(super) const fn lanes(count: usize) -> __mmask16 {
    if count >= LANES { __mmask16::MAX } else { ((1u32 << count) - 1) as __mmask16 }
}

/// σ(x) = 1/(1 + e^-x). e^-x is 2ⁿ·2^f with f in [−½, ½], and 2^f the first seven terms of its Taylor series: the error
/// is below 1e-6.
#[inline]
#[target_feature(enable = "avx512f")]
fn sigmoid(x: __m512) -> __m512 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    /// ln(2)ᵏ / k!
    const SERIES: [f32; 7] =
        [1.0, std::f32::consts::LN_2, 2.402_265e-1, 5.550_411e-2, 9.618_129e-3, 1.333_355_8e-3, 1.540_353e-4];
    let power = _mm512_mul_ps(x, _mm512_set1_ps(-LOG2_E));
    // in this order a NaN stays a NaN
    let power = _mm512_min_ps(_mm512_set1_ps(126.0), _mm512_max_ps(_mm512_set1_ps(-126.0), power));
    let whole = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(power);
    let part = _mm512_sub_ps(power, whole);
    let mut sum = _mm512_set1_ps(SERIES[6]);
    for term in SERIES[..6].iter().rev() {
        sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(*term));
    }
    let one = _mm512_set1_ps(1.0);
    _mm512_div_ps(one, _mm512_add_ps(_mm512_scalef_ps(sum, whole), one))
}

/// The activation of x. A NaN stays a NaN.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn activated<const ACTIVATION: i64>(x: __m512) -> __m512 {
    match ACTIVATION {
        RELU => _mm512_max_ps(_mm512_setzero_ps(), x),
        SILU => _mm512_mul_ps(x, sigmoid(x)),
        _ => x,
    }
}

/// The gradient times the activation's slope at x. For a ReLU, x may also be its result.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn masked<const ACTIVATION: i64>(gradient: __m512, x: __m512) -> __m512 {
    match ACTIVATION {
        RELU => _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(x, _mm512_setzero_ps()), gradient),
        SILU => {
            // σ·(1 + x·(1 − σ))
            let (sigma, one) = (sigmoid(x), _mm512_set1_ps(1.0));
            let slope = _mm512_mul_ps(sigma, _mm512_fmadd_ps(x, _mm512_fnmadd_ps(sigma, one, one), one));
            _mm512_mul_ps(gradient, slope)
        }
        _ => gradient,
    }
}

//! Vectors of sixteen (AVX-512) or eight (AVX2) numbers, and activations of them.
//!
//! Every operation but [`sigmoid`] rounds alike in both.

use std::arch::x86_64::{
    __m256, __m256i, __m512, __mmask16, _CMP_NLE_UQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm256_add_epi32,
    _mm256_add_ps, _mm256_and_ps, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cvtps_epi32, _mm256_div_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps, _mm512_cmp_ps_mask, _mm512_div_ps,
    _mm512_fmadd_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_mul_ps, _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_sub_ps,
};

/// Activations, with the numbers of [`crate::fused::Activation`].
pub(super) const NONE: i64 = 0;
pub(super) const RELU: i64 = 1;
pub(super) const SILU: i64 = 2;

const ROUND: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// A vector of numbers.
///
/// # Safety
/// Every function needs the processor's instructions for the vector, enabled in the function that it is inlined into.
/// Loads and stores access the first `count` lanes, or all if `count` is greater.
pub(super) trait Vector: Copy {
    /// Numbers of a vector.
    const LANES: usize;

    unsafe fn zero() -> Self;
    unsafe fn all(value: f32) -> Self;
    unsafe fn load(from: *const f32, count: usize) -> Self;
    unsafe fn store(self, to: *mut f32, count: usize);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// self·factor + summand, rounded once.
    unsafe fn times_plus(self, factor: Self, summand: Self) -> Self;
    /// The smaller number; a NaN in `other` stays.
    unsafe fn min(self, other: Self) -> Self;
    /// The greater number; a NaN in `other` stays.
    unsafe fn max(self, other: Self) -> Self;
    /// The nearest whole number.
    unsafe fn round(self) -> Self;
    /// self·2ⁿ for whole numbers n from −126 to 126.
    unsafe fn times_power_of_two(self, n: Self) -> Self;
    /// `self` where x is positive or NaN, else 0.
    unsafe fn where_positive(self, x: Self) -> Self;
}

/// A mask of the first `count` lanes.
const fn lanes(count: usize) -> __mmask16 {
    if count >= 16 { __mmask16::MAX } else { ((1u32 << count) - 1) as __mmask16 }
}

/// The same for AVX2, whose masks are vectors.
#[inline(always)]
unsafe fn lanes_of_eight(count: usize) -> __m256i {
    const LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: eight numbers from any of the first nine places.
    unsafe { _mm256_loadu_si256(LANES.as_ptr().add(8 - count.min(8)).cast()) }
}

/// Defines functions of [`Vector`].
macro_rules! functions {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? { $($body:tt)* })*) => {
        $(
            #[inline(always)]
            unsafe fn $name($($argument: $type),*) $(-> $result)? {
                // SAFETY: see the trait.
                unsafe { $($body)* }
            }
        )*
    };
}

impl Vector for __m512 {
    const LANES: usize = 16;

    functions! {
        zero() -> Self { _mm512_setzero_ps() }
        all(value: f32) -> Self { _mm512_set1_ps(value) }
        load(from: *const f32, count: usize) -> Self { _mm512_maskz_loadu_ps(lanes(count), from) }
        store(self: Self, to: *mut f32, count: usize) { _mm512_mask_storeu_ps(to, lanes(count), self) }
        add(self: Self, other: Self) -> Self { _mm512_add_ps(self, other) }
        sub(self: Self, other: Self) -> Self { _mm512_sub_ps(self, other) }
        mul(self: Self, other: Self) -> Self { _mm512_mul_ps(self, other) }
        div(self: Self, other: Self) -> Self { _mm512_div_ps(self, other) }
        times_plus(self: Self, factor: Self, summand: Self) -> Self { _mm512_fmadd_ps(self, factor, summand) }
        min(self: Self, other: Self) -> Self { _mm512_min_ps(self, other) }
        max(self: Self, other: Self) -> Self { _mm512_max_ps(self, other) }
        round(self: Self) -> Self { _mm512_roundscale_ps::<ROUND>(self) }
        times_power_of_two(self: Self, n: Self) -> Self { _mm512_scalef_ps(self, n) }
        where_positive(self: Self, x: Self) -> Self {
            _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(x, _mm512_setzero_ps()), self)
        }
    }
}

impl Vector for __m256 {
    const LANES: usize = 8;

    functions! {
        zero() -> Self { _mm256_setzero_ps() }
        all(value: f32) -> Self { _mm256_set1_ps(value) }
        load(from: *const f32, count: usize) -> Self {
            if count >= 8 { _mm256_loadu_ps(from) } else { _mm256_maskload_ps(from, lanes_of_eight(count)) }
        }
        store(self: Self, to: *mut f32, count: usize) {
            if count >= 8 { _mm256_storeu_ps(to, self) } else { _mm256_maskstore_ps(to, lanes_of_eight(count), self) }
        }
        add(self: Self, other: Self) -> Self { _mm256_add_ps(self, other) }
        sub(self: Self, other: Self) -> Self { _mm256_sub_ps(self, other) }
        mul(self: Self, other: Self) -> Self { _mm256_mul_ps(self, other) }
        div(self: Self, other: Self) -> Self { _mm256_div_ps(self, other) }
        times_plus(self: Self, factor: Self, summand: Self) -> Self { _mm256_fmadd_ps(self, factor, summand) }
        min(self: Self, other: Self) -> Self { _mm256_min_ps(self, other) }
        max(self: Self, other: Self) -> Self { _mm256_max_ps(self, other) }
        round(self: Self) -> Self { _mm256_round_ps::<ROUND>(self) }
        times_power_of_two(self: Self, n: Self) -> Self {
            // the exponent's bits of 2ⁿ
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(self, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        }
        where_positive(self: Self, x: Self) -> Self {
            _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(x, _mm256_setzero_ps()), self)
        }
    }
}

/// σ(x) = 1/(1 + e^-x). e^-x is 2ⁿ·2^f with f in [−½, ½], and 2^f the first seven terms of its Taylor series: the error
/// is below 1e-6.
///
/// # Safety
/// This and the functions below are inlined where the vector's instructions are enabled.
#[inline(always)]
unsafe fn sigmoid<V: Vector>(x: V) -> V {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    /// ln(2)ᵏ / k!
    const SERIES: [f32; 7] =
        [1.0, std::f32::consts::LN_2, 2.402_265e-1, 5.550_411e-2, 9.618_129e-3, 1.333_355_8e-3, 1.540_353e-4];
    // SAFETY: the caller enabled the instructions.
    unsafe {
        let power = x.mul(V::all(-LOG2_E));
        // in this order a NaN stays a NaN
        let power = V::all(126.0).min(V::all(-126.0).max(power));
        let whole = power.round();
        let part = power.sub(whole);
        let mut sum = V::all(SERIES[6]);
        for term in SERIES[..6].iter().rev() {
            sum = sum.times_plus(part, V::all(*term));
        }
        let one = V::all(1.0);
        one.div(sum.times_power_of_two(whole).add(one))
    }
}

/// The activation of x. A NaN stays a NaN.
#[inline(always)]
pub(super) unsafe fn activated<V: Vector, const ACTIVATION: i64>(x: V) -> V {
    // SAFETY: the caller enabled the instructions.
    unsafe {
        match ACTIVATION {
            RELU => V::zero().max(x),
            SILU => x.mul(sigmoid(x)),
            _ => x,
        }
    }
}

/// The gradient times the activation's slope at x. For a ReLU, x may also be its result.
#[inline(always)]
pub(super) unsafe fn masked<V: Vector, const ACTIVATION: i64>(gradient: V, x: V) -> V {
    // SAFETY: the caller enabled the instructions.
    unsafe {
        match ACTIVATION {
            RELU => gradient.where_positive(x),
            SILU => {
                // σ·(1 + x·(1 − σ))
                let (sigma, one) = (sigmoid(x), V::all(1.0));
                gradient.mul(sigma.mul(x.times_plus(one.sub(sigma), one)))
            }
            _ => gradient,
        }
    }
}

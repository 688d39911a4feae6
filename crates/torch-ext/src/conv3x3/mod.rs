//! A 3×3 convolution with gradients for CPUs: minimal filtering.
//!
//! # Why a convolution of our own?
//!
//! Most of a small network's time on a CPU is spent in 3×3 convolutions. PyTorch leaves them to oneDNN, which computes
//! them directly: nine products for each result and channel. Winograd (*Arithmetic Complexity of Computations*, SIAM
//! 1980) showed how few products a short filter needs, and Lavin and Gray (*Fast Algorithms for Convolutional Neural
//! Networks*, CVPR 2016, [arXiv:1509.09308](https://arxiv.org/abs/1509.09308)) how to compute networks with it: cut the
//! image into tiles, transform tiles and weights, multiply, and transform back. A tile of 3×3 results then takes 25
//! products instead of 81, and a whole map of 2×2 takes 9 instead of 36. The products of all tiles and channels are
//! products of matrices, at which CPUs are good. oneDNN has such an algorithm, but chooses it neither for training nor
//! for small maps.
//!
//! The second reason is the order of the weights. In the last stages of a network for small images a map has four or
//! nine pixels, and there are millions of weights. oneDNN first copies them into an order of its own, which takes longer
//! than the products. Here they are read once, in the order in which they are stored.
//!
//! The price is rounding: the transforms add and subtract numbers of different magnitude. Results are within 1e-5 of
//! the greatest magnitude, as the tests check.
//!
//! The kernels need AVX-512. [`fits`] says whether a convolution can and should be computed here; otherwise use torch's.
//! `cargo xtask bench conv` compares the two. [`cpu_kernels`] switches all such kernels off.

#[cfg(target_arch = "x86_64")]
mod algorithm;
#[cfg(target_arch = "x86_64")]
mod convolution;
#[cfg(target_arch = "x86_64")]
mod job;
#[cfg(target_arch = "x86_64")]
mod product;
#[cfg(target_arch = "x86_64")]
mod transform;
#[cfg(target_arch = "x86_64")]
mod weight_gradient;

use tch::Tensor;

use crate::cpu_kernels;
use crate::error::{Error, check};
use crate::shim_types;
use crate::{Result, autocast, ffi, layout};

/// Whether [`convolve`] computes this convolution (padding 1, one group, no bias), and faster than oneDNN does.
///
/// It does for fp32 on a CPU with AVX-512, channels in multiples of 32, `x` and `weight` stored channels-last, without
/// autocast; with stride 1 on maps of at least 2×2, with stride 2 on maps of 3×3.
#[must_use]
pub fn fits(x: &Tensor, weight: &Tensor, stride: i64) -> bool {
    let size = x.size();
    let [_, channels, height, width] = &size[..] else { return false };
    let has_size = match stride {
        1 => *height >= 2 && *width >= 2,
        2 => (*height, *width) == (3, 3),
        _ => false,
    };
    has_size && takes(weight) && *channels == weight.size()[1] && is_plain(x) && !autocast::is_on_cpu()
}

/// Whether there are inputs for which [`convolve`] takes this weight: fp32 on a CPU with AVX-512, stored channels-last,
/// channels in multiples of 32.
#[must_use]
pub fn takes(weight: &Tensor) -> bool {
    let is_multiple = |channels: i64| channels > 0 && channels % 32 == 0;
    let has_size = matches!(weight.size()[..], [out, channels, 3, 3] if is_multiple(out) && is_multiple(channels));
    has_size && is_plain(weight) && cpu_kernels::are_used()
}

fn is_plain(tensor: &Tensor) -> bool {
    cpu_kernels::is_float_on_cpu(tensor) && layout::is_channels_last(tensor)
}

/// The convolution. It has gradients, but no second derivative.
///
/// The results differ from a direct convolution's by rounding: by less than 1e-5 of their greatest magnitude. The bits
/// do not depend on the number of threads.
///
/// # Shapes
/// `x` `[batch, in, height, width]`, `weight` `[out, in, 3, 3]` → `[batch, out, ⌈height/stride⌉, ⌈width/stride⌉]`,
/// stored channels-last.
///
/// # Errors
/// [`fits`] is false.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use torch_ext::{conv3x3, layout};
///
/// let x = layout::channels_last(&Tensor::randn([4, 32, 2, 2], (Kind::Float, Device::Cpu)))?;
/// let weight = layout::channels_last(&Tensor::randn([64, 32, 3, 3], (Kind::Float, Device::Cpu)))?;
/// if conv3x3::fits(&x, &weight, 1) {
///     let expected = x.conv2d::<Tensor>(&weight, None, [1, 1], [1, 1], [1, 1], 1);
///     let found = conv3x3::convolve(&x, &weight, 1)?;
///     assert!((found - &expected).abs().max().double_value(&[]) < 1e-5 * expected.abs().max().double_value(&[]));
/// }
/// # Ok::<(), torch_ext::Error>(())
/// ```
pub fn convolve(x: &Tensor, weight: &Tensor, stride: i64) -> Result<Tensor> {
    if !fits(x, weight, stride) {
        return Err(Error::Convolution { x: x.size(), weight: weight.size(), stride });
    }
    let mut out = std::ptr::null_mut();
    // SAFETY: both tensors live through the call; `out` becomes a new tensor that we own.
    check(unsafe { ffi::te_conv3x3(x.as_ptr(), weight.as_ptr(), stride, kernels(), &mut out) })?;
    Ok(layout::adopt(out))
}

/// The functions that the shim calls on torch's threads.
#[cfg(target_arch = "x86_64")]
fn kernels() -> *const std::os::raw::c_void {
    static KERNELS: shim_types::Kernels<shim_types::conv3x3::Job, shim_types::conv3x3::Plan> =
        shim_types::Kernels { plan: job::plan, run: job::run };
    (&raw const KERNELS).cast()
}

#[cfg(not(target_arch = "x86_64"))]
fn kernels() -> *const std::os::raw::c_void {
    std::ptr::null()
}

#[cfg(test)]
mod tests;

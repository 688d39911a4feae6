//! A 3×3 convolution that can be trained, quicker than oneDNN's.
//!
//! Tiles are transformed so that fewer products are left than a direct convolution has: 25 in place of 81 for nine
//! results, 9 in place of 36 for a whole map of 2×2. Weights are read once, in the order in which they lie; in the last
//! stages of a network for small pictures, where a map has four or nine pixels, bringing them into another order takes
//! oneDNN longer than the products. It needs AVX-512; [`fits`] says where it can and should be used.

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

use crate::avx512;
use crate::error::{Error, check};
use crate::{Result, autocast, ffi, layout};

/// Whether [`convolve`] computes this convolution (padding one, one group, no bias), and sooner than oneDNN does.
///
/// It does for fp32 on a CPU with AVX-512, channels in multiples of 32, `x` and `weight` stored channels-last, without
/// autocast; with a stride of one on maps of at least 2×2, with a stride of two on maps of 3×3. How much sooner:
/// `cargo xtask bench conv`.
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

/// Whether [`convolve`] computes convolutions with this weight on this machine at all.
#[must_use]
pub fn takes(weight: &Tensor) -> bool {
    let is_fit = matches!(weight.size()[..], [results, inputs, 3, 3] if results % 32 == 0 && inputs % 32 == 0);
    is_fit && is_plain(weight) && avx512::is_there()
}

fn is_plain(tensor: &Tensor) -> bool {
    avx512::is_float_on_cpu(tensor) && layout::is_channels_last(tensor)
}

/// The convolution, with its gradients.
///
/// The results differ from a direct convolution's by rounding: within 1e-5 of their greatest magnitude. The bits do
/// not depend on the number of threads.
///
/// # Shapes
/// `x` `[batch, in, height, width]`, `weight` `[out, in, 3, 3]` → `[batch, out, ⌈height/stride⌉, ⌈width/stride⌉]`,
/// stored channels-last.
///
/// # Errors
/// [`fits`] says no.
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
    static KERNELS: avx512::Kernels<job::Job, job::Plan> = avx512::Kernels { plan: job::plan, run: job::run };
    (&raw const KERNELS).cast()
}

#[cfg(not(target_arch = "x86_64"))]
fn kernels() -> *const std::os::raw::c_void {
    std::ptr::null()
}

#[cfg(test)]
mod tests;

//! Memory layout: channels-last images and weights.

use tch::Tensor;
use torch_sys::C_tensor;

use crate::error::check;
use crate::{Result, ffi};

/// The same values stored channels-last: the channels of a pixel are neighbours in memory. oneDNN and cuDNN convolve
/// this layout faster. Shape and indices do not change.
///
/// With one channel both layouts are the same in memory. The strides of the result still say channels-last, so that
/// everything computed from it is stored channels-last too.
///
/// # Shapes
/// `[batch, channels, height, width]` → the same.
///
/// # Errors
/// The tensor does not have four dimensions.
pub fn channels_last(tensor: &Tensor) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: `tensor` lives through the call; the shim fills `out` with a new tensor that we own.
    check(unsafe { ffi::te_channels_last(tensor.as_ptr(), &mut out) })?;
    Ok(adopt(out))
}

/// A copy in page-locked memory, which a GPU reads while it works. tch's own function names a device, which torch warns
/// about at every call.
///
/// # Errors
/// There is no CUDA device, or not enough memory can be locked.
pub fn pinned(tensor: &Tensor) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: as in `channels_last`.
    check(unsafe { ffi::te_pin_memory(tensor.as_ptr(), &mut out) })?;
    Ok(adopt(out))
}

/// Whether the tensor has four dimensions and is stored channels-last.
#[must_use]
pub fn is_channels_last(tensor: &Tensor) -> bool {
    let mut answer = 0;
    // SAFETY: `tensor` lives through the call; `answer` is a live integer.
    tensor.dim() == 4 && check(unsafe { ffi::te_is_channels_last(tensor.as_ptr(), &mut answer) }).is_ok() && answer != 0
}

/// Takes a tensor that the shim allocated.
pub(crate) fn adopt(pointer: *mut C_tensor) -> Tensor {
    // SAFETY: the shim made it with `new at::Tensor`, as torch-sys does; the `Tensor` frees it once.
    unsafe { Tensor::from_ptr(pointer) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn values_stay_and_strides_change() {
        let x = Tensor::arange(24, (Kind::Float, Device::Cpu)).reshape([1, 2, 3, 4]);
        let y = channels_last(&x).unwrap();
        assert!(is_channels_last(&y) && !is_channels_last(&x));
        assert_eq!(y.stride(), [24, 1, 8, 2]);
        assert_eq!(x, y);
    }

    #[test]
    fn convolutions_of_one_channel_are_stored_channels_last_too() {
        let cpu = (Kind::Float, Device::Cpu);
        for channels in [1, 3] {
            let x = channels_last(&Tensor::randn([2, channels, 6, 6], cpu)).unwrap();
            let weight = Tensor::randn([32, channels, 3, 3], cpu);
            let y = x.conv2d::<Tensor>(&weight, None, [2, 2], [1, 1], [1, 1], 1);
            assert!(is_channels_last(&y), "{channels} channels: {:?}", y.stride());
        }
    }

    #[test]
    fn three_dimensions_are_refused_with_torchs_message() {
        let error = channels_last(&Tensor::zeros([2, 3, 4], (Kind::Float, Device::Cpu))).unwrap_err().to_string();
        assert!(error.contains("4"), "{error}");
    }
}

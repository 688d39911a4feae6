//! Memory layout: channels-last images and weights.

use tch::Tensor;
use torch_sys::C_tensor;

use crate::error::check;
use crate::{Result, ffi};

/// The same values stored channels-last: a pixel's channels lie together. oneDNN and cuDNN convolve this
/// layout quicker; shape and indices do not change. One channel lies alike either way: its strides then say
/// channels-last, so that what is computed from it is stored so.
///
/// # Shapes
/// `[batch, channels, height, width]` → the same.
///
/// # Errors
/// The tensor has not four dimensions.
pub fn channels_last(tensor: &Tensor) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: `tensor` lives through the call; the shim fills `out` with a new tensor that we own.
    check(unsafe { ffi::te_channels_last(tensor.as_ptr(), &mut out) })?;
    Ok(adopt(out))
}

/// Whether the tensor is stored channels-last.
pub fn is_channels_last(tensor: &Tensor) -> bool {
    // SAFETY: `tensor` lives through the call.
    tensor.dim() == 4 && unsafe { ffi::te_is_channels_last(tensor.as_ptr()) != 0 }
}

/// Takes a tensor that the shim allocated.
pub(crate) fn adopt(pointer: *mut C_tensor) -> Tensor {
    // SAFETY: the shim made it with `new at::Tensor`, as torch-sys does; the Tensor frees it once.
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
    fn what_is_convolved_from_one_channel_lies_channels_last_too() {
        let cpu = (Kind::Float, Device::Cpu);
        for channels in [1, 3] {
            let x = channels_last(&Tensor::randn([2, channels, 6, 6], cpu)).unwrap();
            let weight = Tensor::randn([32, channels, 3, 3], cpu);
            let y = x.conv2d::<Tensor>(&weight, None, [2, 2], [1, 1], [1, 1], 1);
            assert!(is_channels_last(&y), "{channels} channels: {:?}", y.stride());
        }
    }

    #[test]
    fn three_dimensions_are_refused_with_torchs_words() {
        let error = channels_last(&Tensor::zeros([2, 3, 4], (Kind::Float, Device::Cpu))).unwrap_err().to_string();
        assert!(error.contains("4"), "{error}");
    }
}

//! A tensor that is filled as a slice.

use std::ops::{Deref, DerefMut};

use tch::{Device, Kind, TchError, Tensor};

/// Floats in the memory of a new tensor: filled as a slice, then turned into the tensor without a copy.
///
/// ```
/// use torch_ext::floats::Floats;
///
/// let mut floats = Floats::zeros(&[2, 3])?;
/// floats[4] = 7.0;
/// let tensor = floats.into_tensor();
/// assert_eq!(tensor.double_value(&[1, 1]), 7.0);
/// # Ok::<(), tch::TchError>(())
/// ```
#[derive(Debug)]
pub struct Floats {
    tensor: Tensor,
    length: usize,
}

impl Floats {
    /// Zeros on the CPU.
    ///
    /// # Errors
    /// The shape is invalid, or there is not enough memory.
    pub fn zeros(shape: &[i64]) -> Result<Self, TchError> {
        let tensor = Tensor::f_zeros(shape, (Kind::Float, Device::Cpu))?;
        let length = tensor.numel();
        Ok(Self { tensor, length })
    }

    /// The tensor, contiguous, in the shape that was given.
    pub fn into_tensor(self) -> Tensor {
        self.tensor
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: a new tensor is contiguous and has `length` initialised floats on the CPU. It leaves this struct only
        // when `into_tensor` consumes it, so that its memory lives and is borrowed as long as `self`.
        unsafe { std::slice::from_raw_parts(self.tensor.data_ptr().cast_const().cast(), self.length) }
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        if self.length == 0 {
            return &mut [];
        }
        // SAFETY: as in `deref`; `self` is borrowed mutably and no other tensor shares the memory.
        unsafe { std::slice::from_raw_parts_mut(self.tensor.data_ptr().cast(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_tensor_is_an_empty_slice() {
        let mut floats = Floats::zeros(&[0, 3]).unwrap();
        assert!(floats.is_empty() && floats.iter_mut().next().is_none());
        assert_eq!(floats.into_tensor().size(), [0, 3]);
    }
}

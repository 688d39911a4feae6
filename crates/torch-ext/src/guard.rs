//! Inference mode as a guard.

use std::marker::PhantomData;
use std::os::raw::c_void;

use crate::ffi;

/// While it lives this thread records no autograd graph and keeps no version counters, which saves more than
/// `no_grad`. Tensors made inside cannot take part in autograd later.
#[derive(Debug)]
#[must_use = "inference mode ends when the guard is dropped"]
pub struct InferenceGuard {
    guard: *mut c_void,
    _thread: PhantomData<*const ()>,
}

/// Turns inference mode on in this thread.
///
/// ```
/// use tch::{Device, Kind, Tensor};
///
/// let w = Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
/// let _guard = torch_ext::guard::inference();
/// assert!(!(&w * 2.0).requires_grad());
/// ```
pub fn inference() -> InferenceGuard {
    // SAFETY: the shim allocates the guard; `drop` gives it back once, on the same thread.
    InferenceGuard { guard: unsafe { ffi::te_inference_enter() }, _thread: PhantomData }
}

impl Drop for InferenceGuard {
    fn drop(&mut self) {
        // SAFETY: `guard` came from te_inference_enter and is freed once; the type is neither Send nor Copy.
        unsafe { ffi::te_inference_leave(self.guard) }
    }
}

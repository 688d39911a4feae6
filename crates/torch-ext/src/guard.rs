//! Inference mode as a guard.

use std::cell::Cell;
use std::marker::PhantomData;
use std::os::raw::c_void;
use std::ptr;

use crate::error::check;
use crate::{Result, ffi};

thread_local! {
    /// Number of guards of this thread, and the shim's guard, which all of them share.
    static ACTIVE: Cell<(usize, *mut c_void)> = const { Cell::new((0, ptr::null_mut())) };
}

/// While it exists, this thread records no autograd graph and keeps no version counters, which saves more than
/// `no_grad`. Tensors made meanwhile cannot take part in autograd later.
///
/// Guards may be dropped in any order: inference mode ends with the last one.
#[derive(Debug)]
#[must_use = "inference mode ends when the guard is dropped"]
pub struct InferenceGuard {
    // The mode belongs to the thread, so the guard stays on its thread.
    _thread: PhantomData<*const ()>,
}

/// Turns inference mode on in this thread.
///
/// # Errors
/// libtorch refuses.
///
/// ```
/// use tch::{Device, Kind, Tensor};
///
/// let w = Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
/// let _guard = torch_ext::guard::inference()?;
/// assert!(!(&w * 2.0).requires_grad());
/// # Ok::<(), torch_ext::Error>(())
/// ```
pub fn inference() -> Result<InferenceGuard> {
    let (count, mut guard) = ACTIVE.get();
    if count == 0 {
        // SAFETY: the shim fills in a new guard, which the last drop on this thread frees.
        check(unsafe { ffi::te_inference_enter(&mut guard) })?;
    }
    ACTIVE.set((count + 1, guard));
    Ok(InferenceGuard { _thread: PhantomData })
}

impl Drop for InferenceGuard {
    fn drop(&mut self) {
        // A guard that outlives its thread's storage leaves a mode that ends with the thread.
        let _ = ACTIVE.try_with(|active| {
            let (count, guard) = active.get();
            active.set((count - 1, guard));
            if count == 1 {
                // SAFETY: the guard came from te_inference_enter on this thread and is freed once. Errors in Drop are
                // ignored.
                let _ = check(unsafe { ffi::te_inference_leave(guard) });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autocast;
    use tch::{Device, Kind, Tensor};

    fn records() -> bool {
        let w = Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        (&w * 2.0).requires_grad()
    }

    fn product() -> Kind {
        let a = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        a.matmul(&a).kind()
    }

    #[test]
    fn inference_mode_ends_with_the_last_guard_in_any_order_of_drops() {
        let first = inference().unwrap();
        let second = inference().unwrap();
        drop(first);
        assert!(!records());
        drop(second);
        assert!(records());
    }

    #[test]
    fn the_end_of_inference_mode_leaves_autocast_as_it_is() {
        let mode = inference().unwrap();
        let mixed = autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
        drop(mode);
        assert_eq!(product(), Kind::BFloat16, "autocast continues");
        let mode = inference().unwrap();
        drop(mixed);
        drop(mode);
        assert_eq!(product(), Kind::Float, "autocast has ended");
        assert!(records());
    }
}

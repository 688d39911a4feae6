//! Mixed precision with a chosen type.
//!
//! tch's own `autocast` computes in fp16 on CUDA only. [`enter`] takes the type and the device. The setting
//! belongs to the calling thread and ends with the guard.

use std::marker::PhantomData;
use std::os::raw::c_int;

use tch::{Device, Kind};

use crate::error::check;
use crate::{Error, Result, ffi, memory};

/// Autocast is on in this thread while the guard lives; nesting restores the outer setting.
#[derive(Debug)]
#[must_use = "autocast ends when the guard is dropped"]
pub struct AutocastGuard {
    cuda: c_int,
    enabled: c_int,
    kind: c_int,
    // The setting is the thread's, so the guard stays on its thread.
    _thread: PhantomData<*const ()>,
}

/// Turns autocast on for `device` in this thread: convolutions and matrix products compute in `kind`,
/// reductions and losses stay in fp32.
///
/// bf16 needs no loss scaling; fp16 does.
///
/// # Errors
/// `kind` is neither bf16 nor fp16; `device` is neither CPU nor CUDA; CUDA is asked for and absent.
///
/// ```
/// use tch::{Device, Kind, Tensor};
///
/// let a = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
/// let inside = {
///     let _guard = torch_ext::autocast::enter(Device::Cpu, Kind::BFloat16)?;
///     a.matmul(&a).kind()
/// };
/// assert_eq!(inside, Kind::BFloat16);
/// assert_eq!(a.matmul(&a).kind(), Kind::Float);
/// # Ok::<(), torch_ext::Error>(())
/// ```
pub fn enter(device: Device, kind: Kind) -> Result<AutocastGuard> {
    // The numbers of c10::ScalarType, which torch keeps stable.
    let number = match kind {
        Kind::Half => 5,
        Kind::BFloat16 => 15,
        kind => return Err(Error::AutocastKind(kind)),
    };
    let cuda = match device {
        Device::Cpu => 0,
        Device::Cuda(_) => {
            memory::require_cuda("autocast")?;
            1
        }
        device => return Err(Error::Device { operation: "autocast", device }),
    };
    let (mut enabled, mut previous) = (0, 0);
    // SAFETY: both pointers are to live integers.
    check(unsafe { ffi::te_autocast_enter(cuda, number, &mut enabled, &mut previous) })?;
    Ok(AutocastGuard { cuda, enabled, kind: previous, _thread: PhantomData })
}

/// Whether this thread computes with autocast on the CPU.
pub(crate) fn is_on_cpu() -> bool {
    // SAFETY: reads a setting of the thread.
    unsafe { ffi::te_autocast_is_on(0) != 0 }
}

impl Drop for AutocastGuard {
    fn drop(&mut self) {
        // SAFETY: plain integers; the answer is freed by `check`. A destructor has nobody to tell.
        let _ = check(unsafe { ffi::te_autocast_leave(self.cuda, self.enabled, self.kind) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Tensor;

    fn product() -> Kind {
        let a = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        a.matmul(&a).kind()
    }

    #[test]
    fn nested_guards_restore_the_outer_type() {
        let outer = enter(Device::Cpu, Kind::BFloat16).unwrap();
        assert_eq!(product(), Kind::BFloat16);
        {
            let _inner = enter(Device::Cpu, Kind::Half).unwrap();
            assert_eq!(product(), Kind::Half);
        }
        assert_eq!(product(), Kind::BFloat16);
        drop(outer);
        assert_eq!(product(), Kind::Float);
    }

    #[test]
    fn fp32_is_not_a_mixed_precision() {
        let error = enter(Device::Cpu, Kind::Float).unwrap_err();
        assert_eq!(error.to_string(), "autocast needs Kind::BFloat16 or Kind::Half, got Float");
    }

    #[test]
    fn cuda_where_there_is_none_is_an_error_not_a_silent_cpu_run() {
        if tch::Cuda::is_available() {
            let _guard = enter(Device::Cuda(0), Kind::BFloat16).unwrap();
            let a = Tensor::ones([2, 2], (Kind::Float, Device::Cuda(0)));
            assert_eq!(a.matmul(&a).kind(), Kind::BFloat16);
        } else {
            let error = enter(Device::Cuda(0), Kind::BFloat16).unwrap_err();
            assert!(error.to_string().starts_with("autocast needs CUDA"), "{error}");
        }
    }
}

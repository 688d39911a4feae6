//! Mixed precision with a chosen type.
//!
//! tch's own `autocast` computes in fp16 on CUDA only. [`enter`] takes the type and the device. The setting
//! belongs to the calling thread and ends with the guard.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::os::raw::c_int;

use tch::{Device, Kind};

use crate::error::check;
use crate::{Error, Result, ffi, memory};

/// Autocast of one thread on one kind of device.
struct Setting {
    /// Enabled and type before the first guard.
    before: (c_int, c_int),
    /// Number and type of each guard, oldest first.
    guards: Vec<(u64, c_int)>,
}

/// Settings for the CPU and for CUDA, and the next guard's number.
struct Settings {
    devices: [Setting; 2],
    next: u64,
}

const UNUSED: Setting = Setting { before: (0, 0), guards: Vec::new() };

thread_local! {
    static SETTINGS: RefCell<Settings> = const { RefCell::new(Settings { devices: [UNUSED; 2], next: 0 }) };
}

/// Autocast is on in this thread while the guard exists.
///
/// Of nested guards the newest decides. They may be dropped in any order: after the last one, autocast is what it was
/// before the first.
#[derive(Debug)]
#[must_use = "autocast ends when the guard is dropped"]
pub struct AutocastGuard {
    cuda: c_int,
    number: u64,
    // The setting belongs to the thread, so the guard stays on its thread.
    _thread: PhantomData<*const ()>,
}

/// Turns autocast on for `device` in this thread: convolutions and matrix products compute in `kind`,
/// reductions and losses stay in fp32.
///
/// bf16 needs no loss scaling; fp16 does.
///
/// # Errors
/// `kind` is neither bf16 nor fp16; `device` is neither CPU nor CUDA; `device` is CUDA and there is none.
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
    let dtype = match kind {
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
    SETTINGS.with_borrow_mut(|settings| {
        let number = settings.next;
        let setting = &mut settings.devices[cuda as usize];
        if setting.guards.is_empty() {
            setting.before = get(cuda)?;
        }
        set(cuda, (1, dtype))?;
        // SAFETY: a plain integer.
        check(unsafe { ffi::te_nest_autocast(1) })?;
        setting.guards.push((number, dtype));
        settings.next += 1;
        Ok(AutocastGuard { cuda, number, _thread: PhantomData })
    })
}

fn get(cuda: c_int) -> Result<(c_int, c_int)> {
    let (mut enabled, mut dtype) = (0, 0);
    // SAFETY: both pointers are to live integers.
    check(unsafe { ffi::te_get_autocast(cuda, &mut enabled, &mut dtype) })?;
    Ok((enabled, dtype))
}

fn set(cuda: c_int, (enabled, dtype): (c_int, c_int)) -> Result<()> {
    // SAFETY: plain integers.
    check(unsafe { ffi::te_set_autocast(cuda, enabled, dtype) })
}

/// Whether autocast is on in this thread for the CPU.
pub(crate) fn is_on_cpu() -> bool {
    get(0).is_ok_and(|(enabled, _)| enabled != 0)
}

impl Drop for AutocastGuard {
    fn drop(&mut self) {
        // A guard that outlives its thread's storage leaves a setting that ends with the thread.
        let _ = SETTINGS.try_with(|settings| {
            let mut settings = settings.borrow_mut();
            let setting = &mut settings.devices[self.cuda as usize];
            setting.guards.retain(|(number, _)| *number != self.number);
            let now = setting.guards.last().map_or(setting.before, |(_, dtype)| (1, *dtype));
            // Errors in Drop are ignored.
            // SAFETY: a plain integer.
            let _ = check(unsafe { ffi::te_nest_autocast(0) });
            let _ = set(self.cuda, now);
        });
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
    fn guards_that_are_dropped_out_of_order_leave_autocast_off() {
        let outer = enter(Device::Cpu, Kind::BFloat16).unwrap();
        let inner = enter(Device::Cpu, Kind::Half).unwrap();
        drop(outer);
        assert_eq!(product(), Kind::Half);
        drop(inner);
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

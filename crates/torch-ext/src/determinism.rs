//! The same training twice gives the same bits; and the settings behind that: cuDNN's benchmarking, TF32.
//!
//! [`enforce`] is all that a trainer needs. On a CPU, torch's operators are deterministic as they are. On a GPU some
//! sum with atomic additions in the order in which the threads arrive, cuDNN may choose another algorithm from one run to
//! the next, and cuBLAS may split a sum differently when two streams share its workspace.
//!
//! All settings belong to the process, not to a thread. "Same" means: same program, same libtorch, same kind of
//! device, same number of CPU threads.

use std::os::raw::c_int;
use std::sync::{Mutex, PoisonError};

use tch::Device;

use crate::error::check;
use crate::{Error, Result, ffi};

/// The environment variable that makes cuBLAS deterministic, and its value: eight workspaces of 4,096 KiB (NVIDIA,
/// cuBLAS library, "Results Reproducibility"). torch refuses matrix products in deterministic mode without it.
///
/// cuBLAS reads it at the first use of CUDA, so a program sets it at its very start, see [`set_cublas_workspace`],
/// or is started with it.
pub const CUBLAS_WORKSPACE: (&str, &str) = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8");

/// Sets [`CUBLAS_WORKSPACE`] unless the environment has a value already. For binaries, as the first line of `main`.
///
/// # Safety
/// No other thread runs yet: changing the environment while another thread reads it is undefined behaviour
/// ([`std::env::set_var`]).
pub unsafe fn set_cublas_workspace() {
    let (name, value) = CUBLAS_WORKSPACE;
    if std::env::var_os(name).is_none() {
        // SAFETY: the caller promises that this is the only thread.
        unsafe { std::env::set_var(name, value) };
    }
}

/// The settings, in the order of `te_get_determinism` in `csrc/shim.cpp`.
type Settings = [c_int; 8];

/// Deterministic algorithms for ATen (an error where there is no such algorithm), cuDNN and oneDNN; memory is not filled before use,
/// which would only slow things down; no benchmarking; no TF32.
const ENFORCED: Settings = [1, 0, 1, 1, 0, 0, 0, 0];

const BENCHMARK: usize = 5;
const TF32_MATMUL: usize = 6;
const TF32_CONVOLUTION: usize = 7;

/// How many guards there are, and the settings before the first of them.
static ACTIVE: Mutex<(usize, Settings)> = Mutex::new((0, [0; 8]));

fn settings() -> Result<Settings> {
    let mut settings = [0; 8];
    // SAFETY: the shim fills eight integers.
    check(unsafe { ffi::te_get_determinism(settings.as_mut_ptr()) })?;
    Ok(settings)
}

fn apply(settings: &Settings) -> Result<()> {
    // SAFETY: the shim reads eight integers.
    check(unsafe { ffi::te_set_determinism(settings.as_ptr()) })
}

/// While one of these exists, training repeats bit by bit. Made by [`enforce`].
#[derive(Debug)]
#[must_use = "deterministic mode ends when the guard is dropped"]
pub struct DeterminismGuard(());

/// Makes the computations of this process repeat bit by bit on `device` while the guard exists.
///
/// Deterministic algorithms only (an operator that has none returns an error that names it), cuDNN and oneDNN
/// deterministic, cuDNN's benchmarking off, TF32 off. Guards may be dropped in any order; when the last one is dropped, the settings
/// are again what they were before the first.
///
/// # Errors
/// `device` is a CUDA device and the environment lacks [`CUBLAS_WORKSPACE`].
///
/// ```
/// use tch::Device;
/// use torch_ext::determinism;
///
/// let before = determinism::is_enforced();
/// {
///     let _guard = determinism::enforce(Device::Cpu)?;
///     assert!(determinism::is_enforced());
/// }
/// assert_eq!(determinism::is_enforced(), before);
/// # Ok::<(), torch_ext::Error>(())
/// ```
pub fn enforce(device: Device) -> Result<DeterminismGuard> {
    if device.is_cuda() {
        check_cublas_workspace(std::env::var(CUBLAS_WORKSPACE.0).ok())?;
    }
    let mut active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    if active.0 == 0 {
        active.1 = settings()?;
        apply(&ENFORCED)?;
    }
    active.0 += 1;
    Ok(DeterminismGuard(()))
}

/// torch accepts these two values (`use_deterministic_algorithms`).
fn check_cublas_workspace(found: Option<String>) -> Result<()> {
    match found.as_deref() {
        Some(":4096:8" | ":16:8") => Ok(()),
        _ => Err(Error::CublasWorkspace { found }),
    }
}

impl Drop for DeterminismGuard {
    fn drop(&mut self) {
        let mut active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
        active.0 -= 1;
        if active.0 == 0 {
            // Errors in Drop are ignored.
            let _ = apply(&active.1);
        }
    }
}

/// Whether a [`DeterminismGuard`] exists.
pub fn is_enforced() -> bool {
    ACTIVE.lock().unwrap_or_else(PoisonError::into_inner).0 > 0
}

/// Lets cuDNN time its algorithms for each new shape and use the fastest. Worth it when shapes repeat.
///
/// # Errors
/// A [`DeterminismGuard`] exists: the choice varies from run to run.
pub fn set_cudnn_benchmark(on: bool) -> Result<()> {
    change("cuDNN's benchmarking", &[(BENCHMARK, on)])
}

/// Where fp32 work may use TF32: 10 bits of mantissa instead of 23, on Ampere and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tf32 {
    /// Matrix products (cuBLAS). torch's default: false.
    pub matmul: bool,
    /// Convolutions (cuDNN). torch's default: true.
    pub convolution: bool,
}

/// Sets where TF32 may be used.
///
/// # Errors
/// A [`DeterminismGuard`] exists.
pub fn set_tf32(tf32: Tf32) -> Result<()> {
    change("TF32", &[(TF32_MATMUL, tf32.matmul), (TF32_CONVOLUTION, tf32.convolution)])
}

/// Where TF32 may be used now.
///
/// # Errors
/// libtorch refuses.
pub fn tf32() -> Result<Tf32> {
    let settings = settings()?;
    Ok(Tf32 { matmul: settings[TF32_MATMUL] != 0, convolution: settings[TF32_CONVOLUTION] != 0 })
}

fn change(setting: &'static str, values: &[(usize, bool)]) -> Result<()> {
    let active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    if active.0 > 0 {
        return Err(Error::Deterministic { setting });
    }
    let mut settings = settings()?;
    for (place, on) in values {
        settings[*place] = c_int::from(*on);
    }
    apply(&settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the settings are the process's, and tests run side by side.
    #[test]
    fn settings_are_what_was_set_and_guards_restore_them_in_any_order() {
        let before = tf32().unwrap();
        for wanted in [Tf32 { matmul: true, convolution: false }, Tf32 { matmul: false, convolution: true }] {
            set_tf32(wanted).unwrap();
            assert_eq!(tf32().unwrap(), wanted);
        }
        set_tf32(before).unwrap();
        set_cudnn_benchmark(true).unwrap();
        let own = settings().unwrap();
        assert_eq!(own[BENCHMARK], 1);

        let first = enforce(Device::Cpu).unwrap();
        assert_eq!(settings().unwrap(), ENFORCED);
        let error = set_tf32(before).unwrap_err().to_string();
        assert_eq!(error, "TF32 cannot be changed while deterministic mode is enforced");
        assert!(set_cudnn_benchmark(true).is_err());
        let second = enforce(Device::Cpu).unwrap();
        drop(first);
        assert!(is_enforced());
        assert_eq!(settings().unwrap(), ENFORCED);
        drop(second);
        assert!(!is_enforced());
        assert_eq!(settings().unwrap(), own);
        set_cudnn_benchmark(false).unwrap();
    }

    #[test]
    fn a_gpu_without_the_workspace_variable_is_an_error_that_says_what_to_set() {
        let (name, value) = CUBLAS_WORKSPACE;
        check_cublas_workspace(Some(value.to_owned())).unwrap();
        for found in [None, Some(":4096:2".to_owned())] {
            let error = check_cublas_workspace(found.clone()).unwrap_err().to_string();
            assert!(error.contains(&format!("{name}={value}")), "{error}");
            assert!(error.ends_with(found.as_deref().unwrap_or("none")), "{error}");
        }
    }
}

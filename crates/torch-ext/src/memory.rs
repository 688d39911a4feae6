//! CUDA memory figures and cache, and the page policy of the CPU allocator.

use std::os::raw::c_int;

use tch::{Cuda, Device};

use crate::error::check;
use crate::{Error, Result, ffi};

/// A CUDA device's memory in bytes, as torch's caching allocator counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CudaMemory {
    /// Used by tensors.
    pub allocated_bytes: u64,
    /// The most used by tensors since the last [`reset_peak`].
    pub peak_allocated_bytes: u64,
    /// Allocated from the driver, cached blocks included.
    pub reserved_bytes: u64,
    /// The most allocated from the driver since the last [`reset_peak`].
    pub peak_reserved_bytes: u64,
    /// Free on the device, for any process.
    pub free_bytes: u64,
    /// Total memory of the device.
    pub total_bytes: u64,
}

/// The memory figures of `device`.
///
/// # Errors
/// `device` is not a CUDA device, or torch sees no CUDA device.
pub fn cuda_memory(device: Device) -> Result<CudaMemory> {
    let index = cuda_index(device, "memory figures")?;
    let mut out = [0i64; 6];
    // SAFETY: `out` has the six places that the shim fills.
    check(unsafe { ffi::te_cuda_memory(index, out.as_mut_ptr()) })?;
    let [allocated, peak_allocated, reserved, peak_reserved, free, total] = out.map(|bytes| bytes.max(0) as u64);
    Ok(CudaMemory {
        allocated_bytes: allocated,
        peak_allocated_bytes: peak_allocated,
        reserved_bytes: reserved,
        peak_reserved_bytes: peak_reserved,
        free_bytes: free,
        total_bytes: total,
    })
}

/// Resets the peaks of [`cuda_memory`] to the present figures.
///
/// # Errors
/// `device` is not a CUDA device, or torch sees no CUDA device.
pub fn reset_peak(device: Device) -> Result<()> {
    let index = cuda_index(device, "resetting peaks")?;
    // SAFETY: a plain integer.
    check(unsafe { ffi::te_cuda_reset_peak(index) })
}

/// Returns cached, unused blocks of all CUDA devices to the driver.
///
/// # Errors
/// torch sees no CUDA device.
pub fn empty_cache() -> Result<()> {
    require_cuda("emptying the cache")?;
    // SAFETY: no arguments.
    check(unsafe { ffi::te_cuda_empty_cache() })
}

/// Tells glibc to keep freed pages in the process instead of returning each large buffer to the operating system.
///
/// Training on a CPU frees and allocates the same activations in every step. With glibc's defaults each of them costs
/// an `mmap`, a page fault for each 4 KiB, and a `munmap`. This is a setting of the process: binaries make it at their
/// start. The process's memory then stays at its peak. Returns whether the allocator accepted it: false if libc is not
/// glibc.
pub fn keep_freed_pages() -> bool {
    // SAFETY: no arguments.
    unsafe { ffi::te_keep_freed_pages() != 0 }
}

/// Checks at start-up that CUDA can be used.
///
/// # Errors
/// It cannot: the error says whether the program is linked without libtorch_cuda, or no driver answers.
pub fn require_cuda(operation: &'static str) -> Result<()> {
    if Cuda::is_available() {
        return Ok(());
    }
    let reason = if !tch::utils::has_cuda() && !cuda_linked() {
        "the program is linked without libtorch_cuda: its package needs the build script that adds -ltorch"
    } else {
        "libtorch_cuda is loaded, but no NVIDIA driver or device answers"
    };
    Err(Error::NoCuda { operation, reason })
}

/// Whether libtorch_cuda is loaded in this process.
fn cuda_linked() -> bool {
    std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("libtorch_cuda"))
}

fn cuda_index(device: Device, operation: &'static str) -> Result<c_int> {
    let Device::Cuda(index) = device else {
        return Err(Error::Device { operation, device });
    };
    require_cuda(operation)?;
    c_int::try_from(index).map_err(|_| Error::Device { operation, device })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuda_figures_need_cuda() {
        if Cuda::is_available() {
            let memory = cuda_memory(Device::Cuda(0)).unwrap();
            assert!(memory.total_bytes > memory.free_bytes);
            reset_peak(Device::Cuda(0)).unwrap();
            empty_cache().unwrap();
        } else {
            let error = cuda_memory(Device::Cuda(0)).unwrap_err().to_string();
            assert!(error.starts_with("memory figures needs CUDA, but this torch sees no CUDA device"), "{error}");
            assert!(empty_cache().is_err());
        }
        assert!(matches!(cuda_memory(Device::Cpu), Err(Error::Device { .. })));
    }

    #[test]
    fn this_test_program_is_linked_with_all_of_torch() {
        // The CPU wheel has no libtorch_cuda to link.
        let lib =
            std::env::var_os("LIBTORCH").map(|torch| std::path::PathBuf::from(torch).join("lib/libtorch_cuda.so"));
        if lib.is_some_and(|lib| lib.exists()) {
            assert!(cuda_linked());
        }
    }
}

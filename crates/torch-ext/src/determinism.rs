//! Determinism, cuDNN benchmarking and TF32: settings of the whole process.

use std::os::raw::c_int;

use crate::error::check;
use crate::{Result, ffi};

/// What an operation without a deterministic kernel does in deterministic mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNondeterministic {
    /// It answers an error that names the operation.
    Refuse,
    /// It warns on standard error and runs.
    Warn,
}

/// Turns deterministic algorithms on or off, for ATen, cuDNN and oneDNN together; on also ends cuDNN
/// benchmarking, whose choice of kernels varies from run to run. `None` turns it off.
///
/// cuBLAS further needs the environment variable `CUBLAS_WORKSPACE_CONFIG=:4096:8` set before the first use
/// of CUDA (torch's own documentation of `use_deterministic_algorithms`).
///
/// # Errors
/// libtorch refuses.
pub fn set_deterministic(mode: Option<OnNondeterministic>) -> Result<()> {
    let warn_only = c_int::from(mode == Some(OnNondeterministic::Warn));
    // SAFETY: plain integers.
    check(unsafe { ffi::te_set_deterministic(c_int::from(mode.is_some()), warn_only) })
}

/// Whether deterministic algorithms are on.
pub fn is_deterministic() -> bool {
    // SAFETY: no arguments.
    unsafe { ffi::te_is_deterministic() != 0 }
}

/// Lets cuDNN time its kernels for each new shape and keep the quickest. Worth it when shapes repeat.
///
/// # Errors
/// libtorch refuses.
pub fn set_cudnn_benchmark(on: bool) -> Result<()> {
    // SAFETY: a plain integer.
    check(unsafe { ffi::te_set_cudnn_benchmark(c_int::from(on)) })
}

/// Whether cuDNN times its kernels.
pub fn cudnn_benchmark() -> bool {
    // SAFETY: no arguments.
    unsafe { ffi::te_cudnn_benchmark() != 0 }
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
/// libtorch refuses.
pub fn set_tf32(tf32: Tf32) -> Result<()> {
    // SAFETY: plain integers.
    check(unsafe { ffi::te_set_tf32(c_int::from(tf32.matmul), c_int::from(tf32.convolution)) })
}

/// Where TF32 may be used now.
///
/// # Errors
/// libtorch refuses.
pub fn tf32() -> Result<Tf32> {
    let (mut matmul, mut convolution) = (0, 0);
    // SAFETY: both pointers are to live integers.
    check(unsafe { ffi::te_tf32(&mut matmul, &mut convolution) })?;
    Ok(Tf32 { matmul: matmul != 0, convolution: convolution != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the settings are the process's, and tests run side by side.
    #[test]
    fn settings_are_what_was_set() {
        let before = tf32().unwrap();
        for wanted in [Tf32 { matmul: true, convolution: false }, Tf32 { matmul: false, convolution: true }] {
            set_tf32(wanted).unwrap();
            assert_eq!(tf32().unwrap(), wanted);
        }
        set_tf32(before).unwrap();

        set_cudnn_benchmark(true).unwrap();
        assert!(cudnn_benchmark());
        set_deterministic(Some(OnNondeterministic::Refuse)).unwrap();
        assert!(is_deterministic());
        assert!(!cudnn_benchmark(), "deterministic mode ends benchmarking");
        set_deterministic(None).unwrap();
        assert!(!is_deterministic());
    }
}

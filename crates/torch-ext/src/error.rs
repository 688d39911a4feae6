//! The crate's error.

use std::ffi::CStr;
use std::os::raw::c_char;

use tch::{Device, Kind};

use crate::ffi;

/// An error of libtorch or of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch threw an exception with this message.
    #[error("torch: {0}")]
    Torch(String),
    /// The operation exists for CPU and CUDA devices, or for CUDA devices only.
    #[error("{operation} needs a CPU or CUDA device, got {device:?}")]
    Device {
        /// What needs it.
        operation: &'static str,
        /// The device that was given.
        device: Device,
    },
    /// Autocast computes in bf16 or fp16 only.
    #[error("autocast needs Kind::BFloat16 or Kind::Half, got {0:?}")]
    AutocastKind(Kind),
    /// A fused operator cannot compute this.
    #[error("this does not fit: {reason}")]
    Fused {
        /// What was found and what was expected.
        reason: String,
    },
    /// [`crate::cpu_kernels::VARIABLE`] has an unknown value.
    #[error("LUMBAR_CPU_KERNELS is {found:?}, expected on or off")]
    CpuKernels {
        /// Its value.
        found: String,
    },
    /// [`crate::conv3x3`] does not compute this convolution.
    #[error("a 3×3 convolution of {x:?} with {weight:?} and stride {stride} does not fit: see conv3x3::fits")]
    Convolution {
        /// Shape of the input.
        x: Vec<i64>,
        /// Shape of the weight.
        weight: Vec<i64>,
        /// The stride.
        stride: i64,
    },
    /// [`crate::batch_norm`] does not compute this batch norm.
    #[error("a batch norm of {x:?} with shortcut {shortcut:?} and {activation:?} does not fit: see BatchNorm::fits")]
    BatchNorm {
        /// Shape of the input.
        x: Vec<i64>,
        /// Shape of the shortcut.
        shortcut: Option<Vec<i64>>,
        /// The activation after it.
        activation: crate::fused::Activation,
    },
    /// cuBLAS is deterministic only with a fixed workspace, which the environment sets.
    #[error(
        "deterministic mode on CUDA needs CUBLAS_WORKSPACE_CONFIG=:4096:8 in the environment when the program starts, \
         found {}",
        found.as_deref().unwrap_or("none")
    )]
    CublasWorkspace {
        /// Its value.
        found: Option<String>,
    },
    /// The setting would break what a guard promises.
    #[error("{setting} cannot be changed while deterministic mode is enforced")]
    Deterministic {
        /// What was to be changed.
        setting: &'static str,
    },
    /// The operation needs CUDA and torch sees no CUDA device.
    #[error("{operation} needs CUDA, but this torch sees no CUDA device ({reason})")]
    NoCuda {
        /// What needs it.
        operation: &'static str,
        /// The likely cause: driver or linking.
        reason: &'static str,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Turns what a function of the shim returned into a result, and frees the message.
pub(crate) fn check(answer: *mut c_char) -> Result<()> {
    if answer.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns null or a NUL-terminated string that it allocated and we free.
    let text = unsafe {
        let text = CStr::from_ptr(answer).to_string_lossy().trim_end().to_owned();
        ffi::te_free(answer);
        text
    };
    Err(Error::Torch(text))
}

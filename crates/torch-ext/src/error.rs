//! The crate's error.

use std::ffi::CStr;
use std::os::raw::c_char;

use tch::{Device, Kind};

use crate::ffi;

/// A refusal of libtorch or of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch threw an exception; its own words follow.
    #[error("torch: {0}")]
    Torch(String),
    /// The device has no such setting.
    #[error("{operation} needs a CPU or CUDA device, got {device:?}")]
    Device {
        /// What was asked for.
        operation: &'static str,
        /// Where it was asked for.
        device: Device,
    },
    /// Autocast computes in bf16 or fp16 only.
    #[error("autocast needs Kind::BFloat16 or Kind::Half, got {0:?}")]
    AutocastKind(Kind),
    /// The quick 3×3 convolution is not made for this one.
    #[error(
        "a 3×3 convolution of {x:?} with {weight:?} and stride {stride} does not fit: see conv3x3::fits for what does"
    )]
    Convolution {
        /// Shape of the input.
        x: Vec<i64>,
        /// Shape of the weight.
        weight: Vec<i64>,
        /// The stride.
        stride: i64,
    },
    /// The batch norm in one pass is not made for this one.
    #[error(
        "a batch norm of {x:?} with shortcut {shortcut:?} and {activation:?} does not fit: see BatchNorm::fits for what does"
    )]
    BatchNorm {
        /// Shape of the input.
        x: Vec<i64>,
        /// Shape of what is added.
        shortcut: Option<Vec<i64>>,
        /// What follows.
        activation: crate::fused::Activation,
    },
    /// A CUDA function was called and torch sees no CUDA device.
    #[error("{operation} needs CUDA, but this torch sees no CUDA device ({reason})")]
    NoCuda {
        /// What was asked for.
        operation: &'static str,
        /// Whether the driver or the linking is at fault, as far as can be told.
        reason: &'static str,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Turns a shim's answer into a result and frees its text.
pub(crate) fn check(answer: *mut c_char) -> Result<()> {
    if answer.is_null() {
        return Ok(());
    }
    // SAFETY: the shim answers null or a NUL-terminated string that it allocated for us to give back.
    let text = unsafe {
        let text = CStr::from_ptr(answer).to_string_lossy().trim_end().to_owned();
        ffi::te_free(answer);
        text
    };
    Err(Error::Torch(text))
}

//! The error of everything under [`crate::figure`].

use std::path::PathBuf;

use thiserror::Error;

/// Why a figure could not be drawn or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FigureError {
    /// plotters or the PNG encoder failed.
    #[error("the figure cannot be drawn: {reason}")]
    Drawing {
        /// The error, as text.
        reason: String,
    },
    /// The number of bytes does not fit the size.
    #[error(
        "an image of {width_px} × {height_px} pixels takes {} bytes (at least 3), found {bytes}",
        *width_px as u64 * *height_px as u64 * 3
    )]
    Size {
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
        /// Number of bytes.
        bytes: usize,
    },
    /// There is nothing to draw.
    #[error("{what}: there is nothing to draw")]
    Empty {
        /// Which figure.
        what: &'static str,
    },
    /// Values that cannot be drawn.
    #[error("{what}: {reason}")]
    Values {
        /// Which figure.
        what: &'static str,
        /// What was expected and found.
        reason: String,
    },
    /// The file name does not end in `.png` or `.svg`.
    #[error("cannot write {}: expected the extension png or svg", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The figure has no SVG.
    #[error("cannot write {}: this figure consists of pixels and has no SVG, use the extension png", path.display())]
    NoSvg {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
}

impl FigureError {
    pub(crate) fn drawing(reason: impl std::fmt::Display) -> Self {
        Self::Drawing { reason: reason.to_string() }
    }
}

//! What can go wrong with a picture.

use std::path::PathBuf;

use thiserror::Error;

/// Why a picture was not made or not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FigureError {
    /// plotters or the PNG encoder refused.
    #[error("the picture cannot be drawn: {reason}")]
    Drawing {
        /// What was said.
        reason: String,
    },
    /// Pixels and size do not fit.
    #[error(
        "a picture of {width_px} × {height_px} pixels takes {} bytes (at least 3), found {bytes}",
        *width_px as u64 * *height_px as u64 * 3
    )]
    Size {
        /// Width asked for.
        width_px: u32,
        /// Height asked for.
        height_px: u32,
        /// Bytes given.
        bytes: usize,
    },
    /// Nothing to show.
    #[error("{what}: there is nothing to draw")]
    Empty {
        /// Which picture.
        what: &'static str,
    },
    /// Values that cannot be drawn.
    #[error("{what}: {reason}")]
    Values {
        /// Which picture.
        what: &'static str,
        /// What was expected and found.
        reason: String,
    },
    /// A file ending that is not known.
    #[error("cannot write {}: expected the ending png or svg", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
    /// A picture of pixels has no SVG.
    #[error("cannot write {}: this picture consists of pixels and has no SVG, use the ending png", path.display())]
    NoSvg {
        /// The file.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl FigureError {
    pub(crate) fn drawing(reason: impl std::fmt::Display) -> Self {
        Self::Drawing { reason: reason.to_string() }
    }
}

//! What notebooks import, as one dynamic library.
//!
//! ```text
//! :dep lumbar-notebook = { path = "../crates/lumbar-notebook" }
//! use lumbar_notebook::prelude::*;
//! ```
//!
//! The prelude brings the library's names, polars, tch, ndarray, plotters and image, and the trait
//! [`show::EvcxrDisplay`], with which a value at the end of a cell shows itself: tables as HTML, tensors with
//! shape and statistics, slices and figures as pictures. This is the only crate that knows evcxr.

pub mod banner;
pub mod lines;
pub mod prelude;
pub mod show;

pub use {image, lumbar, lumbar_dicom, ndarray, plotters, polars, tch};

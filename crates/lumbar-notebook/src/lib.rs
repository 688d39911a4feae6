//! What notebooks import: one dynamic library with everything in it.
//!
//! ```text
//! :dep lumbar-notebook = { path = "../crates/lumbar-notebook" }
//! use lumbar_notebook::prelude::*;
//! ```
//!
//! # Why one dynamic library
//!
//! evcxr compiles each cell to a library of its own and links every dependency statically into it. A cell that uses polars
//! and torch is then 30 MB large, takes seconds to link, and has its own copy of every static: thread pools multiply,
//! hash seeds differ, a data frame from one cell cannot be read in the next. As a dynamic library all of it exists once,
//! is compiled once, by the set-up, and a cell takes about a second. The price is a build script that exports the symbols
//! of torch's C++ wrapper, and that a running kernel keeps the library it has loaded: restart it after a change.
//!
//! # What is in it
//!
//! - [`prelude`]: the names that notebooks use, from `lumbar`, polars, tch, ndarray, plotters and image.
//! - [`show`]: the last value of a cell shows itself, as a table, an image, or text. evcxr calls a method,
//!   [`show::EvcxrDisplay`], which the prelude brings into scope for our types and for foreign ones. All that it shows
//!   passes through [`lumbar_dicom::escaped_lines`], because names come from data.
//! - [`progress`]: the progress of a training run. evcxr has no widgets and no line that is updated, so progress is a
//!   line every few seconds.
//! - [`banner`]: versions, device and folders.
//! - [`python_files`]: where the Python packages are whose real MR files lesson 08 reads.
//!
//! Only this crate and `lumbar-kernel` know evcxr.

pub mod banner;
pub mod prelude;
pub mod progress;
pub mod python_files;
pub mod show;

pub use {image, lumbar, lumbar_dicom, ndarray, plotters, polars, tch};

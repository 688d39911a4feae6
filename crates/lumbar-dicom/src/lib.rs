//! DICOM files to slices, stacks and series with patient geometry.
//!
//! **bytes → [`Header`] → [`Slice`] → [`Stack`] → [`Series`].** A header costs microseconds and is all that
//! reading a series needs; pixels are decoded when [`Slice::pixels`] is called. Parallel slices make a
//! stack; a series may hold several (one oblique block for each disc, three pilots), and only a stack whose
//! slices lie at even steps has an affine. Everything is addressed by position in millimetres or by instance
//! number, never by an index into a folder.
//!
//! Nothing is dropped silently: [`ReadReport`] lists every file with its reason and every oddity. Nothing
//! is believed either: no length, count or depth that a file claims makes this crate take more than
//! 64 MiB and three times the file, and no bytes make it panic.
//!
//! The crate knows no tensors and writes nothing; all types are owned, `Send + Sync` and cheap to clone.
//!
//! ```
//! use lumbar_dicom::{Geometry, Pixels, Plane, Slice, Stack};
//! use std::sync::Arc;
//!
//! // three sagittal slices, 4 mm apart, as a reader would give them
//! let slices = (0..3).map(|k| {
//!     let origin = [-4.0 + 4.0 * f64::from(k), -100.0, 90.0];
//!     let geometry = Geometry::new(origin, [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [0.5, 0.5])?;
//!     let pixels = Pixels::U16(Arc::new(vec![0; 64 * 64]));
//!     Ok(Slice::in_memory(64, 64, pixels, Some(geometry), Some(k)).expect("64 × 64 pixels"))
//! });
//! let mut slices = slices.collect::<Result<Vec<_>, lumbar_dicom::Cause>>().unwrap();
//! slices.reverse(); // the normal of these axes points to the right: −x
//! let stack = Stack::new(slices);
//! assert_eq!(stack.plane(), Some(Plane::Sagittal));
//! assert_eq!(stack.spacing_mm(), Some(4.0));
//!
//! let nearest = stack.nearest_slice([3.0, -90.0, 80.0]).unwrap();
//! assert!(nearest.covered);
//! assert_eq!(stack.slices[nearest.slice].instance_number, Some(2));
//! assert_eq!((nearest.projection.column, nearest.projection.row), (20.0, 20.0));
//! ```
//!
//! Reading a folder: `read_series("train_images/4003253/702807833", &ReadOptions::default(), &())`, see
//! [`read_series`]. A series as normalised numbers of one size: [`normalise`].

mod error;
mod geometry;
mod header;
mod intensity;
mod observer;
mod pixels;
pub mod privacy;
mod report;
mod resample;
mod series;
mod slice;
mod stack;
mod tag;

pub use error::{Cause, Error, Place};
pub use geometry::{Geometry, LPS_TO_RAS, Plane, Projection};
pub use header::{Bits, Codec, FrameAttributes, FreeText, Header, Photometric, Rescale, TransferSyntax, Uid, Window};
pub use intensity::{ConfigError, Histogram, IntensityRange, NormaliseConfig, Normalised, normalise};
pub use observer::Observer;
pub use pixels::Pixels;
pub use report::{FileReport, Oddity, Outcome, ReadReport};
pub use resample::resample;
pub use series::{Folder, Input, NearestInSeries, ReadOptions, Series, read_folder, read_series};
pub use slice::Slice;
pub use stack::{Affine, Missing, NearestSlice, Stack};
pub use tag::Tag;

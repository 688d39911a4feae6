//! DICOM files to slices, stacks and series with patient geometry.

mod error;
mod geometry;
mod header;
mod observer;
mod pixels;
mod report;
mod series;
mod slice;
mod stack;
mod tag;

pub use error::{Cause, Error, Place};
pub use geometry::{Geometry, LPS_TO_RAS, Plane, Projection};
pub use header::{Bits, Codec, FrameAttributes, FreeText, Header, Photometric, Rescale, TransferSyntax, Uid, Window};
pub use observer::Observer;
pub use pixels::Pixels;
pub use report::{FileReport, Oddity, Outcome, ReadReport};
pub use series::{Folder, Input, NearestInSeries, ReadOptions, Series, read_folder, read_series};
pub use slice::Slice;
pub use stack::{Affine, Missing, NearestSlice, Stack};
pub use tag::Tag;

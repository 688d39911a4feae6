//! DICOM files to slices, stacks and series with patient geometry.
//!
//! **bytes → [`Header`] → [`Slice`] → [`Stack`] → [`Series`].** Reading a header takes microseconds and is all
//! that reading a series needs; pixels are decoded when [`Slice::pixels`] is called. Parallel slices form a
//! stack; a series can have several (one oblique block for each disc, three pilots), and only a stack of
//! evenly spaced slices has an affine. Everything is addressed by position in millimetres or by instance
//! number, never by an index into a folder.
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
//! [`read_series`].
//!
//! # Why not dicom-rs alone
//!
//! dicom-rs trusts lengths: a file of 278 bytes that claims 3 GiB of pixels takes 3 GB, and deeply nested
//! sequences overflow its stack. It also has no decoder in Rust for JPEG-LS and none for JPEG of twelve bits,
//! and refuses files without file meta. This crate reads only what a slice needs, in one bounded pass.
//!
//! # Hostile input
//!
//! No bytes make this crate panic, hang, or take more memory than this:
//!
//! | work | memory, at most |
//! |---|---|
//! | reading and decoding one file | 64 MiB and three times the file |
//! | [`read_series`], [`read_folder`] | 64 MiB for each thread, three times all files, and 16 KiB for each file |
//!
//! Slices in memory ([`Slice::loaded`]) take what they decode to; `lumbar::data::study` limits that for a whole
//! study.
//!
//! Nothing is dropped silently: [`ReadReport`] lists every file that is not used with the reason, and every
//! irregularity of those that are.
//!
//! | input | result | test |
//! |---|---|---|
//! | a file cut anywhere | an error, or the whole image if only the end after the pixels is missing | `a_file_cut_anywhere_is_an_error_or_the_whole_image` |
//! | any changed byte | an error or an image | `any_flipped_byte_is_survived`, `cargo xtask bench fuzz` |
//! | lengths, rows, columns, frames beyond the file | an error that names the attribute | `claimed_lengths_are_not_believed` |
//! | sequences nested without end, a million elements | an error | `nesting_without_end_is_refused` |
//! | more frames than the file's size justifies | an error that names NumberOfFrames | `frames_are_limited_by_the_size_of_the_file` |
//! | long identifiers, long lists of windows | ignored with a warning; frames share what the file says once | `long_attributes_are_ignored_and_short_ones_shared_by_frames` |
//! | a deflated bomb | an error before it is inflated | `a_deflation_bomb_is_refused`, `deflated_files_are_inflated_piece_by_piece` |
//! | RLE segments outside the frame, pixels of 64 bits | an error | `wrong_rle_segments_are_errors`, `compressed_float_pixels_are_an_error` |
//! | a JPEG of 8 bits and 48 million pixels | decoded in 8 bits | `an_8_bit_jpeg_takes_one_byte_for_each_pixel` |
//! | JPEG-LS sums that overflow | the values of CharLS, or an error | `damaged_jpeg_ls_decodes_as_in_charls_or_not_at_all` |
//! | JPEG 2000 with millions of tiles, precincts or code-blocks, long tables, a decoy header | an error before the decoder runs | `jpeg_2000_structures_are_limited_by_the_size_of_the_file` |
//! | a panic in a decoder | the error of that file | `a_panic_becomes_the_error_of_the_file` |
//! | a slice kilometres away from the others | a stack of its own | `a_slice_kilometres_away_is_not_millions_of_missing_slices` |
//! | thousands of frames at one position, thousands of orientations | read in linear time | `frames_at_one_position_are_grouped_in_linear_time`, `thousands_of_orientations_are_grouped_in_linear_time` |
//! | a folder of bombs | read within the limits above | `a_folder_of_bombs_is_read_within_its_limit` |
//! | a named pipe, a socket, a device | not opened, reported | `pipes_sockets_and_devices_are_reported_and_not_opened` |
//! | links to a parent folder | each folder is read once, the link is reported | `links_to_parents_end_the_walk` |
//! | a dangling link, a folder without permission | reported, the rest is read | `what_cannot_be_read_is_reported_and_the_rest_is_read` |
//! | control characters in a file's name | escaped wherever the name is printed | `names_cannot_forge_lines_of_a_report` |
//! | a name in any attribute | never printed | `tests/dicom/privacy.rs` |
//!
//! Limits that are not bytes of memory: a file has at most 65,536 frames and ten million elements before its
//! pixels. An exhausted stack or memory ends a process and cannot be caught; the limits above prevent both.

mod error;
mod geometry;
mod header;
mod pixels;
pub mod privacy;
mod progress;
mod report;
mod series;
mod slice;
mod stack;
mod tag;
mod text;

pub use error::{Cause, Error, Location};
pub use geometry::{Geometry, LPS_TO_RAS, Plane, Projection};
pub use header::{Bits, Codec, FrameAttributes, FreeText, Header, Photometric, Rescale, TransferSyntax, Uid, Window};
pub use pixels::Pixels;
pub use progress::ReadProgress;
pub use report::{FileReport, Outcome, ReadReport, ReadWarning};
pub use series::{Folder, Input, NearestInSeries, ReadOptions, Series, read_folder, read_series};
pub use slice::Slice;
pub use stack::{Affine, Missing, NearestSlice, Stack};
pub use tag::Tag;
pub use text::{counted, escaped, escaped_lines, is_hidden};

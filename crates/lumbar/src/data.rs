//! From files to batches: the competition's tables, studies, crops, augmentation, cache, folds, loader.
//!
//! `data` knows no model. Pictures are plain `f32` buffers and become tensors only at the end of the
//! loader.

mod affine;
pub mod augment;
mod ids;
pub mod manifest;
pub mod random;
pub mod render;

pub use affine::Affine;
pub use ids::{SeriesId, SeriesKind, Split, StudyId};

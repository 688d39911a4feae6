//! From files to batches: the competition's tables, studies, crops, augmentation, cache, folds, loader.
//!
//! Images are plain `f32` buffers and become tensors only at the end of the loader. `data` does not depend on models.

mod affine;
pub mod atomic;
pub mod augment;
pub mod cache;
pub mod cached;
pub mod channels;
pub mod crop;
pub mod domain;
pub mod folds;
pub mod found_points;
mod ids;
pub mod intensity;
pub mod loader;
pub mod manifest;
pub mod names;
pub mod point_table;
pub mod random;
pub mod recess;
pub mod render;
pub mod study;
pub mod table;

pub use affine::Affine2;
pub use found_points::{FoundPoint, FoundPoints, PointOrigin};
pub use ids::{DataSplit, SeriesId, SeriesKind, StudyId};

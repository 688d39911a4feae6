//! Files to batches, beside OpenCV, albumentations, torch, scikit-learn and iterative-stratification.

mod cached;
mod domain;
mod folds;
mod killed;
mod memory;
mod names;
mod phantom;
mod real;
mod study_memory;
mod transforms;

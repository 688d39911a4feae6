//! Files to batches, beside OpenCV, albumentations, torch, scikit-learn and iterative-stratification.

mod folds;
mod phantom;
mod real;
mod transforms;

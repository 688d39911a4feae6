//! Grading of degenerative lumbar-spine disease on MRI: data, models, training, prediction, figures.

pub mod explain;
pub mod model;

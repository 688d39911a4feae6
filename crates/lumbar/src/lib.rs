//! Grading of degenerative lumbar-spine disease on MRI: data, models, training, prediction, figures.

pub mod anatomy;
pub mod config;
pub mod data;
pub mod explain;
pub mod figure;
pub mod metric;
pub mod model;
pub mod predict;
pub mod report;
pub mod run;
pub mod tasks;
pub mod train;

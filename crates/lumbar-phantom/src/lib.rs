//! Synthetic lumbar-spine MRI studies in the layout of the RSNA 2024 competition.
//!
//! Nobody may ship the competition's data, so this crate draws a stand-in: a three-dimensional analytic spine for
//! each study, with a latent degree of disease for each of the 25 targets that narrows canal, foramina and
//! recesses; sagittal T1, sagittal T2/STIR and axial T2 series sampled from it; and the competition's files and
//! tables, oddities included. Readers disagree by a known amount, so the best possible score is known as well.
//!
//! [`generate`] writes a data set, [`score_references`] tells what uniform, constant and perfect predictions reach
//! on it.
//!
//! Patient coordinates are DICOM's LPS: +x is the patient's left, +y the back, +z the head; lengths in millimetres.

mod anatomy;
mod config;
mod csv;
mod dicom;
mod disease;
mod error;
mod generate;
mod plane;
mod planting;
mod render;
mod rle;
mod score;
mod seed;
mod series;
mod study;
mod tables;
mod target;
mod vector;

pub use config::{Detail, OddityRates, PhantomConfig, Preset};
pub use error::Error;
pub use generate::{Progress, Summary, generate};
pub use score::{ClassCount, References, Score, score_references};

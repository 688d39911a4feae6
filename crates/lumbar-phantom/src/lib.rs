//! Synthetic lumbar-spine MRI studies in the layout of the RSNA 2024 competition.
//!
//! Nobody may ship the competition's data, so this crate draws a stand-in: a three-dimensional analytic spine for
//! each study, with a latent degree of disease for each of the 25 targets that narrows canal, foramina and
//! recesses; sagittal T1, sagittal T2/STIR and axial T2 series sampled from it; and the competition's files and
//! tables, oddities included. Readers disagree by a known amount, so the best possible score is known as well.
//!
//! [`generate()`] writes a data set, [`score_references`] tells what uniform, constant and perfect predictions reach
//! on it.
//!
//! # What still looks unlike MRI
//!
//! Every patient has the same plan: outlines are ellipses and plates with soft, even borders, bodies of one study
//! differ in size but not in shape, and there are no osteophytes, Schmorl's nodes, Modic changes, haemangiomas,
//! spondylolisthesis, transitional vertebrae, cysts, metal or surgery. Disc bulges and thick ligaments are smooth
//! bumps, without extrusions or fragments. The facet joints are egg-shaped and the sacrum's arches are plates. Bowel is
//! smooth noise, the great vessels end abruptly where they part, ribs and nerves outside the spine are missing.
//! There is neither chemical shift nor truncation ringing nor flow in the fluid; motion is one faint ghost.
//!
//! Patient coordinates are DICOM's LPS: +x is the patient's left, +y the back, +z the head; lengths in millimetres.

mod anatomy;
mod config;
mod csv;
mod dicom;
mod disease;
mod error;
mod field;
mod generate;
mod mean_position;
mod plane;
mod planting;
#[cfg(test)]
mod real_spines;
mod references;
mod render;
mod rle;
mod score;
mod seed;
mod series;
mod study;
mod tables;
mod target;
mod vector;

pub use config::{Detail, OddityRates, PhantomConfig, PhantomPreset, ShiftedField, Variation};
pub use error::Error;
pub use generate::{Progress, Summary, generate};
pub use mean_position::{MeanPosition, PositionErrors};
pub use references::{ClassCount, References, plan_references, score_references};
pub use score::Score;

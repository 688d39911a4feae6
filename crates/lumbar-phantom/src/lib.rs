//! Synthetic lumbar-spine MRI studies in the layout of the RSNA 2024 competition.
//!
//! The competition's data may not be redistributed, so this crate draws a stand-in: for each study a
//! three-dimensional analytic spine with a latent degree of disease for each of the 25 targets, which narrows canal,
//! foramina and recesses; sagittal T1, sagittal T2/STIR and axial T2 series sampled from it; and the competition's
//! files and tables, irregularities included. Readers disagree by a known amount, so the best possible score is known.
//!
//! [`generate()`] writes a data set. [`score_references`] scores uniform, constant and perfect predictions on it, and
//! [`plan_references`] does so without drawing it.
//!
//! # Easy and hard phantoms
//!
//! A field of view that follows the anatomy gives the levels away: in [`PhantomPreset::Aligned`] the mean position of
//! each level names 99 % of the levels, without looking at a pixel. [`PhantomPreset::Default`] moves the field of view
//! and draws spines whose lengths, directions and rotation spread as those of 1,974 real studies do; some have four or
//! six lumbar bodies. [`PhantomPreset::Hard`] moves it farther and adds scoliosis, slipped vertebrae, collapsed discs
//! and severe stenosis at several levels. [`MeanPosition`] says how much each phantom gives away.
//!
//! Each phantom has a folder `truth/` that no loader reads. It holds the exact points of all 25 targets of all
//! studies, the labels of the test studies, the oracle's probabilities and what was planted.
//!
//! # What still looks unlike MRI
//!
//! Outlines are ellipses and plates with soft, even borders. There are no osteophytes, Schmorl's nodes, Modic changes,
//! haemangiomas, cysts, metal or surgery. Disc bulges and thick ligaments are smooth bumps, without extrusions or
//! fragments. The facet joints are egg-shaped, laminae and the sacrum's arches are plates. Bowel is smooth noise; ribs,
//! lungs and nerves outside the spine are missing. There is neither chemical shift nor truncation ringing nor flow in
//! the fluid; motion is one faint ghost.
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
mod synthetic;
mod tables;
mod target;
mod vector;

pub use config::{Detail, OddityRates, PhantomConfig, PhantomPreset, ShiftedField, Variation};
pub use error::Error;
pub use generate::{Progress, Summary, generate};
pub use mean_position::{MeanPosition, PositionErrors};
pub use references::{ClassCount, References, plan_references, score_references};
pub use score::Score;
pub use synthetic::{Appearance, SlicePixels, SlicePlace, SyntheticConfig, SyntheticStudy};

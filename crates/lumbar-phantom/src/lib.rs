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
//! # Studies in memory
//!
//! [`SyntheticStudy`] draws one spine with one sagittal series, without files, in wider anatomy and in three looks
//! ([`Appearance`]): the phantom's own, physical contrasts widely varied, and contrasts that no scanner has. Localisers
//! that learn on them find their way on looks that they never saw.
//!
//! # What still looks unlike MRI
//!
//! Outlines are ellipses and plates with soft, even borders; those of studies in memory are made irregular by a smooth
//! displacement, and their tissues have texture at three scales. Beside a textbook of radiology these are missing:
//! osteophytes, Schmorl's nodes, Modic changes with their shape, haemangiomas, metastases, fractures with oedema, metal and
//! surgery; extrusions and sequesters, annular fissures, vacuum; the triangles of epidural fat between the laminae, veins
//! in front of the sac, cysts of facets and of nerve roots, spondylolysis; supraspinous ligaments, ribs, lungs, liver,
//! gas in the bowel, the wall of the belly. Disc bulges and thick ligaments are smooth bumps, the facet joints egg-shaped,
//! laminae and the sacrum's arches plates; streaks of fat in muscles have more contrast than real ones. There is neither
//! chemical shift nor truncation ringing, wrap-around, nor flow in the fluid; motion is one faint ghost.
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

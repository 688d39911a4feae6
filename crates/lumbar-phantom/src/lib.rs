//! Synthetic lumbar-spine MRI studies in the layout of the RSNA 2024 competition.
mod config;
mod csv;
mod disease;
mod error;
mod score;
mod seed;
mod target;

pub use config::{Detail, OddityRates, PhantomConfig, Preset};
pub use error::Error;
pub use score::{ClassCount, References, Score, score_references};

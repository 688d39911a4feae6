use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check_range};

/// How batches are made. No setting changes what is in a batch.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `workers` | 0 | threads that each make a whole batch; 0 takes a quarter of the processors, at least 1 and at most 4 | 0–256 |
/// | `prefetch` | 0 | batches that are ready or in the making; 0 takes one more than there are workers, at least 3 | 0–4,096 |
/// | `pin_memory` | true | page-locked memory for batches that go to a GPU, so that the copy does not stop its work | |
///
/// The samples of a batch are made on all processors whatever the number of workers: more workers help where joining
/// samples takes long beside the network, as on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderConfig {
    /// Threads that make batches.
    pub workers: usize,
    /// Batches that are ready or in the making.
    pub prefetch: usize,
    /// Page-locked memory for a GPU's batches.
    pub pin_memory: bool,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self { workers: 0, prefetch: 0, pin_memory: true }
    }
}

impl LoaderConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_range("loader.workers", self.workers, 0, 256)?;
        check_range("loader.prefetch", self.prefetch, 0, 4096)
    }

    pub(super) fn worker_count(&self) -> usize {
        match self.workers {
            0 => (available_parallelism().map_or(1, usize::from) / 4).clamp(1, 4),
            workers => workers,
        }
    }

    pub(super) fn prefetch_count(&self) -> usize {
        match self.prefetch {
            0 => (self.worker_count() + 1).max(3),
            prefetch => prefetch,
        }
    }
}

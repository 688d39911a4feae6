use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{CropSourceConfig, Points};
use crate::data::cache::{CacheError, CacheKey};
use crate::data::cached::{CachedStudy, CropExtent};
use crate::data::loader::BoxError;
use crate::data::manifest::StudyRecord;
use crate::data::study::Study;
use crate::train::observer::StopToken;

/// Where decoded studies are cached on the disk between runs.
#[derive(Debug, Clone)]
pub struct CropCache {
    /// One file a study, of a few MB.
    pub folder: PathBuf,
    /// Stops the writing of files; the next run continues where it stopped.
    pub stop: StopToken,
}

/// How many files of the cache are ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheProgress {
    /// Studies whose file is ready.
    pub done: usize,
    /// Of these, written now: they were missing, of another config or of other images, or damaged.
    pub made: usize,
    /// All studies.
    pub total: usize,
}

/// One decoded study of a source.
#[derive(Debug)]
pub(super) struct DecodedStudy {
    pub(super) location: DecodedLocation,
    pub(super) warnings: Vec<String>,
}

#[derive(Debug)]
pub(super) enum DecodedLocation {
    Memory(Arc<CachedStudy>),
    /// In a file, mapped again for each batch: that takes a millisecond and no memory in between.
    File {
        path: PathBuf,
        key: CacheKey,
        verified: AtomicBool,
    },
}

impl DecodedStudy {
    pub(super) fn open(&self) -> Result<Arc<CachedStudy>, BoxError> {
        match &self.location {
            DecodedLocation::Memory(study) => Ok(Arc::clone(study)),
            DecodedLocation::File { path, key, verified } => {
                let study = CachedStudy::open(path, *key, verified.load(Ordering::Relaxed));
                if let Err(CacheError::Damaged { .. }) = study {
                    // The next source that is opened writes it again. If it cannot be removed, the error below still
                    // says what is wrong with it.
                    let _ = std::fs::remove_file(path);
                }
                let study = study?;
                verified.store(true, Ordering::Relaxed);
                Ok(Arc::new(study))
            }
        }
    }
}

/// Reads a study and returns the part of it that its crops can show.
pub(super) fn decode(
    record: &StudyRecord,
    points: &dyn Points,
    extent: &CropExtent,
    config: &CropSourceConfig,
) -> Result<CachedStudy, BoxError> {
    let mut study = Study::open_lossy(record);
    study.warnings.extend(points.not_covered(&study));
    let points = points.points(&study, record).map_err(|error| format!("study {}: {error}", record.id))?;
    Ok(CachedStudy::new(&study, points, extent, &config.intensity)?)
}

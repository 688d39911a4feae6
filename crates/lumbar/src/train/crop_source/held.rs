use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{CropSourceConfig, Points};
use crate::data::StudyId;
use crate::data::cache::{CacheError, CacheKey};
use crate::data::cached::{CachedStudy, CachedStudyError, CropExtent};
use crate::data::manifest::StudyRecord;
use crate::data::study::Study;
use crate::train::TrainError;
use crate::train::network::BoxError;
use crate::train::observer::StopToken;

/// Where studies are kept on the disk between runs.
#[derive(Debug, Clone)]
pub struct CropCache {
    /// One file a study lies here, of a few MB.
    pub folder: PathBuf,
    /// Asks the making of files to stop; the next run goes on where it ended.
    pub stop: StopToken,
}

/// How far the making of files has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheProgress {
    /// Studies whose file is there.
    pub done: usize,
    /// Of these, made now: they were missing, of another configuration or of other pictures, or damaged.
    pub made: usize,
    /// All studies.
    pub total: usize,
}

/// One study of a source.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: StudyId,
    pub(super) place: Place,
    pub(super) oddities: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Place {
    Memory(Arc<CachedStudy>),
    /// In a file, opened for each batch: mapped again in a millisecond, it takes no memory in between.
    File {
        path: PathBuf,
        key: CacheKey,
        verified: AtomicBool,
    },
}

impl Held {
    pub(super) fn open(&self) -> Result<Arc<CachedStudy>, BoxError> {
        match &self.place {
            Place::Memory(kept) => Ok(Arc::clone(kept)),
            Place::File { path, key, verified } => {
                let kept = CachedStudy::open(path, *key, verified.load(Ordering::Relaxed));
                if let Err(CacheError::Damaged { .. }) = kept {
                    // The next source that is opened makes it anew. If it cannot be removed, the error says what
                    // is wrong with it all the same.
                    let _ = std::fs::remove_file(path);
                }
                let kept = kept.map_err(|source| CachedStudyError::Cache { study: self.id, source })?;
                verified.store(true, Ordering::Relaxed);
                Ok(Arc::new(kept))
            }
        }
    }
}

/// Reads a study and keeps what its crops can show.
pub(super) fn keep(
    record: &StudyRecord,
    points: &dyn Points,
    reach: &CropExtent,
    config: &CropSourceConfig,
) -> Result<CachedStudy, BoxError> {
    let study = Study::open_lossy(record);
    let points = points.points(&study, record).map_err(|source| TrainError::Study { study: record.id, source })?;
    Ok(CachedStudy::new(&study, points, reach, &config.intensity)?)
}

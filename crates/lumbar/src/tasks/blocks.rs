//! Decoded images of studies, in a cache file or in memory.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::TaskError;
use crate::data::StudyId;
use crate::data::cache::{Block, Cache, CacheKey};
use crate::data::loader::BoxError;
use crate::data::manifest::StudyRecord;

/// A [`Block`] for each study.
#[derive(Debug)]
pub(super) enum StudyBlocks {
    File(Cache),
    Memory(HashMap<StudyId, Block>),
}

impl StudyBlocks {
    /// Decodes studies on several threads into the file `cache`, or opens that file if it belongs to `key`. Without a
    /// file the blocks are in memory, for a few studies.
    ///
    /// # Errors
    /// When a study cannot be decoded or the file cannot be written, and [`TaskError::Stopped`] when `progress` cancels.
    pub(super) fn open(
        records: &[&StudyRecord],
        cache: Option<&Path>,
        key: impl FnOnce() -> Result<CacheKey, BoxError>,
        decode: impl Fn(&StudyRecord) -> Result<Block, BoxError> + Sync,
        progress: &dyn lumbar_dicom::ReadProgress,
    ) -> Result<Self, TaskError> {
        let done = AtomicUsize::new(0);
        let decode = |record: &StudyRecord| {
            if progress.is_cancelled() {
                return Err(BoxError::from("stopped"));
            }
            let block = decode(record)?;
            progress.progress(done.fetch_add(1, Ordering::Relaxed) + 1, records.len());
            Ok(block)
        };
        let blocks = || -> Result<Self, BoxError> {
            let Some(path) = cache else {
                let blocks = records.par_iter().map(|record| Ok((record.id, decode(record)?)));
                return Ok(Self::Memory(blocks.collect::<Result<_, BoxError>>()?));
            };
            let by_name: HashMap<String, &StudyRecord> =
                records.iter().map(|record| (record.id.to_string(), *record)).collect();
            let names: Vec<String> = records.iter().map(|record| record.id.to_string()).collect();
            Ok(Self::File(Cache::open_or_build(path, key()?, &names, |name| decode(by_name[name]))?))
        };
        blocks().map_err(|error| if progress.is_cancelled() { TaskError::Stopped } else { TaskError::Data(error) })
    }

    /// Pixels of a study, and what is stored with them.
    ///
    /// # Errors
    /// When the study is not open, or the file is damaged.
    pub(super) fn get(&self, study: StudyId) -> Result<(&[u16], &serde_json::Value), BoxError> {
        match self {
            Self::File(cache) => {
                let view = cache.get(&study.to_string())?;
                Ok((view.pixels, view.about))
            }
            Self::Memory(blocks) => {
                let block = blocks.get(&study).ok_or_else(|| format!("study {study} is not open"))?;
                Ok((&block.pixels, &block.about))
            }
        }
    }
}

//! Batches of samples, made by worker threads ahead of their use.
//!
//! A [`Dataset`] makes one sample; a [`Loader`] hands out the batches of one epoch in order. Which samples are in
//! which batch, and every random number, follow from the seed, the epoch and the study, so that batches are the
//! same for any number of workers. At most [`LoaderConfig::prefetch`] batches are in the making or waiting, so
//! that memory does not depend on the number of studies.

mod sampler;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::StudyId;
use super::augment::{ConfigError, Mix, MixConfig, check_range};
use super::render::Renderer;

pub use sampler::Sampler;

/// Samples by number, each belonging to a study.
pub trait Dataset: Send + Sync {
    /// How many samples there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The study of a sample.
    fn study(&self, index: usize) -> StudyId;

    /// The size of every sample.
    fn shape(&self) -> SampleShape;

    /// Makes one sample: fills `picture` and the classes of its targets (−1 where the label is missing).
    ///
    /// The sample must follow from `index`, `epoch` and the data set's own settings alone.
    ///
    /// # Shapes
    /// `picture` is `[pictures, height, width, channels]`, `classes` `[targets]`, both row-major and zeroed.
    ///
    /// # Errors
    /// Whatever keeps the sample from being made; the loader adds the study.
    fn sample(
        &self,
        index: usize,
        epoch: u64,
        renderer: &mut Renderer,
        picture: &mut [f32],
        classes: &mut [i64],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// The size of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleShape {
    /// Pictures in a sample that a 2-D network looks at one by one; 1 for plain pictures.
    pub pictures: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Labels.
    pub targets: usize,
}

impl SampleShape {
    /// Values of all pictures of a sample.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.pictures * self.height * self.width * self.channels
    }
}

/// How batches are made.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `batch_size` | 16 | samples in a batch | 1–65536 |
/// | `workers` | 2 | threads that make batches | 1–1024 |
/// | `prefetch` | 4 | batches in the making or waiting; bounds the memory | `workers`–4096 |
/// | `drop_last` | false | leave out a last batch that is not full | |
/// | `pin_memory` | false | page-locked memory, for quick copies to a GPU; needs CUDA | |
/// | `mix` | none | mixup and cutmix | |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the table above says it")]
pub struct LoaderConfig {
    pub batch_size: usize,
    pub workers: usize,
    pub prefetch: usize,
    pub drop_last: bool,
    pub pin_memory: bool,
    pub mix: MixConfig,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self { batch_size: 16, workers: 2, prefetch: 4, drop_last: false, pin_memory: false, mix: MixConfig::default() }
    }
}

impl LoaderConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// Names the field, its range and what it is.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_range("loader.batch_size", self.batch_size as f64, 1.0, 65536.0)?;
        check_range("loader.workers", self.workers as f64, 1.0, 1024.0)?;
        check_range("loader.prefetch", self.prefetch as f64, self.workers as f64, 4096.0)?;
        self.mix.check()
    }
}

/// Why there is no batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoaderError {
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A sample could not be made.
    #[error("study {study}, sample {index}: {source}")]
    Sample {
        /// The study.
        study: StudyId,
        /// The sample's number in the data set.
        index: usize,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The data set panicked.
    #[error("study {study}, sample {index}: the data set panicked: {message}")]
    Panic {
        /// The study.
        study: StudyId,
        /// The sample's number in the data set.
        index: usize,
        /// What it said.
        message: String,
    },
    /// torch could not make the tensor.
    #[error("a batch could not become a tensor: {0}")]
    Tensor(#[from] tch::TchError),
    /// A worker thread could not be started.
    #[error("a worker thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// A worker ended before its work was done.
    #[error("a worker thread ended before batch {batch} was made")]
    WorkerGone {
        /// The batch that was waited for.
        batch: usize,
    },
}

/// A batch on the CPU.
#[derive(Debug)]
pub struct Batch {
    /// Number of the batch in its epoch.
    pub number: usize,
    /// The pictures.
    ///
    /// # Shapes
    /// `[samples, channels, height, width]`, or `[samples, pictures, channels, height, width]` when there are
    /// several pictures a sample; stored with the channels last either way.
    pub pictures: Tensor,
    /// The classes, −1 where the label is missing.
    ///
    /// # Shapes
    /// `[samples, targets]`, 64-bit integers.
    pub classes: Tensor,
    /// The study of each sample.
    pub studies: Vec<StudyId>,
    /// The number of each sample in the data set.
    pub indices: Vec<usize>,
    /// How samples were mixed: partners and shares for the loss.
    pub mix: Mix,
}

/// Where the time of an epoch went, so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress {
    /// Batches handed out.
    pub batches: usize,
    /// Batches of the whole epoch.
    pub total_batches: usize,
    /// Samples handed out.
    pub samples: usize,
    /// Time in which whoever asked had to wait for data.
    pub waited: Duration,
    /// Time that workers spent making batches, summed over them.
    pub worked: Duration,
}

/// The batches of one epoch, in order. Dropping it stops and joins the workers.
#[derive(Debug)]
pub struct Loader {
    jobs: Option<Sender<Job>>,
    results: Receiver<Made>,
    workers: Vec<JoinHandle<()>>,
    plan: Vec<Vec<usize>>,
    sent: usize,
    early: BTreeMap<usize, Made>,
    progress: Progress,
}

#[derive(Debug)]
struct Job {
    number: usize,
    indices: Vec<usize>,
}

#[derive(Debug)]
struct Made {
    number: usize,
    batch: Result<Batch, LoaderError>,
    took: Duration,
}

impl Loader {
    /// Starts the workers on one epoch.
    ///
    /// # Errors
    /// When a setting is out of range or a thread cannot be started.
    pub fn start(
        dataset: Arc<dyn Dataset>,
        config: &LoaderConfig,
        sampler: &Sampler,
        seed: u64,
        epoch: u64,
    ) -> Result<Self, LoaderError> {
        config.check()?;
        sampler.check(dataset.len())?;
        let order = sampler.order(dataset.len(), seed, epoch);
        let mut plan: Vec<Vec<usize>> = order.chunks(config.batch_size).map(<[usize]>::to_vec).collect();
        if config.drop_last && plan.last().is_some_and(|last| last.len() < config.batch_size) {
            plan.pop();
        }
        let (jobs, for_workers) = bounded(config.prefetch);
        let (to_loader, results) = bounded(config.prefetch);
        let total_batches = plan.len();
        let mut loader = Self {
            jobs: Some(jobs),
            results,
            workers: Vec::new(),
            plan,
            sent: 0,
            early: BTreeMap::new(),
            progress: Progress { total_batches, ..Progress::default() },
        };
        for number in 0..config.workers.min(total_batches) {
            let worker = worker::Worker::new(Arc::clone(&dataset), *config, seed, epoch);
            let (jobs, results) = (for_workers.clone(), to_loader.clone());
            let thread = std::thread::Builder::new().name(format!("loader {number}"));
            loader.workers.push(thread.spawn(move || worker.run(&jobs, &results))?);
        }
        for _ in 0..config.prefetch {
            loader.send_next();
        }
        Ok(loader)
    }

    /// Where the time went, so far.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// One more job, so that as many batches are under way as before. There is always room: a job is sent only
    /// for a batch that was taken.
    fn send_next(&mut self) {
        let Some(indices) = self.plan.get_mut(self.sent) else {
            self.jobs = None;
            return;
        };
        let job = Job { number: self.sent, indices: std::mem::take(indices) };
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok()) {
            self.sent += 1;
        }
    }

    fn take(&mut self, number: usize) -> Result<Made, LoaderError> {
        loop {
            if let Some(made) = self.early.remove(&number) {
                return Ok(made);
            }
            let made = self.results.recv().map_err(|_| LoaderError::WorkerGone { batch: number })?;
            self.early.insert(made.number, made);
        }
    }

    fn stop(&mut self) {
        self.jobs = None;
        // Workers that wait for room find that nobody listens any more.
        self.results = crossbeam_channel::never();
        for worker in self.workers.drain(..) {
            // A panic inside the data set was caught and reported; another one has printed itself.
            let _ = worker.join();
        }
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, LoaderError>;

    /// The next batch. After an error there are no more.
    fn next(&mut self) -> Option<Self::Item> {
        let number = self.progress.batches;
        if number >= self.progress.total_batches {
            return None;
        }
        let start = Instant::now();
        let made = self.take(number);
        self.progress.waited += start.elapsed();
        let result = made.and_then(|made| {
            self.progress.worked += made.took;
            made.batch
        });
        match &result {
            Ok(batch) => {
                self.progress.batches += 1;
                self.progress.samples += batch.studies.len();
                self.send_next();
            }
            Err(_) => {
                self.progress.total_batches = self.progress.batches;
                self.stop();
            }
        }
        Some(result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.progress.total_batches - self.progress.batches;
        (left.min(1), Some(left))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;

//! THE loader: batches of studies, made by worker threads ahead of their use.
//!
//! A [`Dataset`] makes the sample of one study and joins samples into a batch. A [`Loader`] returns the batches of a
//! [`Plan`] in order. Training, validation and prediction all read through it.
//!
//! Every random number follows from (seed, epoch, study, purpose), so batches are the same for any number of workers.
//! At most [`LoaderConfig::prefetch`] batches are ready or in the making, so memory does not grow with the number of
//! studies. A study that fails or panics ends the iteration with an error that names it. Dropping a loader stops and
//! joins its workers.
//!
//! ```
//! use lumbar::data::StudyId;
//! use lumbar::data::loader::{Batch, BoxError, Dataset, Loader, LoaderConfig, Plan};
//! use tch::{Device, Tensor};
//!
//! /// One number a study.
//! struct Numbers;
//!
//! impl Dataset for Numbers {
//!     type Sample = f32;
//!     type Inputs = Tensor;
//!     type Truth = Tensor;
//!
//!     fn sample(&self, _: &Plan, study: StudyId) -> Result<f32, BoxError> {
//!         Ok(study.0 as f32)
//!     }
//!
//!     fn collate(&self, _: &Plan, samples: Vec<f32>) -> Result<(Tensor, Tensor), BoxError> {
//!         let values = Tensor::f_from_slice(&samples)?;
//!         Ok((values.f_mul_scalar(2.0)?, values))
//!     }
//! }
//!
//! let plan = Plan::in_order(&[StudyId(5), StudyId(1), StudyId(9)], 2);
//! let loader = Loader::start(std::sync::Arc::new(Numbers), plan, &LoaderConfig::default(), Device::Cpu)?;
//! let batches: Vec<Batch<Tensor, Tensor>> = loader.collect::<Result<_, _>>()?;
//! assert_eq!(batches[1].studies, [StudyId(9)]);
//! assert_eq!(Vec::<f32>::try_from(&batches[0].inputs)?, [10.0, 2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod config;
mod error;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use tch::Device;

pub use batch::{Batch, Plan, Tensors};
pub use config::LoaderConfig;
pub use error::{BoxError, LoaderError};

use super::StudyId;
use worker::Worker;
pub(crate) use worker::panic_message;

/// Makes samples and batches. Calls come from several threads at once.
pub trait Dataset: Send + Sync + 'static {
    /// What is made of one study.
    type Sample: Send;
    /// What the network looks at.
    type Inputs: Tensors;
    /// What the objective compares with: labels and masks.
    type Truth: Tensors;

    /// The sample of a study. It must follow from the plan's seed and epoch and from the study alone.
    ///
    /// # Errors
    /// When the study cannot be read or drawn. The loader adds the study's number.
    fn sample(&self, plan: &Plan, study: StudyId) -> Result<Self::Sample, BoxError>;

    /// Joins samples, in the order of a batch's studies. The tensors are on the CPU; the loader moves them.
    ///
    /// # Errors
    /// When the samples do not fit together.
    fn collate(&self, plan: &Plan, samples: Vec<Self::Sample>) -> Result<(Self::Inputs, Self::Truth), BoxError>;
}

/// The batches of a plan, in its order, on a device.
#[derive(Debug)]
pub struct Loader<I, T> {
    jobs: Option<Sender<Job>>,
    results: Receiver<Made<I, T>>,
    workers: Vec<JoinHandle<()>>,
    plan: Vec<Vec<StudyId>>,
    /// Batches handed to the workers.
    sent: usize,
    /// Batches returned.
    returned: usize,
    /// Batches that were ready before the one that is next.
    early: BTreeMap<usize, Made<I, T>>,
    device: Device,
}

/// A batch to make.
#[derive(Debug)]
struct Job {
    number: usize,
    studies: Vec<StudyId>,
}

/// A batch that was made, or why it was not.
#[derive(Debug)]
struct Made<I, T> {
    number: usize,
    batch: Result<Batch<I, T>, LoaderError>,
}

impl<I: Tensors, T: Tensors> Loader<I, T> {
    /// Starts the workers on a plan.
    ///
    /// # Errors
    /// When a setting is out of range or a thread cannot be started.
    pub fn start<D: Dataset<Inputs = I, Truth = T>>(
        dataset: Arc<D>,
        mut plan: Plan,
        config: &LoaderConfig,
        device: Device,
    ) -> Result<Self, LoaderError> {
        config.check()?;
        let batches = std::mem::take(&mut plan.batches);
        let (workers, prefetch) = (config.worker_count().min(batches.len()), config.prefetch_count());
        let (jobs, for_workers) = bounded(prefetch);
        let (to_loader, results) = bounded(prefetch);
        let mut loader = Self {
            jobs: Some(jobs),
            results,
            workers: Vec::with_capacity(workers),
            plan: batches,
            sent: 0,
            returned: 0,
            early: BTreeMap::new(),
            device,
        };
        let plan = Arc::new(plan);
        for number in 0..workers {
            let pin = config.pin_memory && device.is_cuda();
            let worker = Worker { dataset: Arc::clone(&dataset), plan: Arc::clone(&plan), pin };
            let (jobs, results) = (for_workers.clone(), to_loader.clone());
            let thread = std::thread::Builder::new().name(format!("loader {number}"));
            let thread = thread.spawn(move || worker.run(&jobs, &results));
            loader.workers.push(thread.map_err(LoaderError::Thread)?);
        }
        for _ in 0..prefetch {
            loader.send_next();
        }
        Ok(loader)
    }

    /// Hands out one more job, so that as many batches are under way as before. The channel has room: a job is sent
    /// only after a batch was returned.
    fn send_next(&mut self) {
        let Some(studies) = self.plan.get_mut(self.sent) else {
            self.jobs = None;
            return;
        };
        let job = Job { number: self.sent, studies: std::mem::take(studies) };
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok()) {
            self.sent += 1;
        }
    }

    fn receive(&mut self) -> Result<Batch<I, T>, LoaderError> {
        loop {
            if let Some(made) = self.early.remove(&self.returned) {
                return Ok(made.batch?.on_device(self.device)?);
            }
            let made = self.results.recv().map_err(|_| LoaderError::WorkerGone { batch: self.returned })?;
            self.early.insert(made.number, made);
        }
    }
}

impl<I, T> Loader<I, T> {
    fn stop(&mut self) {
        self.plan.clear();
        self.jobs = None;
        // Workers that wait for room see a closed channel and end.
        self.results = crossbeam_channel::never();
        for worker in self.workers.drain(..) {
            // Panics of the data set are caught in the worker and returned as errors.
            let _ = worker.join();
        }
    }
}

impl<I: Tensors, T: Tensors> Iterator for Loader<I, T> {
    type Item = Result<Batch<I, T>, LoaderError>;

    /// The next batch. After an error there are no more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.returned >= self.plan.len() {
            return None;
        }
        let batch = self.receive();
        match &batch {
            Ok(_) => {
                self.returned += 1;
                self.send_next();
            }
            Err(_) => self.stop(),
        }
        Some(batch)
    }
}

impl<I, T> Drop for Loader<I, T> {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use rayon::prelude::*;
use tch::{TchError, Tensor};
use torch_ext::layout::pinned;

use super::{Batch, BoxError, Dataset, Job, LoaderError, Made, Plan};
use crate::data::StudyId;

/// One thread of a loader: makes whole batches, each study of a batch on a thread of rayon's.
pub(super) struct Worker<D> {
    pub(super) dataset: Arc<D>,
    /// Without batches: these come as jobs.
    pub(super) plan: Arc<Plan>,
    /// Whether batches are put into page-locked memory.
    pub(super) pin: bool,
}

impl<D: Dataset> Worker<D> {
    pub(super) fn run(self, jobs: &Receiver<Job>, results: &Sender<Made<D::Inputs, D::Truth>>) {
        for Job { number, studies } in jobs {
            let made = Made { number, batch: self.make(studies) };
            // The loader was dropped.
            if results.send(made).is_err() {
                return;
            }
        }
    }

    fn make(&self, studies: Vec<StudyId>) -> Result<Batch<D::Inputs, D::Truth>, LoaderError> {
        let samples: Vec<Result<D::Sample, LoaderError>> =
            studies.par_iter().map(|&study| self.sample(study)).collect();
        let samples = samples.into_iter().collect::<Result<Vec<_>, _>>()?;
        let joined = catch_unwind(AssertUnwindSafe(|| self.dataset.collate(&self.plan, samples)));
        let joined = joined
            .unwrap_or_else(|panic| Err(BoxError::from(format!("the data set panicked: {}", panic_message(&*panic)))));
        let (inputs, truth) = match joined {
            Ok(joined) => joined,
            Err(source) => return Err(LoaderError::Collate { studies, source }),
        };
        let batch = Batch { studies, inputs, truth };
        if !self.pin {
            return Ok(batch);
        }
        let pin = |tensor: Tensor| pinned(&tensor).map_err(|error| TchError::Torch(error.to_string()));
        Ok(batch.try_map(&mut |tensor| pin(tensor))?)
    }

    fn sample(&self, study: StudyId) -> Result<D::Sample, LoaderError> {
        match catch_unwind(AssertUnwindSafe(|| self.dataset.sample(&self.plan, study))) {
            Ok(sample) => sample.map_err(|source| LoaderError::Study { study, source }),
            Err(panic) => Err(LoaderError::StudyPanic { study, message: panic_message(&*panic).to_owned() }),
        }
    }
}

/// The message of a panic, if it is text.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

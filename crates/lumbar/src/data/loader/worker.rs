use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use tch::{Device, Tensor};
use torch_ext::floats::Floats;

use super::{Batch, Dataset, Job, LoaderConfig, LoaderError, Made};
use crate::data::random::generator;
use crate::data::render::Renderer;
use crate::data::{StudyId, augment::Mix};

/// One thread's share of the work: whole batches, with buffers that are used again; pictures are drawn into their tensor's own memory.
pub(super) struct Worker {
    dataset: Arc<dyn Dataset>,
    config: LoaderConfig,
    seed: u64,
    epoch: u64,
    renderer: Renderer,
    classes: Vec<i64>,
}

impl Worker {
    pub(super) fn new(dataset: Arc<dyn Dataset>, config: LoaderConfig, seed: u64, epoch: u64) -> Self {
        Self { dataset, config, seed, epoch, renderer: Renderer::new(), classes: Vec::new() }
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>, results: &Sender<Made>) {
        for job in jobs {
            let start = Instant::now();
            let number = job.number;
            let batch = self.make(job);
            if results.send(Made { number, batch, took: start.elapsed() }).is_err() {
                return;
            }
        }
    }

    fn make(&mut self, job: Job) -> Result<Batch, LoaderError> {
        let Job { number, indices } = job;
        let shape = self.dataset.shape();
        let size = shape.values();
        let mut pictures = Floats::zeros(&[(indices.len() * size) as i64])?;
        self.classes.clear();
        self.classes.resize(indices.len() * shape.targets, 0);
        for (place, index) in indices.iter().enumerate() {
            let picture = &mut pictures[place * size..(place + 1) * size];
            let classes = &mut self.classes[place * shape.targets..(place + 1) * shape.targets];
            let (dataset, epoch, renderer) = (&*self.dataset, self.epoch, &mut self.renderer);
            let made = catch_unwind(AssertUnwindSafe(|| dataset.sample(*index, epoch, renderer, picture, classes)));
            let study = |dataset: &dyn Dataset| dataset.study(*index);
            match made {
                Ok(Ok(())) => {}
                Ok(Err(source)) => {
                    return Err(LoaderError::Sample { study: study(dataset), index: *index, source });
                }
                Err(panic) => {
                    let message = panic
                        .downcast_ref::<String>()
                        .cloned()
                        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                        .unwrap_or_else(|| "no message".to_owned());
                    return Err(LoaderError::Panic { study: study(dataset), index: *index, message });
                }
            }
        }
        let mix = self.mix(number, indices.len(), &mut pictures);
        let studies = indices.iter().map(|index| self.dataset.study(*index)).collect();
        let (pictures, classes) = self.tensors(indices.len(), pictures)?;
        Ok(Batch { number, pictures, classes, studies, indices, mix })
    }

    fn mix(&self, number: usize, samples: usize, pictures: &mut [f32]) -> Mix {
        let shape = self.dataset.shape();
        let mut random = generator(self.seed, self.epoch, StudyId(0), &format!("mix/{number}"));
        let mix = self.config.mix.draw(samples, shape.width, shape.height, &mut random);
        // Pictures of a sample one below the other: a rectangle is cut from each of them.
        let tall = shape.height * shape.pictures;
        debug_assert_eq!(pictures.len(), samples * tall * shape.width * shape.channels);
        mix.apply_each(pictures, shape.pictures, shape.width, shape.channels);
        mix
    }

    fn tensors(&self, samples: usize, pictures: Floats) -> Result<(Tensor, Tensor), LoaderError> {
        let shape = self.dataset.shape();
        let flat = pictures.into_tensor();
        let [samples, pictures, height, width, channels, targets] =
            [samples, shape.pictures, shape.height, shape.width, shape.channels, shape.targets].map(|side| side as i64);
        // Stored with the channels last, seen with the channels first.
        let mut tensor = if pictures == 1 {
            flat.f_view([samples, height, width, channels])?.f_permute([0, 3, 1, 2])?
        } else {
            flat.f_view([samples, pictures, height, width, channels])?.f_permute([0, 1, 4, 2, 3])?
        };
        let mut classes = Tensor::f_from_slice(&self.classes)?.f_view([samples, targets])?;
        if self.config.pin_memory {
            let device = Device::Cuda(0);
            tensor = tensor.f_pin_memory(device)?;
            classes = classes.f_pin_memory(device)?;
        }
        Ok((tensor, classes))
    }
}

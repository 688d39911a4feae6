use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::RngExt;

use super::*;
use crate::data::random::generator;
use tch::Tensor;

/// A number drawn for each study; study 13 fails, study 66 panics.
#[derive(Default)]
struct Drawn {
    made: AtomicUsize,
}

impl Dataset for Drawn {
    type Sample = f32;
    type Inputs = Tensor;
    type Truth = Tensor;

    fn sample(&self, plan: &Plan, study: StudyId) -> Result<f32, BoxError> {
        self.made.fetch_add(1, Ordering::SeqCst);
        match study.0 {
            13 => Err("the file is empty".into()),
            66 => panic!("index out of range"),
            _ => {
                let mut random = generator(plan.seed, plan.epoch, study, "test");
                std::thread::sleep(Duration::from_micros(random.random_range(0..300)));
                Ok(random.random())
            }
        }
    }

    fn collate(&self, _: &Plan, samples: Vec<f32>) -> Result<(Tensor, Tensor), BoxError> {
        if samples.len() == 7 {
            panic!("seven samples");
        }
        Ok((Tensor::f_from_slice(&samples)?, Tensor::f_from_slice(&[samples.len() as i64])?))
    }
}

fn studies(numbers: impl IntoIterator<Item = u64>) -> Vec<StudyId> {
    numbers.into_iter().map(StudyId).collect()
}

fn start(dataset: Arc<Drawn>, plan: Plan, workers: usize) -> Loader<Tensor, Tensor> {
    let config = LoaderConfig { workers, ..LoaderConfig::default() };
    Loader::start(dataset, plan, &config, Device::Cpu).unwrap()
}

#[test]
fn batches_are_the_same_for_any_number_of_workers() {
    let read = |workers| -> Vec<(Vec<StudyId>, Vec<f32>)> {
        let plan = Plan { seed: 3, epoch: 2, augmented: true, ..Plan::in_order(&studies(100..143), 4) };
        let batches = start(Arc::default(), plan, workers);
        batches.map(|batch| batch.unwrap()).map(|batch| (batch.studies, Vec::try_from(batch.inputs).unwrap())).collect()
    };
    let one = read(1);
    assert_eq!(one.len(), 11);
    assert_eq!(one.iter().flat_map(|(studies, _)| studies.clone()).collect::<Vec<_>>(), studies(100..143));
    for workers in [0, 2, 5] {
        assert_eq!(read(workers), one, "{workers} workers");
    }
}

#[test]
fn a_study_that_fails_is_named_and_ends_the_iteration() {
    let mut loader = start(Arc::default(), Plan::in_order(&studies([1, 2, 13, 4, 5, 6]), 2), 1);
    assert!(loader.next().unwrap().is_ok());
    assert_eq!(loader.next().unwrap().unwrap_err().to_string(), "study 13: the file is empty");
    assert!(loader.next().is_none());
}

#[test]
fn a_panic_is_an_error_that_names_the_study() {
    let mut loader = start(Arc::default(), Plan::in_order(&studies([1, 66, 3]), 3), 2);
    let error = loader.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "study 66: the data set panicked: index out of range");
    let mut loader = start(Arc::default(), Plan::in_order(&studies(1..8), 7), 1);
    let error = loader.next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "batch of studies 1, 2, 3, 4, 5, 6, 7: the data set panicked: seven samples");
}

#[test]
fn only_as_many_batches_are_made_ahead_as_the_config_says() {
    let dataset = Arc::new(Drawn::default());
    let config = LoaderConfig { workers: 2, prefetch: 3, pin_memory: false };
    let plan = Plan::in_order(&studies(100..200), 1);
    let mut loader = Loader::start(Arc::clone(&dataset), plan, &config, Device::Cpu).unwrap();
    loader.next().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(dataset.made.load(Ordering::SeqCst), 4);
}

#[test]
fn dropping_a_loader_stops_its_workers() {
    let dataset = Arc::new(Drawn::default());
    let mut loader = start(Arc::clone(&dataset), Plan::in_order(&studies(100..1100), 1), 2);
    loader.next().unwrap().unwrap();
    drop(loader);
    assert_eq!(Arc::strong_count(&dataset), 1, "the workers have ended");
    assert!(dataset.made.load(Ordering::SeqCst) < 20);
}

#[test]
fn an_empty_plan_has_no_batches_and_wrong_settings_are_refused() {
    assert!(start(Arc::default(), Plan::in_order(&[], 4), 2).next().is_none());
    let config = LoaderConfig { workers: 1000, ..LoaderConfig::default() };
    let refused = Loader::start(Arc::<Drawn>::default(), Plan::in_order(&[], 1), &config, Device::Cpu).unwrap_err();
    assert!(refused.to_string().starts_with("loader.workers is 1000"), "{refused}");
}

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::data::random::generator;
use rand::RngExt;

/// Samples of noise that know what they are; one of them may fail.
struct Noise {
    samples: usize,
    fails: Option<usize>,
    panics: Option<usize>,
    alive: Arc<AtomicUsize>,
    most_alive: Arc<AtomicUsize>,
}

impl Noise {
    fn new(samples: usize) -> Self {
        Self { samples, fails: None, panics: None, alive: Arc::default(), most_alive: Arc::default() }
    }
}

impl Dataset for Noise {
    fn len(&self) -> usize {
        self.samples
    }

    fn study(&self, index: usize) -> StudyId {
        StudyId(index as u64 / 2 + 1000)
    }

    fn shape(&self) -> SampleShape {
        SampleShape { pictures: 2, height: 6, width: 5, channels: 3, targets: 2 }
    }

    fn sample(
        &self,
        index: usize,
        epoch: u64,
        _: &mut Renderer,
        picture: &mut [f32],
        classes: &mut [i64],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let alive = self.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_alive.fetch_max(alive, Ordering::SeqCst);
        if self.fails == Some(index) {
            return Err("no such series".into());
        }
        assert!(self.panics != Some(index), "out of slices");
        let mut random = generator(1, epoch, self.study(index), &format!("noise/{index}"));
        picture.fill_with(|| random.random());
        classes.copy_from_slice(&[index as i64, -1]);
        Ok(())
    }
}

fn batches(config: &LoaderConfig, sampler: &Sampler, epoch: u64) -> Vec<(Vec<usize>, Vec<f32>, Vec<i64>)> {
    let loader = Loader::start(Arc::new(Noise::new(23)), config, sampler, 7, epoch).unwrap();
    loader
        .map(|batch| {
            let batch = batch.unwrap();
            let pictures = Vec::<f32>::try_from(batch.pictures.contiguous().view(-1)).unwrap();
            (batch.indices, pictures, Vec::<i64>::try_from(batch.classes.view(-1)).unwrap())
        })
        .collect()
}

#[test]
fn batches_are_the_same_for_one_and_four_workers() {
    let mix = MixConfig { mixup_p: 0.4, cutmix_p: 0.4, alpha: 1.0 };
    let one = LoaderConfig { batch_size: 4, workers: 1, prefetch: 1, mix, ..LoaderConfig::default() };
    let four = LoaderConfig { workers: 4, prefetch: 9, ..one };
    let expected = batches(&one, &Sampler::Shuffled, 3);
    assert_eq!(expected.len(), 6);
    assert_eq!(batches(&four, &Sampler::Shuffled, 3), expected);
    assert_ne!(batches(&four, &Sampler::Shuffled, 4), expected);
}

#[test]
fn pictures_are_seen_channels_first_and_stored_channels_last() {
    let config = LoaderConfig { batch_size: 4, ..LoaderConfig::default() };
    let mut loader = Loader::start(Arc::new(Noise::new(4)), &config, &Sampler::InOrder, 7, 0).unwrap();
    let batch = loader.next().unwrap().unwrap();
    assert_eq!(batch.pictures.size(), [4, 2, 3, 6, 5]);
    assert_eq!(batch.pictures.stride(), [180, 90, 1, 15, 3]);
    assert_eq!(batch.classes.size(), [4, 2]);
    assert_eq!(batch.studies, [1000, 1000, 1001, 1001].map(StudyId));
    assert!(loader.next().is_none());
    assert_eq!((loader.progress().batches, loader.progress().samples), (1, 4));
}

#[test]
fn a_failing_sample_surfaces_with_its_study_and_ends_the_epoch() {
    let config = LoaderConfig { batch_size: 4, workers: 3, ..LoaderConfig::default() };
    for (fails, panics, says) in [
        (Some(9), None, "study 1004, sample 9: no such series"),
        (None, Some(9), "study 1004, sample 9: the data set panicked: out of slices"),
    ] {
        let dataset = Arc::new(Noise { fails, panics, ..Noise::new(40) });
        let results: Vec<_> = Loader::start(dataset, &config, &Sampler::InOrder, 7, 0).unwrap().collect();
        assert_eq!(results.len(), 3);
        assert_eq!(results[2].as_ref().unwrap_err().to_string(), says);
    }
}

#[test]
fn no_more_than_prefetch_batches_are_made_ahead() {
    let dataset = Noise::new(400);
    let made = Arc::clone(&dataset.most_alive);
    let config = LoaderConfig { batch_size: 4, workers: 2, prefetch: 3, ..LoaderConfig::default() };
    let mut loader = Loader::start(Arc::new(dataset), &config, &Sampler::InOrder, 7, 0).unwrap();
    for taken in 1..=5 {
        loader.next().unwrap().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let made = made.load(Ordering::SeqCst);
        assert!(made <= 4 * (taken + 3), "{made} samples after {taken} batches");
    }
}

#[test]
fn a_dropped_loader_stops_its_workers() {
    let dataset: Arc<dyn Dataset> = Arc::new(Noise::new(4000));
    let config = LoaderConfig { workers: 4, ..LoaderConfig::default() };
    let mut loader = Loader::start(Arc::clone(&dataset), &config, &Sampler::Shuffled, 7, 0).unwrap();
    loader.next().unwrap().unwrap();
    drop(loader);
    assert_eq!(Arc::strong_count(&dataset), 1, "all threads have ended and let go of the data");
}

#[test]
fn a_last_batch_may_be_left_out_and_an_empty_set_has_none() {
    let config = LoaderConfig { batch_size: 4, drop_last: true, ..LoaderConfig::default() };
    assert_eq!(batches(&config, &Sampler::InOrder, 0).len(), 5);
    assert_eq!(Loader::start(Arc::new(Noise::new(0)), &config, &Sampler::Shuffled, 7, 0).unwrap().count(), 0);
    let wrong = LoaderConfig { workers: 8, prefetch: 2, ..LoaderConfig::default() };
    let error = Loader::start(Arc::new(Noise::new(4)), &wrong, &Sampler::Shuffled, 7, 0).unwrap_err();
    assert_eq!(error.to_string(), "loader.prefetch is 2, expected a number from 8 to 4096");
}

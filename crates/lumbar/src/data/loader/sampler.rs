use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::data::StudyId;
use crate::data::random::generator;

/// In which order an epoch goes through the samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampler {
    /// As they are: for validation and prediction.
    InOrder,
    /// Every sample once, in an order of its own for every seed and epoch.
    #[default]
    Shuffled,
    /// As many samples as there are, drawn with replacement in proportion to their weights.
    Weighted {
        /// One weight a sample, none below 0, at least one above.
        weights: Vec<f64>,
    },
}

impl Sampler {
    pub(super) fn check(&self, samples: usize) -> Result<(), ConfigError> {
        let Self::Weighted { weights } = self else { return Ok(()) };
        let wrong = |found: String, expected: &str| {
            Err(ConfigError { field: "sampler.weights".to_owned(), found, expected: expected.to_owned() })
        };
        if weights.len() != samples {
            return wrong(format!("a list of {}", weights.len()), &format!("one weight for each of {samples} samples"));
        }
        match weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
            Some(weight) => wrong(weight.to_string(), "finite weights of 0 or more"),
            None if samples > 0 && weights.iter().all(|weight| *weight == 0.0) => {
                wrong("all 0".to_owned(), "at least one weight above 0")
            }
            None => Ok(()),
        }
    }

    /// The samples of one epoch.
    #[must_use]
    pub fn order(&self, samples: usize, seed: u64, epoch: u64) -> Vec<usize> {
        let mut random = generator(seed, epoch, StudyId(0), "sampler");
        match self {
            Self::InOrder => (0..samples).collect(),
            Self::Shuffled => {
                let mut order: Vec<usize> = (0..samples).collect();
                for index in (1..samples).rev() {
                    order.swap(index, random.random_range(0..=index));
                }
                order
            }
            Self::Weighted { weights } => {
                let mut sum = 0.0;
                let sums: Vec<f64> = weights
                    .iter()
                    .map(|weight| {
                        sum += weight;
                        sum
                    })
                    .collect();
                let draw = |random: &mut crate::data::random::Generator| {
                    let at = random.random::<f64>() * sum;
                    sums.partition_point(|upto| *upto <= at).min(samples.saturating_sub(1))
                };
                (0..samples).map(|_| draw(&mut random)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_has_every_sample_once_and_depends_on_seed_and_epoch() {
        let order = Sampler::Shuffled.order(100, 1, 2);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, Sampler::InOrder.order(100, 0, 0));
        assert_eq!(order, Sampler::Shuffled.order(100, 1, 2));
        assert_ne!(order, Sampler::Shuffled.order(100, 1, 3));
        assert_ne!(order, Sampler::Shuffled.order(100, 2, 2));
    }

    #[test]
    fn weights_are_frequencies_and_nothing_is_drawn_without_weight() {
        let mut weights = vec![1.0; 4000];
        weights[1000..2000].fill(3.0);
        weights[..1000].fill(0.0);
        let order = Sampler::Weighted { weights }.order(4000, 1, 0);
        assert!(order.iter().all(|sample| *sample >= 1000));
        let heavy = order.iter().filter(|sample| **sample < 2000).count() as f64 / 4000.0;
        assert!((heavy - 0.6).abs() < 0.03, "{heavy}");
    }

    #[test]
    fn wrong_weights_are_refused() {
        let check = |weights: &[f64]| Sampler::Weighted { weights: weights.to_vec() }.check(2).unwrap_err().to_string();
        assert_eq!(check(&[1.0]), "sampler.weights is a list of 1, expected one weight for each of 2 samples");
        assert_eq!(check(&[1.0, -1.0]), "sampler.weights is -1, expected finite weights of 0 or more");
        assert_eq!(check(&[0.0, 0.0]), "sampler.weights is all 0, expected at least one weight above 0");
    }
}

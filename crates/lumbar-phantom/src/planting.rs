//! Assigns oddities to studies.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;

use crate::PhantomConfig;
use crate::seed::{chance, generator};

/// At most one of these is planted in a study: they change the same series.
const EXCLUSIVE: [&str; 3] = ["missing_t1", "missing_t2", "second_t1"];
/// Oddities that test studies have as well: they concern images, not labels.
const OF_FILES: [&str; 5] = ["flipped_sagittal", "reversed_axial", "split_axial", "axial_stacks", TRANSITIONAL];
/// Four or six lumbar bodies. Its rate is in [`Variation`](crate::Variation).
pub(crate) const TRANSITIONAL: &str = "transitional";
/// With at least this many studies, each oddity is planted at least once.
const ENOUGH_STUDIES: usize = 20;

/// The oddities of a whole phantom, by name.
#[derive(Debug, Clone)]
pub(crate) struct Planting {
    studies: BTreeMap<&'static str, BTreeSet<usize>>,
}

impl Planting {
    /// Assigns each oddity to studies. Depends on the config alone.
    pub(crate) fn new(config: &PhantomConfig) -> Self {
        let mut studies = BTreeMap::new();
        let mut taken: BTreeSet<usize> = BTreeSet::new();
        let anatomy = config.variation.map(|variation| (TRANSITIONAL, variation.transitional));
        for (name, rate) in config.oddities.fields().into_iter().chain(anatomy) {
            let mut random = generator(config.seed, 0, name);
            let mut order: Vec<usize> = (0..config.studies).collect();
            order.shuffle(&mut random);
            let exclusive = EXCLUSIVE.contains(&name);
            if exclusive {
                order.retain(|study| !taken.contains(study));
            }
            let exact = rate * config.studies as f64;
            let fewest = usize::from(rate > 0.0 && config.studies >= ENOUGH_STUDIES);
            let count = (exact as usize + usize::from(chance(&mut random, exact.fract()))).max(fewest);
            let mut chosen: BTreeSet<usize> = order.into_iter().take(count).collect();
            if exclusive {
                taken.extend(&chosen);
            }
            if OF_FILES.contains(&name) {
                chosen
                    .extend((0..config.test_studies).map(|i| config.studies + i).filter(|_| chance(&mut random, rate)));
            }
            studies.insert(name, chosen);
        }
        Self { studies }
    }

    /// Whether the study has this oddity.
    pub(crate) fn has(&self, name: &str, study: usize) -> bool {
        self.studies.get(name).is_some_and(|studies| studies.contains(&study))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OddityRates;

    #[test]
    fn every_oddity_is_planted_at_least_once_and_none_at_rate_zero() {
        let planting = Planting::new(&PhantomConfig::default());
        assert!(planting.studies.values().all(|studies| !studies.is_empty()));
        // spines that vary have transitional vertebrae at a rate of their own
        let plain = PhantomConfig { oddities: OddityRates::none(), variation: None, ..PhantomConfig::default() };
        assert!(Planting::new(&plain).studies.values().all(BTreeSet::is_empty));
    }

    #[test]
    fn series_are_not_missing_and_doubled_in_one_study() {
        let planting = Planting::new(&PhantomConfig { studies: 400, ..PhantomConfig::default() });
        for study in 0..400 {
            assert!(EXCLUSIVE.iter().filter(|name| planting.has(name, study)).count() <= 1);
        }
    }

    #[test]
    fn the_planted_share_is_the_rate() {
        let planting = Planting::new(&PhantomConfig { studies: 1000, ..PhantomConfig::default() });
        assert_eq!((0..1000).filter(|&study| planting.has("flipped_sagittal", study)).count(), 350);
    }
}

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::score::{Contribution, pooled};
use super::{Graded, MetricError, Score, score};
use crate::config::check_range;

/// How intervals are drawn: studies, not cells, are resampled with replacement, because the 25 cells of a
/// study belong together.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `replicates` | 2000 | draws | 100–1,000,000 |
/// | `confidence` | 0.95 | share of the draws inside the interval | 0.5–0.999 |
/// | `seed` | 0 | of the draws; the same draws for the same seed, whatever the number of threads | any |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapConfig {
    /// Number of draws.
    pub replicates: usize,
    /// Share of the draws inside the interval.
    pub confidence: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { replicates: 2000, confidence: 0.95, seed: 0 }
    }
}

impl BootstrapConfig {
    /// # Errors
    /// When a field is out of its range.
    pub fn check(&self) -> Result<(), MetricError> {
        check_range("replicates", self.replicates, 100, 1_000_000)?;
        Ok(check_range("confidence", self.confidence, 0.5, 0.999)?)
    }

    /// The places drawn in one replicate, of `studies`.
    fn draw(&self, replicate: usize, studies: usize) -> Vec<usize> {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&(replicate as u64).to_le_bytes());
        seed[16..].copy_from_slice(b"metric.bootstrap");
        let mut generator = StdRng::from_seed(seed);
        (0..studies).map(|_| generator.random_range(0..studies)).collect()
    }

    fn replicate<T: Send>(&self, studies: usize, statistic: impl Fn(&[usize]) -> Option<T> + Sync) -> Vec<T> {
        (0..self.replicates)
            .into_par_iter()
            .map(|replicate| statistic(&self.draw(replicate, studies)))
            .collect::<Vec<_>>()
            .into_iter()
            .flatten()
            .collect()
    }

    fn between(&self, estimate: f64, mut draws: Vec<f64>) -> Interval {
        draws.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.confidence) / 2.0;
        Interval { estimate, low: quantile(&draws, tail), high: quantile(&draws, 1.0 - tail), draws: draws.len() }
    }
}

/// An estimate with its percentile interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Of all studies.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Draws in which the statistic was defined (a draw may hold no positive case).
    pub draws: usize,
}

impl Interval {
    /// Whether the interval lies on one side of zero: for a difference, that it is more than chance.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// Intervals of the score's four parts and of the score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreIntervals {
    /// In the order of [`Score::PARTS`].
    pub parts: [Interval; 4],
    /// The mean of the four.
    pub total: Interval,
}

impl ScoreIntervals {
    /// The four parts, then the score.
    #[must_use]
    pub const fn five(&self) -> [Interval; 5] {
        let [spinal, foraminal, subarticular, any_severe] = self.parts;
        [spinal, foraminal, subarticular, any_severe, self.total]
    }
}

/// Interval of any statistic of graded studies; none when it is not defined for the studies as they are or
/// in any draw.
///
/// # Errors
/// When the config is out of range.
pub fn interval(
    graded: &Graded,
    config: &BootstrapConfig,
    statistic: impl Fn(&Graded) -> Option<f64> + Sync,
) -> Result<Option<Interval>, MetricError> {
    config.check()?;
    let draws = config.replicate(graded.studies().len(), |places| statistic(&graded.resample(places)));
    Ok(statistic(graded).filter(|_| !draws.is_empty()).map(|estimate| config.between(estimate, draws)))
}

/// Interval of the difference `left − right` of a statistic, both sides taken of the same drawn studies.
///
/// # Errors
/// When the config is out of range or the two do not cover the same labels.
pub fn paired_interval(
    left: &Graded,
    right: &Graded,
    config: &BootstrapConfig,
    statistic: impl Fn(&Graded) -> Option<f64> + Sync,
) -> Result<Option<Interval>, MetricError> {
    config.check()?;
    check_paired(left, right)?;
    let difference = |left: &Graded, right: &Graded| Some(statistic(left)? - statistic(right)?);
    let draws =
        config.replicate(left.studies().len(), |places| difference(&left.resample(places), &right.resample(places)));
    Ok(difference(left, right).filter(|_| !draws.is_empty()).map(|estimate| config.between(estimate, draws)))
}

/// Intervals of the score and its parts.
///
/// # Errors
/// When the config is out of range or a part of the score has no labelled row.
pub fn score_intervals(graded: &Graded, config: &BootstrapConfig) -> Result<ScoreIntervals, MetricError> {
    config.check()?;
    let studies = contributions(graded);
    let draws =
        config.replicate(studies.len(), |places| pooled(places.iter().map(|&place| studies[place])).ok().map(five));
    Ok(gather(config, five(score(graded)?), &draws))
}

/// Intervals of the difference `left − right` of the score and its parts, both taken of the same drawn
/// studies; negative where `left` is better.
///
/// # Errors
/// When the config is out of range, the two do not cover the same labels, or a part has no labelled row.
pub fn score_difference(
    left: &Graded,
    right: &Graded,
    config: &BootstrapConfig,
) -> Result<ScoreIntervals, MetricError> {
    config.check()?;
    check_paired(left, right)?;
    let subtract = |left: Score, right: Score| {
        let (left, right) = (five(left), five(right));
        std::array::from_fn(|part| left[part] - right[part])
    };
    let studies: Vec<_> = contributions(left).into_iter().zip(contributions(right)).collect();
    let draws = config.replicate(studies.len(), |places| {
        let left = pooled(places.iter().map(|&place| studies[place].0)).ok()?;
        let right = pooled(places.iter().map(|&place| studies[place].1)).ok()?;
        Some(subtract(left, right))
    });
    Ok(gather(config, subtract(score(left)?, score(right)?), &draws))
}

fn contributions(graded: &Graded) -> Vec<Contribution> {
    (0..graded.studies().len()).map(|place| Contribution::of(graded.of_study(place))).collect()
}

fn five(score: Score) -> [f64; 5] {
    let [spinal, foraminal, subarticular, any_severe] = score.parts();
    [spinal, foraminal, subarticular, any_severe, score.total()]
}

fn gather(config: &BootstrapConfig, estimate: [f64; 5], draws: &[[f64; 5]]) -> ScoreIntervals {
    let of = |part: usize| config.between(estimate[part], draws.iter().map(|draw| draw[part]).collect());
    ScoreIntervals { parts: std::array::from_fn(of), total: of(4) }
}

fn check_paired(left: &Graded, right: &Graded) -> Result<(), MetricError> {
    let same = |place: usize| {
        let (left, right) = (left.of_study(place), right.of_study(place));
        left.len() == right.len()
            && left.iter().zip(right).all(|(left, right)| left.target == right.target && left.truth == right.truth)
    };
    let (left_studies, right_studies) = (left.studies(), right.studies());
    for (place, study) in left_studies.iter().enumerate() {
        if right_studies.get(place) != Some(study) || !same(place) {
            return Err(MetricError::NotPaired { study: *study });
        }
    }
    match right_studies.get(left_studies.len()) {
        Some(study) => Err(MetricError::NotPaired { study: *study }),
        None => Ok(()),
    }
}

/// Quantile of sorted values with linear interpolation, as numpy's default; NaN without values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Severity;
    use crate::data::StudyId;
    use crate::metric::{LabelTable, PredictionTable};

    fn graded(studies: usize, sharpness: f64) -> Graded {
        let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
        for study in 0..studies {
            let truth = std::array::from_fn(|index| Some(Severity::ALL[(study * 13 + index * 5) % 7 % 3]));
            let predicted = std::array::from_fn(|index| {
                let mut row = [1.0; 3];
                row[truth[index].unwrap().index()] += sharpness * ((study % 4) as f64 - 0.5).max(0.0);
                let sum: f64 = row.iter().sum();
                row.map(|value| value / sum)
            });
            labels.insert(StudyId(study as u64), truth).unwrap();
            predictions.insert(StudyId(study as u64), predicted).unwrap();
        }
        Graded::join(&labels, &predictions).unwrap()
    }

    #[test]
    fn the_quick_way_equals_the_general_one() {
        let (model, config) = (graded(40, 2.0), BootstrapConfig { replicates: 200, ..Default::default() });
        let quick = score_intervals(&model, &config).unwrap();
        let general = interval(&model, &config, |drawn| Some(score(drawn).ok()?.total())).unwrap().unwrap();
        assert!((quick.total.low - general.low).abs() < 1e-12 && (quick.total.high - general.high).abs() < 1e-12);
        assert!(quick.total.low < quick.total.estimate && quick.total.estimate < quick.total.high);
    }

    #[test]
    fn a_better_model_differs_by_more_than_chance_and_a_model_from_itself_by_nothing() {
        let config = BootstrapConfig::default();
        let (better, worse) = (graded(60, 3.0), graded(60, 1.0));
        let difference = score_difference(&better, &worse, &config).unwrap();
        assert!(difference.total.high < 0.0 && difference.parts.iter().all(Interval::excludes_zero));
        let itself = score_difference(&better, &better, &config).unwrap();
        assert_eq!((itself.total.low, itself.total.high), (0.0, 0.0));
        let paired = paired_interval(&better, &worse, &config, |drawn| Some(score(drawn).ok()?.total())).unwrap();
        assert!((paired.unwrap().low - difference.total.low).abs() < 1e-12);
    }

    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_it_says() {
        // the mean of 40 draws from a known distribution, 200 times: 95% intervals should hold it mostly
        let config = BootstrapConfig { replicates: 400, ..Default::default() };
        let mut generator = StdRng::seed_from_u64(5);
        let mut held = 0;
        for _ in 0..200 {
            let values: Vec<f64> = (0..40).map(|_| generator.random_range(0.0..1.0)).collect();
            let mean = |places: &[usize]| places.iter().map(|&place| values[place]).sum::<f64>() / places.len() as f64;
            let interval = config.between(0.0, config.replicate(40, |places| Some(mean(places))));
            held += usize::from(interval.low < 0.5 && 0.5 < interval.high);
        }
        assert!((176..=198).contains(&held), "{held} of 200");
    }

    #[test]
    fn what_is_not_paired_is_refused() {
        let config = BootstrapConfig::default();
        let error = score_difference(&graded(40, 1.0), &graded(41, 1.0), &config).unwrap_err();
        assert!(matches!(error, MetricError::NotPaired { study } if study == StudyId(40)));
        let error = BootstrapConfig { replicates: 1, ..config }.check().unwrap_err();
        assert_eq!(error.to_string(), "replicates is 1, expected a number from 100 to 1000000");
    }
}

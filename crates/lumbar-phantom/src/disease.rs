//! The latent degree of disease of each target, the reader's label, and the oracle.
//!
//! A target's latent degree is a standard normal number z. A reader sees z + ε with ε ~ N(0, σ²) and calls it
//! moderate above t₁ and severe above t₂. The thresholds are set for each condition and level so that labels
//! have the competition's class frequencies. The image is drawn from a **degree** s ∈ [0, 1], a monotone function of
//! z in which t₁ and t₂ lie at the same s for every target: moderate looks the same at every level.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::seed::{between, normal};
use crate::target::{CONDITIONS, LEVELS, TARGETS, target};

/// Moderate and severe cells of 1,975 studies, by condition group and level.
///
/// The severe counts of the canal, the left foramen and the left recess and all totals are the competition's; the
/// moderate totals are spread over levels by hand, with the severe profile softened.
const CLASS_COUNTS: [[(f64, f64); 5]; 3] = [
    [(60.0, 21.0), (132.0, 53.0), (214.0, 122.0), (287.0, 255.0), (43.0, 19.0)],
    [(68.0, 2.0), (190.0, 11.0), (411.0, 40.0), (587.0, 140.0), (539.0, 206.0)],
    [(160.0, 28.0), (300.0, 83.0), (451.0, 194.0), (526.0, 461.0), (399.0, 147.0)],
];
const CLASS_STUDIES: f64 = 1975.0;

/// Variance shared by the targets of one condition group, beyond the variance shared by the study.
const GROUP_VARIANCE: f64 = 0.10;
/// Variance shared by the targets of one level; neighbouring levels have a correlation of [`NEIGHBOUR`].
const LEVEL_VARIANCE: f64 = 0.12;
const NEIGHBOUR: f64 = 0.5;

/// The degrees at the thresholds t₁ and t₂.
pub(crate) const DEGREE_AT_THRESHOLDS: [f64; 2] = [0.45, 0.75];

/// Expected shares of the three classes among a target's labels.
pub(crate) fn class_rates(target: usize) -> [f64; 3] {
    let (condition, level) = (target / LEVELS.len(), target % LEVELS.len());
    let (moderate, severe) = CLASS_COUNTS[CONDITIONS[condition].group()][level];
    [1.0 - (moderate + severe) / CLASS_STUDIES, moderate / CLASS_STUDIES, severe / CLASS_STUDIES]
}

/// One target of one study.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disease {
    /// Latent degree, standard normal.
    pub(crate) latent: f64,
    /// Degree of narrowing in the image, 0 (none) to 1.
    pub(crate) degree: f64,
    /// The reader's class: 0, 1, 2.
    pub(crate) label: usize,
    /// P(label | latent), weighted by 1/2/4 and normalised: no prediction has a smaller expected loss.
    pub(crate) oracle: [f64; 3],
}

/// Thresholds of one target and the reader's noise.
#[derive(Debug, Clone, Copy)]
struct Reader {
    moderate: f64,
    severe: f64,
    noise_sd: f64,
}

impl Reader {
    fn new(target: usize, noise_sd: f64) -> Self {
        let [_, moderate, severe] = class_rates(target);
        let reading_sd = (1.0 + noise_sd * noise_sd).sqrt();
        Self { moderate: -reading_sd * quantile(moderate + severe), severe: -reading_sd * quantile(severe), noise_sd }
    }

    fn read(&self, latent: f64, random: &mut impl Rng) -> usize {
        let reading = latent + self.noise_sd * normal(random);
        usize::from(reading > self.moderate) + usize::from(reading > self.severe)
    }

    fn probabilities(&self, latent: f64) -> [f64; 3] {
        let above = |threshold: f64| cumulative((latent - threshold) / self.noise_sd);
        let (moderate_or_worse, severe) = (above(self.moderate), above(self.severe));
        [1.0 - moderate_or_worse, moderate_or_worse - severe, severe]
    }

    /// Monotone and piecewise linear; the range around the thresholds covers most of [0, 1].
    fn degree(&self, latent: f64) -> f64 {
        let [moderate, severe] = DEGREE_AT_THRESHOLDS;
        let knots = [
            (-3.2, 0.0),
            (self.moderate - 1.0, 0.25),
            (self.moderate, moderate),
            (self.severe, severe),
            (self.severe + 1.2, 1.0),
        ];
        for pair in knots.windows(2) {
            let ((z0, s0), (z1, s1)) = (pair[0], pair[1]);
            if latent < z1 {
                return s0 + (s1 - s0) * ((latent - z0) / (z1 - z0)).max(0.0);
            }
        }
        1.0
    }
}

/// The joint distribution of degrees and labels over the 25 targets of a study.
#[derive(Debug, Clone)]
pub(crate) struct DiseaseModel {
    readers: [Reader; TARGETS],
    /// Variance shared by all targets of a study, and variance of a single target.
    study_variance: f64,
    own_variance: f64,
}

impl DiseaseModel {
    /// A model with this reader noise and this mean correlation between two targets of a study.
    pub(crate) fn new(noise_sd: f64, study_correlation: f64) -> Self {
        let study_variance = study_correlation - shared_beyond_study();
        Self {
            readers: std::array::from_fn(|target| Reader::new(target, noise_sd)),
            study_variance,
            own_variance: 1.0 - study_variance - GROUP_VARIANCE - LEVEL_VARIANCE,
        }
    }

    /// Draws the targets of one study. `burden` is added to the latent degrees, see [`burden`].
    pub(crate) fn draw(&self, random: &mut impl Rng, burden: &[f64; TARGETS]) -> [Disease; TARGETS] {
        let study = normal(random);
        let groups: [f64; 3] = std::array::from_fn(|_| normal(random));
        let mut levels = [0.0; LEVELS.len()];
        for level in 0..LEVELS.len() {
            let fresh = normal(random);
            levels[level] = match level {
                0 => fresh,
                _ => NEIGHBOUR * levels[level - 1] + (1.0 - NEIGHBOUR * NEIGHBOUR).sqrt() * fresh,
            };
        }
        std::array::from_fn(|target| {
            let (condition, level) = (target / LEVELS.len(), target % LEVELS.len());
            let reader = &self.readers[target];
            let latent = self.study_variance.sqrt() * study
                + GROUP_VARIANCE.sqrt() * groups[CONDITIONS[condition].group()]
                + LEVEL_VARIANCE.sqrt() * levels[level]
                + self.own_variance.sqrt() * normal(random)
                + burden[target];
            let probabilities = reader.probabilities(latent);
            let weighted: [f64; 3] = std::array::from_fn(|class| f64::from(1 << class) * probabilities[class]);
            let sum: f64 = weighted.iter().sum();
            Disease {
                latent,
                degree: reader.degree(latent),
                label: reader.read(latent, random),
                oracle: weighted.map(|weight| weight / sum),
            }
        })
    }
}

/// More disease at some levels of a study: how much their latent degrees rise.
///
/// Most in the canal, less in the recesses, least in the foramina: several levels with severe stenosis of the canal
/// are where localisers put two levels onto one point.
pub(crate) fn burden(random: &mut impl Rng, [fewest, most]: [usize; 2]) -> [f64; TARGETS] {
    let mut levels: Vec<usize> = (0..LEVELS.len()).collect();
    levels.shuffle(random);
    levels.truncate(random.random_range(fewest..=most));
    let mut burden = [0.0; TARGETS];
    for level in levels {
        let rise = between(random, 1.2, 2.6);
        for (condition, share) in [1.0, 0.5, 0.5, 0.8, 0.8].into_iter().enumerate() {
            burden[target(condition, level)] = share * rise;
        }
    }
    burden
}

/// Mean covariance of two targets of a study through condition group and level.
fn shared_beyond_study() -> f64 {
    let mut sum = 0.0;
    for a in 0..TARGETS {
        for b in (0..TARGETS).filter(|&b| b != a) {
            let group = |target: usize| CONDITIONS[target / LEVELS.len()].group();
            let distance = (a % LEVELS.len()).abs_diff(b % LEVELS.len());
            sum += GROUP_VARIANCE * f64::from(u8::from(group(a) == group(b)))
                + LEVEL_VARIANCE * NEIGHBOUR.powi(distance as i32);
        }
    }
    sum / (TARGETS * (TARGETS - 1)) as f64
}

/// Normal distribution function, with a relative error below 1.2e-7 (Press et al., Numerical Recipes 6.2).
pub(crate) fn cumulative(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let series = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let polynomial = series.iter().rev().fold(0.0, |sum, coefficient| sum * t + coefficient);
    let tail = 0.5 * t * (-x * x + polynomial).exp();
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// The z with cumulative(z) = probability, by bisection.
fn quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if cumulative(middle) < probability { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::generator;

    fn many(studies: usize) -> Vec<[Disease; TARGETS]> {
        let model = DiseaseModel::new(0.5, 0.4);
        (0..studies).map(|study| model.draw(&mut generator(7, study, "disease"), &[0.0; TARGETS])).collect()
    }

    #[test]
    fn the_normal_distribution_is_right_at_known_points() {
        assert!((cumulative(1.959_963_985) - 0.975).abs() < 1e-6);
        assert!((quantile(0.05) + 1.644_853_627).abs() < 1e-5);
    }

    #[test]
    fn labels_have_the_class_frequencies() {
        let studies = many(20_000);
        for target in 0..TARGETS {
            for class in 0..3 {
                let share = studies.iter().filter(|s| s[target].label == class).count() as f64 / 20_000.0;
                let meant = class_rates(target)[class];
                let sd = (meant * (1.0 - meant) / 20_000.0).sqrt();
                assert!((share - meant).abs() < 4.5 * sd + 1e-4, "target {target} class {class}: {share} for {meant}");
            }
        }
    }

    #[test]
    fn targets_of_a_study_correlate_as_asked() {
        let studies = many(20_000);
        let (mut sum, mut count) = (0.0, 0.0);
        for a in 0..TARGETS {
            for b in 0..a {
                sum += studies.iter().map(|s| s[a].latent * s[b].latent).sum::<f64>() / 20_000.0;
                count += 1.0;
            }
        }
        assert!((sum / count - 0.4).abs() < 0.015, "{}", sum / count);
        let variance = studies.iter().map(|s| s[7].latent.powi(2)).sum::<f64>() / 20_000.0;
        assert!((variance - 1.0).abs() < 0.04);
    }

    #[test]
    fn a_burden_makes_canals_severe_at_several_levels_of_most_studies() {
        let model = DiseaseModel::new(0.5, 0.4);
        let several = (0..500).filter(|&study| {
            let burden = burden(&mut generator(7, study, "burden"), [2, 4]);
            let drawn = model.draw(&mut generator(7, study, "disease"), &burden);
            drawn[..LEVELS.len()].iter().filter(|cell| cell.label == 2).count() >= 2
        });
        let share = several.count() as f64 / 500.0;
        let without = many(500).iter().filter(|s| s[..5].iter().filter(|cell| cell.label == 2).count() >= 2).count();
        assert!(share > 0.35 && without < 50, "{share} with a burden, {without} of 500 without");
    }

    #[test]
    fn the_degree_rises_with_the_latent_degree() {
        for target in 0..TARGETS {
            let reader = Reader::new(target, 0.5);
            let degrees: Vec<f64> = (-45..=45).map(|z| reader.degree(f64::from(z) / 10.0)).collect();
            assert!(degrees.windows(2).all(|pair| pair[0] <= pair[1]));
            assert!(degrees.iter().all(|degree| (0.0..=1.0).contains(degree)));
            assert!((reader.degree(reader.moderate) - 0.45).abs() < 1e-9);
            assert!((reader.degree(reader.severe) - 0.75).abs() < 1e-9);
        }
    }

    #[test]
    fn the_oracle_is_calibrated() {
        // without the weights 1/2/4 the oracle's severe probability is the frequency of severe labels
        let (mut expected, mut severe) = (0.0, 0.0);
        for disease in many(5_000).iter().flatten() {
            let unweighted: [f64; 3] = std::array::from_fn(|class| disease.oracle[class] / f64::from(1 << class));
            expected += unweighted[2] / unweighted.iter().sum::<f64>();
            severe += f64::from(u8::from(disease.label == 2));
        }
        assert!((expected / severe - 1.0).abs() < 0.03, "{expected} expected, {severe} drawn");
    }
}

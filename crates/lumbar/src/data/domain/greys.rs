use super::{Measure, SeriesMeasures};

/// Bins of the histogram from 0 to 1.
const BINS: usize = 1024;
/// Bins of the histogram whose entropy is taken.
const COARSE: usize = 64;

/// A histogram of grey values in 0…1.
///
/// ```
/// use lumbar::data::domain::{Greys, Measure};
///
/// let mut greys = Greys::default();
/// greys.add((0..1024).map(|value| value as f32 / 1024.0));
/// let measures = greys.measures();
/// assert!((measures[&Measure::Median] - 0.5).abs() < 2e-3);
/// assert_eq!(measures[&Measure::EntropyBits], 6.0); // all 64 bins hold the same
/// ```
#[derive(Debug, Clone)]
pub struct Greys {
    counts: Vec<u64>,
}

impl Default for Greys {
    fn default() -> Self {
        Self { counts: vec![0; BINS] }
    }
}

impl Greys {
    /// Counts values; those beyond 0…1 count as 0 or 1, and those that are no numbers do not count.
    pub fn add(&mut self, values: impl IntoIterator<Item = f32>) {
        for value in values.into_iter().filter(|value| !value.is_nan()) {
            self.counts[((value.clamp(0.0, 1.0) * BINS as f32) as usize).min(BINS - 1)] += 1;
        }
    }

    /// The measures of the values that were counted; none if there were none.
    #[must_use]
    pub fn measures(&self) -> SeriesMeasures {
        let mut measures = SeriesMeasures::new();
        self.insert_into(&mut measures);
        measures
    }

    pub(super) fn insert_into(&self, measures: &mut SeriesMeasures) {
        let total: u64 = self.counts.iter().sum();
        if total == 0 {
            return;
        }
        let quantile = |share: f64| {
            let wanted = share * total as f64;
            let mut below = 0;
            let bin = self.counts.iter().position(|count| {
                below += count;
                below as f64 >= wanted
            });
            (bin.unwrap_or(BINS - 1) as f64 + 0.5) / BINS as f64
        };
        let quartiles = [(Measure::LowerQuartile, 0.25), (Measure::Median, 0.5), (Measure::UpperQuartile, 0.75)];
        measures.extend(quartiles.map(|(measure, share)| (measure, quantile(share))));
        let shares = self.counts.chunks_exact(BINS / COARSE).map(|bins| bins.iter().sum::<u64>() as f64 / total as f64);
        let entropy: f64 = shares.filter(|share| *share > 0.0).map(|share| -share * share.log2()).sum();
        measures.insert(Measure::EntropyBits, entropy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverted_values_have_mirrored_quartiles_and_the_same_entropy() {
        let values: Vec<f32> = (0..4_000).map(|value| (value as f32 / 4_000.0).powi(3)).collect();
        let (mut plain, mut inverted) = (Greys::default(), Greys::default());
        plain.add(values.iter().copied());
        inverted.add(values.iter().map(|value| 1.0 - value));
        let (plain, inverted) = (plain.measures(), inverted.measures());
        assert!((plain[&Measure::LowerQuartile] + inverted[&Measure::UpperQuartile] - 1.0).abs() < 3e-3);
        assert!((plain[&Measure::Median] - 0.125).abs() < 3e-3);
        assert!((plain[&Measure::EntropyBits] - inverted[&Measure::EntropyBits]).abs() < 0.02);
    }

    #[test]
    fn values_that_are_no_numbers_do_not_count() {
        let mut greys = Greys::default();
        greys.add([f32::NAN, f32::NAN]);
        assert!(greys.measures().is_empty());
        greys.add([-3.0, 7.0]);
        assert_eq!(greys.measures()[&Measure::EntropyBits], 1.0);
    }
}

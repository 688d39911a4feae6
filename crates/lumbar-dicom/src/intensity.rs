//! Intensities of a whole series: exact percentiles, one window for all of its slices.
//!
//! MR intensities have no unit. A window for each slice would destroy the relation between neighbours, so
//! percentiles are taken once, over every pixel of the series that is no padding.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Cause, Error};
use crate::header::Rescale;
use crate::observer::Observer;
use crate::pixels::Pixels;
use crate::resample::resample;
use crate::slice::Slice;

/// Rescaled values that become 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IntensityRange {
    /// Becomes 0, with everything below.
    pub low: f64,
    /// Becomes 1, with everything above.
    pub high: f64,
}

impl IntensityRange {
    /// Turns rescaled values into values from 0 to 1; `inverted` (MONOCHROME1) turns them round. A range
    /// without width gives 0.
    pub fn apply(&self, values: &mut [f32], inverted: bool) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions, as was just asked.
            unsafe { self.apply_avx2(values, inverted) };
            return;
        }
        self.apply_here(values, inverted);
    }

    /// The same code compiled for AVX2. Fused multiply-add stays off: it would round differently.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn apply_avx2(&self, values: &mut [f32], inverted: bool) {
        self.apply_here(values, inverted);
    }

    #[inline(always)]
    fn apply_here(&self, values: &mut [f32], inverted: bool) {
        let width = self.high - self.low;
        let scale = if width > 0.0 { 1.0 / width } else { 0.0 };
        let (scale, offset) = if inverted { (-scale, 1.0 + self.low * scale) } else { (scale, -self.low * scale) };
        let (scale, offset) = (scale as f32, offset as f32);
        for value in values {
            let v = *value * scale + offset;
            // comparisons of this form are one instruction each; clamp has to mind NaN
            let v = if v < 0.0 { 0.0 } else { v };
            *value = if v > 1.0 { 1.0 } else { v };
        }
    }
}

/// Counts of rescaled values, exact for every type of pixels.
///
/// ```
/// use lumbar_dicom::{Histogram, Pixels, Slice};
/// use std::sync::Arc;
/// let pixels = Pixels::U16(Arc::new((0..=100).collect()));
/// let slice = Slice::in_memory(1, 101, pixels.clone(), None, None).unwrap();
/// let mut histogram = Histogram::default();
/// histogram.add(&slice, &pixels);
/// assert_eq!(histogram.percentiles([0.5, 99.5]), Some([0.5, 99.5]));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// For each rescale, counts of stored values from 0 (signed ones from −2^15); as many as were needed.
    short: BTreeMap<(u64, u64, bool), Vec<u64>>,
    /// Counts of rescaled wide values, by their order-preserving bits.
    wide: BTreeMap<u64, u64>,
}

impl Histogram {
    /// Counts the pixels of a slice, leaving out its padding.
    pub fn add(&mut self, slice: &Slice, pixels: &Pixels) {
        let Rescale { slope, intercept } = slice.rescale;
        let padding = slice.padding;
        match pixels {
            Pixels::U16(values) => count(self.bins(slice.rescale, false), values, |v| v, padding, 0),
            Pixels::I16(values) => {
                count(self.bins(slice.rescale, true), values, |v| (v as u16) ^ 0x8000, padding, 1 << 15)
            }
            Pixels::U8(values) => count(self.bins(slice.rescale, false), values, u16::from, padding, 0),
            Pixels::I8(values) => {
                count(self.bins(slice.rescale, true), values, |v| (i16::from(v) as u16) ^ 0x8000, padding, 1 << 15);
            }
            _ => {
                let is_padding = |v: f64| padding.is_some_and(|(a, b)| v >= a as f64 && v <= b as f64);
                let values = (0..pixels.len()).filter_map(|k| pixels.get(k));
                for value in values.filter(|v| v.is_finite() && !is_padding(*v)) {
                    *self.wide.entry(ordered(value * slope + intercept)).or_default() += 1;
                }
            }
        }
    }

    fn bins(&mut self, rescale: Rescale, signed: bool) -> &mut Vec<u64> {
        let key = (rescale.slope.to_bits(), rescale.intercept.to_bits(), signed);
        self.short.entry(key).or_default()
    }

    /// Both histograms as one.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        for (key, bins) in other.short {
            match self.short.entry(key) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(bins);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    let own = entry.get_mut();
                    own.resize(own.len().max(bins.len()), 0);
                    own.iter_mut().zip(bins).for_each(|(a, b)| *a += b);
                }
            }
        }
        for (value, count) in other.wide {
            *self.wide.entry(value).or_default() += count;
        }
        self
    }

    /// Rescaled values at percentiles (0 to 100), interpolated between neighbours in order, as
    /// `numpy.percentile` does; `None` when nothing was counted.
    pub fn percentiles<const N: usize>(&self, percents: [f64; N]) -> Option<[f64; N]> {
        let mut counts: Vec<(f64, u64)> = self.wide.iter().map(|(bits, n)| (unordered(*bits), *n)).collect();
        for ((slope, intercept, signed), bins) in &self.short {
            let (slope, intercept) = (f64::from_bits(*slope), f64::from_bits(*intercept));
            let offset = if *signed { -32768.0 } else { 0.0 };
            let used = bins.iter().enumerate().filter(|(_, n)| **n > 0);
            counts.extend(used.map(|(bin, n)| ((bin as f64 + offset) * slope + intercept, *n)));
        }
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: u64 = counts.iter().map(|(_, n)| n).sum();
        let last = total.checked_sub(1)?;
        let value_at = |rank: u64| {
            let mut seen = 0;
            let found = counts.iter().find(|(_, n)| {
                seen += n;
                seen > rank
            });
            found.map_or(0.0, |(value, _)| *value)
        };
        Some(percents.map(|percent| {
            let place = (percent / 100.0).clamp(0.0, 1.0) * last as f64;
            let (below, share) = (place.floor(), place.fract());
            let low = value_at(below as u64);
            if share == 0.0 { low } else { low + (value_at(below as u64 + 1) - low) * share }
        }))
    }
}

/// Bins that are tried first: twelve bits, as most scanners store.
const FEW: usize = 1 << 12;
/// Bins for any value of sixteen bits.
const ALL: usize = 1 << 16;

/// Adds the values' counts to `bins`, those of padding left out.
fn count<T: Copy>(bins: &mut Vec<u64>, values: &[T], bin: impl Fn(T) -> u16, padding: Option<(i64, i64)>, offset: i64) {
    let counts = counted::<FEW, T>(values, &bin).or_else(|| counted::<ALL, T>(values, &bin)).unwrap_or_default();
    let is_padding = |k: usize| padding.is_some_and(|(a, b)| (a..=b).contains(&(k as i64 - offset)));
    bins.resize(bins.len().max(counts.len()), 0);
    for (k, (bin, count)) in bins.iter_mut().zip(&counts).enumerate() {
        if *count > 0 && !is_padding(k) {
            *bin += u64::from(*count);
        }
    }
}

/// How often each bin of `BINS`, a power of two, occurs, up to the last that does; `None` when one lies beyond.
///
/// Four tables take the values by turns: equal neighbours then do not wait for each other.
fn counted<const BINS: usize, T: Copy>(values: &[T], bin: impl Fn(T) -> u16) -> Option<Vec<u32>> {
    let mut tables = vec![[0_u32; BINS]; 4];
    let [first, second, third, fourth] = tables.as_mut_slice() else { return None };
    // whatever a value is, the masked one has a bin
    let masked = |value: u64| value as usize & (BINS - 1);
    let (fours, left) = values.as_chunks::<4>();
    let mut seen = 0;
    for four in fours {
        // one word for four values: the processor then has less to do for each
        let word: u64 = bytemuck::cast(four.map(&bin));
        seen |= word;
        first[masked(word)] += 1;
        second[masked(word >> 16)] += 1;
        third[masked(word >> 32)] += 1;
        fourth[masked(word >> 48)] += 1;
    }
    for value in left {
        let word = u64::from(bin(*value));
        seen |= word;
        first[masked(word)] += 1;
    }
    let seen = usize::from(bytemuck::cast::<u64, [u16; 4]>(seen).into_iter().fold(0, |a, b| a | b));
    if seen >= BINS {
        return None;
    }
    let used = BINS.min((seen + 1).next_power_of_two());
    for (k, count) in first[..used].iter_mut().enumerate() {
        *count += second[k] + third[k] + fourth[k];
    }
    Some(first[..used].to_vec())
}

/// Bits that sort as the number does.
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn unordered(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

/// How a series becomes numbers between 0 and 1.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `rows` | 256 | height of the result in pixels | 1 or more |
/// | `columns` | 256 | width of the result in pixels | 1 or more |
/// | `low_percentile` | 0.5 | what becomes 0 | 0 to 100, below `high_percentile` |
/// | `high_percentile` | 99.5 | what becomes 1 | 0 to 100 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormaliseConfig {
    /// Height of the result in pixels.
    pub rows: usize,
    /// Width of the result in pixels.
    pub columns: usize,
    /// What becomes 0.
    pub low_percentile: f64,
    /// What becomes 1.
    pub high_percentile: f64,
}

impl Default for NormaliseConfig {
    fn default() -> Self {
        Self { rows: 256, columns: 256, low_percentile: 0.5, high_percentile: 99.5 }
    }
}

/// A field of [`NormaliseConfig`] that is out of its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// Its range.
    pub expected: &'static str,
    /// Its value.
    pub found: f64,
}

impl NormaliseConfig {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<&Self, ConfigError> {
        let field = |field, expected, found, good| {
            if good { Ok(()) } else { Err(ConfigError { field, expected, found }) }
        };
        let (low, high) = (self.low_percentile, self.high_percentile);
        field("rows", "1 to 65535", self.rows as f64, (1..=65535).contains(&self.rows))?;
        field("columns", "1 to 65535", self.columns as f64, (1..=65535).contains(&self.columns))?;
        field("low_percentile", "0 to high_percentile", low, low >= 0.0 && low < high)?;
        field("high_percentile", "up to 100", high, high <= 100.0)?;
        Ok(self)
    }
}

/// Slices as numbers between 0 and 1, all of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalised {
    /// Values from 0 to 1.
    ///
    /// # Shapes
    /// `slices` × `rows` × `columns`, row-major.
    pub values: Vec<f32>,
    /// How many slices.
    pub slices: usize,
    /// Height of each.
    pub rows: usize,
    /// Width of each.
    pub columns: usize,
    /// What became 0 and 1.
    pub range: IntensityRange,
}

/// Decodes `slices`, resamples each to one size, and windows all of them by the percentiles of the series:
/// bilinear between pixel centres (see [`crate::resample`]), then 0 at the low percentile, 1 at the high
/// one, cut beyond. Percentiles are those of the pixels as stored, not of the resampled ones.
///
/// Each slice is decoded once and let go at once: memory is the result and one slice for each thread. Work
/// is spread over the current rayon pool.
///
/// # Errors
/// [`Cause::Config`] when a field of `config` is out of range, [`Cause::NotASlice`] when all is padding, the
/// error of a slice that does not decode, [`Cause::Cancelled`].
pub fn normalise(slices: &[&Slice], config: &NormaliseConfig, observer: &dyn Observer) -> Result<Normalised, Error> {
    let place = slices.first().map_or(crate::Place::Memory(0), |slice| slice.place.clone());
    config.check().map_err(|error| Cause::Config(error).at(&place))?;
    let done = AtomicUsize::new(0);
    let size = config.rows * config.columns;
    let mut values = Vec::with_capacity(size * slices.len());
    let one = |mut histogram: Histogram, (out, slice): (&mut [MaybeUninit<f32>], &&Slice)| {
        // each thread clears its own part: for few slices all of them at once take as long as reading one
        let out = cleared(out);
        if observer.is_cancelled() {
            return Err(Cause::Cancelled.at(&place));
        }
        let pixels = slice.pixels()?;
        histogram.add(slice, &pixels);
        resample(slice, &pixels, config.rows, config.columns, out);
        observer.progress(done.fetch_add(1, Ordering::Relaxed) + 1, slices.len());
        Ok::<_, Error>(histogram)
    };
    // slices are few and each takes long: without a limit rayon hands them out in parts of several, and a
    // thread that has ended waits for the other's last part
    let histogram = values.spare_capacity_mut()[..size * slices.len()]
        .par_chunks_mut(size)
        .zip(slices)
        .with_max_len(1)
        .try_fold(Histogram::default, one)
        .try_reduce(Histogram::default, |a, b| Ok(a.merged(b)))?;
    // SAFETY: there is room for so many, and each part was cleared: the fold went through without an error.
    unsafe { values.set_len(size * slices.len()) };
    let [low, high] = histogram
        .percentiles([config.low_percentile, config.high_percentile])
        .ok_or_else(|| Cause::NotASlice { what: "nothing but padding" }.at(&place))?;
    let range = IntensityRange { low, high };
    values.par_chunks_mut(size).zip(slices).for_each(|(out, slice)| range.apply(out, slice.is_inverted()));
    Ok(Normalised { values, slices: slices.len(), rows: config.rows, columns: config.columns, range })
}

/// Memory that was just taken, as zeros.
fn cleared(room: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    room.fill(MaybeUninit::new(0.0));
    // SAFETY: every element was written.
    unsafe { room.assume_init_mut() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn histogram(pixels: Pixels, padding: Option<(i64, i64)>, rescale: Rescale) -> Histogram {
        let mut slice = Slice::in_memory(1, pixels.len(), pixels.clone(), None, None).unwrap();
        slice.padding = padding;
        slice.rescale = rescale;
        let mut histogram = Histogram::default();
        histogram.add(&slice, &pixels);
        histogram
    }

    #[test]
    fn padding_is_not_counted() {
        let pixels = Pixels::I16(Arc::new(vec![-2000, -2000, -2000, -5, 0, 5]));
        let found = histogram(pixels, Some((-2000, -2000)), Rescale::NONE).percentiles([0.0, 50.0, 100.0]);
        assert_eq!(found, Some([-5.0, 0.0, 5.0]));
    }

    #[test]
    fn slices_with_different_rescale_are_counted_in_their_real_units() {
        let twice = Rescale { slope: 2.0, intercept: 1.0 };
        let a = histogram(Pixels::U16(Arc::new(vec![1, 2, 3])), None, Rescale::NONE);
        let b = histogram(Pixels::U16(Arc::new(vec![10, 20])), None, twice);
        assert_eq!(a.merged(b).percentiles([0.0, 25.0, 75.0, 87.5, 100.0]), Some([1.0, 2.0, 21.0, 31.0, 41.0]));
    }

    #[test]
    fn floats_are_counted_exactly() {
        let pixels = Pixels::F32(Arc::new(vec![-1.5, 0.25, f32::NAN, 3.0]));
        let found = histogram(pixels, None, Rescale::NONE).percentiles([0.0, 50.0, 100.0]);
        assert_eq!(found, Some([-1.5, 0.25, 3.0]));
    }
}

//! From stored values to 0…1, with one window for a whole series.
//!
//! A window per slice (minimum to maximum, for example) destroys the relation between slices: the same tissue is
//! brighter in a slice that has no fat. [`IntensityWindow::of_series`] reads all slices once.

use lumbar_dicom::{Pixels, Rescale, Series, Slice};
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check_range};

/// The percentiles of a series' values that become 0 and 1.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `low_percent` | 0.5 | the percentile that becomes 0 | 0–100 |
/// | `high_percent` | 99.5 | the percentile that becomes 1 | above `low_percent`, to 100 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntensityConfig {
    /// The percentile that becomes 0.
    pub low_percent: f64,
    /// The percentile that becomes 1.
    pub high_percent: f64,
}

impl Default for IntensityConfig {
    fn default() -> Self {
        Self { low_percent: 0.5, high_percent: 99.5 }
    }
}

impl IntensityConfig {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_range("intensity.low_percent", self.low_percent, 0.0, 100.0)?;
        check_range("intensity.high_percent", self.high_percent, self.low_percent + 1e-6, 100.0)
    }
}

/// Maps rescaled values from `low` to `high` to 0…1; values beyond are clamped.
///
/// ```
/// use lumbar::data::intensity::IntensityWindow;
/// use lumbar_dicom::Rescale;
///
/// let window = IntensityWindow { low: 100.0, high: 300.0 };
/// let (gain, offset) = window.gain_offset(Rescale { slope: 2.0, intercept: 0.0 }, false);
/// assert_eq!(100.0 * gain + offset, 0.5); // stored 100 is 200 rescaled: the middle
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntensityWindow {
    /// The value that becomes 0.
    pub low: f32,
    /// The value that becomes 1.
    pub high: f32,
}

impl IntensityWindow {
    /// The window between two percentiles of all slices of a series, without padding. A uniform series gets
    /// a window of width 1, so that it becomes 0.
    ///
    /// # Errors
    /// When a slice cannot be decoded.
    pub fn of_series(series: &Series, config: &IntensityConfig) -> Result<Self, lumbar_dicom::Error> {
        let mut counts = Counts::default();
        for slice in series.slices() {
            counts.add(slice)?;
        }
        let (low, high) = (counts.percentile(config.low_percent), counts.percentile(config.high_percent));
        Ok(if high > low { Self { low, high } } else { Self { low, high: low + 1.0 } })
    }

    /// The window that a file proposes: `width` values about `center`, by the formula of PS3.3 C.11.2.1.2
    /// (linear), whose ends are half a value off.
    #[must_use]
    pub fn of_file(window: lumbar_dicom::Window) -> Self {
        let (center, width) = (window.center as f32, (window.width as f32).max(1.0));
        let low = center - 0.5 - (width - 1.0) / 2.0;
        Self { low, high: low + (width - 1.0).max(1e-3) }
    }

    /// Gain and offset that map a stored value to 0…1: rescale, window and, for images whose large values are dark
    /// (MONOCHROME1), inversion in one multiply-add.
    #[must_use]
    pub fn gain_offset(&self, rescale: Rescale, inverted: bool) -> (f32, f32) {
        let width = f64::from(self.high) - f64::from(self.low);
        let (gain, offset) = (rescale.slope / width, (rescale.intercept - f64::from(self.low)) / width);
        if inverted { (-gain as f32, (1.0 - offset) as f32) } else { (gain as f32, offset as f32) }
    }
}

/// The values of a series: 16-bit slices with one rescale as a histogram, others as a list.
#[derive(Default)]
struct Counts {
    rescale: Option<Rescale>,
    histogram: Vec<u64>,
    others: Vec<f32>,
}

impl Counts {
    fn add(&mut self, slice: &Slice) -> Result<(), lumbar_dicom::Error> {
        let pixels = slice.pixels()?;
        let padding = slice.padding;
        match &pixels {
            Pixels::U16(values) if *self.rescale.get_or_insert(slice.rescale) == slice.rescale => {
                self.histogram.resize(1 << 16, 0);
                let count = |value: &u16| self.histogram[usize::from(*value)] += 1;
                match padding {
                    None => values.iter().for_each(count),
                    Some((from, to)) => {
                        let padding = from..=to;
                        values.iter().filter(|value| !padding.contains(&i64::from(**value))).for_each(count);
                    }
                }
            }
            _ => {
                let is_padding = |index: usize| {
                    padding.is_some_and(|(from, to)| {
                        pixels.get(index).is_some_and(|value| value >= from as f64 && value <= to as f64)
                    })
                };
                let rescaled = pixels.rescaled(slice.rescale);
                self.others.extend(
                    rescaled.iter().enumerate().filter(|(k, v)| v.is_finite() && !is_padding(*k)).map(|(_, v)| *v),
                );
            }
        }
        Ok(())
    }

    /// The percentile with linear interpolation between neighbours, NumPy's default.
    fn percentile(&mut self, percent: f64) -> f32 {
        let rescale = self.rescale.unwrap_or(Rescale::NONE);
        let rescaled = |value: usize| (value as f64 * rescale.slope + rescale.intercept) as f32;
        if !self.others.is_empty() {
            // Mixed kinds are rare: one list of all values.
            for (value, count) in std::mem::take(&mut self.histogram).into_iter().enumerate() {
                self.others.extend(std::iter::repeat_n(rescaled(value), count as usize));
            }
            self.others.sort_unstable_by(f32::total_cmp);
            return interpolate(self.others.len() as u64, percent, |rank| self.others[rank as usize]);
        }
        let total: u64 = self.histogram.iter().sum();
        // A negative slope reverses the order.
        let percent = if rescale.slope < 0.0 { 100.0 - percent } else { percent };
        interpolate(total, percent, |rank| {
            let mut below = 0;
            let value = self.histogram.iter().position(|count| {
                below += count;
                below > rank
            });
            rescaled(value.unwrap_or(0))
        })
    }
}

fn interpolate(count: u64, percent: f64, at: impl Fn(u64) -> f32) -> f32 {
    if count == 0 {
        return 0.0;
    }
    let place = percent / 100.0 * (count - 1) as f64;
    let below = place.floor() as u64;
    let (low, high) = (f64::from(at(below)), f64::from(at((below + 1).min(count - 1))));
    (low + (high - low) * (place - below as f64)) as f32
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lumbar_dicom::{ReadReport, Stack};

    use super::*;

    fn series(slices: Vec<Slice>) -> Series {
        Series {
            uid: None,
            study: None,
            frame_of_reference: None,
            number: None,
            modality: None,
            description: None,
            stacks: vec![Stack::new(slices)],
            report: ReadReport::default(),
        }
    }

    fn slice(values: Vec<u16>) -> Slice {
        Slice::in_memory(1, values.len(), Pixels::U16(Arc::new(values)), None, None).unwrap()
    }

    #[test]
    fn one_window_serves_all_slices() {
        let series = series(vec![slice((0..51).collect()), slice((51..=100).collect())]);
        let window =
            IntensityWindow::of_series(&series, &IntensityConfig { low_percent: 2.5, high_percent: 90.0 }).unwrap();
        assert_eq!(window, IntensityWindow { low: 2.5, high: 90.0 });
    }

    #[test]
    fn a_negative_slope_keeps_low_below_high() {
        let mut one = slice((0..=100).collect());
        one.rescale = Rescale { slope: -1.0, intercept: 100.0 };
        let config = IntensityConfig { low_percent: 10.0, high_percent: 80.0 };
        assert_eq!(
            IntensityWindow::of_series(&series(vec![one]), &config).unwrap(),
            IntensityWindow { low: 10.0, high: 80.0 }
        );
    }

    #[test]
    fn padding_does_not_count() {
        let mut one = slice([vec![9999; 50], (0..=100).collect()].concat());
        one.padding = Some((9999, 9999));
        let config = IntensityConfig { low_percent: 0.0, high_percent: 100.0 };
        assert_eq!(
            IntensityWindow::of_series(&series(vec![one]), &config).unwrap(),
            IntensityWindow { low: 0.0, high: 100.0 }
        );
    }

    #[test]
    fn padding_over_the_whole_range_takes_one_pass_and_leaves_nothing() {
        let values: Vec<u16> = (0..1 << 16).map(|k| k as u16).cycle().take(1 << 20).collect();
        let mut one = slice(values);
        let config = IntensityConfig { low_percent: 0.0, high_percent: 100.0 };
        // with a pass for each of 65,536 values this would take minutes
        for (padding, expected) in
            [((0, 65_535), (0.0, 1.0)), ((-9, 99_999), (0.0, 1.0)), ((1, 65_534), (0.0, 65_535.0))]
        {
            one.padding = Some(padding);
            let window = IntensityWindow::of_series(&series(vec![one.clone()]), &config).unwrap();
            assert_eq!((window.low, window.high), expected, "{padding:?}");
        }
    }

    #[test]
    fn a_flat_series_comes_out_as_nothing() {
        let window = IntensityWindow::of_series(&series(vec![slice(vec![7; 9])]), &IntensityConfig::default()).unwrap();
        let (gain, offset) = window.gain_offset(Rescale::NONE, false);
        assert_eq!(7.0 * gain + offset, 0.0);
    }

    #[test]
    fn dark_images_are_turned_round() {
        let (gain, offset) = IntensityWindow { low: 0.0, high: 100.0 }.gain_offset(Rescale::NONE, true);
        assert!((25.0 * gain + offset - 0.75).abs() < 1e-6);
    }
}

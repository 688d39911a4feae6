//! From values to pixels, and round numbers for axes.

/// The map from values to pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    values: (f64, f64),
    pixels: (i32, i32),
    is_log: bool,
}

impl Scale {
    /// A linear scale. If both values are equal, the range is widened by 0.5 on both sides.
    pub(super) fn new(values: (f64, f64), pixels: (i32, i32)) -> Self {
        let (low, high) = values;
        let values = if high > low { values } else { (low - 0.5, low + 0.5) };
        Self { values, pixels, is_log: false }
    }

    /// A logarithmic scale. Both values must be above zero.
    pub(super) fn log(values: (f64, f64), pixels: (i32, i32)) -> Self {
        Self { is_log: true, ..Self::new((values.0.log10(), values.1.log10()), pixels) }
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> i32 {
        let value = if self.is_log { value.log10() } else { value };
        let share = ((value - self.values.0) / (self.values.1 - self.values.0)).clamp(-10.0, 10.0);
        self.pixels.0 + (share * f64::from(self.pixels.1 - self.pixels.0)).round() as i32
    }

    /// Round values inside the range, about `count` of them, with their texts.
    pub(super) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        if self.is_log {
            let (first, last) = (self.values.0.ceil() as i32, self.values.1.floor() as i32);
            return (first..=last).map(|power| (10f64.powi(power), format!("1e{power}"))).collect();
        }
        let (low, high) = self.values;
        let rough = (high - low) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|by| by * power).find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        // as many digits as the step has
        let digits = (0..8).find(|&digits| {
            let scaled = step * 10f64.powi(digits);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
        });
        let digits = digits.unwrap_or(8) as usize;
        let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
        (first..=last).map(|number| (number as f64 * step, format!("{:.digits$}", number as f64 * step))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |low, high| {
            let ticks = Scale::new((low, high), (0, 100)).ticks(5);
            assert!(ticks.iter().all(|(value, _)| *value >= low - 1e-9 && *value <= high + 1e-9));
            ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert_eq!(texts(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(0.0, 20.0), ["0", "5", "10", "15", "20"].map(str::to_owned));
        assert_eq!(texts(0.52, 0.61), ["0.52", "0.54", "0.56", "0.58", "0.60"]);
    }

    #[test]
    fn a_range_of_equal_values_has_a_middle() {
        assert_eq!(Scale::new((3.0, 3.0), (0, 100)).at(3.0), 50);
        assert_eq!(Scale::log((1e-4, 1.0), (0, 100)).at(1e-2), 50);
    }
}

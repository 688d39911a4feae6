//! The learning rate over the steps of a run.

use std::f64::consts::PI;

use super::config::{ScheduleConfig, ScheduleKind};

/// A factor of the largest learning rate for each step: a pure function of the step, so nothing of it has to
/// be saved.
///
/// ```
/// use lumbar::train::config::ScheduleConfig;
/// use lumbar::train::schedule::Schedule;
///
/// let schedule = Schedule::new(&ScheduleConfig::default(), 100);
/// assert_eq!(schedule.factor(0), 0.04);
/// assert_eq!(schedule.factor(10), 1.0); // a tenth of the steps has risen
/// assert!((schedule.factor(100) - 0.01).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    config: ScheduleConfig,
    steps: u64,
}

impl Schedule {
    /// The schedule of a run of `steps` steps.
    #[must_use]
    pub fn new(config: &ScheduleConfig, steps: u64) -> Self {
        Self { config: config.clone(), steps: steps.max(1) }
    }

    /// The factor in `step`, counted from 0; after the last step it is constant.
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        let ScheduleConfig { kind, warmup, start, end } = self.config;
        let step = step.min(self.steps) as f64;
        let steps = self.steps as f64;
        match kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::WarmupCosine => {
                let rise = (warmup * steps).round();
                if step < rise {
                    start + (1.0 - start) * step / rise
                } else {
                    cosine(1.0, end, (step - rise) / (steps - rise).max(1.0))
                }
            }
            ScheduleKind::OneCycle => {
                // torch counts in steps from the first to the last: the peak is at warmup·steps − 1
                let peak = warmup * steps - 1.0;
                let last = steps - 1.0;
                if step <= peak {
                    cosine(start, 1.0, if peak > 0.0 { step / peak } else { 1.0 })
                } else {
                    cosine(1.0, start * end, ((step - peak) / (last - peak)).min(1.0))
                }
            }
        }
    }
}

/// Half a cosine from one value to another; `share` 0–1.
fn cosine(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * share).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_stays_between_zero_and_one_and_ends_low() {
        for kind in [ScheduleKind::WarmupCosine, ScheduleKind::OneCycle] {
            for steps in [1, 2, 3, 7, 100] {
                for warmup in [0.0, 0.1, 0.5] {
                    let schedule = Schedule::new(&ScheduleConfig { kind, warmup, ..Default::default() }, steps);
                    for step in 0..steps + 3 {
                        let factor = schedule.factor(step);
                        assert!((0.0..=1.0).contains(&factor), "{kind:?} {steps} {warmup} {step}: {factor}");
                    }
                    assert!(steps < 7 || schedule.factor(steps) < 0.05);
                }
            }
        }
    }
}

//! Dynamic loss scaling for fp16, whose smallest gradients would be zero.

use serde::{Deserialize, Serialize};

use super::config::Precision;

/// A power of two that the loss is multiplied by before the backward pass, and the gradients divided by after it.
///
/// As `torch.amp.GradScaler`: it begins at 2¹⁶, halves whenever a gradient is not finite, and doubles after 2,000
/// steps with finite gradients.
///
/// ```
/// use lumbar::train::{config::Precision, loss_scale::LossScale};
///
/// let scale = LossScale::default();
/// assert_eq!((scale.factor(Precision::Float16), scale.factor(Precision::Float32)), (65_536.0, 1.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    /// log₂ of the scale.
    pub exponent: i32,
    /// Steps since it changed last.
    pub steps: u32,
}

const LARGEST: i32 = 24;
const PATIENCE: u32 = 2_000;

impl Default for LossScale {
    fn default() -> Self {
        Self { exponent: 16, steps: 0 }
    }
}

impl LossScale {
    /// The scale; 1 for formats that need no scaling.
    #[must_use]
    pub fn factor(self, precision: Precision) -> f64 {
        if precision == Precision::Float16 { f64::from(self.exponent).exp2() } else { 1.0 }
    }

    /// After a step, whose gradients were finite or not.
    pub(super) fn update(&mut self, is_finite: bool) {
        self.steps += 1;
        if !is_finite {
            *self = Self { exponent: (self.exponent - 1).max(0), steps: 0 };
        } else if self.steps == PATIENCE {
            *self = Self { exponent: (self.exponent + 1).min(LARGEST), steps: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_halves_at_once_and_doubles_after_two_thousand_steps() {
        let mut scale = LossScale::default();
        assert_eq!((scale.factor(Precision::Float16), scale.factor(Precision::Bfloat16)), (65_536.0, 1.0));
        scale.update(false);
        assert_eq!(scale.factor(Precision::Float16), 32_768.0);
        for _ in 0..PATIENCE - 1 {
            scale.update(true);
        }
        assert_eq!(scale.exponent, 15);
        scale.update(true);
        assert_eq!(scale, LossScale { exponent: 16, steps: 0 });
        for _ in 0..20 {
            scale.update(false);
        }
        assert_eq!(scale.factor(Precision::Float16), 1.0);
    }
}

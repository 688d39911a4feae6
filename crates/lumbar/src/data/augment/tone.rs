use serde::{Deserialize, Serialize};

/// Brightness, contrast and gamma of values in 0…1: `clamp(v·(1 + contrast) + brightness)^gamma`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tone {
    /// Is added; 0 changes nothing.
    pub brightness: f32,
    /// Values are multiplied by `1 + contrast`; 0 changes nothing.
    pub contrast: f32,
    /// Exponent, above 0; 1 changes nothing.
    pub gamma: f32,
}

impl Tone {
    /// No change.
    pub const NONE: Self = Self { brightness: 0.0, contrast: 0.0, gamma: 1.0 };

    /// Changes values in 0…1 in place.
    pub fn apply(&self, values: &mut [f32]) {
        apply(self, values);
    }
}

#[inline(always)]
pub(crate) fn apply(tone: &Tone, values: &mut [f32]) {
    if tone.brightness != 0.0 || tone.contrast != 0.0 {
        let (stretch, shift) = (1.0 + tone.contrast, tone.brightness);
        for value in values.iter_mut() {
            *value = to_unit(*value * stretch + shift);
        }
    }
    if tone.gamma != 1.0 {
        for value in values.iter_mut() {
            *value = power(*value, tone.gamma);
        }
    }
}

/// Clamps to 0…1 in two vector instructions; NaN becomes 0.
#[inline(always)]
pub(crate) fn to_unit(value: f32) -> f32 {
    let above = if value > 0.0 { value } else { 0.0 };
    if above < 1.0 { above } else { 1.0 }
}

/// `value^exponent` for values in 0…1, to 2e-6 relative: Cephes' logf and exp2f without branches, so that a
/// loop over pixels becomes vector instructions.
#[inline(always)]
pub(crate) fn power(value: f32, exponent: f32) -> f32 {
    let result = exp2(exponent * log2(value));
    if value > f32::MIN_POSITIVE { result } else { 0.0 }
}

/// The logarithm to base 2 of a positive, normal number.
#[inline(always)]
pub(crate) fn log2(value: f32) -> f32 {
    // value = 2^exponent · fraction with the fraction in √½…√2
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    let shifted = value.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let exponent = (shifted as i32 >> 23) as f32;
    let x = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(SQRT_HALF_BITS)) - 1.0;
    let mut y = 7.037_683_6e-2;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        y = y * x + coefficient;
    }
    let square = x * x;
    let natural = x + (y * x * square - 0.5 * square);
    exponent + natural * std::f32::consts::LOG2_E
}

/// `2^value` for values below 127; below −126 the result is near 0.
#[inline(always)]
pub(crate) fn exp2(value: f32) -> f32 {
    // The nearest whole number: adding 1.5·2²³ removes the fraction.
    const ROUND: f32 = 12_582_912.0;
    let value = if value > -126.0 { value } else { -126.0 };
    let value = if value < 126.0 { value } else { 126.0 };
    let whole = value + ROUND;
    let bits = whole.to_bits().wrapping_sub(ROUND.to_bits());
    let x = value - (whole - ROUND);
    let mut y = 1.535_336_2e-4;
    for coefficient in [1.339_887_4e-3, 9.618_437e-3, 5.550_332_5e-2, 2.402_264_7e-1, 6.931_472e-1, 1.0] {
        y = y * x + coefficient;
    }
    y * f32::from_bits(bits.wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_standard_library() {
        for exponent in [0.5_f32, 0.8, 1.0, 1.3, 2.0] {
            for step in 1..=1000 {
                let value = step as f32 / 1000.0;
                let expected = f64::from(value).powf(f64::from(exponent));
                let found = f64::from(power(value, exponent));
                assert!((found / expected - 1.0).abs() < 2e-6, "{value}^{exponent}: {found}, not {expected}");
            }
            assert_eq!(power(0.0, exponent), 0.0);
        }
    }

    #[test]
    fn values_stay_between_zero_and_one() {
        let mut values = [0.0, 0.25, 0.5, 1.0];
        Tone { brightness: 0.4, contrast: 0.25, gamma: 1.0 }.apply(&mut values);
        assert_eq!(values, [0.4, 0.7125, 1.0, 1.0]);
        Tone { brightness: -2.0, contrast: 0.0, gamma: 0.5 }.apply(&mut values);
        assert_eq!(values, [0.0; 4]);
        assert_eq!(to_unit(f32::NAN), 0.0);
    }

    #[test]
    fn no_tone_changes_no_bit() {
        let before = [0.1, 0.3, 0.999];
        let mut values = before;
        Tone::NONE.apply(&mut values);
        assert_eq!(values, before);
    }
}

//! Checks of settings: one error and one range check for every config of this crate.

use std::fmt::Display;

/// A setting that is outside its range.
///
/// ```
/// use lumbar::data::crop::CropConfig;
///
/// let error = CropConfig { slices: 4, ..CropConfig::default() }.check().unwrap_err();
/// assert_eq!(error.field, "crop.slices");
/// assert_eq!(error.to_string(), "crop.slices is 4, expected an odd number");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}, expected {expected}")]
pub struct ConfigError {
    /// The field, with the tables it is in: `affine.rotate_deg`.
    pub field: String,
    /// Its value.
    pub found: String,
    /// What is allowed.
    pub expected: String,
}

impl ConfigError {
    /// An error for a field whose allowed values are no plain range.
    pub(crate) fn new(field: impl Into<String>, found: impl Display, expected: impl Into<String>) -> Self {
        Self { field: field.into(), found: found.to_string(), expected: expected.into() }
    }
}

/// Refuses a value below `low` or above `high`; a NaN is outside every range.
///
/// # Errors
/// Names the field, its value and both ends of the range.
pub(crate) fn check_range<T: PartialOrd + Display>(field: &str, value: T, low: T, high: T) -> Result<(), ConfigError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(ConfigError::new(field, value, format!("a number from {low} to {high}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_its_range_passes_and_both_ends_are_in_it() {
        assert!([0.0, 0.5, 1.0].into_iter().all(|value| check_range("p", value, 0.0, 1.0).is_ok()));
        assert!(check_range("seed", u64::MAX, 0, u64::MAX).is_ok());
    }

    #[test]
    fn a_value_outside_its_range_is_named_with_the_field_and_the_range() {
        let text = |error: Result<(), ConfigError>| error.unwrap_err().to_string();
        assert_eq!(text(check_range("epochs", 0, 1, 100)), "epochs is 0, expected a number from 1 to 100");
        assert_eq!(text(check_range("affine.p", 1.5, 0.0, 1.0)), "affine.p is 1.5, expected a number from 0 to 1");
        assert_eq!(text(check_range("p", f64::NAN, 0.0, 1.0)), "p is NaN, expected a number from 0 to 1");
    }
}

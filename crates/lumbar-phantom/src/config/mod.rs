//! What a phantom contains: how many studies, which anatomy, which resolution, which oddities.

mod oddities;
mod preset;
mod variation;

use serde::{Deserialize, Serialize};

use crate::Error;

pub use oddities::OddityRates;
pub use preset::PhantomPreset;
pub use variation::{ShiftedField, Variation};

/// A phantom data set, described.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `studies` | 64 | labelled studies (`train_images`) | 1 … 100,000 |
/// | `test_studies` | 2 or 32 | studies without labels (`test_images`) | 0 … 100,000 |
/// | `seed` | 2024 | the same seed gives the same bytes | any |
/// | `detail` | `standard` | matrices and slice counts | see [`Detail`] |
/// | `reader_noise_sd` | 0.5 | disagreement of readers, in standard deviations of the latent degree | 0.05 … 2 |
/// | `study_correlation` | 0.4 | mean correlation of the latent degree between two targets of a study | 0.3 … 0.8 |
/// | `shifted_field` | see [`PhantomPreset`] | moves the field of view against the anatomy | see [`ShiftedField`] |
/// | `variation` | see [`PhantomPreset`] | how much spines differ in shape | see [`Variation`] |
/// | `oddities` | see [`OddityRates`] | how often each oddity of the competition's files is planted | see there |
///
/// The default is the set that the workspace's set-up draws, [`PhantomPreset::SETUP`].
///
/// ```
/// use lumbar_phantom::{PhantomConfig, PhantomPreset};
/// let config = PhantomConfig { studies: 8, ..PhantomConfig::preset(PhantomPreset::Tiny) };
/// config.check()?;
/// assert!(PhantomConfig { studies: 0, ..config }.check().is_err());
/// # Ok::<(), lumbar_phantom::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhantomConfig {
    /// Labelled studies, written to `train_images`.
    pub studies: usize,
    /// Studies without labels, written to `test_images`.
    pub test_studies: usize,
    /// The seed of all random numbers.
    pub seed: u64,
    /// Matrices and slice counts.
    pub detail: Detail,
    /// Disagreement of readers, in standard deviations of the latent degree of disease.
    pub reader_noise_sd: f64,
    /// Mean correlation of the latent degree between two targets of one study.
    pub study_correlation: f64,
    /// Where the field of view lies. `None`: it follows the anatomy to within millimetres, and gives the levels away.
    pub shifted_field: Option<ShiftedField>,
    /// How spines differ in shape. `None`: all have the same plan and differ little.
    pub variation: Option<Variation>,
    /// How often each oddity is planted.
    pub oddities: OddityRates,
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self::preset(PhantomPreset::SETUP)
    }
}

impl PhantomConfig {
    /// The configuration of a named preset.
    pub fn preset(preset: PhantomPreset) -> Self {
        let aligned = Self {
            studies: 64,
            test_studies: 2,
            seed: 2024,
            detail: Detail::Standard,
            reader_noise_sd: 0.5,
            study_correlation: 0.4,
            shifted_field: None,
            variation: None,
            oddities: OddityRates::default(),
        };
        let varied = Self {
            test_studies: 32,
            shifted_field: Some(ShiftedField::default()),
            variation: Some(Variation::default()),
            ..aligned.clone()
        };
        match preset {
            PhantomPreset::Tiny => Self { studies: 6, test_studies: 1, detail: Detail::Coarse, ..aligned },
            PhantomPreset::Aligned => aligned,
            PhantomPreset::Default => varied,
            PhantomPreset::Hard => {
                Self { shifted_field: Some(ShiftedField::hard()), variation: Some(Variation::hard()), ..varied }
            }
            PhantomPreset::Large => Self { studies: 2_000, test_studies: 20, ..varied },
        }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        count("studies", self.studies, 1)?;
        count("test_studies", self.test_studies, 0)?;
        number("reader_noise_sd", self.reader_noise_sd, [0.05, 2.0], "0.05 to 2")?;
        number("study_correlation", self.study_correlation, [0.3, 0.8], "0.3 to 0.8")?;
        if let Some(field) = &self.shifted_field {
            field.check()?;
        }
        if let Some(variation) = &self.variation {
            variation.check()?;
        }
        for (field, rate) in self.oddities.fields() {
            number(field, rate, [0.0, 0.5], "a rate from 0 to 0.5")?;
        }
        Ok(())
    }
}

fn count(field: &'static str, value: usize, least: usize) -> Result<(), Error> {
    let expected = if least == 0 { "0 to 100000" } else { "1 to 100000" };
    if (least..=100_000).contains(&value) { Ok(()) } else { Err(out_of_range(field, value, expected)) }
}

/// Checks that `value` is within `range`, ends included; NaN is not.
pub(crate) fn number(field: &'static str, value: f64, range: [f64; 2], expected: &'static str) -> Result<(), Error> {
    if (range[0]..=range[1]).contains(&value) { Ok(()) } else { Err(out_of_range(field, value, expected)) }
}

pub(crate) fn out_of_range(field: &'static str, found: impl ToString, expected: &'static str) -> Error {
    Error::Config { field, found: found.to_string(), expected }
}

/// Matrices and slice counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Sagittal 160–192 rows of 11–13 slices, axial 128–160 rows: enough to exercise every step.
    Coarse,
    /// Sagittal 256–320 rows of 11–17 slices, axial 192–256 rows of 18–36 slices.
    Standard,
    /// Matrices as the competition's: sagittal 320–640 rows of 15–21 slices, axial 256–512 rows of 25–55 slices.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_passes_its_own_check() {
        for preset in PhantomPreset::ALL {
            PhantomConfig::preset(preset).check().unwrap();
        }
    }

    #[test]
    fn a_rate_out_of_range_is_named() {
        let mut config = PhantomConfig::default();
        config.oddities.level_slip = 0.7;
        let message = config.check().unwrap_err().to_string();
        assert_eq!(message, "phantom config: level_slip is 0.7, expected a rate from 0 to 0.5");
    }

    #[test]
    fn a_rate_that_is_not_a_number_is_refused() {
        let config = PhantomConfig { reader_noise_sd: f64::NAN, ..PhantomConfig::default() };
        assert!(config.check().is_err());
    }

    #[test]
    fn a_range_of_the_anatomy_that_is_upside_down_is_refused() {
        let mut config = PhantomConfig::preset(PhantomPreset::Hard);
        config.variation.as_mut().unwrap().scoliosis_deg = [25.0, 5.0];
        let message = config.check().unwrap_err().to_string();
        assert_eq!(message, "phantom config: scoliosis_deg is 25 to 5, expected 0 to 40, the smaller first");
    }

    #[test]
    fn an_unknown_field_is_an_error_and_a_missing_one_is_the_default() {
        assert!(serde_json::from_str::<PhantomConfig>(r#"{"studys": 3}"#).is_err());
        let config: PhantomConfig = serde_json::from_str(r#"{"studies": 3}"#).unwrap();
        assert_eq!(config, PhantomConfig { studies: 3, ..PhantomConfig::default() });
    }

    #[test]
    fn a_config_survives_json() {
        for preset in PhantomPreset::ALL {
            let config = PhantomConfig::preset(preset);
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<PhantomConfig>(&text).unwrap(), config);
        }
    }
}

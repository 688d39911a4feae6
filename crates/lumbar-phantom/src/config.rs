//! How many studies, from which seed, at which resolution, with which oddities.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A phantom data set, described.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `studies` | 64 | labelled studies (`train_images`) | 1 … 100,000 |
/// | `test_studies` | 2 | held-out studies without labels (`test_images`) | 0 … 100,000 |
/// | `seed` | 2024 | the same seed gives the same bytes | any |
/// | `detail` | `standard` | matrices and slice counts | see [`Detail`] |
/// | `reader_noise_sd` | 0.5 | disagreement of readers, in standard deviations of the latent degree | 0.05 … 2 |
/// | `study_correlation` | 0.4 | mean correlation of the latent degree between two targets of a study | 0.3 … 0.8 |
/// | `oddities` | see [`OddityRates`] | how often each oddity of the competition's files is planted | see there |
///
/// ```
/// use lumbar_phantom::{PhantomConfig, Preset};
/// let config = PhantomConfig { studies: 8, ..PhantomConfig::preset(Preset::Tiny) };
/// config.check()?;
/// assert!(PhantomConfig { studies: 0, ..config }.check().is_err());
/// # Ok::<(), lumbar_phantom::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhantomConfig {
    /// Labelled studies, written to `train_images`.
    pub studies: usize,
    /// Held-out studies without labels, written to `test_images`.
    pub test_studies: usize,
    /// The seed of everything.
    pub seed: u64,
    /// Matrices and slice counts.
    pub detail: Detail,
    /// Disagreement of readers, in standard deviations of the latent degree of disease.
    pub reader_noise_sd: f64,
    /// Mean correlation of the latent degree between two targets of one study.
    pub study_correlation: f64,
    /// How often each oddity is planted.
    pub oddities: OddityRates,
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self {
            studies: 64,
            test_studies: 2,
            seed: 2024,
            detail: Detail::Standard,
            reader_noise_sd: 0.5,
            study_correlation: 0.4,
            oddities: OddityRates::default(),
        }
    }
}

impl PhantomConfig {
    /// The configuration of a named preset.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Tiny => Self { studies: 6, test_studies: 1, detail: Detail::Coarse, ..Self::default() },
            Preset::Default => Self::default(),
            Preset::Large => Self { studies: 2_000, test_studies: 20, ..Self::default() },
        }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field out of range.
    pub fn check(&self) -> Result<(), Error> {
        let count = |field, value: usize, least: usize, expected| {
            if (least..=100_000).contains(&value) { Ok(()) } else { Err(out_of_range(field, value, expected)) }
        };
        let number = |field, value: f64, least: f64, most: f64, expected| {
            if (least..=most).contains(&value) { Ok(()) } else { Err(out_of_range(field, value, expected)) }
        };
        count("studies", self.studies, 1, "1 to 100000")?;
        count("test_studies", self.test_studies, 0, "0 to 100000")?;
        number("reader_noise_sd", self.reader_noise_sd, 0.05, 2.0, "0.05 to 2")?;
        number("study_correlation", self.study_correlation, 0.3, 0.8, "0.3 to 0.8")?;
        for (field, rate) in self.oddities.fields() {
            number(field, rate, 0.0, 0.5, "a rate from 0 to 0.5")?;
        }
        Ok(())
    }
}

fn out_of_range(field: &'static str, found: impl ToString, expected: &'static str) -> Error {
    Error::Config { field, found: found.to_string(), expected }
}

/// The named sizes of a phantom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 6 + 1 studies in coarse matrices: tests, in seconds.
    Tiny,
    /// 64 + 2 studies: what the notebooks start with.
    Default,
    /// 2,000 + 20 studies: as many as the competition.
    Large,
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "tiny" => Ok(Self::Tiny),
            "default" => Ok(Self::Default),
            "large" => Ok(Self::Large),
            _ => Err(Error::UnknownPreset { found: name.to_owned() }),
        }
    }
}

/// Matrices and slice counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Sagittal 160–192 rows of 11–13 slices, axial 128–160 rows: enough to exercise every step.
    Coarse,
    /// Sagittal 256–384 rows of 11–17 slices, axial 192–256 rows of 18–36 slices.
    Standard,
    /// Matrices as the competition's: sagittal 320–640 rows of 15–21 slices, axial 256–512 rows of 25–55 slices.
    Full,
}

/// How often each oddity of the competition's files is planted.
///
/// A rate counts studies. When a phantom has at least 20 labelled studies, each oddity with a positive rate is
/// planted at least once, so that a default phantom shows every one of them. The competition's own rates are in
/// the last column, counted on its public files.
///
/// | field | default | what is planted | competition |
/// |---|---|---|---|
/// | `flipped_sagittal` | 0.35 | slices numbered from left to right, not right to left | 699 of 1,960 |
/// | `reversed_axial` | 0.12 | axial slices numbered from bottom to top | 283 of 2,298 |
/// | `split_axial` | 0.17 | axial stacks spread over two series | 335 of 1,975 |
/// | `axial_stacks` | 0.45 | one oblique stack a disc instead of one block | about half |
/// | `missing_t1` | 0.015 | no sagittal T1 series | 2 of 1,975 |
/// | `missing_t2` | 0.015 | no sagittal T2 series | 1 of 1,975 |
/// | `second_t1` | 0.015 | two sagittal T1 series | 7 of 1,975 |
/// | `instance_gap` | 0.03 | a jump in the instance numbers, or a first one that is not 1 | 17 of 6,294 series |
/// | `short_axial` | 0.12 | axial slices do not reach L1/L2 (or L2/L3): labels missing there | about 13% |
/// | `missing_label` | 0.02 | one more empty label cell | few |
/// | `missing_coordinate` | 0.02 | a labelled cell without a coordinate | 29 cells |
/// | `unlabelled_coordinate` | 0.02 | a coordinate without a label | 35 coordinates |
/// | `level_slip` | 0.03 | the reader counted one level off: labels and coordinates of a condition moved | 91 of 1,975 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the table above says what each rate is")]
pub struct OddityRates {
    pub flipped_sagittal: f64,
    pub reversed_axial: f64,
    pub split_axial: f64,
    pub axial_stacks: f64,
    pub missing_t1: f64,
    pub missing_t2: f64,
    pub second_t1: f64,
    pub instance_gap: f64,
    pub short_axial: f64,
    pub missing_label: f64,
    pub missing_coordinate: f64,
    pub unlabelled_coordinate: f64,
    pub level_slip: f64,
}

impl Default for OddityRates {
    fn default() -> Self {
        Self {
            flipped_sagittal: 0.35,
            reversed_axial: 0.12,
            split_axial: 0.17,
            axial_stacks: 0.45,
            missing_t1: 0.015,
            missing_t2: 0.015,
            second_t1: 0.015,
            instance_gap: 0.03,
            short_axial: 0.12,
            missing_label: 0.02,
            missing_coordinate: 0.02,
            unlabelled_coordinate: 0.02,
            level_slip: 0.03,
        }
    }
}

impl OddityRates {
    /// No oddity at all.
    pub fn none() -> Self {
        Self {
            flipped_sagittal: 0.0,
            reversed_axial: 0.0,
            split_axial: 0.0,
            axial_stacks: 0.0,
            missing_t1: 0.0,
            missing_t2: 0.0,
            second_t1: 0.0,
            instance_gap: 0.0,
            short_axial: 0.0,
            missing_label: 0.0,
            missing_coordinate: 0.0,
            unlabelled_coordinate: 0.0,
            level_slip: 0.0,
        }
    }

    /// The rates by name, in the order in which they are planted.
    pub(crate) fn fields(&self) -> [(&'static str, f64); 13] {
        [
            ("flipped_sagittal", self.flipped_sagittal),
            ("reversed_axial", self.reversed_axial),
            ("split_axial", self.split_axial),
            ("axial_stacks", self.axial_stacks),
            ("missing_t1", self.missing_t1),
            ("missing_t2", self.missing_t2),
            ("second_t1", self.second_t1),
            ("instance_gap", self.instance_gap),
            ("short_axial", self.short_axial),
            ("missing_label", self.missing_label),
            ("missing_coordinate", self.missing_coordinate),
            ("unlabelled_coordinate", self.unlabelled_coordinate),
            ("level_slip", self.level_slip),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_passes_its_own_check() {
        for preset in [Preset::Tiny, Preset::Default, Preset::Large] {
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
    fn an_unknown_preset_or_field_is_an_error() {
        assert_eq!(
            "huge".parse::<Preset>().unwrap_err().to_string(),
            "no preset is called \"huge\": the presets are tiny, default and large"
        );
        assert!(serde_json::from_str::<PhantomConfig>(r#"{"studys": 3}"#).is_err());
        let config: PhantomConfig = serde_json::from_str(r#"{"studies": 3}"#).unwrap();
        assert_eq!(config, PhantomConfig { studies: 3, ..PhantomConfig::default() });
    }
}

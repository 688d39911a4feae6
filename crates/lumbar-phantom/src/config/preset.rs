//! The named phantoms.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The named phantoms.
///
/// | preset | studies + test studies | field of view | spines |
/// |---|---|---|---|
/// | `tiny` | 6 + 1, coarse | follows the anatomy | one plan |
/// | `aligned` | 64 + 2 | follows the anatomy | one plan |
/// | `default` | 64 + 32 | moved by up to 25 mm | vary as real ones do, 6.5 % transitional |
/// | `hard` | 64 + 32 | moved by up to 40 mm | the same with scoliosis, slips, collapsed discs, 15 % transitional |
/// | `large` | 2,000 + 20 | as `default` | as `default` |
///
/// In `tiny` and `aligned` the levels can be guessed without looking at a pixel: use them to test the mechanics,
/// not to judge a network that has to find the levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhantomPreset {
    /// 6 + 1 studies in coarse matrices: tests, in seconds.
    Tiny,
    /// 64 + 2 studies, field of view aligned with the anatomy.
    Aligned,
    /// 64 + 32 studies, shifted field of view, spines that vary as real ones do.
    Default,
    /// 64 + 32 studies of spines on which localisers fail.
    Hard,
    /// 2,000 + 20 studies: as many as the competition.
    Large,
}

impl PhantomPreset {
    /// Every preset.
    pub const ALL: [Self; 5] = [Self::Tiny, Self::Aligned, Self::Default, Self::Hard, Self::Large];

    /// The preset that the set-up draws and that [`PhantomConfig::default`](crate::PhantomConfig) describes.
    pub const SETUP: Self = Self::Default;

    /// The name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Aligned => "aligned",
            Self::Default => "default",
            Self::Hard => "hard",
            Self::Large => "large",
        }
    }
}

impl fmt::Display for PhantomPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PhantomPreset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == name)
            .ok_or_else(|| Error::UnknownPreset { found: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_an_unknown_one_is_an_error() {
        for preset in PhantomPreset::ALL {
            assert_eq!(preset.to_string().parse::<PhantomPreset>().unwrap(), preset);
        }
        assert_eq!(
            "huge".parse::<PhantomPreset>().unwrap_err().to_string(),
            "no preset is called \"huge\": the presets are tiny, aligned, default, hard and large"
        );
    }
}

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check_range};
use crate::data::augment::AugmentConfig;
use crate::data::channels::ChannelConfig;
use crate::data::render::Normalisation;
use crate::model::{Init, SpineConfig};
use crate::tasks::grading::LossConfig;

/// One network over all slices of a study.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `spine` | EfficientNet-B0, 10 + 10 + 10 slices | the network: see [`SpineConfig`] |
/// | `source` | 96 px | what it looks at: see [`StudySourceConfig`] |
/// | `init` | `"scratch"` | where the first weights of the backbone come from: see [`Init`] |
/// | `loss` | the competition's score | what is minimised: see [`LossConfig`] |
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WholeStudyTask {
    /// The network.
    pub spine: SpineConfig,
    /// What it looks at.
    pub source: StudySourceConfig,
    /// Where the first weights of the backbone come from.
    #[serde(skip_serializing_if = "Init::is_scratch")]
    pub init: Init,
    /// What is minimised.
    pub loss: LossConfig,
}

/// What is done to the channels of a study.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `channels` | 96 px, the whole slices | how a study becomes channels | see [`ChannelConfig`] |
/// | `augment` | the top teams' set | of training studies, mirroring included | see [`AugmentConfig`] |
/// | `normalisation` | 0, 1 | mean and std of the last step | std 1e-6–1e6 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudySourceConfig {
    /// How a study becomes channels.
    pub channels: ChannelConfig,
    /// Of training studies.
    pub augment: AugmentConfig,
    /// The last step.
    pub normalisation: Normalisation,
}

impl Default for StudySourceConfig {
    fn default() -> Self {
        Self {
            channels: ChannelConfig::default(),
            augment: AugmentConfig::default(),
            normalisation: Normalisation::NONE,
        }
    }
}

impl StudySourceConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.channels.check()?;
        self.augment.check()?;
        check_range("normalisation.std", f64::from(self.normalisation.std), 1e-6, 1e6)
    }
}

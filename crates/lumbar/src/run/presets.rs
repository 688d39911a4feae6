//! The named configs.

use super::config::{CropsTask, FoldConfig, ForecastConfig, RunConfig, TaskConfig, WholeStudyTask};
use crate::data::augment::AugmentConfig;
use crate::data::channels::ChannelConfig;
use crate::data::crop::CropConfig;
use crate::model::{Architecture, LevelConfig, SpineConfig};
use crate::train::TrainConfig;
use crate::train::crop_source::CropSourceConfig;
use crate::train::study_source::StudySourceConfig;

/// Augmentation for networks that start from nothing and see few epochs: half as strong as the top teams',
/// who fine-tuned pretrained ones.
fn gentle() -> AugmentConfig {
    let mut augment = AugmentConfig::default();
    (augment.affine.shift, augment.affine.scale, augment.affine.rotate_deg) = (0.06, 0.12, 12.0);
    (augment.tone.brightness, augment.tone.contrast, augment.tone.gamma_p) = (0.15, 0.2, 0.2);
    (augment.distortion.p, augment.filter.p, augment.dropout.p) = (0.0, 0.2, 0.0);
    augment
}

/// EfficientNet-B0 over 10 + 10 + 10 slices. Ten epochs: of a few dozen studies it learns by heart what comes after.
pub(super) fn whole_study() -> RunConfig {
    let spine = SpineConfig { dropout: 0.5, drop_path_rate: 0.1, ..SpineConfig::default() };
    let channels = ChannelConfig { size_px: 96, ..ChannelConfig::default() };
    let source = StudySourceConfig { channels, augment: gentle(), ..StudySourceConfig::default() };
    let mut train = TrainConfig { epochs: 10, batch_size: 8, ..TrainConfig::default() };
    train.optimizer.lr = 5e-4;
    RunConfig {
        task: TaskConfig::WholeStudy(WholeStudyTask { spine, source }),
        folds: FoldConfig::default(),
        train,
        predict: ForecastConfig::default(),
    }
}

/// ResNet-18d for each plane over the slice at each point. On the phantom one slice is as good as three and three
/// times as quick; where marks lie less well, or a localiser finds them, more slices help.
pub(super) fn crops() -> RunConfig {
    let level = LevelConfig {
        architecture: Architecture::ResNet18d,
        dropout: 0.2,
        drop_path_rate: 0.0,
        ..LevelConfig::default()
    };
    let crop = CropConfig { width_px: 48, height_px: 48, slices: 1, ..CropConfig::default() };
    let source = CropSourceConfig { crop, augment: gentle(), jitter_mm: 2.0, ..CropSourceConfig::default() };
    // epochs and smoothing were chosen on phantoms of other seeds (11 and 12): 24 epochs of 16, 24 and 28, and fewer
    // sure mistakes, of which "any severe" makes one a study
    let mut train = TrainConfig { epochs: 24, batch_size: 4, ..TrainConfig::default() };
    train.optimizer.lr = 1e-3;
    train.loss.label_smoothing = 0.05;
    RunConfig {
        task: TaskConfig::Crops(CropsTask { level, source }),
        folds: FoldConfig::default(),
        train,
        predict: ForecastConfig::default(),
    }
}

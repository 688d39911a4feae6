use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use super::TrainConfig;
use super::config::Scope;
use crate::data::StudyId;
use crate::data::loader::Plan;

/// The training batches of an epoch: all studies once, in an order drawn from (seed, epoch), in the fewest batches of at
/// most the config's size whose sizes differ by one at most. A small last batch would move the running statistics of
/// batch norms as far as a full one, right before validation.
pub(super) fn training(config: &TrainConfig, studies: &[StudyId], epoch: usize) -> Plan {
    let drawn = if config.scope == Scope::OverfitOneBatch { 0 } else { epoch as u64 };
    let mut order = studies.to_vec();
    order.shuffle(&mut StdRng::from_seed(digest(config.seed, drawn, "train.order")));
    let count = order.len().div_ceil(config.batch_size).max(1);
    let mut batches: Vec<Vec<StudyId>> = (0..count)
        .map(|batch| order[order.len() * batch / count..order.len() * (batch + 1) / count].to_vec())
        .collect();
    if config.scope != Scope::Full {
        batches.truncate(1);
    }
    Plan { seed: config.seed, epoch: drawn, augmented: true, mirrored: false, batches }
}

/// Prediction needs no memory for a backward pass: its batches are this many times as large as a training batch,
/// and the weights are read less often.
const EVALUATION_FACTOR: usize = 4;

/// The batches that predict `studies`, in their order.
pub(super) fn evaluation(config: &TrainConfig, studies: &[StudyId]) -> Plan {
    let mut plan = Plan::in_order(studies, config.batch_size * EVALUATION_FACTOR);
    plan.seed = config.seed;
    if config.scope != Scope::Full {
        plan.batches.truncate(1);
    }
    plan
}

/// Seed of torch's generator (dropout, stochastic depth) in a step.
pub(super) fn torch_seed(config: &TrainConfig, fold: usize, step: u64) -> i64 {
    let digest = digest(config.seed, step, &format!("train.torch.{fold}"));
    i64::from_le_bytes(digest[..8].try_into().expect("eight of 32 bytes")) & i64::MAX
}

fn digest(seed: u64, number: u64, purpose: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(number.to_le_bytes());
    hash.update(purpose);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_holds_every_study_once_in_its_own_order() {
        let studies: Vec<StudyId> = (0..17).map(StudyId).collect();
        let config = TrainConfig { batch_size: 4, ..TrainConfig::default() };
        let plan = training(&config, &studies, 0);
        assert_eq!(plan.batches.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 4, 3, 4]);
        assert_ne!(plan.batches, training(&config, &studies, 1).batches);
        assert_eq!(plan, training(&config, &studies, 0));
        let mut seen: Vec<StudyId> = plan.batches.concat();
        seen.sort();
        assert_eq!(seen, studies);
    }
}

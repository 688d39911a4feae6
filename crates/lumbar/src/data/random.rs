//! Random numbers that depend only on what they are for.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

use super::StudyId;

/// The generator that every random function takes: xoshiro256++.
pub type Generator = Xoshiro256PlusPlus;

/// A generator for one purpose in one study and epoch: the same four values give the same numbers on every
/// machine, in any order and on any number of threads.
///
/// `purpose` separates draws for the same study, such as `augment/left_…_l4_l5` and `mix`.
///
/// ```
/// use lumbar::data::{StudyId, random::generator};
/// use rand::Rng;
///
/// let mut one = generator(7, 0, StudyId(4003253), "augment");
/// let mut same = generator(7, 0, StudyId(4003253), "augment");
/// let mut next_epoch = generator(7, 1, StudyId(4003253), "augment");
/// let first = one.next_u64();
/// assert_eq!(first, same.next_u64());
/// assert_ne!(first, next_epoch.next_u64());
/// ```
#[must_use]
pub fn generator(seed: u64, epoch: u64, study: StudyId, purpose: &str) -> Generator {
    let mut hash = Sha256::new();
    for number in [seed, epoch, study.0] {
        hash.update(number.to_le_bytes());
    }
    hash.update(purpose.as_bytes());
    Generator::from_seed(hash.finalize().into())
}

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Condition, Target};

/// A side of the patient, not of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The patient's left: +x in patient space.
    Left,
    /// The patient's right: −x in patient space.
    Right,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}

/// The mirror map: swaps left and right, for images that are mirrored across the body's mid-plane.
///
/// This is the only place where sides are swapped. A horizontal flip of an axial slice and a reversal of the order of
/// sagittal slices both mirror the patient. Labels, points and probabilities must then be mirrored with this map.
///
/// ```
/// use lumbar::anatomy::{Mirror, Target};
///
/// let labels = Target::ALL.map(|target| target.column());
/// let mirrored = Mirror::targets(&labels);
/// assert_eq!(mirrored[0], "spinal_canal_stenosis_l1_l2");
/// assert_eq!(mirrored[5], "right_neural_foraminal_narrowing_l1_l2");
/// assert_eq!(Mirror::targets(&mirrored), labels);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Mirror;

impl Mirror {
    /// For each target the index in [`Target::ALL`] of the target on the other side. Applied twice it is the identity.
    pub const PERMUTATION: [usize; Target::COUNT] = {
        let mut permutation = [0; Target::COUNT];
        let mut index = 0;
        while index < Target::COUNT {
            permutation[index] = Self::target(Target::ALL[index]).index();
            index += 1;
        }
        permutation
    };

    /// The other side.
    #[must_use]
    pub const fn side(side: Side) -> Side {
        match side {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }

    /// The condition on the other side. The spinal canal has none and stays.
    #[must_use]
    pub const fn condition(condition: Condition) -> Condition {
        match condition.side() {
            None => condition,
            Some(side) => Condition::of(condition.group(), Self::side(side)),
        }
    }

    /// The target on the other side at the same level.
    #[must_use]
    pub const fn target(target: Target) -> Target {
        Target::new(Self::condition(target.condition), target.level)
    }

    /// Mirrored values, in the order of [`Target::ALL`].
    #[must_use]
    pub fn targets<T: Clone>(values: &[T; Target::COUNT]) -> [T; Target::COUNT] {
        std::array::from_fn(|index| values[Self::PERMUTATION[index]].clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_twice_changes_nothing() {
        for (index, target) in Target::ALL.into_iter().enumerate() {
            assert_eq!(Mirror::target(Mirror::target(target)), target);
            assert_eq!(Mirror::PERMUTATION[Mirror::PERMUTATION[index]], index);
            assert_eq!(Mirror::target(target).level, target.level);
        }
    }

    #[test]
    fn only_conditions_with_a_side_are_swapped() {
        for target in Target::ALL {
            assert_eq!(Mirror::target(target) == target, target.condition.side().is_none());
            assert_eq!(Mirror::target(target).condition.group(), target.condition.group());
        }
    }
}

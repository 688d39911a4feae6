//! What the place of a crop says about its grade, whatever the image shows.

use tch::{Device, Kind, Tensor};

use crate::anatomy::{ConditionGroup, Level, Severity, Target};
use crate::metric::ConstantBaseline;
use crate::model::{Builder, Fill, Part, Registry, Role};
use crate::tasks::TaskError;
use crate::tasks::grading::start_logit;

const LEVELS: usize = Level::ALL.len();

/// A learned bias for each level of each condition group, shared by both sides, that is added to the logits of a crop.
///
/// A crop does not show its level, and severe grades are much more frequent at L4/L5 than at L1/L2: on the
/// competition's labels the level alone lowers the score of a constant by 0.12. The bias starts at the logarithm of the
/// training studies' best constant ([`LevelBias::set`]), so that a network starts there and not at one third each.
#[derive(Debug)]
pub struct LevelBias {
    registry: Registry,
    groups: [Tensor; 3],
}

impl LevelBias {
    /// Zero for every level.
    ///
    /// # Errors
    /// The device does not exist.
    pub fn new(device: Device) -> Result<Self, TaskError> {
        let mut registry = Registry::default();
        let mut groups = Vec::new();
        let count = (LEVELS * Severity::COUNT) as i64;
        for group in ["canal", "foramen", "recess"] {
            let mut root = Builder::new(&mut registry, None, device).part(Part::Classifier, 0);
            groups.push(root.at(group).tensor("bias", &[count], Role::Bias, Fill::Const(0.0))?);
        }
        let groups = groups.try_into().expect("a bias for each of three groups");
        Ok(Self { registry, groups })
    }

    /// A copy without a gradient, for inference.
    ///
    /// # Errors
    /// libtorch's.
    pub fn folded(&self) -> Result<Self, TaskError> {
        let copy = Self::new(self.registry.device())?;
        copy.registry.copy_from(&self.registry)?;
        Ok(copy)
    }

    /// Its tensors, `canal.bias`, `foramen.bias` and `recess.bias`.
    ///
    /// # Shapes
    /// `[15]` each: five levels of three severities.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Sets the bias to the logarithm of a constant baseline, the mean of both sides.
    ///
    /// # Errors
    /// libtorch's.
    pub fn set(&self, constant: &ConstantBaseline) -> Result<(), TaskError> {
        for (group, bias) in ConditionGroup::ALL.into_iter().zip(&self.groups) {
            let mut mean = [[0.0; Severity::COUNT]; LEVELS];
            let targets: Vec<Target> =
                Target::ALL.into_iter().filter(|target| target.condition.group() == group).collect();
            let sides = (targets.len() / LEVELS) as f64;
            for target in targets {
                let row = constant.rows()[target.index()];
                mean[target.level.index()].iter_mut().zip(row).for_each(|(mean, p)| *mean += p / sides);
            }
            let logits: Vec<f32> = mean.concat().into_iter().map(start_logit).collect();
            let logits = Tensor::f_from_slice(&logits).and_then(|logits| logits.f_to_device(bias.device()));
            tch::no_grad(|| logits.and_then(|logits| bias.shallow_clone().f_copy_(&logits)))
                .map_err(|error| TaskError::Data(error.into()))?;
        }
        Ok(())
    }

    /// The bias of crops of one group, a row for each.
    ///
    /// # Shapes
    /// → `[cells, 3]`.
    pub(super) fn of(&self, group: usize, cells: &[(usize, Target)], device: Device) -> Result<Tensor, tch::TchError> {
        let levels: Vec<i64> = cells.iter().map(|(_, target)| target.level.index() as i64).collect();
        let levels = Tensor::f_from_slice(&levels)?.f_to_device(device)?;
        self.groups[group].f_view([-1, Severity::COUNT as i64])?.f_index_select(0, &levels)?.f_to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Condition;
    use crate::data::StudyId;
    use crate::metric::LabelTable;

    #[test]
    fn the_bias_starts_at_the_mean_of_both_sides_constant() {
        let mut labels = LabelTable::new();
        for study in 0..4u64 {
            let label = |target: Target| {
                let severe = target.condition == Condition::LeftSubarticularStenosis && study < 2;
                Some(if severe { Severity::Severe } else { Severity::NormalMild })
            };
            labels.insert(StudyId(study), Target::ALL.map(label)).unwrap();
        }
        let constant = ConstantBaseline::best(&labels);
        let bias = LevelBias::new(Device::Cpu).unwrap();
        bias.set(&constant).unwrap();
        let left = Target::new(Condition::LeftSubarticularStenosis, Level::L3L4);
        let right = Target::new(Condition::RightSubarticularStenosis, Level::L3L4);
        let rows = bias.of(2, &[(0, left), (1, right)], Device::Cpu).unwrap();
        let p = rows.softmax(-1, Kind::Double);
        assert_eq!(p.select(0, 0), p.select(0, 1));
        let expected = (constant.rows()[left.index()][2] + constant.rows()[right.index()][2]) / 2.0;
        assert!((p.double_value(&[0, 2]) - expected).abs() < 2e-3, "{} against {expected}", p.double_value(&[0, 2]));
        let copy = bias.folded().unwrap();
        assert_eq!(copy.of(2, &[(0, left)], Device::Cpu).unwrap(), rows.narrow(0, 0, 1));
    }
}

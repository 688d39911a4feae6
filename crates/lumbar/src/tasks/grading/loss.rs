//! The competition's score as a training loss: the same four weighted log losses, over a batch.

use tch::{Device, Kind, Tensor};

use super::LossConfig;
use crate::anatomy::{ConditionGroup, Target};
use crate::metric::LabelTable;
use crate::train::TrainError;

/// Label of a cell that has none.
pub const MASKED: i64 = -1;

/// Replaces a sum of weights that is zero; the numerator is then zero too. It is below any weight that a config allows,
/// and large enough that the inverse of its square is finite.
const TINY: f64 = 1e-6;

/// Weighted, masked cross entropy of the three groups and of any-severe, averaged as the score averages them.
///
/// With class weights 1, 2, 4, `any_severe` 1 and no smoothing the loss of all studies of a fold is the competition's
/// score of them. Of a batch each part is divided by the mean weight of the fold's labels, not by that of the batch's
/// own: otherwise a severe cell would raise its own denominator, and in batches of four studies severe would count 2.6
/// times as much as normal in any-severe instead of 4 times.
#[derive(Debug)]
pub struct Loss {
    config: LossConfig,
    class_weights: Tensor,
    /// The soft targets of each label, `[3, 3]`: one-hot, unless the config smooths.
    soft_targets: Tensor,
    /// The mean weight of a label in each group, and of a study in any-severe.
    mean_weights: [f64; 4],
}

impl Loss {
    /// The loss on a device, for training on studies with these labels.
    ///
    /// # Errors
    /// When the device does not exist.
    pub fn new(config: &LossConfig, labels: &LabelTable, device: Device) -> Result<Self, TrainError> {
        let weights = config.class_weights.map(|weight| weight as f32);
        Ok(Self {
            config: config.clone(),
            mean_weights: mean_weights(config, labels),
            class_weights: Tensor::f_from_slice(&weights)?.f_to_device(device)?,
            soft_targets: Tensor::f_from_slice(&soft_targets(config).concat())?.f_view([3, 3])?.f_to_device(device)?,
        })
    }

    /// The loss of a batch: Σ over parts of weight · Σ w·(−ln p) / (labels · the fold's mean w), divided by the weights
    /// of the parts that have a label in the batch; 0 if no part has one.
    ///
    /// # Shapes
    /// `logits` `[studies, 25, 3]`, `labels` `[studies, 25]` of 0, 1, 2 or [`MASKED`] (int64) → scalar.
    ///
    /// # Errors
    /// When the shapes are different.
    pub fn of(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor, TrainError> {
        let (found, count) = (logits.size(), Target::COUNT as i64);
        if found.len() != 3 || found[1..] != [count, 3] {
            return Err(TrainError::Shape { what: "logits", expected: "[studies, 25, 3]".to_owned(), found });
        }
        if labels.size() != found[..2] {
            let expected = format!("[{}, 25]", found[0]);
            return Err(TrainError::Shape { what: "labels", expected, found: labels.size() });
        }
        let log_p = logits.f_log_softmax(-1, Kind::Float)?;
        let labelled = labels.f_ge(0)?.f_to_kind(Kind::Float)?;
        let class = labels.f_clamp_min(0)?;
        let weight =
            self.class_weights.f_index_select(0, &class.f_flatten(0, -1)?)?.f_view_as(&class)?.f_mul(&labelled)?;
        let soft_targets = self.soft_targets.f_index_select(0, &class.f_flatten(0, -1)?)?.f_view_as(&log_p)?;
        let loss = log_p.f_mul(&soft_targets)?.f_sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)?.f_neg()?;
        let mut parts = Vec::with_capacity(4);
        for (group, mean) in ConditionGroup::ALL.into_iter().zip(self.mean_weights) {
            let (first, columns) = columns(group);
            let weight = weight.f_narrow(1, first, columns)?;
            parts.push(Part::of(&loss.f_narrow(1, first, columns)?, &weight, mean, 1.0)?);
        }
        if self.config.any_severe > 0.0 {
            parts.push(self.any_severe(&log_p, labels, &soft_targets, &weight)?);
        }
        let losses: Vec<&Tensor> = parts.iter().map(|part| &part.loss).collect();
        let present: Vec<&Tensor> = parts.iter().map(|part| &part.present).collect();
        let sum = Tensor::f_stack(&losses, 0)?.f_sum(Kind::Float)?;
        let present = Tensor::f_stack(&present, 0)?.f_sum(Kind::Float)?;
        // without any label the sum is 0, and so is the loss
        Ok(sum.f_div(&present.f_clamp_min(TINY)?)?)
    }

    /// Per study: is any labelled level severe, predicted by the largest predicted severe of those levels? Smoothed as a
    /// severe label, or as the label of that level.
    fn any_severe(
        &self,
        log_p: &Tensor,
        labels: &Tensor,
        soft_targets: &Tensor,
        weight: &Tensor,
    ) -> Result<Part, TrainError> {
        let (first, levels) = columns(ConditionGroup::Spinal);
        let log_p = log_p.f_narrow(1, first, levels)?;
        let labels = labels.f_narrow(1, first, levels)?;
        let severe = log_p.f_select(2, 2)?;
        let not_severe = log_p.f_narrow(2, 0, 2)?.f_logsumexp([-1i64].as_slice(), false)?;
        let level = severe.f_detach()?.f_masked_fill(&labels.f_lt(0)?, f64::NEG_INFINITY)?.f_argmax(1, true)?;
        let at_level = |values: &Tensor| values.f_gather(1, &level, false)?.f_squeeze_dim(1);
        let label = labels.f_eq(2)?.f_any_dim(1, false)?;
        let soft_severe = soft_targets.f_narrow(1, first, levels)?.f_select(2, 2)?;
        let soft_severe =
            self.soft_targets.f_select(0, 2)?.f_select(0, 2)?.f_where_self(&label, &at_level(&soft_severe)?)?;
        let loss = at_level(&not_severe)?.f_lerp_tensor(&at_level(&severe)?, &soft_severe)?.f_neg()?;
        let weight = weight.f_narrow(1, first, levels)?.f_amax([1i64].as_slice(), false)?;
        Part::of(&loss, &weight, self.mean_weights[3], self.config.any_severe)
    }
}

/// The soft targets of each label over the severities: with s of a label spread over all and n given to its neighbours,
/// (1 − s − n)·itself + s/3 + n·(the mean of its neighbours).
fn soft_targets(config: &LossConfig) -> [[f32; 3]; 3] {
    let (spread, beside) = (config.label_smoothing, config.neighbour_smoothing);
    let neighbours = [[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 1.0, 0.0]];
    std::array::from_fn(|label| {
        std::array::from_fn(|severity| {
            let own = if label == severity { 1.0 - spread - beside } else { 0.0 };
            (own + spread / 3.0 + beside * neighbours[label][severity]) as f32
        })
    })
}

/// A part of the loss, and its weight: 0 if it has no label in the batch.
struct Part {
    loss: Tensor,
    present: Tensor,
}

impl Part {
    /// `mean` is the weight that a label has on average.
    fn of(loss: &Tensor, weight: &Tensor, mean: f64, share: f64) -> Result<Self, TrainError> {
        let labels = weight.f_gt(0)?.f_sum(Kind::Float)?;
        let present = labels.f_gt(0)?.f_to_kind(Kind::Float)?.f_mul_scalar(share)?;
        let total = labels.f_clamp_min(1.0)?.f_mul_scalar(mean)?;
        let loss = loss.f_mul(weight)?.f_sum(Kind::Float)?.f_div(&total)?;
        Ok(Self { loss: loss.f_mul_scalar(share)?, present })
    }
}

/// The mean weight of the labels of each group, and of the studies in any-severe: there a study counts as much as its
/// most severe canal label. 1 where nothing is labelled.
fn mean_weights(config: &LossConfig, labels: &LabelTable) -> [f64; 4] {
    let (mut sums, mut counts) = ([0.0; 4], [0.0; 4]);
    let mut add = |part: usize, weight: f64| {
        sums[part] += weight;
        counts[part] += 1.0;
    };
    for (_, row) in labels.iter() {
        let mut greatest: Option<f64> = None;
        for (target, label) in Target::ALL.into_iter().zip(row) {
            let Some(label) = label else { continue };
            let weight = config.class_weights[label.index()];
            let group = target.condition.group();
            add(ConditionGroup::ALL.iter().position(|other| *other == group).unwrap_or_default(), weight);
            if group == ConditionGroup::Spinal {
                greatest = Some(greatest.map_or(weight, |greatest| greatest.max(weight)));
            }
        }
        greatest.into_iter().for_each(|weight| add(3, weight));
    }
    std::array::from_fn(|part| if counts[part] > 0.0 { sums[part] / counts[part] } else { 1.0 })
}

/// First column and number of columns of a group in the order of [`Target::ALL`].
fn columns(group: ConditionGroup) -> (i64, i64) {
    let of = |target: &&Target| target.condition.group() == group;
    let first = Target::ALL.iter().position(|target| of(&target)).expect("every group has targets");
    (first as i64, Target::ALL.iter().filter(of).count() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Severity;
    use crate::data::StudyId;
    use crate::metric::{Graded, PredictionTable, score};

    fn random(studies: i64, seed: i64) -> (Tensor, Tensor) {
        tch::manual_seed(seed);
        let logits = Tensor::randn([studies, 25, 3], (Kind::Float, Device::Cpu));
        let labels = Tensor::randint_low(-1, 3, [studies, 25], (Kind::Int64, Device::Cpu));
        (logits, labels)
    }

    /// The rows of a tensor of labels as studies.
    fn table(labels: &Tensor) -> LabelTable {
        let mut table = LabelTable::new();
        for study in 0..labels.size()[0] {
            let label = |target: usize| usize::try_from(labels.int64_value(&[study, target as i64])).ok();
            table.insert(StudyId(study as u64), std::array::from_fn(|t| label(t).map(|c| Severity::ALL[c]))).unwrap();
        }
        table
    }

    fn new(config: &LossConfig, labels: &Tensor) -> Loss {
        Loss::new(config, &table(labels), Device::Cpu).unwrap()
    }

    fn loss(config: &LossConfig, logits: &Tensor, labels: &Tensor) -> f64 {
        new(config, labels).of(logits, labels).unwrap().double_value(&[])
    }

    #[test]
    fn columns_of_a_group_are_neighbours() {
        for group in ConditionGroup::ALL {
            let (first, count) = columns(group);
            for column in first..first + count {
                assert_eq!(Target::ALL[column as usize].condition.group(), group);
            }
        }
    }

    #[test]
    fn the_loss_of_all_studies_is_their_score() {
        let (logits, labels) = random(17, 3);
        let probabilities = logits.softmax(-1, Kind::Double);
        let (truth, mut predicted) = (table(&labels), PredictionTable::new());
        for study in 0..17 {
            let p = |target: usize, class: i64| probabilities.double_value(&[study, target as i64, class]);
            predicted.insert(StudyId(study as u64), std::array::from_fn(|t| [p(t, 0), p(t, 1), p(t, 2)])).unwrap();
        }
        let expected = score(&Graded::join(&truth, &predicted).unwrap()).unwrap().total();
        let found = loss(&LossConfig::default(), &logits, &labels);
        assert!((found - expected).abs() < 1e-5, "{found} against {expected}");
    }

    #[test]
    fn a_severe_cell_counts_four_times_in_every_batch() {
        let config = LossConfig { any_severe: 0.0, ..LossConfig::default() };
        let all = Tensor::from_slice(&[0i64; 75]).view([3, 25]);
        let fold = new(&config, &all);
        let of = |label: i64| {
            let labels = Tensor::full([1, 25], MASKED, (Kind::Int64, Device::Cpu)).index_fill(
                1,
                &Tensor::from_slice(&[3i64]),
                label,
            );
            fold.of(&Tensor::zeros([1, 25, 3], (Kind::Float, Device::Cpu)), &labels).unwrap().double_value(&[])
        };
        assert!((of(2) / of(0) - 4.0).abs() < 1e-5 && (of(1) / of(0) - 2.0).abs() < 1e-5);
    }

    #[test]
    fn a_masked_cell_has_no_gradient() {
        let (logits, labels) = random(4, 5);
        let logits = logits.set_requires_grad(true);
        let labels = labels.index_fill(1, &Tensor::from_slice(&[2i64, 9, 24]), MASKED);
        new(&LossConfig::default(), &labels).of(&logits, &labels).unwrap().backward();
        let gradient = logits.grad().abs().sum_dim_intlist([2i64].as_slice(), false, Kind::Float);
        let masked = labels.eq(MASKED);
        assert_eq!(gradient.masked_select(&masked).abs().max().double_value(&[]), 0.0);
        assert!(gradient.masked_select(&masked.logical_not()).min().double_value(&[]) > 0.0);
    }

    #[test]
    fn a_batch_without_labels_has_no_loss_and_no_gradient() {
        let (logits, labels) = random(3, 6);
        let logits = logits.set_requires_grad(true);
        let found = new(&LossConfig::default(), &labels).of(&logits, &labels.full_like(MASKED)).unwrap();
        found.backward();
        assert_eq!(found.double_value(&[]), 0.0);
        assert_eq!(logits.grad().abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn smoothing_penalises_a_certain_prediction() {
        let labels = Tensor::zeros([2, 25], (Kind::Int64, Device::Cpu));
        let certain = Tensor::from_slice(&[30f32, 0.0, 0.0]).expand([2, 25, 3], false);
        let plain = LossConfig { any_severe: 0.0, ..Default::default() };
        let smooth = LossConfig { label_smoothing: 0.1, ..plain.clone() };
        assert!(loss(&plain, &certain, &labels) < 1e-6);
        assert!((loss(&smooth, &certain, &labels) - 0.1 * 20.0).abs() < 1e-4);
    }

    #[test]
    fn soft_targets_sum_to_one_and_neighbours_get_their_share() {
        let config = LossConfig { label_smoothing: 0.06, neighbour_smoothing: 0.1, ..Default::default() };
        let soft_targets = soft_targets(&config);
        for row in soft_targets {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
        }
        assert!(
            (soft_targets[2][1] - 0.12).abs() < 1e-6
                && (soft_targets[1][0] - 0.07).abs() < 1e-6
                && (soft_targets[0][2] - 0.02).abs() < 1e-6
        );
    }

    #[test]
    fn the_best_logits_are_the_logarithms_of_the_soft_targets() {
        let config = LossConfig { label_smoothing: 0.06, neighbour_smoothing: 0.1, ..Default::default() };
        let labels = Tensor::from_slice(&[0i64, 1, 2, 0, 1].repeat(5)).view([1, 25]);
        let soft_targets = Tensor::from_slice(&soft_targets(&config).concat()).view([3, 3]);
        let logits =
            soft_targets.index_select(0, &labels.flatten(0, -1)).log().view([1, 25, 3]).set_requires_grad(true);
        new(&config, &labels).of(&logits, &labels).unwrap().backward();
        assert!(logits.grad().abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn other_shapes_are_an_error_that_names_both() {
        let logits = Tensor::zeros([2, 24, 3], (Kind::Float, Device::Cpu));
        let error = Loss::new(&LossConfig::default(), &LabelTable::new(), Device::Cpu)
            .unwrap()
            .of(&logits, &logits)
            .unwrap_err();
        assert_eq!(error.to_string(), "logits: expected [studies, 25, 3], found [2, 24, 3]");
    }
}

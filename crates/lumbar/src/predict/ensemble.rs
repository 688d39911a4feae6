//! Predicting studies with trained networks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::{Device, TchError, Tensor};

use super::Temperature;
use crate::anatomy::Target;
use crate::config::{ConfigError, check_range};
use crate::data::StudyId;
use crate::data::found_points::{FoundPoint, FoundPoints};
use crate::data::loader::{BoxError, Dataset, Loader, LoaderConfig, Plan, Tensors};
use crate::data::manifest::StudyRecord;
use crate::metric::{ConstantBaseline, PredictionTable};
use crate::tasks::Task;
use crate::tasks::grading::{GradeTruth, Grading, mean_with_mirrored};
use crate::train::TrainError;
use crate::train::network::{Mode, Network};

/// Grades at points that are at least this reliable are not mixed with the prior. Mixing 1 % of the prior into certain
/// grades costs more than the few wrong points among them: 0.003 of the score on the test studies of a phantom
/// (`cargo xtask bench full`, seed 11).
const TRUSTED: f64 = 0.9;

/// How studies are predicted with a trained run. The temperatures come from the run's out-of-fold predictions.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `batch_size` | 8 | studies a batch | 1–4,096 |
/// | `flip` | true | also predict each study mirrored, left and right swapped back, and take the mean | |
/// | `temperature` | true | scale each condition group's probabilities as fits the out-of-fold predictions best | |
/// | `folded` | true | batch norms folded into convolutions, and the localiser's layers by kernels of our own: faster, equal within 1e-4 of the logits' greatest magnitude | |
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PredictConfig {
    /// Studies a batch.
    pub batch_size: usize,
    /// Mean of the study and its mirror image.
    pub flip: bool,
    /// Scale probabilities.
    pub temperature: bool,
    /// Fold batch norms.
    pub folded: bool,
}

impl Default for PredictConfig {
    fn default() -> Self {
        Self { batch_size: 8, flip: true, temperature: true, folded: true }
    }
}

impl PredictConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_range("predict.batch_size", self.batch_size, 1, 4096)
    }
}

/// Predictions, and what was missing on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// The mean of networks and mirror images, scaled: every study that was asked for, in that order.
    pub table: PredictionTable,
    /// Studies of which something was missing or unreadable.
    pub warnings: Vec<StudyWarnings>,
    /// The points at which they were graded, as far as a localiser found them; empty without one.
    pub points: FoundPoints,
}

impl Predictions {
    /// Adds warnings, such as what was missing when points were looked for, before the other warnings of a study and
    /// each once.
    pub fn add_warnings(&mut self, new: &BTreeMap<StudyId, Vec<String>>) {
        for &study in self.table.studies() {
            let Some(new) = new.get(&study) else { continue };
            match self.warnings.iter_mut().find(|warnings| warnings.study == study) {
                Some(StudyWarnings { warnings, .. }) => {
                    let own = std::mem::replace(warnings, new.clone());
                    warnings.extend(own.into_iter().filter(|warning| !new.contains(warning)));
                }
                None => self.warnings.push(StudyWarnings { study, from_prior: 0, warnings: new.clone() }),
            }
        }
    }
}

/// A study of which something was missing or unreadable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StudyWarnings {
    /// The study.
    pub study: StudyId,
    /// How many of its 25 targets no image shows: they are predicted from the prior.
    pub from_prior: usize,
    /// What was missing or unreadable, in words.
    pub warnings: Vec<String>,
}

/// Trained networks of one task that predict together.
#[derive(Debug)]
pub struct Ensemble<'a, T, N> {
    /// The task.
    pub task: &'a T,
    /// Its networks: one a fold.
    pub networks: &'a [N],
    /// What is predicted for targets that no image shows.
    pub prior: &'a ConstantBaseline,
    /// Where to look, for studies without annotations: the grade of a target is mixed with the prior by the reliability
    /// of its point. Without them the task looks at annotated points, if it looks at points.
    pub points: Option<&'a FoundPoints>,
    /// A temperature for each condition group.
    pub temperature: Temperature,
    /// How.
    pub config: &'a PredictConfig,
    /// How batches are made ahead of their use.
    pub loader: LoaderConfig,
    /// Where the networks are.
    pub device: Device,
}

impl<T, N> Ensemble<'_, T, N>
where
    T: Task<Truth = GradeTruth>,
    N: Network<Inputs = T::Inputs>,
{
    /// Predicts studies: the mean over networks and mirror images, probabilities scaled by the temperatures, the
    /// prior where no image shows a target. Studies are decoded on other threads while the networks work, each once;
    /// memory does not grow with their number.
    ///
    /// No study is refused: what cannot be read is reported and predicted from the prior. `progress` is called with
    /// the number of studies that are done and of all.
    ///
    /// # Errors
    /// When a study is named twice, or a network refuses its batch.
    pub fn predict(
        &self,
        records: &[&StudyRecord],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Predictions, TrainError> {
        let studies: Vec<StudyId> = records.iter().map(|record| record.id).collect();
        let dataset = OnDemand {
            task: self.task.clone(),
            records: records.iter().map(|record| (record.id, (*record).clone())).collect(),
            points: self.points.map(|points| points.filter(|study| studies.contains(&study))),
            flip: self.config.flip,
        };
        let plan = Plan::in_order(&studies, self.config.batch_size);
        let mut predictions = Predictions {
            table: PredictionTable::new(),
            warnings: Vec::new(),
            points: self.points.map(|points| points.filter(|study| studies.contains(&study))).unwrap_or_default(),
        };
        for batch in Loader::start(Arc::new(dataset), plan, &self.loader, self.device)? {
            let batch = batch?;
            for (study, row) in batch.studies.iter().zip(self.mean(&batch.inputs, &batch.studies)?) {
                predictions.table.insert(*study, row)?;
            }
            let hidden = hidden_counts(&batch.inputs.plain.1)?;
            for ((study, warnings), from_prior) in batch.studies.into_iter().zip(batch.inputs.warnings).zip(hidden) {
                if from_prior > 0 || !warnings.is_empty() {
                    predictions.warnings.push(StudyWarnings { study, from_prior, warnings });
                }
            }
            progress(predictions.table.len(), records.len());
        }
        Ok(predictions)
    }

    /// The mean over networks of the mean over mirror images at the temperatures; the prior is not scaled.
    fn mean(
        &self,
        batch: &PlainAndMirrored<T::Inputs>,
        studies: &[StudyId],
    ) -> Result<Vec<[[f64; 3]; Target::COUNT]>, TrainError> {
        let mut sums = vec![[[0.0; 3]; Target::COUNT]; studies.len()];
        for network in self.networks {
            let plain = visible_rows(network, &batch.plain)?;
            let mirrored = batch.mirrored.as_ref().map(|mirrored| visible_rows(network, mirrored)).transpose()?;
            for (place, sum) in sums.iter_mut().enumerate() {
                let row = match &mirrored {
                    Some(mirrored) => mean_with_mirrored(&plain[place], &mirrored[place]),
                    None => plain[place],
                };
                let points = self.points.and_then(|points| points.get(studies[place]));
                for target in Target::ALL {
                    let index = target.index();
                    let prior = &self.prior.rows()[index];
                    let row = row[index].map_or(*prior, |cell| {
                        let graded = self.temperature.scale(target, &cell);
                        points.map_or(graded, |points| mixed(&graded, prior, points[index]))
                    });
                    for (sum, value) in sum[index].iter_mut().zip(row) {
                        *sum += value / self.networks.len() as f64;
                    }
                }
            }
        }
        Ok(sums)
    }
}

/// A grade mixed with the prior by the reliability of the target's point; the prior where there is no point.
pub(crate) fn mixed(graded: &[f64; 3], prior: &[f64; 3], point: Option<FoundPoint>) -> [f64; 3] {
    let share = point.map_or(0.0, |point| (point.reliability / TRUSTED).min(1.0));
    std::array::from_fn(|class| share * graded[class] + (1.0 - share) * prior[class])
}

fn visible_rows<N: Network>(
    network: &N,
    (inputs, truth): &(N::Inputs, GradeTruth),
) -> Result<Vec<crate::tasks::grading::VisibleRow>, TrainError> {
    tch::no_grad(|| Grading::visible_rows(&network.forward(inputs, Mode::Eval).map_err(TrainError::Network)?, truth))
}

/// How many targets of each study are not visible.
fn hidden_counts(truth: &GradeTruth) -> Result<Vec<usize>, TchError> {
    let visible: Vec<bool> = Vec::try_from(truth.visible.f_to_device(Device::Cpu)?.f_flatten(0, -1)?)?;
    Ok(visible.chunks_exact(Target::COUNT).map(|row| row.iter().filter(|visible| !**visible).count()).collect())
}

/// Studies that are decoded when they are needed.
struct OnDemand<T> {
    task: T,
    records: HashMap<StudyId, StudyRecord>,
    points: Option<FoundPoints>,
    flip: bool,
}

/// A decoded study with its samples.
struct DecodedSample<T: Task> {
    dataset: T::Dataset,
    plain: <T::Dataset as Dataset>::Sample,
    mirrored: Option<<T::Dataset as Dataset>::Sample>,
    warnings: Vec<String>,
}

/// Studies and, where flips are asked for, their mirror images.
struct PlainAndMirrored<I> {
    plain: (I, GradeTruth),
    mirrored: Option<(I, GradeTruth)>,
    /// Of each study.
    warnings: Vec<Vec<String>>,
}

impl<I: Tensors> Tensors for PlainAndMirrored<I> {
    fn try_map(self, change: &mut dyn FnMut(Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        let mut both = |(inputs, truth): (I, GradeTruth)| -> Result<(I, GradeTruth), TchError> {
            Ok((inputs.try_map(change)?, truth.try_map(change)?))
        };
        let plain = both(self.plain)?;
        let mirrored = self.mirrored.map(both).transpose()?;
        Ok(Self { plain, mirrored, warnings: self.warnings })
    }
}

impl<T: Task<Truth = GradeTruth>> Dataset for OnDemand<T> {
    type Sample = DecodedSample<T>;
    type Inputs = PlainAndMirrored<T::Inputs>;
    type Truth = ();

    fn sample(&self, plan: &Plan, study: StudyId) -> Result<DecodedSample<T>, BoxError> {
        let record = self.records.get(&study).ok_or("the study was not asked for")?;
        let dataset = match &self.points {
            Some(points) => self.task.open_at(&[record], points, None, &())?,
            None => self.task.open(&[record], None, &())?,
        };
        let plain = dataset.sample(plan, study)?;
        let mirrored = self.flip.then(|| dataset.sample(&mirror(plan), study)).transpose()?;
        let warnings = T::warnings(&dataset, study);
        Ok(DecodedSample { dataset, plain, mirrored, warnings })
    }

    fn collate(&self, plan: &Plan, samples: Vec<DecodedSample<T>>) -> Result<(Self::Inputs, ()), BoxError> {
        let (mut plain, mut mirrored, mut warnings, mut first) = (Vec::new(), Vec::new(), Vec::new(), None);
        for sample in samples {
            plain.push(sample.plain);
            mirrored.extend(sample.mirrored);
            warnings.push(sample.warnings);
            first.get_or_insert(sample.dataset);
        }
        let dataset = first.ok_or("a batch without studies")?;
        let plain = dataset.collate(plan, plain)?;
        let mirrored = self.flip.then(|| dataset.collate(&mirror(plan), mirrored)).transpose()?;
        Ok((PlainAndMirrored { plain, mirrored, warnings }, ()))
    }
}

fn mirror(plan: &Plan) -> Plan {
    Plan { mirrored: true, ..plan.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::found_points::PointOrigin;

    #[test]
    fn grades_at_doubtful_points_are_mixed_and_those_at_reliable_ones_are_not() {
        let (graded, prior) = ([0.0, 0.0, 1.0], [1.0, 0.0, 0.0]);
        let at = |reliability| Some(FoundPoint { position_mm: [0.0; 3], reliability, origin: PointOrigin::Sagittal });
        assert_eq!(mixed(&graded, &prior, None), prior);
        assert_eq!(mixed(&graded, &prior, at(0.95)), graded);
        assert_eq!(mixed(&graded, &prior, at(0.45)), [0.5, 0.0, 0.5]);
    }
}

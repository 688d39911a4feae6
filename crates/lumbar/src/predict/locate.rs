//! Finding points with trained localisers.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use tch::Device;

use super::{PointReliability, median_points, unlikely_steps};
use crate::anatomy::{Condition, Level, MEAN_CANAL_STEP_MM, MOST_UNEVEN_CANAL_STEPS, Target};
use crate::data::StudyId;
use crate::data::found_points::{FoundPoint, FoundPoints, StudyFoundPoints};
use crate::data::loader::{Loader, LoaderConfig, Plan};
use crate::data::manifest::StudyRecord;
use crate::data::recess::RecessModel;
use crate::data::study::Study;
use crate::model::UNetInference;
use crate::tasks::locate::{Localiser, LocateTask, Locating};
use crate::tasks::{Task as _, TaskError};
use crate::train::network::{Mode, Network as _};
use crate::train::{Objective as _, TrainError};

/// Points below this reliability are reported.
const UNCERTAIN: f64 = 0.5;

/// Trained localisers that find points together.
#[derive(Debug)]
pub struct Localisers<'a> {
    /// The task.
    pub task: &'a LocateTask,
    /// Its networks: one a fold.
    pub networks: &'a [Localiser],
    /// Where recesses are beside canal and foramina; without it they have no points.
    pub recess: Option<&'a RecessModel>,
    /// How far points are to be trusted.
    pub reliability: PointReliability,
    /// Studies a batch.
    pub batch_size: usize,
    /// Whether the networks are prepared for inference ([`UNetInference`]), where their kernels serve them: faster, the
    /// maps equal within 1e-4 of their greatest magnitude.
    pub folded: bool,
    /// How batches are made ahead of their use.
    pub loader: LoaderConfig,
    /// Where the networks are.
    pub device: Device,
}

/// Points that were found, and what was missing on the way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Located {
    /// The points of every study that was asked for.
    pub points: FoundPoints,
    /// What was missing, unreadable or not found, in words; studies without such have no entry.
    pub warnings: BTreeMap<StudyId, Vec<String>>,
}

impl Localisers<'_> {
    /// Finds the points of studies: the median over the networks, recesses from canal and foramina, calibrated
    /// reliabilities. `progress` is called with the number of studies that are done.
    ///
    /// No study is refused: what cannot be read or found is reported.
    ///
    /// # Errors
    /// When a study is named twice, or a network refuses its batch.
    pub fn locate(&self, records: &[&StudyRecord], progress: &mut dyn FnMut(usize)) -> Result<Located, LocateError> {
        let mut located = Located::default();
        let inference = self.inference()?;
        for records in records.chunks(self.batch_size) {
            let found = self.sagittal(records, inference.as_deref(), &mut located)?;
            let (recess, reliability) = (self.recess, self.reliability);
            let complete = records.par_iter().map(|record| complete(record, &found[&record.id], recess, &reliability));
            let complete: Vec<StudyFoundPoints> = complete.collect();
            for (record, points) in records.iter().zip(complete) {
                let told = located.warnings.entry(record.id).or_default();
                told.extend(words(&points));
                if told.is_empty() {
                    located.warnings.remove(&record.id);
                }
                located.points.insert(record.id, points).map_err(TrainError::from)?;
            }
            progress(located.points.len());
        }
        Ok(located)
    }

    /// The networks prepared for inference; `None` if that is not asked for or not possible.
    fn inference(&self) -> Result<Option<Vec<UNetInference>>, LocateError> {
        let (source, reduction) = (&self.task.source, self.task.unet.reduction());
        let fits = source.width_px.is_multiple_of(reduction) && source.height_px.is_multiple_of(reduction);
        if !self.folded || !fits {
            return Ok(None);
        }
        let networks = self.networks.iter().map(|Localiser(unet)| UNetInference::of(unet));
        Ok(networks.collect::<Result<_, _>>().map_err(TaskError::from)?)
    }

    /// What each network finds in each study.
    fn sagittal(
        &self,
        records: &[&StudyRecord],
        inference: Option<&[UNetInference]>,
        located: &mut Located,
    ) -> Result<BTreeMap<StudyId, Vec<StudyFoundPoints>>, LocateError> {
        let studies: Vec<StudyId> = records.iter().map(|record| record.id).collect();
        let dataset = Arc::new(self.task.open(records, None, &())?);
        for &study in &studies {
            let warnings = LocateTask::warnings(&dataset, study);
            located.warnings.entry(study).or_default().extend(warnings);
        }
        if let Some(networks) = inference {
            let find = |&study: &StudyId| Ok((study, dataset.find(study, networks).map_err(TrainError::Network)?));
            return studies.par_iter().map(find).collect();
        }
        let objective = Locating::default();
        let mut found: BTreeMap<StudyId, Vec<StudyFoundPoints>> = BTreeMap::new();
        // one study a batch: a study has up to 60 slices
        for batch in
            Loader::start(dataset, Plan::in_order(&studies, 1), &self.loader, self.device).map_err(TrainError::from)?
        {
            let batch = batch.map_err(TrainError::from)?;
            for network in self.networks {
                let mut table = FoundPoints::new();
                tch::no_grad(|| {
                    let output = network.forward(&batch.inputs, Mode::Eval).map_err(TrainError::Network)?;
                    objective.predict(&mut table, &batch.studies, &output, &batch.truth)
                })?;
                table.iter().for_each(|(study, points)| found.entry(study).or_default().push(*points));
            }
        }
        Ok(found)
    }
}

/// The median with recesses and calibrated reliabilities.
fn complete(
    record: &StudyRecord,
    found: &[StudyFoundPoints],
    recess: Option<&RecessModel>,
    reliability: &PointReliability,
) -> StudyFoundPoints {
    let median = median_points(found);
    let points = median.map(|point| point.map(|(point, _)| point));
    let complete = match (recess, Study::open(record)) {
        (Some(recess), Ok(study)) => recess.complete(&study, &points),
        _ => points,
    };
    let agreement = |target: Target| {
        let canal = Target::new(Condition::SpinalCanalStenosis, target.level);
        median[target.index()].or(median[canal.index()]).map_or(1.0, |(_, agreement)| agreement)
    };
    let calibrated = reliability.apply(&complete);
    Target::ALL.map(|target| {
        let point = calibrated[target.index()]?;
        Some(FoundPoint { reliability: point.reliability * agreement(target), ..point })
    })
}

/// Why points could not be looked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// Studies could not be decoded.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A network refused its batch, or a study was named twice.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Targets without a point and with an uncertain one, a sentence for each condition; one sentence about all points if
/// no lumbar spine has them.
fn words(points: &StudyFoundPoints) -> Vec<String> {
    let mut words = Vec::new();
    let unlikely = unlikely_steps(points);
    if let Some(steps) = unlikely {
        let (least, most) = (MEAN_CANAL_STEP_MM.start(), MEAN_CANAL_STEP_MM.end());
        words.push(format!(
            "the canal's points are {:.1} mm apart on average and their largest step is {:.1} times the smallest; in an \
             adult's lumbar spine {least} to {most} mm and at most {MOST_UNEVEN_CANAL_STEPS} are expected: the images \
             may show another body part, their pixel spacing may be wrong, or a level has the wrong name; none of the \
             points is used",
            steps.mean_mm, steps.unevenness
        ));
    }
    let at = |condition: Condition, is_so: &dyn Fn(Option<FoundPoint>) -> bool| {
        let levels = Level::ALL.into_iter().filter(|level| is_so(points[Target::new(condition, *level).index()]));
        levels.map(|level| level.to_string()).collect::<Vec<_>>().join(", ")
    };
    for condition in Condition::ALL {
        let missing = at(condition, &|point| point.is_none());
        let uncertain = at(condition, &|point| point.is_some_and(|point| point.reliability < UNCERTAIN));
        if !missing.is_empty() {
            words.push(format!("{condition}: no point was found at {missing}"));
        }
        if !uncertain.is_empty() && unlikely.is_none() {
            words.push(format!("{condition}: the points at {uncertain} are uncertain"));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::found_points::PointOrigin;
    use crate::data::loader::Dataset as _;
    use crate::predict::LocaliserFile;
    use crate::tasks::locate::{LocateSource, SyntheticStudies};

    #[test]
    fn networks_that_are_prepared_for_inference_find_the_same_points() {
        let LocaliserFile { task, networks, .. } = LocaliserFile::shipped(Device::Cpu).unwrap();
        let studies = SyntheticStudies { studies: 1, validation: 1, ..SyntheticStudies::default() };
        let source = LocateSource::synthetic(&studies, &task.source, 0).unwrap();
        let (study, plan) = (StudyId(1), Plan::in_order(&[StudyId(1)], 1));
        let inference = networks.iter().filter_map(|Localiser(unet)| UNetInference::of(unet).unwrap());
        let inference: Vec<UNetInference> = inference.collect();
        let served = if torch_ext::cpu_kernels::are_used_with_avx2() { networks.len() } else { 0 };
        assert_eq!(inference.len(), served);
        let found = source.find(study, &inference).unwrap();
        let (inputs, truth) = source.collate(&plan, vec![source.sample(&plan, study).unwrap()]).unwrap();
        for (network, found) in networks.iter().zip(found) {
            let output = tch::no_grad(|| network.forward(&inputs, Mode::Eval)).unwrap();
            let mut table = FoundPoints::new();
            Locating::default().predict(&mut table, &[study], &output, &truth).unwrap();
            let expected = table.get(study).unwrap();
            assert!(expected.iter().flatten().count() >= 12, "{expected:?}");
            for (found, expected) in found.iter().zip(expected) {
                let (Some(found), Some(expected)) = (found, expected) else {
                    assert_eq!(found.is_some(), expected.is_some());
                    continue;
                };
                let off = (0..3).map(|k| (found.position_mm[k] - expected.position_mm[k]).abs()).fold(0.0, f64::max);
                assert!(off < 0.01, "{off} mm");
                assert!((found.reliability - expected.reliability).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn missing_and_uncertain_points_are_told_by_condition_and_level() {
        let point =
            |reliability| Some(FoundPoint { position_mm: [0.0; 3], reliability, origin: PointOrigin::Sagittal });
        let mut points = [point(0.9); Target::COUNT];
        for target in Target::ALL {
            points[target.index()].as_mut().unwrap().position_mm[2] = -35.0 * target.level.index() as f64;
        }
        assert_eq!(words(&points), Vec::<String>::new());
        let half = points.map(|point| {
            let point = point?;
            Some(FoundPoint { position_mm: point.position_mm.map(|mm| mm / 2.0), ..point })
        });
        let [said] = &words(&half)[..] else { panic!("{:?}", words(&half)) };
        assert!(said.starts_with("the canal's points are 17.5 mm apart on average"), "{said}");
        assert!(said.contains("24 to 50 mm and at most 1.75 are expected"), "{said}");
        (points[1], points[4], points[8]) = (None, None, point(0.3));
        assert_eq!(
            words(&points),
            [
                "Spinal Canal Stenosis: no point was found at L2/L3, L5/S1",
                "Left Neural Foraminal Narrowing: the points at L4/L5 are uncertain"
            ]
        );
    }
}

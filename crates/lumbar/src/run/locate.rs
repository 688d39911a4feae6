//! The points of a run with a localiser.

use std::fs;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tch::Device;

use super::{Run, RunError};
use crate::anatomy::Target;
use crate::data::StudyId;
use crate::data::atomic;
use crate::data::found_points::FoundPoints;
use crate::data::manifest::StudyRecord;
use crate::data::recess::RecessModel;
use crate::data::study::{Study, StudyPoints};
use crate::metric::{ConstantBaseline, PredictionTable};
use crate::predict::{Localisers, Located, PointReliability, PointReport, mixed};
use crate::tasks::Task as _;
use crate::tasks::locate::LocateTask;

/// What `locate/recess.json` holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecessModels {
    /// For each fold, from the annotations of the others; `None` where these are too few.
    folds: Vec<Option<RecessModel>>,
    /// From all annotations, for new studies.
    all: Option<RecessModel>,
}

impl Run {
    /// Finds the points of studies of any data set with all localisers of the run: the median over folds, recesses from
    /// canal and foramina, calibrated reliabilities.
    ///
    /// No study is refused: what cannot be read or found is reported. `progress` is called with the number of studies
    /// that are done and of all.
    ///
    /// # Errors
    /// [`RunError::NoLocaliser`] for a run without one, [`crate::train::TrainError::MissingFolds`] when a fold of it is
    /// not trained to its end, and when a study is named twice or a network refuses its batch.
    pub fn locate(
        &self,
        records: &[&StudyRecord],
        device: Device,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Located, RunError> {
        let localiser = self.needed_localiser()?;
        let missing = localiser.missing_folds();
        if !missing.is_empty() {
            return Err(crate::train::TrainError::MissingFolds { missing, total: self.fold_count() }.into());
        }
        let task: &LocateTask = localiser.config.task.get().ok_or_else(|| localiser.other_task("locate"))?;
        let networks = (0..localiser.fold_count())
            .map(|fold| localiser.trained(fold, task.network(None, None, device)?))
            .collect::<Result<Vec<_>, _>>()?;
        let path = self.folder.join("reliability.json");
        let text = fs::read_to_string(&path).map_err(|source| RunError::file(&path, source))?;
        let saved: serde_json::Value = serde_json::from_str(&text).map_err(|error| RunError::format(&path, error))?;
        let reliability =
            PointReliability::deserialize(&saved["model"]).map_err(|error| RunError::format(&path, error))?;
        let recess = self.recess_models()?.all;
        let localisers = Localisers {
            task,
            networks: &networks,
            recess: recess.as_ref(),
            reliability,
            batch_size: self.config.predict.batch_size,
            folded: self.config.predict.folded,
            loader: localiser.config.train.loader,
            device,
        };
        Ok(localisers.locate(records, &mut |done| progress(done, records.len()))?)
    }

    /// The out-of-fold points of all its studies with calibrated reliabilities: each found by the localiser whose
    /// training did not include the study, and calibrated on the other folds.
    ///
    /// # Errors
    /// [`RunError::NoLocaliser`] for a run without one, and when a localiser is not trained to its end.
    pub fn points(&self) -> Result<FoundPoints, RunError> {
        self.needed_localiser()?;
        Ok(FoundPoints::read(&self.folder.join("points.csv"))?)
    }

    /// The annotated points of all its studies in patient mm.
    ///
    /// # Errors
    /// [`RunError::NoLocaliser`] for a run without one, and when its training has not begun.
    pub fn annotated_points(&self) -> Result<FoundPoints, RunError> {
        Ok(FoundPoints::read(&self.needed_localiser()?.folder.join("annotated.csv"))?)
    }

    fn needed_localiser(&self) -> Result<&Self, RunError> {
        self.localiser().ok_or_else(|| RunError::NoLocaliser { folder: self.folder.clone() })
    }

    /// What the localiser of a fold found in the fold's studies, with recesses; the reliabilities are not calibrated.
    /// Written to the localiser's fold when it is first asked for.
    ///
    /// # Errors
    /// [`RunError::NoLocaliser`] for a run without one, and when the fold's localiser is not trained to its end.
    pub fn fold_points(&self, fold: usize) -> Result<FoundPoints, RunError> {
        let localiser = self.needed_localiser()?;
        let folder = localiser.fold_folder(fold);
        let path = folder.join("points.csv");
        if path.exists() {
            return Ok(FoundPoints::read(&path)?);
        }
        let sagittal = FoundPoints::read(&folder.join("out_of_fold.csv"))?;
        let recess = self.recess_models()?.folds.into_iter().nth(fold).flatten();
        let complete = self.records.par_iter().filter_map(|record| {
            let points = sagittal.get(record.id)?;
            let complete = match (&recess, Study::open(record)) {
                (Some(recess), Ok(study)) => recess.complete(&study, points),
                _ => *points,
            };
            Some((record.id, complete))
        });
        let complete: Vec<_> = complete.collect();
        let mut table = FoundPoints::new();
        complete.into_iter().try_for_each(|(study, points)| table.insert(study, points))?;
        table.write(&path)?;
        Ok(table)
    }

    /// Where recesses are, learned when it is first asked for.
    fn recess_models(&self) -> Result<RecessModels, RunError> {
        let path = self.needed_localiser()?.folder.join("recess.json");
        if path.exists() {
            let text = fs::read_to_string(&path).map_err(|source| RunError::file(&path, source))?;
            return serde_json::from_str(&text).map_err(|error| RunError::format(&path, error));
        }
        let annotated = self.write_annotated()?;
        let of = |keep: &dyn Fn(StudyId) -> bool| {
            RecessModel::fit(annotated.iter().filter(|(study, _)| keep(*study)).map(|(_, points)| points))
        };
        let folds = (0..self.fold_count()).map(|fold| of(&|study| self.fold_of(study) != Some(fold))).collect();
        let models = RecessModels { folds, all: of(&|_| true) };
        let text = serde_json::to_string(&models).map_err(|error| RunError::format(&path, error))?;
        atomic::write(&path, text.as_bytes()).map_err(|source| RunError::file(&path, source))?;
        // as a later call reads them: a number's last bit may be lost in JSON
        serde_json::from_str(&text).map_err(|error| RunError::format(&path, error))
    }

    fn write_annotated(&self) -> Result<FoundPoints, RunError> {
        let path = self.needed_localiser()?.folder.join("annotated.csv");
        let points = self.records.par_iter().map(|record| {
            let points = Study::open(record).map(|study| StudyPoints::locate(&study, record).annotated());
            // A study that cannot be opened has no points; the localiser's training has reported it.
            (record.id, points.unwrap_or([None; Target::COUNT]))
        });
        let points: Vec<_> = points.collect();
        let mut table = FoundPoints::new();
        points.into_iter().try_for_each(|(study, points)| table.insert(study, points))?;
        table.write(&path)?;
        Ok(table)
    }

    /// Writes `points.csv` and `reliability.json`, when all localisers are trained.
    pub(super) fn write_points(&self) -> Result<(), RunError> {
        let path = self.folder.join("points.csv");
        if path.exists() {
            return Ok(());
        }
        let mut found = FoundPoints::new();
        for fold in 0..self.fold_count() {
            found.merge(self.fold_points(fold)?)?;
        }
        self.recess_models()?;
        let annotated = self.annotated_points()?;
        let mut calibrated = FoundPoints::new();
        for fold in 0..self.fold_count() {
            let others = found.filter(|study| self.fold_of(study) != Some(fold));
            let reliability = PointReliability::fit(&others, &annotated);
            for (study, points) in found.iter().filter(|(study, _)| self.fold_of(*study) == Some(fold)) {
                calibrated.insert(study, reliability.apply(points))?;
            }
        }
        let (model, report) = (PointReliability::fit(&found, &annotated), PointReport::new(&calibrated, &annotated));
        let json = serde_json::json!({ "model": model, "report": report });
        let report_path = self.folder.join("reliability.json");
        let text = serde_json::to_string_pretty(&json).map_err(|error| RunError::format(&report_path, error))?;
        atomic::write(&report_path, text.as_bytes()).map_err(|source| RunError::file(&report_path, source))?;
        Ok(calibrated.write(&path)?)
    }

    /// Out-of-fold grades mixed with the prior of the other folds by the reliability of their points; as they are in a
    /// run without a localiser.
    pub(super) fn mixed(&self, graded: PredictionTable) -> Result<PredictionTable, RunError> {
        if self.localiser.is_none() {
            return Ok(graded);
        }
        let points = self.points()?;
        let priors = ConstantBaseline::best_out_of_fold(&self.labels, |study| self.fold_of(study))?;
        let mut table = PredictionTable::new();
        for (study, row) in graded.iter() {
            let (points, prior) = (points.get(study), priors.get(study));
            let row = std::array::from_fn(|target| match (points, prior) {
                (Some(points), Some(prior)) => mixed(&row[target], &prior[target], points[target]),
                _ => row[target],
            });
            table.insert(study, row)?;
        }
        Ok(table)
    }
}

//! Predicting studies with the folds of a run.

use tch::Device;

use super::{Run, RunError};
use crate::data::found_points::FoundPoints;
use crate::data::manifest::StudyRecord;
use crate::metric::PredictionTable;
use crate::predict::{Ensemble, LocaliserFile, Predictions, Temperature};
use crate::tasks::crops::CropsTask;
use crate::tasks::grading::GradeTruth;
use crate::tasks::{GradingTask, GradingVisitor, Task};
use crate::train::TrainError;
use crate::train::network::Network;

impl Run {
    /// Predicts studies of any data set with all folds: the mean over folds and mirror images, probabilities scaled by
    /// the run's temperatures, the prior where no image shows a target: see [`Ensemble::predict`]. A run with a
    /// localiser finds the points first ([`Run::locate`]) and mixes grades with the prior by their reliabilities.
    ///
    /// No study is refused: what cannot be read is reported and predicted from the prior. `progress` is called with
    /// the number of studies that are done and of all.
    ///
    /// # Errors
    /// [`TrainError::MissingFolds`] when a fold is not trained to its end; when the task does not grade studies, a
    /// study is named twice, or a network refuses its batch.
    pub fn predict(
        &self,
        records: &[&StudyRecord],
        device: Device,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Predictions, RunError> {
        let missing = self.missing_folds();
        if !missing.is_empty() {
            return Err(TrainError::MissingFolds { missing, total: self.fold_count() }.into());
        }
        let folds: Vec<usize> = (0..self.fold_count()).collect();
        if self.localiser.is_none() {
            return self.visit_grading(Predict {
                run: self,
                folds: &folds,
                records,
                points: None,
                device,
                progress,
            })?;
        }
        // each study counts once: half of it when its points are found
        let total = records.len();
        let located = self.locate(records, device, &mut |done, _| progress(done / 2, total))?;
        let mut second = |done: usize, _: usize| progress(usize::midpoint(total, done), total);
        let points = Some(&located.points);
        let predict = Predict { run: self, folds: &folds, records, points, device, progress: &mut second };
        let mut predictions = self.visit_grading(predict)??;
        predictions.add_warnings(&located.warnings);
        Ok(predictions)
    }

    /// Whether the run grades at points, has no localiser of its own, and some of the studies have no annotated
    /// points: [`Run::predict`] predicts these from the prior, [`Run::predict_with`] finds their points.
    #[must_use]
    pub fn needs_localiser(&self, records: &[&StudyRecord]) -> bool {
        let is_at_points = self.config.task.get::<CropsTask>().is_some();
        is_at_points && self.localiser.is_none() && records.iter().any(|record| record.points.is_empty())
    }

    /// Predicts studies as [`Run::predict`] does, those without annotated points at the points that `localiser` finds.
    /// Studies with annotated points are graded at these.
    ///
    /// # Errors
    /// Those of [`Run::predict`], and when the run's task does not look at points.
    pub fn predict_with(
        &self,
        localiser: &LocaliserFile,
        records: &[&StudyRecord],
        device: Device,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Predictions, RunError> {
        let (bare, annotated): (Vec<&StudyRecord>, Vec<&StudyRecord>) =
            records.iter().partition(|record| record.points.is_empty());
        let (total, done) = (records.len(), annotated.len());
        let mut one = self.predict(&annotated, device, &mut |done, _| progress(done, total))?;
        let located = localiser.locate(&bare, device, &mut |found, _| progress(done + found / 2, total))?;
        let folds: Vec<usize> = (0..self.fold_count()).collect();
        let mut second = |graded: usize, _: usize| progress(done + usize::midpoint(bare.len(), graded), total);
        let points = Some(&located.points);
        let predict = Predict { run: self, folds: &folds, records: &bare, points, device, progress: &mut second };
        let mut other = self.visit_grading(predict)??;
        other.add_warnings(&located.warnings);
        let mut table = PredictionTable::new();
        for record in records {
            if let Some(row) = other.table.get(record.id).or_else(|| one.table.get(record.id)) {
                table.insert(record.id, *row)?;
            }
        }
        one.warnings.extend(other.warnings);
        Ok(Predictions { table, warnings: one.warnings, points: other.points })
    }

    /// Predicts studies with the graders of some folds at points that are given: annotated ones, a localiser's, or
    /// points that were moved to see what that costs. Grades are mixed with the prior by the points' reliabilities, and
    /// scaled by the run's temperatures once all its folds are trained.
    ///
    /// # Errors
    /// When a fold does not exist or has no checkpoint, the task does not grade studies, a study is named twice, or a
    /// network refuses its batch.
    pub fn predict_at(
        &self,
        folds: &[usize],
        records: &[&StudyRecord],
        points: &FoundPoints,
        device: Device,
    ) -> Result<Predictions, RunError> {
        folds.iter().try_for_each(|&fold| self.split(fold).map(|_| ()))?;
        self.visit_grading(Predict {
            run: self,
            folds,
            records,
            points: Some(points),
            device,
            progress: &mut |_, _| {},
        })?
    }
}

struct Predict<'a> {
    run: &'a Run,
    folds: &'a [usize],
    records: &'a [&'a StudyRecord],
    points: Option<&'a FoundPoints>,
    device: Device,
    progress: &'a mut dyn FnMut(usize, usize),
}

impl GradingVisitor for Predict<'_> {
    type Output = Result<Predictions, RunError>;

    fn visit<T: GradingTask>(self, task: &T) -> Self::Output {
        let networks = self
            .folds
            .iter()
            .map(|&fold| self.run.trained(fold, task.network(None, None, self.device)?))
            .collect::<Result<Vec<_>, _>>()?;
        if self.run.config.predict.folded {
            let folded = networks.iter().map(|network| task.folded(network)).collect::<Result<Vec<_>, _>>()?;
            drop(networks);
            self.with_networks(task, &folded)
        } else {
            self.with_networks(task, &networks)
        }
    }
}

impl Predict<'_> {
    fn with_networks<T, N>(self, task: &T, networks: &[N]) -> Result<Predictions, RunError>
    where
        T: Task<Truth = GradeTruth>,
        N: Network<Inputs = T::Inputs>,
    {
        let config = &self.run.config;
        // temperatures are fitted to the out-of-fold predictions of all folds
        let is_fitted = config.predict.temperature && self.run.missing_folds().is_empty();
        let temperature = if is_fitted { self.run.temperature()? } else { Temperature::ONE };
        let ensemble = Ensemble {
            task,
            networks,
            prior: &self.run.prior,
            points: self.points,
            temperature,
            config: &config.predict,
            loader: config.train.loader,
            device: self.device,
        };
        Ok(ensemble.predict(self.records, self.progress)?)
    }
}

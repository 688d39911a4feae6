//! The folds of one run: trained one by one, in one process or several, then merged into one out-of-fold table.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Device;

use super::fold::{FoldJob, FoldOutcome, FoldSplit};
use super::network::Network;
use super::objective::{Objective, OutOfFold};
use super::observer::{Observer, StopToken};
use super::{TrainConfig, TrainError};
use crate::data::loader::Dataset;
use crate::data::{StudyId, atomic};

/// A run folder: `config.toml`, `fold-0/` …, `out_of_fold.csv`.
#[derive(Debug, Clone)]
pub struct CrossValidation {
    folder: PathBuf,
    config: TrainConfig,
    folds: Vec<Vec<StudyId>>,
}

impl CrossValidation {
    /// Opens a run: a new one writes its config, an existing one must have the same.
    ///
    /// # Errors
    /// When the config is out of range, the folder contains a run with another config, there are fewer than two
    /// folds, a fold is empty, or a study is in two folds.
    pub fn open(folder: &Path, config: &TrainConfig, folds: Vec<Vec<StudyId>>) -> Result<Self, TrainError> {
        config.check()?;
        if folds.len() < 2 || folds.iter().any(Vec::is_empty) {
            return Err(TrainError::Nothing("cross-validation needs at least two folds, none of them empty"));
        }
        let mut studies: Vec<&StudyId> = folds.iter().flatten().collect();
        studies.sort_unstable();
        if let Some(twice) = studies.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(crate::metric::MetricError::DuplicateStudy { study: *twice[0] }.into());
        }
        fs::create_dir_all(folder).map_err(|source| TrainError::File { path: folder.to_owned(), source })?;
        let path = folder.join("config.toml");
        if path.exists() {
            let text = fs::read_to_string(&path).map_err(|source| TrainError::File { path: path.clone(), source })?;
            let found = TrainConfig::from_toml(&text, &path.display().to_string())?;
            let differences = config.differences(&found);
            if !differences.is_empty() {
                return Err(TrainError::OtherConfig { folder: folder.to_owned(), differences });
            }
        } else {
            atomic::write(&path, config.to_toml()?.as_bytes())
                .map_err(|source| TrainError::File { path: path.clone(), source })?;
        }
        Ok(Self { folder: folder.to_owned(), config: config.clone(), folds })
    }

    /// How many folds there are.
    #[must_use]
    pub fn fold_count(&self) -> usize {
        self.folds.len()
    }

    /// The folder of a fold's files.
    #[must_use]
    pub fn fold_folder(&self, fold: usize) -> PathBuf {
        self.folder.join(format!("fold-{fold}"))
    }

    /// The studies of a fold; `None` if there is no such fold.
    #[must_use]
    pub fn split(&self, fold: usize) -> Option<FoldSplit> {
        let validation = self.folds.get(fold)?.clone();
        let others = self.folds.iter().enumerate().filter(|(other, _)| *other != fold);
        Some(FoldSplit { fold, training: others.flat_map(|(_, studies)| studies.clone()).collect(), validation })
    }

    /// Trains one fold, or continues with it: see [`FoldJob::fit`]. The two data sets make the batches of training and of
    /// validation.
    ///
    /// # Errors
    /// When there is no such fold, and those of [`FoldJob::fit`].
    #[allow(clippy::too_many_arguments, reason = "the fields of a FoldJob")]
    pub fn fit_fold<N, D, O>(
        &self,
        fold: usize,
        network: &N,
        [dataset, validation]: [&Arc<D>; 2],
        objective: &O,
        device: Device,
        stop: &StopToken,
        observer: &mut dyn Observer,
    ) -> Result<FoldOutcome<O::Table>, TrainError>
    where
        N: Network,
        O: Objective,
        D: Dataset<Inputs = N::Inputs, Truth = O::Truth>,
    {
        let split = self.split(fold).ok_or(TrainError::Nothing("there is no such fold"))?;
        let folder = self.fold_folder(fold);
        let (split, config, folder) = (&split, &self.config, folder.as_path());
        FoldJob { network, dataset, validation, objective, split, config, device, folder }.fit(stop, observer)
    }

    /// The out-of-fold table of all folds, written to `out_of_fold.csv` too.
    ///
    /// # Errors
    /// [`TrainError::MissingFolds`] names the folds that are not trained to their end.
    pub fn merge<T: OutOfFold>(&self) -> Result<T, TrainError> {
        let path = |fold| self.fold_folder(fold).join("out_of_fold.csv");
        let missing: Vec<usize> = (0..self.fold_count()).filter(|&fold| !path(fold).exists()).collect();
        if !missing.is_empty() {
            return Err(TrainError::MissingFolds { missing, total: self.fold_count() });
        }
        let mut merged = T::default();
        for (fold, studies) in self.folds.iter().enumerate() {
            let table = T::read(&path(fold))?;
            for &study in studies {
                if !merged.add(study, &table)? {
                    let reason = format!("it has no rows of study {study}");
                    return Err(TrainError::OutOfFold { path: path(fold), reason });
                }
            }
        }
        merged.write(&self.folder.join("out_of_fold.csv"))?;
        Ok(merged)
    }
}

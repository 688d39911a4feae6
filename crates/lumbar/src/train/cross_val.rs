//! Folds of one run: each trained on its own (in sequence, or each by a process of its own), then merged into
//! one out-of-fold table.

use std::fs;
use std::path::{Path, PathBuf};

use tch::Device;

use super::fold::{FoldOutcome, Split, fit};
use super::network::{Network, Source};
use super::observer::{Observer, StopToken};
use super::{TrainConfig, TrainError, atomic};
use crate::metric::PredictionTable;
use crate::predict::{read_predictions, write_predictions};

/// A run folder: `config.toml`, `fold-0/` …, `out_of_fold.csv`.
#[derive(Debug, Clone)]
pub struct CrossValidation {
    folder: PathBuf,
    config: TrainConfig,
    folds: Vec<Vec<String>>,
}

impl CrossValidation {
    /// Opens a run: a new one writes its config, an existing one must have the same.
    ///
    /// # Errors
    /// When the config is out of range, the folder holds a run with another config, there are fewer than two
    /// folds, a fold is empty, or a study is in two folds.
    pub fn open(folder: &Path, config: &TrainConfig, folds: Vec<Vec<String>>) -> Result<Self, TrainError> {
        config.check()?;
        if folds.len() < 2 || folds.iter().any(Vec::is_empty) {
            return Err(TrainError::Nothing("cross-validation needs at least two folds, none of them empty"));
        }
        let mut studies: Vec<&String> = folds.iter().flatten().collect();
        studies.sort_unstable();
        if let Some(twice) = studies.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(crate::metric::MetricError::DuplicateStudy { study: twice[0].clone() }.into());
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

    /// Where a fold keeps its files.
    #[must_use]
    pub fn fold_folder(&self, fold: usize) -> PathBuf {
        self.folder.join(format!("fold-{fold}"))
    }

    /// The studies of a fold, if there is such a fold.
    #[must_use]
    pub fn split(&self, fold: usize) -> Option<Split> {
        let validation = self.folds.get(fold)?.clone();
        let others = self.folds.iter().enumerate().filter(|(other, _)| *other != fold);
        Some(Split { fold, training: others.flat_map(|(_, studies)| studies.clone()).collect(), validation })
    }

    /// Trains one fold, or goes on with it: for a process of its own.
    ///
    /// # Errors
    /// When there is no such fold, and those of [`fit`].
    #[allow(clippy::too_many_arguments, reason = "see fit")]
    pub fn fit_fold<N: Network, S: Source<N::Inputs>>(
        &self,
        fold: usize,
        network: &N,
        source: &S,
        device: Device,
        stop: &StopToken,
        observer: &mut dyn Observer,
    ) -> Result<FoldOutcome, TrainError> {
        let split = self.split(fold).ok_or(TrainError::Nothing("there is no such fold"))?;
        fit(network, source, &split, &self.config, device, &self.fold_folder(fold), stop, observer)
    }

    /// Trains all folds in sequence and merges them; none when asked to stop. `network` makes each fold's own,
    /// fresh network.
    ///
    /// # Errors
    /// Those of `network`, of [`fit`] and of [`CrossValidation::merge`].
    pub fn fit<N: Network, S: Source<N::Inputs>>(
        &self,
        mut network: impl FnMut(usize) -> Result<N, TrainError>,
        source: &S,
        device: Device,
        stop: &StopToken,
        observer: &mut dyn Observer,
    ) -> Result<Option<PredictionTable>, TrainError> {
        for fold in 0..self.fold_count() {
            let outcome = self.fit_fold(fold, &network(fold)?, source, device, stop, observer)?;
            if outcome == FoldOutcome::Stopped {
                return Ok(None);
            }
        }
        self.merge().map(Some)
    }

    /// The out-of-fold table of all folds, written to `out_of_fold.csv` too.
    ///
    /// # Errors
    /// [`TrainError::MissingFolds`] names the folds that are not trained to their end.
    pub fn merge(&self) -> Result<PredictionTable, TrainError> {
        let path = |fold| self.fold_folder(fold).join("out_of_fold.csv");
        let missing: Vec<usize> = (0..self.fold_count()).filter(|&fold| !path(fold).exists()).collect();
        if !missing.is_empty() {
            return Err(TrainError::MissingFolds { missing, total: self.fold_count() });
        }
        let unreadable = |path: PathBuf, reason: String| TrainError::Checkpoint { path, reason };
        let mut merged = PredictionTable::new();
        for (fold, studies) in self.folds.iter().enumerate() {
            let table = read_predictions(&path(fold)).map_err(|error| unreadable(path(fold), error.to_string()))?;
            for study in studies {
                let row = table.get(study);
                let row = row.ok_or_else(|| unreadable(path(fold), format!("it has no rows of study {study}")))?;
                merged.insert(study, *row)?;
            }
        }
        let path = self.folder.join("out_of_fold.csv");
        write_predictions(&path, &merged).map_err(|error| unreadable(path.clone(), error.to_string()))?;
        Ok(merged)
    }
}

//! Folds: studies split into k parts in which every target's severities are as frequent as in all studies.
//!
//! Iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011) over the 75 indicators "target t is graded
//! s"; a missing label has no indicator. The unit is the study, so no patient is in two folds.

mod stratify;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use lumbar_dicom::counted;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use serde::{Deserialize, Serialize};

use super::manifest::Labels;
use super::names::{one_line, quoted_path};
use super::{StudyId, atomic};
use crate::anatomy::{Severity, Target};

/// The fold of each study; stored with a run.
///
/// ```
/// use lumbar::anatomy::Severity;
/// use lumbar::data::{StudyId, folds::Folds, manifest::Labels};
///
/// let studies: Vec<_> = (0..20)
///     .map(|k| (StudyId(k), Labels([Some(if k % 4 == 0 { Severity::Severe } else { Severity::Moderate }); 25])))
///     .collect();
/// let folds = Folds::new(&studies, 5, 42)?;
/// let (train, valid) = folds.split(0)?;
/// assert_eq!((train.len(), valid.len()), (16, 4));
/// assert_eq!(valid.iter().filter(|study| study.0 % 4 == 0).count(), 1);
/// # Ok::<(), lumbar::data::folds::FoldError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folds {
    folds: usize,
    seed: u64,
    assignment: BTreeMap<StudyId, usize>,
}

/// Why there are no folds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// There are too few or too many folds.
    #[error("{} cannot be split into {}, expected 2 to {studies}", counted(*studies, "study"), counted(*folds, "fold"))]
    Count {
        /// How many folds were asked for.
        folds: usize,
        /// How many studies there are.
        studies: usize,
    },
    /// A study is there twice.
    #[error("study {study} is there twice")]
    Twice {
        /// The study.
        study: StudyId,
    },
    /// There is no such fold.
    #[error("there is no fold {fold}, the folds are 0 to {}", folds - 1)]
    NoSuchFold {
        /// The fold that was asked for.
        fold: usize,
        /// How many there are.
        folds: usize,
    },
    /// The file cannot be read or written.
    #[error("folds in {}: {source}", quoted_path(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file has no valid folds.
    #[error("{} has no valid folds: {}", quoted_path(path), one_line(reason))]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Folds {
    /// Splits studies into `folds` parts. The order of `studies` does not matter; the seed decides between
    /// splits that are equally good.
    ///
    /// # Errors
    /// When there are fewer studies than folds, fewer than two folds, or a study is there twice.
    pub fn new(studies: &[(StudyId, Labels)], folds: usize, seed: u64) -> Result<Self, FoldError> {
        if folds < 2 || folds > studies.len() {
            return Err(FoldError::Count { folds, studies: studies.len() });
        }
        let sorted: BTreeMap<StudyId, &Labels> = studies.iter().map(|(study, labels)| (*study, labels)).collect();
        if sorted.len() != studies.len() {
            let mut seen = std::collections::BTreeSet::new();
            let twice = studies.iter().find(|(study, _)| !seen.insert(*study)).map(|(study, _)| *study);
            return Err(FoldError::Twice { study: twice.unwrap_or(StudyId(0)) });
        }
        let indicators: Vec<Vec<usize>> = sorted
            .values()
            .map(|labels| labels.iter().map(|(target, severity)| target.index() * 3 + severity.index()).collect())
            .collect();
        let mut random = super::random::generator(seed, 0, StudyId(0), "folds");
        let assigned = stratify::assign(&indicators, Target::COUNT * Severity::ALL.len(), folds, &mut random);
        Ok(Self { folds, seed, assignment: sorted.into_keys().zip(assigned).collect() })
    }

    /// How many folds there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.folds
    }

    /// Always false: there are at least two folds.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.folds == 0
    }

    /// The seed with which the folds were made.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The fold of a study; `None` if the study has none.
    #[must_use]
    pub fn of(&self, study: StudyId) -> Option<usize> {
        self.assignment.get(&study).copied()
    }

    /// Studies to train on and studies to validate on (those of `fold`), in rising order.
    ///
    /// # Errors
    /// When there is no such fold.
    pub fn split(&self, fold: usize) -> Result<(Vec<StudyId>, Vec<StudyId>), FoldError> {
        if fold >= self.folds {
            return Err(FoldError::NoSuchFold { fold, folds: self.folds });
        }
        let (valid, train): (Vec<_>, Vec<_>) = self.assignment.iter().partition(|(_, of)| **of == fold);
        let ids = |part: Vec<(&StudyId, &usize)>| part.into_iter().map(|(study, _)| *study).collect();
        Ok((ids(train), ids(valid)))
    }

    /// One row per study: `study_id`, `fold`.
    #[must_use]
    pub fn frame(&self) -> DataFrame {
        let studies: Vec<u64> = self.assignment.keys().map(|study| study.0).collect();
        let folds: Vec<u32> = self.assignment.values().map(|fold| *fold as u32).collect();
        let columns: Vec<Column> =
            vec![Series::new("study_id".into(), studies).into(), Series::new("fold".into(), folds).into()];
        DataFrame::new_infer_height(columns).expect("two columns of one map have one length")
    }

    /// How often each target has each severity in each fold.
    ///
    /// # Shapes
    /// `[fold][target][severity]`, over [`Target::ALL`] and [`Severity::ALL`].
    #[must_use]
    pub fn counts(&self, studies: &[(StudyId, Labels)]) -> Vec<[[usize; 3]; Target::COUNT]> {
        let mut counts = vec![[[0; 3]; Target::COUNT]; self.folds];
        for (study, labels) in studies {
            let Some(fold) = self.of(*study) else { continue };
            for (target, severity) in labels.iter() {
                counts[fold][target.index()][severity.index()] += 1;
            }
        }
        counts
    }

    /// Writes the folds as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FoldError> {
        let path = path.as_ref();
        let failed = |source| FoldError::Io { path: path.to_owned(), source };
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        atomic::write(path, text.as_bytes()).map_err(failed)
    }

    /// Reads what [`Folds::save`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read or has no valid folds.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FoldError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| FoldError::Io { path: path.to_owned(), source })?;
        let wrong = |reason: String| FoldError::Format { path: path.to_owned(), reason };
        let folds: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if let Some((study, fold)) = folds.assignment.iter().find(|(_, fold)| **fold >= folds.folds) {
            return Err(wrong(format!("study {study} is in fold {fold} of {}", folds.folds)));
        }
        if folds.folds < 2 {
            return Err(wrong(format!("{} folds, expected at least 2", folds.folds)));
        }
        Ok(folds)
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::data::random::generator;

    fn studies(count: u64) -> Vec<(StudyId, Labels)> {
        let mut random = generator(1, 0, StudyId(0), "labels");
        let mut draw = || match random.random_range(0..100) {
            0..3 => None,
            3..75 => Some(Severity::NormalMild),
            75..92 => Some(Severity::Moderate),
            _ => Some(Severity::Severe),
        };
        (0..count).map(|id| (StudyId(id * 17 + 5), Labels(std::array::from_fn(|_| draw())))).collect()
    }

    #[test]
    fn every_study_is_in_one_fold_and_folds_are_of_one_size() {
        let studies = studies(203);
        let folds = Folds::new(&studies, 5, 3).unwrap();
        let mut all = Vec::new();
        for fold in 0..5 {
            let (train, valid) = folds.split(fold).unwrap();
            assert!(valid.iter().all(|study| !train.contains(study)));
            assert_eq!(train.len() + valid.len(), 203);
            assert!((39..=43).contains(&valid.len()), "{}", valid.len());
            all.extend(valid);
        }
        all.sort_unstable();
        assert_eq!(all, studies.iter().map(|(study, _)| *study).collect::<Vec<_>>());
    }

    #[test]
    fn rare_severities_are_spread_evenly() {
        let studies = studies(500);
        let stratified = Folds::new(&studies, 5, 3).unwrap();
        let dealt = Folds {
            assignment: studies.iter().enumerate().map(|(k, (study, _))| (*study, k % 5)).collect(),
            ..stratified.clone()
        };
        // difference between the fullest and the emptiest fold, over all targets
        let spread = |folds: &Folds| -> usize {
            let counts = folds.counts(&studies);
            let severe = |target: usize| counts.iter().map(move |fold| fold[target][2]);
            (0..25).map(|target| severe(target).max().unwrap() - severe(target).min().unwrap()).sum()
        };
        assert!(3 * spread(&stratified) < spread(&dealt), "{} and {}", spread(&stratified), spread(&dealt));
    }

    #[test]
    fn the_order_of_studies_does_not_matter_and_the_seed_does() {
        let studies = studies(60);
        let reversed: Vec<_> = studies.iter().rev().copied().collect();
        assert_eq!(Folds::new(&studies, 5, 3).unwrap(), Folds::new(&reversed, 5, 3).unwrap());
        assert_ne!(Folds::new(&studies, 5, 3).unwrap().assignment, Folds::new(&studies, 5, 4).unwrap().assignment);
    }

    #[test]
    fn folds_survive_the_disk_and_a_broken_file_is_refused() {
        let path = std::env::temp_dir().join(format!("lumbar-folds-{}.json", std::process::id()));
        let folds = Folds::new(&studies(20), 4, 3).unwrap();
        folds.save(&path).unwrap();
        assert_eq!(Folds::load(&path).unwrap(), folds);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"folds\": 4", "\"folds\": 2")).unwrap();
        assert!(Folds::load(&path).unwrap_err().to_string().contains("is in fold"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn impossible_folds_are_refused() {
        let studies = studies(4);
        let error = Folds::new(&studies, 5, 0).unwrap_err();
        assert_eq!(error.to_string(), "4 studies cannot be split into 5 folds, expected 2 to 4");
        let twice = [studies[0], studies[1], studies[0]];
        assert_eq!(Folds::new(&twice, 2, 0).unwrap_err().to_string(), "study 5 is there twice");
        let folds = Folds::new(&studies, 2, 0).unwrap();
        assert_eq!(folds.split(2).unwrap_err().to_string(), "there is no fold 2, the folds are 0 to 1");
    }
}

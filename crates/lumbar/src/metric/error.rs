use crate::anatomy::Target;
use crate::data::StudyId;

/// Why labels and predictions could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The same study twice in one table.
    #[error("study {study} occurs twice")]
    DuplicateStudy {
        /// The study.
        study: StudyId,
    },
    /// The same study and target twice among the rows of one table.
    #[error("study {study} has more than one row for {target}")]
    DuplicateCell {
        /// The study.
        study: StudyId,
        /// The target.
        target: Target,
    },
    /// A study lacks rows.
    #[error("study {study} has no row for {target}: expected 25 rows a study, found {found}")]
    MissingCell {
        /// The study.
        study: StudyId,
        /// The first target without a row.
        target: Target,
        /// How many rows the study has.
        found: usize,
    },
    /// Studies with labels but without predictions.
    #[error("{} labelled studies are not predicted: {}", studies.len(), name_some(studies))]
    NotPredicted {
        /// The studies.
        studies: Vec<StudyId>,
    },
    /// Studies with predictions but without labels.
    #[error("{} predicted studies are not among the labelled ones: {}", studies.len(), name_some(studies))]
    NotLabelled {
        /// The studies.
        studies: Vec<StudyId>,
    },
    /// A prediction that is not a probability.
    #[error("{row}, {target}: probabilities {found:?}, expected three finite numbers ≥ 0, not all zero")]
    NotProbabilities {
        /// `study 7`, or what else the row belongs to.
        row: String,
        /// The target.
        target: Target,
        /// What was predicted for the three severities.
        found: [f64; 3],
    },
    /// A part of the score has no labelled row.
    #[error("no labelled row for the {part} part of the score")]
    NothingLabelled {
        /// The part's name.
        part: &'static str,
    },
    /// Two sets of predictions that are compared do not cover the same labels.
    #[error("the two sets of predictions differ in their labelled cells, first at study {study}")]
    NotPaired {
        /// The first study in which they differ.
        study: StudyId,
    },
    /// A study that is in no fold.
    #[error("study {study} is in no fold")]
    NoFold {
        /// The study.
        study: StudyId,
    },
    /// A setting outside its range.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
}

/// The first few names, and how many more there are.
fn name_some(studies: &[StudyId]) -> String {
    let shown = studies.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if studies.len() > 5 { format!("{shown} and {} more", studies.len() - 5) } else { shown }
}

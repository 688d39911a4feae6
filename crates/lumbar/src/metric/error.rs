use std::path::PathBuf;

use crate::anatomy::Target;

/// Why labels and predictions could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The same study twice in one table.
    #[error("study {study} is there twice")]
    DuplicateStudy {
        /// The study's name.
        study: String,
    },
    /// The same study and target twice among the rows of one table.
    #[error("study {study} has more than one row for {target}")]
    DuplicateCell {
        /// The study's name.
        study: String,
        /// The target.
        target: Target,
    },
    /// A study lacks rows.
    #[error("study {study} has no row for {target}: expected 25 rows a study, found {found}")]
    MissingCell {
        /// The study's name.
        study: String,
        /// The first target without a row.
        target: Target,
        /// How many rows the study has.
        found: usize,
    },
    /// Studies with labels but without predictions.
    #[error("{} labelled studies are not predicted: {}", studies.len(), name_some(studies))]
    NotPredicted {
        /// The studies' names.
        studies: Vec<String>,
    },
    /// Studies with predictions but without labels.
    #[error("{} predicted studies are not among the labelled ones: {}", studies.len(), name_some(studies))]
    NotLabelled {
        /// The studies' names.
        studies: Vec<String>,
    },
    /// A prediction that is no probability.
    #[error("study {study}, {target}: probabilities {found:?}, expected three finite numbers ≥ 0, not all zero")]
    NotProbabilities {
        /// The study's name.
        study: String,
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
        study: String,
    },
    /// A study that no fold holds.
    #[error("study {study} is in no fold")]
    NoFold {
        /// The study's name.
        study: String,
    },
    /// A setting outside its range.
    #[error("{field} is {found}, allowed is {allowed}")]
    Config {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The allowed range.
        allowed: &'static str,
    },
    /// A table's file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line of a table's file that is no row.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was expected and found.
        reason: String,
    },
}

/// The first few names, and how many more there are.
fn name_some(studies: &[String]) -> String {
    let shown = studies.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if studies.len() > 5 { format!("{shown} and {} more", studies.len() - 5) } else { shown }
}

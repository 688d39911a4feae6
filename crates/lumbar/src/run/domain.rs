//! What the training studies of a run were like, and how far other studies are from them.

use std::fs;

use rayon::prelude::*;

use super::{Run, RunError};
use crate::data::atomic;
use crate::data::domain::{DomainSummary, StudyMeasures};
use crate::data::study::Study;
use crate::train::observer::StopToken;

impl Run {
    /// The ranges of what was measured of the training studies: see [`DomainSummary`]. `None` for a run that was trained
    /// before they were written; training it again with the same command, which ends at once, writes them.
    ///
    /// ```no_run
    /// use lumbar::data::domain::StudyMeasures;
    /// use lumbar::data::manifest::Manifest;
    /// use lumbar::data::study::Study;
    /// use lumbar::run::Run;
    ///
    /// let summary = Run::open("runs/full".as_ref())?.domain()?.ok_or("no summary")?;
    /// for record in Manifest::read("my_studies")?.studies() {
    ///     for difference in summary.differences(&StudyMeasures::of(&Study::open(record)?)) {
    ///         println!("study {}: {difference}", record.id);
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When `domain.json` cannot be read or is damaged.
    pub fn domain(&self) -> Result<Option<DomainSummary>, RunError> {
        let path = self.folder.join("domain.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|source| RunError::file(&path, source))?;
        serde_json::from_str(&text).map(Some).map_err(|error| RunError::format(&path, error))
    }

    /// Measures the training studies and writes `domain.json`, unless it is there. Nothing is written if stopped on
    /// request.
    pub(super) fn write_domain(&self, stop: &StopToken) -> Result<(), RunError> {
        let path = self.folder.join("domain.json");
        if path.exists() {
            return Ok(());
        }
        let points = self.localiser.as_ref().map(|_| self.points()).transpose()?;
        let measured = self.records.par_iter().filter(|_| !stop.is_stopped()).filter_map(|record| {
            // training has reported a study that cannot be opened
            let measures = StudyMeasures::of(&Study::open(record).ok()?);
            let found = points.as_ref().and_then(|points| points.get(record.id));
            Some(match found {
                Some(found) => measures.with_points(found),
                None => measures,
            })
        });
        let measured: Vec<StudyMeasures> = measured.collect();
        if stop.is_stopped() {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&DomainSummary::fit(&measured))
            .map_err(|error| RunError::format(&path, error))?;
        atomic::write(&path, text.as_bytes()).map_err(|source| RunError::file(&path, source))
    }
}

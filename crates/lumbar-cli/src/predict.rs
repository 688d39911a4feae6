//! `lumbar predict`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use lumbar::data::domain::StudyMeasures;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::study::Study;
use lumbar::data::{DataSplit, StudyId};
use lumbar::predict::LocaliserFile;
use lumbar::predict::submission::{Overwrite, Sample, validate, write};
use lumbar::run::Run;
use lumbar::tasks::crops::CropsTask;
use lumbar_dicom::counted;
use rayon::prelude::*;
use serde_json::json;

use crate::device::DeviceArgs;
use crate::output_file;
use crate::progress::Progress;

/// A trained run, studies, and the file to write.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A run whose folds are all trained
    #[arg(long, value_name = "FOLDER")]
    run: PathBuf,
    /// A localiser's file (`train --preset synthetic`) that finds the points of studies without annotations, for a run
    /// that grades at points and has no localiser of its own (`train --preset crops`); without it the localiser that is
    /// part of the program, trained on synthetic studies, does
    #[arg(long, value_name = "FILE")]
    localiser: Option<PathBuf>,
    /// The data set, a folder in the competition's layout; the training half is not needed
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// The submission to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file when it exists
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON value instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// What is said of a run without `domain.json`.
pub(crate) const NO_SUMMARY: &str = "the studies are not compared with the training studies: the run has no domain.json; `train` with the same run and \
     data writes it";

/// Finds the points of studies without annotations, for a run that has no localiser.
struct Finder<'a> {
    localiser: LocaliserFile,
    /// The localiser's file; `None` for the one that is part of the program.
    file: Option<&'a Path>,
}

impl<'a> Finder<'a> {
    /// `None` if the run finds points itself, or needs none.
    fn open(
        arguments: &'a Arguments,
        run: &Run,
        records: &[&StudyRecord],
        device: tch::Device,
    ) -> Result<Option<Self>> {
        let file = arguments.localiser.as_deref();
        if let Some(path) = file
            && (run.localiser().is_some() || run.config().task.get::<CropsTask>().is_none())
        {
            let reason =
                if run.localiser().is_some() { "has a localiser of its own" } else { "does not grade at points" };
            bail!("--localiser {}: the run in {} {reason}", path.display(), run.folder().display());
        }
        if !run.needs_localiser(records) {
            return Ok(None);
        }
        let localiser = match file {
            Some(path) => LocaliserFile::read(path, device)?,
            None => LocaliserFile::shipped(device)?,
        };
        Ok(Some(Self { localiser, file }))
    }

    fn name(&self) -> String {
        match self.file {
            Some(path) => format!("the localiser in {}", path.display()),
            None => "the localiser that is part of lumbar, trained on synthetic studies alone".to_owned(),
        }
    }

    /// How the studies differ from the synthetic ones, of those whose points are looked for.
    fn domain_warnings(&self, records: &[&StudyRecord]) -> Result<BTreeMap<StudyId, Vec<String>>> {
        let summary = LocaliserFile::shipped_domain()?;
        let bare = records.par_iter().filter(|record| record.points.is_empty());
        let words = |record: &&StudyRecord| {
            // predicting has reported a study that cannot be opened
            let mut measures = StudyMeasures::of(&Study::open(record).ok()?);
            // it looks at sagittal series alone
            measures.series.retain(|(kind, _)| summary.series.contains_key(kind));
            let differences = summary.differences(&measures);
            let words: Vec<String> =
                differences.iter().map(|it| format!("for the localiser that is part of lumbar: {it}")).collect();
            (!words.is_empty()).then_some((record.id, words))
        };
        Ok(bare.filter_map(words).collect())
    }
}

/// Predicts, writes, validates, and lists the warnings.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    output_file::check(&arguments.out, arguments.overwrite, "--overwrite")?;
    let device = arguments.device.set_up()?;
    let run = Run::open(&arguments.run)?;
    let start = Instant::now();
    let manifest = Manifest::read(&arguments.data)?;
    let sample = sample(&manifest)?;
    let records = records(&manifest, &sample);
    let borrowed: Vec<&StudyRecord> = records.iter().collect();
    let finder = Finder::open(arguments, &run, &borrowed, device)?;
    let progress = Progress::new("studies");
    let mut at = |done, total| progress.at(done, total);
    let mut predictions = match &finder {
        Some(finder) => run.predict_with(&finder.localiser, &borrowed, device, &mut at)?,
        None => run.predict(&borrowed, device, &mut at)?,
    };
    drop(progress);
    let summary = run.domain()?;
    if let Some(finder) = finder.as_ref().filter(|finder| finder.file.is_none()) {
        predictions.add_warnings(&finder.domain_warnings(&borrowed)?);
    }
    if let Some(summary) = &summary {
        let warnings = summary.warnings(&borrowed, &predictions.points);
        predictions.add_warnings(&warnings);
    }
    let overwrite = if arguments.overwrite { Overwrite::Replace } else { Overwrite::Refuse };
    write(&arguments.out, &predictions.table, &sample, overwrite)?;
    let violations = validate(&arguments.out, &sample)?;
    if let Some(first) = violations.first() {
        bail!("{} has {} violations after writing, the first: {first}", arguments.out.display(), violations.len());
    }
    let warnings: Vec<String> = manifest
        .warnings()
        .iter()
        .filter(|warning| records.iter().any(|record| warning.study() == Some(record.id)))
        .map(ToString::to_string)
        .collect();
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        // A path that is not UTF-8 has no JSON form: shown with replacement characters.
        let (out, studies) = (arguments.out.display().to_string(), records.len());
        let value = json!({
            "out": out, "studies": studies, "seconds": seconds, "warnings": warnings, "study_warnings": predictions.warnings,
            "points_from": finder.as_ref().map(Finder::name), "domain_checked": summary.is_some(),
        });
        return print_line!("{value}");
    }
    if let Some(finder) = &finder {
        print_line!(
            "the run has no localiser of its own: the points of studies without annotations are those of {}",
            finder.name()
        )?;
    }
    if summary.is_none() {
        print_line!("{NO_SUMMARY}")?;
    }
    for warning in warnings {
        print_line!("warning: {warning}")?;
    }
    for study in &predictions.warnings {
        for warning in &study.warnings {
            print_line!("warning: study {}: {warning}", study.study)?;
        }
        if study.from_prior > 0 {
            print_line!(
                "warning: study {}: {} of 25 targets are predicted from the prior",
                study.study,
                study.from_prior
            )?;
        }
    }
    let studies = counted(records.len(), "study");
    print_line!("{}: {studies}, {} rows, {seconds:.1} s", arguments.out.display(), 25 * records.len())
}

/// The data set's own sample, or one of its test half, or of all of it.
pub(crate) fn sample(manifest: &Manifest) -> Result<Sample> {
    let path = manifest.folder().join("sample_submission.csv");
    if path.exists() {
        return Ok(Sample::read(&path)?);
    }
    let of = |split| manifest.of(split).map(|study| study.id).collect::<Vec<StudyId>>();
    let studies = Some(of(DataSplit::Test)).filter(|test| !test.is_empty()).unwrap_or_else(|| of(DataSplit::Train));
    if studies.is_empty() {
        bail!("{} has no studies", manifest.folder().display());
    }
    Ok(Sample::of_studies(studies))
}

/// The sample's studies; one that the data set does not have is a study without series.
pub(crate) fn records(manifest: &Manifest, sample: &Sample) -> Vec<StudyRecord> {
    let record = |&id: &StudyId| {
        let found = manifest.study(DataSplit::Test, id).or_else(|| manifest.study(DataSplit::Train, id));
        found.cloned().unwrap_or_else(|| StudyRecord {
            id,
            split: DataSplit::Test,
            folder: manifest.folder().join(DataSplit::Test.images_folder()).join(id.to_string()),
            series: Vec::new(),
            labels: None,
            points: Vec::new(),
        })
    };
    sample.studies().iter().map(record).collect()
}

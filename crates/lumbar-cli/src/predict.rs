//! `lumbar predict`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::{DataSplit, StudyId};
use lumbar::predict::submission::{Overwrite, Sample, validate, write};
use lumbar::run::Run;
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

/// Predicts, writes, validates, and lists the warnings.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    output_file::check(&arguments.out, arguments.overwrite, "--overwrite")?;
    let device = arguments.device.set_up()?;
    let run = Run::open(&arguments.run)?;
    let start = Instant::now();
    let manifest = Manifest::read(&arguments.data)?;
    let sample = sample(&manifest)?;
    let records = records(&manifest, &sample);
    let progress = Progress::new("studies");
    let predictions =
        run.predict(&records.iter().collect::<Vec<_>>(), device, &mut |done, total| progress.at(done, total))?;
    drop(progress);
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
        });
        return print_line!("{value}");
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
    print_line!("{}: {} studies, {} rows, {seconds:.1} s", arguments.out.display(), records.len(), 25 * records.len())
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

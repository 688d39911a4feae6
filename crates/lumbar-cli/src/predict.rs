//! `lumbar predict`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::{DataSplit, StudyId};
use lumbar::predict::submission::{Overwrite, Sample, validate, write};
use lumbar::run::Run;
use serde_json::json;

use crate::device::Machine;
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
    machine: Machine,
}

/// Predicts, writes, validates, and lists what was odd.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.out.exists() && !arguments.overwrite {
        bail!("{} exists; say --overwrite to replace it", arguments.out.display());
    }
    let device = arguments.machine.set_up()?;
    let run = Run::open(&arguments.run)?;
    let start = Instant::now();
    let manifest = Manifest::read(&arguments.data)?;
    let sample = sample(&manifest)?;
    let records = records(&manifest, &sample)?;
    let progress = Progress::new("studies");
    let forecast =
        run.predict(&records.iter().collect::<Vec<_>>(), device, &mut |done, total| progress.at(done, total))?;
    drop(progress);
    let overwrite = if arguments.overwrite { Overwrite::Replace } else { Overwrite::Refuse };
    write(&arguments.out, &forecast.table, &sample, overwrite)?;
    let violations = validate(&arguments.out, &sample)?;
    if let Some(first) = violations.first() {
        bail!("{} has {} violations after writing, the first: {first}", arguments.out.display(), violations.len());
    }
    let oddities: Vec<String> = manifest
        .warnings()
        .iter()
        .filter(|warning| records.iter().any(|record| warning.study() == Some(record.id)))
        .map(ToString::to_string)
        .collect();
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        let (out, studies) = (&arguments.out, records.len());
        println!(
            "{}",
            json!({"out": out, "studies": studies, "seconds": seconds, "odd": forecast.odd, "oddities": oddities})
        );
        return Ok(());
    }
    for oddity in oddities {
        println!("odd: {oddity}");
    }
    for odd in &forecast.odd {
        for what in &odd.what {
            println!("odd: study {}: {what}", odd.study);
        }
        if odd.from_prior > 0 {
            println!("odd: study {}: {} of 25 targets are predicted from the prior", odd.study, odd.from_prior);
        }
    }
    println!("{}: {} studies, {} rows, {seconds:.1} s", arguments.out.display(), records.len(), 25 * records.len());
    Ok(())
}

/// The data set's own sample, or one of its test half, or of all of it.
fn sample(manifest: &Manifest) -> Result<Sample> {
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
fn records(manifest: &Manifest, sample: &Sample) -> Result<Vec<StudyRecord>> {
    let record = |name: &String| -> Result<StudyRecord> {
        let Ok(id) = name.parse::<StudyId>() else {
            bail!("study {name:?} of the sample submission is not named by a number");
        };
        let found = manifest.study(DataSplit::Test, id).or_else(|| manifest.study(DataSplit::Train, id));
        Ok(found.cloned().unwrap_or_else(|| StudyRecord {
            id,
            split: DataSplit::Test,
            folder: manifest.folder().join(DataSplit::Test.images_folder()).join(name),
            series: Vec::new(),
            labels: None,
            points: Vec::new(),
        }))
    };
    sample.studies().iter().map(record).collect()
}

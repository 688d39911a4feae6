//! `lumbar predict`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use lumbar::data::manifest::{Manifest, Oddity, StudyRecord};
use lumbar::data::{Split, StudyId};
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
    let warnings: Vec<String> = manifest
        .oddities()
        .iter()
        .filter(|oddity| records.iter().any(|record| concerns(oddity, record)))
        .map(ToString::to_string)
        .collect();
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        // A path that is not UTF-8 has no JSON form: shown with replacement characters.
        let (out, studies) = (arguments.out.display().to_string(), records.len());
        let value = json!({
            "out": out, "studies": studies, "seconds": seconds, "warnings": warnings, "study_warnings": forecast.odd,
        });
        return print_line!("{value}");
    }
    for warning in warnings {
        print_line!("warning: {warning}")?;
    }
    for study in &forecast.odd {
        for what in &study.what {
            print_line!("warning: study {}: {what}", study.study)?;
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

fn concerns(oddity: &Oddity, record: &StudyRecord) -> bool {
    match oddity {
        // `test_images/<study>/…`
        Oddity::EmptyFile { path } | Oddity::UnexpectedFile { path } => {
            path.iter().nth(1).is_some_and(|name| name.to_str() == Some(&record.id.to_string()))
        }
        _ => oddity.study() == Some(record.id),
    }
}

/// The data set's own sample, or one of its test half, or of all of it.
fn sample(manifest: &Manifest) -> Result<Sample> {
    let path = manifest.folder().join("sample_submission.csv");
    if path.exists() {
        return Ok(Sample::read(&path)?);
    }
    let of = |split| manifest.of(split).map(|study| study.id).collect::<Vec<StudyId>>();
    let studies = Some(of(Split::Test)).filter(|test| !test.is_empty()).unwrap_or_else(|| of(Split::Train));
    if studies.is_empty() {
        bail!("{} has no studies", manifest.folder().display());
    }
    Ok(Sample::of_studies(studies))
}

/// The sample's studies; one that the data set does not have is a study without series.
fn records(manifest: &Manifest, sample: &Sample) -> Result<Vec<StudyRecord>> {
    let record = |name: &String| -> Result<StudyRecord> {
        // `007` is a number, but predictions for study 7 would find no row of that name.
        let Some(id) = name.parse::<StudyId>().ok().filter(|id| id.to_string() == *name) else {
            bail!("study {name:?} of the sample submission: expected a number without leading zeros or signs");
        };
        let found = manifest.study(Split::Test, id).or_else(|| manifest.study(Split::Train, id));
        Ok(found.cloned().unwrap_or_else(|| StudyRecord {
            id,
            split: Split::Test,
            folder: manifest.folder().join(Split::Test.images_folder()).join(name),
            series: Vec::new(),
            labels: None,
            points: Vec::new(),
        }))
    };
    sample.studies().iter().map(record).collect()
}

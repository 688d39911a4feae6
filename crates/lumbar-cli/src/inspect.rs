//! `lumbar inspect`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use lumbar::data::found_points::FoundPoints;
use lumbar::data::manifest::Manifest;
use lumbar::run::Run;
use lumbar_dicom::{ReadOptions, ReadProgress, read_folder};
use serde_json::json;

use crate::predict::NO_SUMMARY;
use crate::progress::Progress;

/// Which folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A folder in the competition's layout, or any folder with DICOM files
    folder: PathBuf,
    /// Decode every image as well, and report those that do not decode (only without tables)
    #[arg(long)]
    pixels: bool,
    /// Compare each study with the training studies of a run: spacing, field of view, matrix, grey values (only with
    /// tables)
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// Print one JSON value instead of text
    #[arg(long)]
    json: bool,
}

impl ReadProgress for Progress {
    fn progress(&self, done: usize, total: usize) {
        self.at(done, total);
    }
}

/// Prints what is there and every warning.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let tables = ["train.csv", "train_series_descriptions.csv", "test_series_descriptions.csv"];
    if tables.iter().any(|name| arguments.folder.join(name).exists()) {
        tables_of(arguments)
    } else if let Some(run) = &arguments.run {
        bail!(
            "--run {}: {} has none of the tables {}, which say what each series is",
            run.display(),
            arguments.folder.display(),
            tables.join(", ")
        )
    } else {
        files_of(arguments)
    }
}

fn tables_of(arguments: &Arguments) -> Result<()> {
    let manifest = Manifest::read(&arguments.folder)?;
    let series: usize = manifest.studies().iter().map(|study| study.series.len()).sum();
    let labelled = manifest.studies().iter().filter(|study| study.labels.is_some()).count();
    let summary = arguments.run.as_ref().map(|folder| Run::open(folder)?.domain()).transpose()?;
    let outside = summary.as_ref().and_then(Option::as_ref).map(|summary| {
        let records: Vec<_> = manifest.studies().iter().collect();
        summary.warnings(&records, &FoundPoints::new())
    });
    if arguments.json {
        let warnings: Vec<_> = manifest.warnings().iter().map(ToString::to_string).collect();
        let studies = manifest.studies().len();
        let outside = outside.map(|outside| {
            let entry = |(study, words): (_, Vec<String>)| (ToString::to_string(&study), json!(words));
            outside.into_iter().map(entry).collect::<serde_json::Map<_, _>>()
        });
        return print_line!(
            "{}",
            json!({
                "studies": studies, "labelled": labelled, "series": series, "warnings": warnings, "outside": outside,
            })
        );
    }
    print_line!("{} studies, {labelled} of them labelled, {series} series", manifest.studies().len())?;
    for warning in manifest.warnings() {
        print_line!("warning: {warning}")?;
    }
    match (&summary, outside) {
        (None, _) => {}
        (Some(None), _) | (_, None) => print_line!("{NO_SUMMARY}")?,
        (Some(Some(summary)), Some(outside)) => {
            for (study, words) in &outside {
                for word in words {
                    print_line!("study {study}: {word}")?;
                }
            }
            print_line!(
                "{} of {} studies differ from the {} training studies",
                outside.len(),
                manifest.studies().len(),
                summary.studies
            )?;
        }
    }
    Ok(())
}

fn files_of(arguments: &Arguments) -> Result<()> {
    let options = ReadOptions { check_pixels: arguments.pixels, ..ReadOptions::default() };
    let folder = read_folder(&arguments.folder, &options, &Progress::new("files"))?;
    if folder.series.is_empty() && folder.report.files.is_empty() {
        bail!("{} contains no files", arguments.folder.display());
    }
    if arguments.json {
        let series: Vec<_> = folder.series.iter().map(|series| series.to_string()).collect();
        return print_line!("{}", json!({"series": series, "report": folder.report.to_string()}));
    }
    for series in &folder.series {
        print_line!("{series}")?;
        for warning in &series.report.warnings {
            print_line!("  warning: {warning}")?;
        }
    }
    print_line!("{}", folder.report)
}

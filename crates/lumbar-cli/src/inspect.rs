//! `lumbar inspect`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use lumbar::data::manifest::Manifest;
use lumbar_dicom::{ReadOptions, ReadProgress, read_folder};
use serde_json::json;

use crate::progress::Progress;

/// Which folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A folder in the competition's layout, or any folder with DICOM files
    folder: PathBuf,
    /// Decode every image as well, and report those that do not decode (only without tables)
    #[arg(long)]
    pixels: bool,
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
    } else {
        files_of(arguments)
    }
}

fn tables_of(arguments: &Arguments) -> Result<()> {
    let manifest = Manifest::read(&arguments.folder)?;
    let series: usize = manifest.studies().iter().map(|study| study.series.len()).sum();
    let labelled = manifest.studies().iter().filter(|study| study.labels.is_some()).count();
    if arguments.json {
        let warnings: Vec<_> = manifest.warnings().iter().map(ToString::to_string).collect();
        let studies = manifest.studies().len();
        return print_line!(
            "{}",
            json!({"studies": studies, "labelled": labelled, "series": series, "warnings": warnings})
        );
    }
    print_line!("{} studies, {labelled} of them labelled, {series} series", manifest.studies().len())?;
    for warning in manifest.warnings() {
        print_line!("warning: {warning}")?;
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

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
    /// Decode every picture as well, and report those that do not decode (only without tables)
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

/// Prints what is there and what is odd.
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
        let oddities: Vec<_> = manifest.oddities().iter().map(ToString::to_string).collect();
        let studies = manifest.studies().len();
        println!("{}", json!({"studies": studies, "labelled": labelled, "series": series, "oddities": oddities}));
        return Ok(());
    }
    println!("{} studies, {labelled} of them labelled, {series} series", manifest.studies().len());
    for oddity in manifest.oddities() {
        println!("odd: {oddity}");
    }
    Ok(())
}

fn files_of(arguments: &Arguments) -> Result<()> {
    let options = ReadOptions { check_pixels: arguments.pixels, ..ReadOptions::default() };
    let folder = read_folder(&arguments.folder, &options, &Progress::new("files"))?;
    if folder.series.is_empty() && folder.report.files.is_empty() {
        bail!("{} holds no files", arguments.folder.display());
    }
    if arguments.json {
        let series: Vec<_> = folder.series.iter().map(|series| series.to_string()).collect();
        println!("{}", json!({"series": series, "report": folder.report.to_string()}));
        return Ok(());
    }
    for series in &folder.series {
        println!("{series}");
        for warning in &series.report.warnings {
            println!("  warning: {warning}");
        }
    }
    println!("{}", folder.report);
    Ok(())
}

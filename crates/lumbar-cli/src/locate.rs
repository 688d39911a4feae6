//! `lumbar locate`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::point_table::write_point_table;
use lumbar::predict::LocaliserFile;
use lumbar::run::Run;
use lumbar_dicom::counted;
use serde_json::json;

use crate::device::DeviceArgs;
use crate::progress::Progress;
use crate::{output_file, predict};

/// Studies, the file to write, and the localiser: the library's own, a run's, or that of a file.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A run whose localisers are all trained (`train --preset full`); without it the localiser that is part of the
    /// program, trained on synthetic studies
    #[arg(long, value_name = "FOLDER", conflicts_with = "localiser")]
    run: Option<PathBuf>,
    /// A localiser's file (`train --preset synthetic`)
    #[arg(long, value_name = "FILE")]
    localiser: Option<PathBuf>,
    /// The data set, a folder in the competition's layout
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// The table to write, in CSV
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

/// What finds the points.
enum Source {
    Run(Box<Run>),
    File(Box<LocaliserFile>),
}

impl Source {
    fn open(arguments: &Arguments, device: tch::Device) -> Result<Self> {
        Ok(match (&arguments.run, &arguments.localiser) {
            (Some(folder), _) => Self::Run(Box::new(Run::open(folder)?)),
            (None, Some(path)) => Self::File(Box::new(LocaliserFile::read(path, device)?)),
            (None, None) => Self::File(Box::new(LocaliserFile::shipped(device)?)),
        })
    }
}

/// Finds, writes, and lists the warnings.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    output_file::check(&arguments.out, arguments.overwrite, "--overwrite")?;
    let device = arguments.device.set_up()?;
    let source = Source::open(arguments, device)?;
    let start = Instant::now();
    let manifest = Manifest::read(&arguments.data)?;
    let records = predict::records(&manifest, &predict::sample(&manifest)?);
    let records: Vec<&StudyRecord> = records.iter().collect();
    let progress = Progress::new("studies");
    let mut at = |done, total| progress.at(done, total);
    let located = match &source {
        Source::Run(run) => run.locate(&records, device, &mut at)?,
        Source::File(file) => file.locate(&records, device, &mut at)?,
    };
    drop(progress);
    write_point_table(&arguments.out, &records, &located.points)?;
    let found: usize = located.points.iter().map(|(_, points)| points.iter().flatten().count()).sum();
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        // A path that is not UTF-8 has no JSON form: shown with replacement characters.
        let (out, studies) = (arguments.out.display().to_string(), records.len());
        let warnings: Vec<_> = located
            .warnings
            .iter()
            .map(|(study, warnings)| json!({"study": study.to_string(), "warnings": warnings}))
            .collect();
        let value =
            json!({"out": out, "studies": studies, "points": found, "seconds": seconds, "study_warnings": warnings});
        return print_line!("{value}");
    }
    for (study, warnings) in &located.warnings {
        for warning in warnings {
            print_line!("warning: study {study}: {warning}")?;
        }
    }
    let (studies, points) = (counted(records.len(), "study"), counted(found, "point"));
    print_line!("{}: {studies}, {points}, {seconds:.1} s", arguments.out.display())
}

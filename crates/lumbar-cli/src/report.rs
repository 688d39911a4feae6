//! `lumbar report`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use lumbar::data::manifest::Manifest;
use lumbar::metric::{PredictionTable, read_predictions};
use lumbar::report::{Report, ReportConfig};
use lumbar::run::Run;
use lumbar_dicom::counted;
use serde_json::json;

use crate::device::DeviceArgs;
use crate::output_file;

/// Which run, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a trained run
    #[arg(long, value_name = "FOLDER")]
    run: PathBuf,
    /// The data set that the run was trained on, for images of the worst cases; by default the folder of that time
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// The HTML file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Worst cells shown in each direction (missed, false alarms)
    #[arg(long, value_name = "N", default_value_t = 4)]
    worst: usize,
    /// Replicates of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 2000)]
    replicates: usize,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// Print one JSON value instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Gathers, draws, writes.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let out = &arguments.out;
    output_file::check(out, arguments.force, "--force")?;
    let device = arguments.device.set_up()?;
    let mut run = Run::open(&arguments.run)?;
    let trained_on = &run.data().folder;
    let data = arguments.data.clone().or_else(|| trained_on.is_dir().then(|| trained_on.clone()));
    let manifest = data.as_deref().map(Manifest::read).transpose()?;
    if let Some(manifest) = &manifest {
        // refuses another data set
        run = Run::create(&arguments.run, run.config(), manifest)?;
    }
    let oracle = data.as_deref().map(oracle_of).transpose()?.flatten();
    let mut config = ReportConfig { worst: arguments.worst, ..ReportConfig::default() };
    config.bootstrap.replicates = arguments.replicates;
    let report = Report::of_run(&run, manifest.as_ref(), oracle.as_ref(), &config, device)?;
    let page = report.html()?;
    output_file::write(out, &page)?;
    let images = report.worst.iter().filter(|case| case.image.is_some()).count();
    if arguments.json {
        let (studies, bytes) = (report.labels.len(), page.len());
        let value = json!({"studies": studies, "worst": report.worst.len(), "images": images, "bytes": bytes});
        return print_line!("{value}");
    }
    for note in &report.notes {
        print_line!("{note}")?;
    }
    print_line!(
        "{}: {}, {} with {}, {:.1} MB",
        out.display(),
        counted(report.labels.len(), "study"),
        counted(report.worst.len(), "worst case"),
        counted(images, "image"),
        page.len() as f64 / 1e6
    )
}

/// A phantom's oracle; other data has none.
fn oracle_of(data: &Path) -> Result<Option<PredictionTable>> {
    let path = data.join("truth").join("oracle.csv");
    Ok(if path.exists() { Some(read_predictions(&path)?) } else { None })
}

//! `lumbar report`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use lumbar::data::manifest::Manifest;
use lumbar::metric::PredictionTable;
use lumbar::predict::read_predictions;
use lumbar::report::{Report, ReportConfig};
use lumbar::run::Run;
use serde_json::json;

use crate::device::Machine;

/// Which run, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a trained run
    #[arg(long, value_name = "FOLDER")]
    run: PathBuf,
    /// The data set that the run was trained on, for pictures of the worst cases; by default where it lay then
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// The HTML file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Worst cells shown in each direction (missed, false alarms)
    #[arg(long, value_name = "N", default_value_t = 4)]
    worst: usize,
    /// Draws of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 2000)]
    replicates: usize,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// Print one JSON value instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: Machine,
}

/// Gathers, draws, writes.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let out = &arguments.out;
    if out.exists() && !arguments.force {
        bail!("{} is there already; --force replaces it", out.display());
    }
    let device = arguments.machine.set_up()?;
    let mut run = Run::open(&arguments.run)?;
    let lay = &run.data().folder;
    let data = arguments.data.clone().or_else(|| lay.is_dir().then(|| lay.clone()));
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
    write(out, &page).with_context(|| format!("cannot write {}", out.display()))?;
    let pictures = report.worst.iter().filter(|case| case.picture.is_some()).count();
    if arguments.json {
        let (studies, bytes) = (report.labels.len(), page.len());
        println!("{}", json!({"studies": studies, "worst": report.worst.len(), "pictures": pictures, "bytes": bytes}));
    } else {
        for note in &report.notes {
            println!("{note}");
        }
        println!(
            "{}: {} studies, {} worst cases with {pictures} pictures, {:.1} MB",
            out.display(),
            report.labels.len(),
            report.worst.len(),
            page.len() as f64 / 1e6
        );
    }
    Ok(())
}

/// A phantom's oracle; other data has none.
fn oracle_of(data: &Path) -> Result<Option<PredictionTable>> {
    let path = data.join("truth").join("oracle.csv");
    Ok(if path.exists() { Some(read_predictions(&path)?) } else { None })
}

/// Under a temporary name first.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path))
}

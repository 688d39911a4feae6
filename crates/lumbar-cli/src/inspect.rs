//! `lumbar inspect`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use lumbar::anatomy::Condition;
use lumbar::data::StudyId;
use lumbar::data::found_points::FoundPoints;
use lumbar::data::manifest::Manifest;
use lumbar::data::point_table::read_point_table;
use lumbar::data::study::Study;
use lumbar::figure::{MontageConfig, Tile, montage};
use lumbar::report::points_tile;
use lumbar::run::Run;
use lumbar_dicom::{ReadOptions, ReadProgress, counted, read_folder};
use rayon::prelude::*;
use serde_json::json;

use crate::output_file;
use crate::predict::NO_SUMMARY;
use crate::progress::Progress;

/// Canal, left and right foramina: their points are drawn on one sagittal slice each.
const DRAWN: [Condition; 3] =
    [Condition::SpinalCanalStenosis, Condition::LeftNeuralForaminalNarrowing, Condition::RightNeuralForaminalNarrowing];
/// Width and height of one slice in the image of found points.
const SLICE_PX: u32 = 420;

/// Which folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A folder in the competition's layout, or any folder with DICOM files
    folder: PathBuf,
    /// Decode every image as well, and report those that do not decode
    #[arg(long)]
    pixels: bool,
    /// Compare each study with the training studies of a run: spacing, field of view, matrix, grey values (only with
    /// tables)
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// Draw the found points of a table that `locate` wrote, with their reliabilities, on sagittal slices
    #[arg(long, value_name = "FILE", requires = "out")]
    points: Option<PathBuf>,
    /// The image of the points, in PNG
    #[arg(long, value_name = "FILE", requires = "points")]
    out: Option<PathBuf>,
    /// The study to draw; by default the first of the table
    #[arg(long, value_name = "NUMBER", requires = "points")]
    study: Option<u64>,
    /// Replace the image if it exists
    #[arg(long, requires = "out")]
    overwrite: bool,
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
    } else if let Some(table) = &arguments.points {
        bail!(
            "{}: the points are those of a data set, but {} has no tables of series",
            table.display(),
            arguments.folder.display()
        )
    } else {
        files_of(arguments)
    }
}

/// Writes the slices of one study with its found points.
fn draw(arguments: &Arguments, manifest: &Manifest, table: &Path, out: &Path) -> Result<()> {
    output_file::check(out, arguments.overwrite, "--overwrite")?;
    let found = read_point_table(table)?;
    let study = match arguments.study {
        Some(number) => StudyId(number),
        None => found.iter().next().with_context(|| format!("{} has no studies", table.display()))?.0,
    };
    let points = found.get(study).with_context(|| format!("{} has no points of study {study}", table.display()))?;
    let record = manifest.studies().iter().find(|record| record.id == study);
    let record = record.with_context(|| format!("{} has no study {study}", manifest.folder().display()))?;
    let opened = Study::open(record)?;
    let tiles = DRAWN.into_iter().map(|condition| points_tile(&opened, condition, points, None));
    let tiles: Vec<Tile> = tiles.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    if tiles.is_empty() {
        bail!("study {study}: no sagittal slice shows a found point");
    }
    let title = format!("study {study}: found points");
    let is_synthetic = manifest.is_synthetic();
    let config =
        MontageConfig { columns: DRAWN.len(), tile_px: SLICE_PX, title, is_synthetic, ..MontageConfig::default() };
    lumbar::data::atomic::write(out, montage(&tiles, &config)?.png())
        .with_context(|| format!("cannot write {}", out.display()))?;
    let count = points.iter().flatten().count();
    if arguments.json {
        let (out, slices) = (out.display().to_string(), tiles.len());
        return print_line!("{}", json!({"out": out, "study": study.to_string(), "points": count, "slices": slices}));
    }
    let (points, slices) = (counted(count, "point"), counted(tiles.len(), "slice"));
    print_line!("{}: study {study}, {points}, {slices}", out.display())
}

/// Decodes every image. Returns the studies of which something is missing or unreadable, with what it is.
fn warnings_of_pixels(manifest: &Manifest) -> Vec<(StudyId, Vec<String>)> {
    let (progress, done, total) = (Progress::new("studies"), AtomicUsize::new(0), manifest.studies().len());
    let warnings = manifest.studies().par_iter().filter_map(|record| {
        let warnings: Vec<String> = Study::open_lossy(record).warnings.iter().map(ToString::to_string).collect();
        progress.at(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        (!warnings.is_empty()).then_some((record.id, warnings))
    });
    warnings.collect()
}

fn tables_of(arguments: &Arguments) -> Result<()> {
    let manifest = Manifest::read(&arguments.folder)?;
    if let (Some(table), Some(out)) = (&arguments.points, &arguments.out) {
        return draw(arguments, &manifest, table, out);
    }
    let series: usize = manifest.studies().iter().map(|study| study.series.len()).sum();
    let labelled = manifest.studies().iter().filter(|study| study.labels.is_some()).count();
    let summary = arguments.run.as_ref().map(|folder| Run::open(folder)?.domain()).transpose()?;
    let outside = summary.as_ref().and_then(Option::as_ref).map(|summary| {
        let records: Vec<_> = manifest.studies().iter().collect();
        summary.warnings(&records, &FoundPoints::new())
    });
    let decoded = if arguments.pixels { warnings_of_pixels(&manifest) } else { Vec::new() };
    if arguments.json {
        let warnings: Vec<_> = manifest.warnings().iter().map(ToString::to_string).collect();
        let decoded = decoded.into_iter().map(|(study, words)| (study.to_string(), json!(words)));
        let decoded = arguments.pixels.then(|| decoded.collect::<serde_json::Map<_, _>>());
        let studies = manifest.studies().len();
        let outside = outside.map(|outside| {
            let entry = |(study, words): (_, Vec<String>)| (ToString::to_string(&study), json!(words));
            outside.into_iter().map(entry).collect::<serde_json::Map<_, _>>()
        });
        return print_line!(
            "{}",
            json!({
                "studies": studies, "labelled": labelled, "series": series, "warnings": warnings, "outside": outside,
                "decoded": decoded,
            })
        );
    }
    let studies = counted(manifest.studies().len(), "study");
    print_line!("{studies}, {labelled} of them labelled, {series} series")?;
    for warning in manifest.warnings() {
        print_line!("warning: {warning}")?;
    }
    for (study, words) in &decoded {
        for word in words {
            print_line!("warning: study {study}: {word}")?;
        }
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
                "{} of {} {} from the {}",
                outside.len(),
                counted(manifest.studies().len(), "study"),
                if outside.len() == 1 { "differs" } else { "differ" },
                counted(summary.studies, "training study")
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

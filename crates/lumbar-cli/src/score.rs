//! `lumbar score`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use lumbar::anatomy::{Severity, Target};
use lumbar::data::StudyId;
use lumbar::metric::{
    Baselines, BootstrapConfig, Graded, LabelTable, PredictionTable, Score, ScoreIntervals, read_labels,
    read_predictions, suspects, write_suspects,
};
use lumbar::run::Run;
use lumbar_dicom::counted;

use crate::output_file;

/// Predictions, and the labels they are compared with.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A trained run: its out-of-fold table against its own labels
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["predictions", "labels"])]
    run: Option<PathBuf>,
    /// Use the run's out-of-fold table after temperature scaling, each fold at the temperatures of the others
    #[arg(long, requires = "run")]
    scaled: bool,
    /// A submission or another table of probabilities
    #[arg(long, value_name = "FILE", requires = "labels")]
    predictions: Option<PathBuf>,
    /// Labels in the form of train.csv
    #[arg(long, value_name = "FILE", requires = "predictions")]
    labels: Option<PathBuf>,
    /// Predictions of an oracle; by default truth/oracle.csv of the data set, which phantoms have
    #[arg(long, value_name = "FILE")]
    oracle: Option<PathBuf>,
    /// Also write the labels that the predictions contradict with confidence, for a reader to look at
    #[arg(long, value_name = "FILE", conflicts_with = "scaled")]
    suspects: Option<PathBuf>,
    /// Replace the file of --suspects
    #[arg(long, requires = "suspects")]
    overwrite: bool,
    /// Replicates of the bootstrap over studies
    #[arg(long, value_name = "N", default_value_t = BootstrapConfig::default().replicates)]
    replicates: usize,
    /// Print one JSON value instead of text
    #[arg(long)]
    json: bool,
}

/// Scores and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let config = BootstrapConfig { replicates: arguments.replicates, ..BootstrapConfig::default() };
    if let Some(path) = &arguments.suspects {
        output_file::check(path, arguments.overwrite, "--overwrite")?;
    }
    let baselines = match (&arguments.run, &arguments.predictions, &arguments.labels) {
        (Some(folder), ..) => {
            let run = Run::open(folder)?;
            let table = if arguments.scaled { run.out_of_fold_scaled()? } else { run.out_of_fold()? };
            let oracle = oracle(arguments.oracle.as_deref(), &run.data().folder)?;
            let fold_of = |study: StudyId| run.fold_of(study);
            list_suspects(arguments, run.labels(), &table, oracle.as_ref())?;
            Baselines::new(run.labels(), &table, oracle.as_ref(), Some(&fold_of), &config)?
        }
        (None, Some(predictions), Some(labels)) => {
            let table = read_predictions(predictions)?;
            let data = labels.parent().unwrap_or(Path::new(""));
            let labels = read_labels(labels)?;
            let oracle = oracle(arguments.oracle.as_deref(), data)?.filter(|oracle| covers(oracle, &labels));
            list_suspects(arguments, &labels, &table, oracle.as_ref())?;
            Baselines::new(&labels, &table, oracle.as_ref(), None, &config)?
        }
        _ => bail!("say --run FOLDER, or --predictions FILE with --labels FILE"),
    };
    if arguments.json {
        return print_line!("{}", serde_json::to_string(&baselines)?);
    }
    print(&baselines)
}

/// Writes the file that `--suspects` names. Where an oracle is known, also says how often it contradicts these labels.
fn list_suspects(
    arguments: &Arguments,
    labels: &LabelTable,
    table: &PredictionTable,
    oracle: Option<&PredictionTable>,
) -> Result<()> {
    let Some(path) = &arguments.suspects else { return Ok(()) };
    let graded = Graded::join(labels, table)?;
    let found = suspects(&graded);
    write_suspects(path, &found)?;
    log_line!("contradicted: {} of {}: {}", found.len(), counted(graded.cells().len(), "label"), path.display());
    let Some(oracle) = oracle else { return Ok(()) };
    let contradicts = |study: StudyId, target: Target, label: Severity| {
        oracle.get(study).is_some_and(|row| Severity::most_probable(&row[target.index()]) != label)
    };
    let of_suspects = found.iter().filter(|one| contradicts(one.study, one.target, one.label)).count();
    let of_all: usize = (0..graded.studies().len())
        .map(|place| {
            let study = graded.studies()[place];
            graded.of_study(place).iter().filter(|cell| contradicts(study, cell.target, cell.truth)).count()
        })
        .sum();
    let share = |count: usize, all: usize| 100.0 * count as f64 / all.max(1) as f64;
    log_line!(
        "the oracle contradicts {:.0}% of them, and {:.0}% of all labels",
        share(of_suspects, found.len()),
        share(of_all, graded.cells().len())
    );
    Ok(())
}

/// The scores of a complete run beside the baselines; `None` if its studies are too few for all parts of the score.
pub(crate) fn of_run(run: &Run) -> Result<Option<Baselines>> {
    let oracle = oracle(None, &run.data().folder)?;
    let fold_of = |study: StudyId| run.fold_of(study);
    let config = BootstrapConfig::default();
    match Baselines::new(run.labels(), &run.out_of_fold()?, oracle.as_ref(), Some(&fold_of), &config) {
        Ok(baselines) => Ok(Some(baselines)),
        Err(error @ lumbar::metric::MetricError::NothingLabelled { .. }) => {
            log_line!("no score: {error}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn covers(oracle: &PredictionTable, labels: &LabelTable) -> bool {
    labels.studies().iter().all(|study| oracle.get(*study).is_some())
}

/// The named oracle, or that of a phantom.
fn oracle(named: Option<&Path>, data: &Path) -> Result<Option<PredictionTable>> {
    if let Some(path) = named {
        return Ok(Some(read_predictions(path)?));
    }
    let path = data.join("truth").join("oracle.csv");
    if !path.exists() {
        return Ok(None);
    }
    read_predictions(&path).map(Some).context("the phantom's oracle")
}

/// A table for people.
pub(crate) fn print(baselines: &Baselines) -> Result<()> {
    let parts = Score::PARTS.map(|part| part.replace('_', " "));
    print_line!(
        "\n{}, {}; log losses, lower is better; 95% intervals of the bootstrap\n",
        counted(baselines.studies, "study"),
        counted(baselines.cells, "labelled cell")
    )?;
    print_line!("{:<16} {:>21} {:>21} {:>21} {:>21} {:>21}", "", "score", parts[0], parts[1], parts[2], parts[3])?;
    row("uniform", &baselines.uniform)?;
    row("best constant", &baselines.best_constant)?;
    row("model", &baselines.model)?;
    if let Some(oracle) = &baselines.oracle {
        row("oracle", oracle)?;
    }
    row("model − constant", &baselines.to_best_constant)?;
    if baselines.oracle.is_some() {
        let share = |part: usize| {
            baselines.gap_closed[part].map_or_else(|| "–".to_owned(), |share| format!("{:.0}%", 100.0 * share))
        };
        print_line!(
            "{:<16} {:>21} {:>21} {:>21} {:>21} {:>21}",
            "gap closed",
            share(4),
            share(0),
            share(1),
            share(2),
            share(3)
        )?;
    }
    let total = baselines.to_best_constant.total;
    let verdict = if total.high < 0.0 {
        "The model is better than the best constant."
    } else if total.low > 0.0 {
        "The model is worse than the best constant."
    } else {
        "With so few studies, the difference between the model and the best constant may be chance."
    };
    print_line!("\n{verdict}")
}

fn row(name: &str, intervals: &ScoreIntervals) -> Result<()> {
    let cell = |part: usize| {
        let interval = intervals.five()[part];
        format!("{:.3} [{:.3}, {:.3}]", interval.estimate, interval.low, interval.high)
    };
    print_line!("{name:<16} {:>21} {:>21} {:>21} {:>21} {:>21}", cell(4), cell(0), cell(1), cell(2), cell(3))
}

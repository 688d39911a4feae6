//! `lumbar train`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lumbar::data::manifest::Manifest;
use lumbar::model::HubCache;
use lumbar::run::{Fitted, Run, RunConfig, SyntheticRun};
use lumbar::tasks::Preset;
use serde_json::json;

use crate::device::DeviceArgs;
use crate::{output, score, signal, watch};

/// What is trained, on what, and where the results are stored.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of the run: a new run is created in it, an existing one is continued
    #[arg(long, value_name = "FOLDER", required_unless_present = "print_config")]
    run: Option<PathBuf>,
    /// The data set, a folder in the competition's layout; not needed to continue a run
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// full (a localiser, and a crop grader on the points that it finds: for studies without annotations), crops
    /// (around the annotated points), locate (finds the points), whole-study (attention over all slices), or channels
    /// (all slices as channels of one network), small enough for five folds of 64 studies in minutes on two cores; real
    /// is full for the competition's 1,975 studies on a GPU, from a pretrained backbone; synthetic is a localiser from
    /// studies that are drawn in memory, without data. A new run without preset and config is full
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    preset: Option<Preset>,
    /// A config in TOML; start from what --print-config prints
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Start the backbones from a safetensors file with timm's names, or from a repository of the Hugging Face hub as
    /// hub:OWNER/NAME; with --preset synthetic from a localiser's file
    #[arg(long, value_name = "FILE|hub:NAME")]
    init: Option<String>,
    /// Change one field of preset or config; may be repeated: --set train.epochs=3 --set folds.count=2
    #[arg(long, value_name = "FIELD=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Train this fold alone, from 0; others may be trained by other processes
    #[arg(long, value_name = "K")]
    fold: Option<usize>,
    /// Print the config with every field, and do nothing else
    #[arg(long)]
    print_config: bool,
    /// Print one JSON value at the end instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

fn setting(text: &str) -> Result<(String, String)> {
    let (field, value) = text.split_once('=').context("expected FIELD=VALUE")?;
    Ok((field.trim().to_owned(), value.trim().to_owned()))
}

/// Trains, then prints the score if all folds are complete.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let existing = arguments.run.as_ref().filter(|folder| folder.join("run.toml").exists());
    let saved = existing.map(|folder| RunConfig::read(&folder.join("run.toml"))).transpose()?;
    let mut config = match (&arguments.config, arguments.preset, &saved) {
        (Some(path), _, _) => RunConfig::read(path)?,
        (_, Some(preset), _) => RunConfig::preset(preset),
        (_, _, Some(saved)) => saved.clone(),
        _ => RunConfig::preset(Preset::DEFAULT),
    };
    for (field, value) in &arguments.set {
        config.set(field, value)?;
    }
    if let Some(init) = &arguments.init {
        let value = match init.strip_prefix("hub:") {
            Some(repository) => json!({ "hub": repository }),
            None => json!({ "file": std::path::absolute(init).unwrap_or_else(|_| init.into()).display().to_string() }),
        };
        // an inline table of TOML is JSON with `=` for `:`
        let (kind, text) = value.as_object().and_then(|table| table.iter().next()).context("--init is empty")?;
        config.set(&format!("task.{}.init", config.task.name()), &format!("{{ {kind} = {text} }}"))?;
    }
    if arguments.print_config {
        output::print(format_args!("{}", config.to_toml()?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = arguments.run.as_ref().context("--run is missing")?;
    if config.synthetic.is_some() {
        return synthetic(arguments, folder, &config);
    }
    let known = existing.map(|folder| Run::open(folder)).transpose()?;
    let data = match (&arguments.data, &known) {
        (Some(folder), _) => folder.clone(),
        (None, Some(run)) => run.data().folder.clone(),
        (None, None) => bail!("there is no run yet: say --data FOLDER"),
    };
    let stop = signal::stop_token();
    let device = arguments.device.set_up()?;
    let manifest = Manifest::read(std::path::absolute(&data).unwrap_or(data))?;
    let run =
        Run::create(folder, &config, &manifest)?.with_hub(HubCache::from_variables(|name| std::env::var_os(name)));
    let outcome = run.fit(arguments.fold, device, &stop, &mut watch::Watch::new())?;
    let text = match outcome {
        Fitted::Stopped => "stopped; the same command continues",
        Fitted::Tried => "tried; nothing was saved, as train.scope says",
        Fitted::Partly => "trained in part",
        Fitted::Complete => "complete",
    };
    let baselines = if outcome == Fitted::Complete { score::of_run(&run)? } else { None };
    if arguments.json {
        let missing = run.missing_folds();
        // A path that is not UTF-8 has no JSON form: shown with replacement characters.
        let run = folder.display().to_string();
        print_line!("{}", json!({"run": run, "outcome": text, "missing_folds": missing, "baselines": baselines}))?;
    } else {
        let missing: Vec<String> = run.missing_folds().iter().map(ToString::to_string).collect();
        print_line!("{}: {text}", folder.display())?;
        if !missing.is_empty() {
            print_line!("folds {} are not trained yet", missing.join(", "))?;
        }
        if let Some(baselines) = &baselines {
            score::print(baselines)?;
        }
    }
    Ok(if outcome == Fitted::Stopped { signal::exit_code() } else { ExitCode::SUCCESS })
}

/// Trains a localiser on studies that are drawn in memory.
fn synthetic(arguments: &Arguments, folder: &std::path::Path, config: &RunConfig) -> Result<ExitCode> {
    if let Some(data) = &arguments.data {
        bail!("--data {}: synthetic studies are drawn in memory, expected no data set", data.display());
    }
    let stop = signal::stop_token();
    let device = arguments.device.set_up()?;
    let run = SyntheticRun::create(folder, config)?;
    let outcome = run.fit(device, &stop, &mut watch::Watch::new())?;
    let (text, file) = match outcome {
        Fitted::Stopped => ("stopped; the same command continues".to_owned(), None),
        Fitted::Complete => {
            let path = run.localiser_path();
            (format!("complete: {}", path.display()), Some(path.display().to_string()))
        }
        Fitted::Tried | Fitted::Partly => ("tried; nothing was saved, as train.scope says".to_owned(), None),
    };
    if arguments.json {
        print_line!("{}", json!({"run": folder.display().to_string(), "outcome": text, "localiser": file}))?;
    } else {
        print_line!("{}: {text}", folder.display())?;
    }
    Ok(if outcome == Fitted::Stopped { signal::exit_code() } else { ExitCode::SUCCESS })
}

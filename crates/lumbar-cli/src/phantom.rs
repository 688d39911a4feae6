//! `lumbar phantom`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use lumbar_phantom::{PhantomConfig, Preset, References, generate, score_references};
use serde_json::json;

use crate::progress::Progress;

/// What is drawn, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder to make; it must be empty or not exist
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// tiny (seconds, for tests), default, or large (2,000 studies)
    #[arg(long, default_value = "default")]
    preset: String,
    /// Labelled studies, instead of the preset's number
    #[arg(long, value_name = "N")]
    studies: Option<usize>,
    /// The seed of everything, instead of the preset's
    #[arg(long)]
    seed: Option<u64>,
    /// Draw nothing: print uniform, best-constant and oracle score of the phantom in `--out`, and its classes
    #[arg(long)]
    references: bool,
    /// Print one JSON value instead of text
    #[arg(long)]
    json: bool,
}

/// Draws, then prints what the reference predictors reach.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.references {
        let preset: Preset = arguments.preset.parse()?;
        let mut config = PhantomConfig::preset(preset);
        config.studies = arguments.studies.unwrap_or(config.studies);
        config.seed = arguments.seed.unwrap_or(config.seed);
        let start = Instant::now();
        let progress = Progress::new("studies");
        let summary = generate(&config, &arguments.out, &|at| progress.at(at.studies_done, at.studies))?;
        drop(progress);
        if !arguments.json {
            print_line!(
                "{} studies, {:.0} MB, {:.1} s: {}",
                config.studies + config.test_studies,
                summary.bytes as f64 / 1e6,
                start.elapsed().as_secs_f64(),
                arguments.out.display()
            )?;
        }
    }
    let references = score_references(&arguments.out).context("the phantom's reference scores")?;
    if arguments.json { print_json(&references) } else { print_text(&references) }
}

fn rows(references: &References) -> [(&'static str, lumbar_phantom::Score); 4] {
    [
        ("uniform", references.uniform),
        ("best constant, five folds", references.best_constant),
        ("best constant, in sample", references.best_constant_in_sample),
        ("oracle", references.oracle),
    ]
}

fn print_text(references: &References) -> Result<()> {
    print_line!(
        "\n{:<26} {:>7} {:>7} {:>9} {:>12} {:>10}",
        "",
        "score",
        "spinal",
        "foraminal",
        "subarticular",
        "any severe"
    )?;
    for (name, score) in rows(references) {
        print_line!(
            "{name:<26} {:>7.4} {:>7.4} {:>9.4} {:>12.4} {:>10.4}",
            score.total(),
            score.spinal,
            score.foraminal,
            score.subarticular,
            score.any_severe_spinal
        )?;
    }
    let head = ["normal/mild", "moderate", "severe", "missing"];
    print_line!("\n{:<42} {:>11} {:>8} {:>6} {:>7}   competition, %", "", head[0], head[1], head[2], head[3])?;
    for count in &references.classes {
        let [mild, moderate, severe] = count.cells;
        let aim = count.aim.map(|share| format!("{:.1}", 100.0 * share)).join(" / ");
        print_line!("{:<42} {mild:>11} {moderate:>8} {severe:>6} {:>7}   {aim}", count.column, count.missing)?;
    }
    Ok(())
}

fn print_json(references: &References) -> Result<()> {
    let scores: serde_json::Map<String, serde_json::Value> = rows(references)
        .into_iter()
        .map(|(name, score)| {
            let parts = json!({
                "score": score.total(), "spinal": score.spinal, "foraminal": score.foraminal,
                "subarticular": score.subarticular, "any_severe_spinal": score.any_severe_spinal,
            });
            (name.to_owned(), parts)
        })
        .collect();
    let classes: Vec<_> = references
        .classes
        .iter()
        .map(|count| json!({"column": count.column, "cells": count.cells, "missing": count.missing, "aim": count.aim}))
        .collect();
    print_line!("{}", json!({"scores": scores, "classes": classes}))
}

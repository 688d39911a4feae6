//! `lumbar phantom`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use lumbar_dicom::counted;
use lumbar_phantom::{PhantomConfig, PhantomPreset, References, generate, plan_references, score_references};
use serde_json::json;

use crate::progress::Progress;

/// What is drawn, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder to make; it must be empty or not exist
    #[arg(long, value_name = "FOLDER", required_unless_present = "references")]
    out: Option<PathBuf>,
    /// tiny (seconds, for tests), aligned (the levels can be guessed), default, hard, or large (2,000 studies)
    #[arg(long, default_value_t = PhantomPreset::SETUP)]
    preset: PhantomPreset,
    /// Labelled studies, instead of the preset's number
    #[arg(long, value_name = "N")]
    studies: Option<usize>,
    /// The seed of everything, instead of the preset's
    #[arg(long)]
    seed: Option<u64>,
    /// Draw nothing: print what reference predictors reach on the phantom in `--out`, or without it on the presets
    /// aligned, default and hard
    #[arg(long)]
    references: bool,
    /// Print one JSON value instead of text
    #[arg(long)]
    json: bool,
}

/// Draws, then prints what the reference predictors reach.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Some(out) = &arguments.out else {
        return print_presets(arguments);
    };
    if !arguments.references {
        let config = config(arguments, arguments.preset);
        let start = Instant::now();
        let progress = Progress::new("studies");
        let summary = generate(&config, out, &|at| progress.at(at.studies_done, at.studies))?;
        drop(progress);
        if !arguments.json {
            print_line!(
                "{}, {:.0} MB, {:.1} s: {}",
                counted(config.studies + config.test_studies, "study"),
                summary.bytes as f64 / 1e6,
                start.elapsed().as_secs_f64(),
                out.display()
            )?;
        }
    }
    let references = score_references(out).context("the phantom's reference scores")?;
    if arguments.json { print_line!("{}", json_of(&references)) } else { print_text(&references) }
}

/// What is drawn: the preset with the arguments' numbers in place of its own.
fn config(arguments: &Arguments, preset: PhantomPreset) -> PhantomConfig {
    let preset = PhantomConfig::preset(preset);
    PhantomConfig {
        studies: arguments.studies.unwrap_or(preset.studies),
        seed: arguments.seed.unwrap_or(preset.seed),
        ..preset
    }
}

/// Prints the references of the presets that differ in difficulty, without drawing them.
fn print_presets(arguments: &Arguments) -> Result<()> {
    let mut presets = serde_json::Map::new();
    for preset in [PhantomPreset::Aligned, PhantomPreset::Default, PhantomPreset::Hard] {
        let references = plan_references(&config(arguments, preset))?;
        if arguments.json {
            presets.insert(preset.to_string(), json_of(&references));
        } else {
            print_line!("\npreset {preset}, {} studies", references.studies)?;
            print_scores(&references)?;
        }
    }
    if arguments.json {
        print_line!("{}", serde_json::Value::Object(presets))?;
    }
    Ok(())
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
    print_scores(references)?;
    print_line!(
        "\n{:<42} {:>11} {:>8} {:>6} {:>7}   competition, %",
        "",
        "normal/mild",
        "moderate",
        "severe",
        "missing"
    )?;
    for count in &references.classes {
        let [mild, moderate, severe] = count.cells;
        let aim = count.aim.map(|share| format!("{:.1}", 100.0 * share)).join(" / ");
        print_line!("{:<42} {mild:>11} {moderate:>8} {severe:>6} {:>7}   {aim}", count.column, count.missing)?;
    }
    Ok(())
}

fn print_scores(references: &References) -> Result<()> {
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
    let at = references.mean_position;
    print_line!(
        "\nmean position, five folds: levels named right {:.0} %, all five in {:.0} % of studies; canal {:.1} mm (95 %: \
         {:.1}), foramina {:.1} mm (95 %: {:.1})",
        100.0 * at.levels_right,
        100.0 * at.studies_right,
        at.canal.median_mm,
        at.canal.p95_mm,
        at.foramina.median_mm,
        at.foramina.p95_mm
    )
}

fn json_of(references: &References) -> serde_json::Value {
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
    json!({"scores": scores, "mean_position": references.mean_position, "classes": classes})
}

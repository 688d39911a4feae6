//! Writes a phantom and prints its reference scores: `phantom OUT [PRESET] [STUDIES] [SEED]`.

use std::path::PathBuf;
use std::time::Instant;

use lumbar_phantom::{PhantomConfig, PhantomPreset, generate, score_references};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = PathBuf::from(arguments.next().ok_or("usage: phantom OUT [PRESET] [STUDIES] [SEED]")?);
    let preset: PhantomPreset = arguments.next().as_deref().unwrap_or("tiny").parse()?;
    let mut config = PhantomConfig::preset(preset);
    if let Some(studies) = arguments.next() {
        config.studies = studies.parse()?;
    }
    if let Some(seed) = arguments.next() {
        config.seed = seed.parse()?;
    }
    let start = Instant::now();
    let summary = generate(&config, &out, &|progress| {
        eprint!("\r{} of {} studies", progress.studies_done, progress.studies);
    })?;
    eprintln!();
    println!("{summary:#?}");
    println!("{:.1} s, {:.1} MB", start.elapsed().as_secs_f64(), summary.bytes as f64 / 1e6);
    let references = score_references(&out)?;
    for (name, score) in [
        ("uniform", references.uniform),
        ("best constant", references.best_constant),
        ("best constant, in sample", references.best_constant_in_sample),
        ("oracle", references.oracle),
    ] {
        println!("{name:25} {:.4}  {score:?}", score.total());
    }
    println!("{:42} normal/mild  moderate  severe  missing   aim", "");
    for count in &references.classes {
        let [normal, moderate, severe] = count.cells;
        let aim = count.aim.map(|share| format!("{:.1}%", 100.0 * share)).join(" ");
        println!("{:42} {normal:>11} {moderate:>9} {severe:>7} {:>8}   {aim}", count.column, count.missing);
    }
    Ok(())
}

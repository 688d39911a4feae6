//! How much more studies help: out-of-fold scores of presets over growing parts of one phantom, beside the best
//! constant. `cargo xtask bench curve [WORD…]`; the words, in any order:
//!
//! | word | default | |
//! |---|---|---|
//! | a preset, as in `lumbar train --preset` | `whole-study`, `crops` and `full` | what is trained; several may be named |
//! | a number | 64, 128 and 256 | labelled studies of a row; several may be named |
//! | `seed=N` | 11 | of the phantom `default` |
//!
//! Each row trains all folds of the preset from nothing, as `lumbar train` does. The phantom has as many labelled
//! studies as the largest row asks for; smaller rows take its first ones. Scores are the competition's, lower is better;
//! intervals are those of a bootstrap over studies, paired for the difference.

use std::time::Instant;

use lumbar::data::DataSplit;
use lumbar::data::manifest::Manifest;
use lumbar::metric::{
    BootstrapConfig, ConstantBaseline, Graded, PredictionTable, read_predictions, score_difference, score_intervals,
};
use lumbar::run::{Fitted, Run, RunConfig};
use lumbar::tasks::Preset;
use lumbar::train::observer::{Silent, StopToken};
use lumbar_phantom::PhantomConfig;
use lumbar_tests::scratch;
use tch::Device;

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    if std::env::args().all(|word| word != "--bench") {
        return;
    }
    torch_ext::memory::keep_freed_pages();
    let (mut presets, mut sizes, mut seed) = (Vec::new(), Vec::new(), 11);
    for word in std::env::args().skip(1).filter(|word| word != "--bench") {
        if let Some(value) = word.strip_prefix("seed=") {
            seed = value.parse().expect("a seed");
        } else if let Ok(size) = word.parse::<usize>() {
            sizes.push(size);
        } else {
            presets.push(word.parse::<Preset>().unwrap_or_else(|error| panic!("{error}")));
        }
    }
    if sizes.is_empty() {
        sizes = vec![64, 128, 256];
    }
    if presets.is_empty() {
        presets = vec![Preset::WholeStudy, Preset::Crops, Preset::Full];
    }
    let out = scratch();
    let data = out.path().join("phantom");
    let largest = sizes.iter().copied().max().expect("there are sizes");
    let phantom = PhantomConfig { studies: largest, test_studies: 0, seed, ..PhantomConfig::default() };
    lumbar_phantom::generate(&phantom, &data, &|_| ()).expect("a phantom");
    let manifest = Manifest::read(&data).expect("a data set");
    let oracle = read_predictions(&data.join("truth/oracle.csv")).expect("the oracle's table");
    println!("five folds each, out of fold; model minus best constant with its paired 95 % interval");
    println!(
        "{:>12} {:>7} {:>24} {:>9} {:>7} {:>26} {:>8}",
        "preset", "studies", "score", "constant", "oracle", "model minus constant", "minutes"
    );
    for (preset, size) in presets.iter().flat_map(|preset| sizes.iter().map(move |size| (*preset, *size))) {
        let mut left = size;
        let part = manifest.filter(|study| {
            let wanted = study.split == DataSplit::Train && study.labels.is_some() && left > 0;
            left -= usize::from(wanted);
            wanted
        });
        let start = Instant::now();
        let run = Run::create(&out.path().join(format!("run-{preset}-{size}")), &RunConfig::preset(preset), &part)
            .expect("enough studies for five folds");
        let fitted = run.fit(None, Device::Cpu, &StopToken::new(), &mut Silent).expect("trained");
        assert_eq!(fitted, Fitted::Complete);
        let minutes = start.elapsed().as_secs_f64() / 60.0;
        let constant = ConstantBaseline::best_out_of_fold(run.labels(), |study| run.fold_of(study));
        let known = run.labels().studies().to_vec();
        let graded = |table: &PredictionTable| Graded::join(run.labels(), table).expect("the run's studies");
        let model = graded(&run.out_of_fold().expect("all folds"));
        let constant = graded(&constant.expect("labels in each fold"));
        let oracle = graded(&oracle.filter(|study| known.contains(&study)));
        let config = BootstrapConfig::default();
        let score = score_intervals(&model, &config).expect("labels of each part").total;
        let reference = |table: &Graded| lumbar::metric::score(table).expect("labels of each part").total();
        let gain = score_difference(&model, &constant, &config).expect("the same studies").total;
        println!(
            "{:>12} {size:>7} {:>8.3} [{:.3}, {:.3}] {:>9.3} {:>7.3} {:>+9.3} [{:+.3}, {:+.3}] {minutes:>8.1}",
            preset.to_string(),
            score.estimate,
            score.low,
            score.high,
            reference(&constant),
            reference(&oracle),
            gain.estimate,
            gain.low,
            gain.high,
        );
        // checkpoints are large
        std::fs::remove_dir_all(run.folder()).expect("the run's folder");
    }
}

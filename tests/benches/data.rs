//! Augmented crops per second and core, beside albumentations and OpenCV with the same recipe in the same run.
//!
//! `cargo bench --profile dev -p lumbar-tests --bench data --config profile.dev.package.lumbar.opt-level=3 --config
//! profile.dev.package.lumbar.overflow-checks=false`

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use lumbar::data::augment::AugmentConfig;
use lumbar::data::loader::{BoxError, Dataset, Loader, LoaderConfig, Plan};
use lumbar::data::random::generator;
use lumbar::data::render::{Border, Normalisation, Region, Renderer, Request, SourceImage};
use lumbar::data::{Affine2, StudyId};
use tch::{Device, Tensor};

/// Side of the stored picture.
const SOURCE: usize = 384;
/// Seconds for each figure.
const SECONDS: f64 = 3.0;

/// A picture as smooth and as noisy as a slice.
fn image() -> Vec<u16> {
    (0..SOURCE * SOURCE)
        .map(|k| {
            let (x, y) = ((k % SOURCE) as f64, (k / SOURCE) as f64);
            let tissue = 600.0 + 300.0 * (x / 17.0).sin() * (y / 23.0).cos();
            (tissue + ((k * 7919) % 101) as f64) as u16
        })
        .collect()
}

/// One crop of `side` pixels from the whole stored picture, with everything drawn anew.
fn render(pixels: &[u16], side: usize, config: &AugmentConfig, number: u64, renderer: &mut Renderer, out: &mut [f32]) {
    let augmentation = config.draw(side, side, &mut generator(7, number, StudyId(number), "augment"));
    let scale = SOURCE as f64 / side as f64;
    let from_crop = Affine2::scale([scale; 2], [0.0; 2]).then(&Affine2::shift([(scale - 1.0) / 2.0; 2]));
    let region = Region::whole(SOURCE, SOURCE);
    let (gain, offset) = (1.0 / 1100.0, 0.0);
    let image = SourceImage { pixels: pixels.into(), rows: SOURCE, columns: SOURCE, region, from_crop, gain, offset };
    let request = Request {
        width: side,
        height: side,
        border: Border::Reflect,
        augmentation: &augmentation,
        normalisation: Normalisation { mean: 0.5, std: 0.5 },
    };
    renderer.render(Some(&image), &request, 0, out).expect("all of the picture is there");
}

/// Seconds of processor time, of this thread or of all: a busy machine slows both sides, and this counts neither's
/// wait.
fn seconds(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock writes into the timespec that it is given.
    assert_eq!(unsafe { libc::clock_gettime(clock, &mut time) }, 0, "there is such a clock");
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn thread_seconds() -> f64 {
    seconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn crops_per_second(side: usize, config: &AugmentConfig) -> f64 {
    let (pixels, mut renderer, mut out) = (image(), Renderer::new(), vec![0.0; side * side]);
    let (start, mut count) = (thread_seconds(), 0);
    while thread_seconds() - start < SECONDS {
        for _ in 0..20 {
            render(&pixels, side, config, count, &mut renderer, &mut out);
            black_box(&mut out);
            count += 1;
        }
    }
    count as f64 / (thread_seconds() - start)
}

struct Crops {
    pixels: Vec<u16>,
    side: usize,
    config: AugmentConfig,
}

impl Dataset for Crops {
    type Sample = Vec<f32>;
    type Inputs = Tensor;
    type Truth = ();

    fn sample(&self, _: &Plan, study: StudyId) -> Result<Vec<f32>, BoxError> {
        let mut image = vec![0.0; self.side * self.side];
        render(&self.pixels, self.side, &self.config, study.0, &mut Renderer::new(), &mut image);
        Ok(image)
    }

    fn collate(&self, _: &Plan, samples: Vec<Vec<f32>>) -> Result<(Tensor, ()), BoxError> {
        let side = self.side as i64;
        Ok((Tensor::f_from_slice(&samples.concat())?.f_view([samples.len() as i64, 1, side, side])?, ()))
    }
}

/// Crops per second of processor time of all threads, and per second of the clock.
fn through_the_loader(side: usize, workers: usize, rate: f64) -> (f64, f64) {
    let studies: Vec<StudyId> = (0..(rate * SECONDS) as u64).map(StudyId).collect();
    let dataset = Crops { pixels: image(), side, config: AugmentConfig::default() };
    let config = LoaderConfig { workers, prefetch: 2 * workers + 2, ..LoaderConfig::default() };
    let plan = Plan { augmented: true, ..Plan::in_order(&studies, 32) };
    let (start, processor) = (Instant::now(), seconds(libc::CLOCK_PROCESS_CPUTIME_ID));
    let loader = Loader::start(Arc::new(dataset), plan, &config, Device::Cpu).expect("the loader starts");
    let samples: usize = loader.map(|batch| black_box(batch.expect("a batch")).studies.len()).sum();
    let took = seconds(libc::CLOCK_PROCESS_CPUTIME_ID) - processor;
    (samples as f64 / took, samples as f64 / start.elapsed().as_secs_f64())
}

fn peer() -> serde_json::Value {
    let script = lumbar_tests::workspace().join("tests/benches/data.py");
    let mut command = Command::new(lumbar_tests::python());
    for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(name, "1");
    }
    command.env("NO_ALBUMENTATIONS_UPDATE", "1");
    let output = command.arg(&script).arg(SECONDS.to_string()).output().expect("the peer starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the peer answers with JSON")
}

fn main() {
    // as training programs do: batches are taken and freed all the time
    torch_ext::memory::keep_freed_pages();
    let config = AugmentConfig::default();
    println!("augmented crops per second on one core, from a {SOURCE}² picture, one channel");
    println!("{:>6} {:>12} {:>22} {:>22}", "side", "lumbar", "albumentations first", "after the resize");
    let peer = peer();
    for side in [96, 224] {
        let own = crops_per_second(side, &config);
        let figure = |order: &str| peer[order][side.to_string()].as_f64().expect("a figure of the peer");
        let (first, after) = (figure("augment_then_resize"), figure("resize_then_augment"));
        println!(
            "{side:>6} {own:>12.0} {:>22} {:>22}",
            format!("{first:.0} ({:.1} ×)", own / first),
            format!("{after:.0} ({:.1} ×)", own / after)
        );
        for workers in [1, 2] {
            let (processor, clock) = through_the_loader(side, workers, own);
            let share = processor / own;
            println!(
                "{:>6} {processor:>12.0} through the loader, {workers} workers, each ({share:.2} of the rate); {clock:.0} by the clock",
                ""
            );
        }
    }
    let one = |name: &str, change: fn(&mut AugmentConfig)| {
        let mut config = AugmentConfig::none();
        change(&mut config);
        let micros = |side| 1e6 / crops_per_second(side, &config);
        println!("{name:>12} {:>8.1} {:>8.1}", micros(96), micros(224));
    };
    if std::env::args().any(|argument| argument == "--detail") {
        println!("\nmicroseconds a crop at 96 / 224 pixels, one kind of augmentation always on and no other");
        one("none", |_| {});
        one("affine", |c| c.affine.p = 1.0);
        one("distortion", |c| c.distortion.p = 1.0);
        one("tone", |c| c.tone.p = 1.0);
        one("gamma", |c| c.tone.gamma_p = 1.0);
        one("bias", |c| c.bias.p = 1.0);
        one("filter", |c| c.filter.p = 1.0);
        one("dropout", |c| c.dropout.p = 1.0);
    }
}

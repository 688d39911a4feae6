//! A rehearsal of the competition's 1,975 studies on two cores: seconds, memory and disk of each stage of the command
//! line, at two sizes, so that what grows with the number of studies is seen.
//! `cargo xtask bench rehearsal data=FOLDER [WORD…]`; the words, in any order:
//!
//! | word | default | |
//! |---|---|---|
//! | `data=FOLDER` | needed | a phantom: `lumbar phantom --preset large --out FOLDER` draws 2,000 studies |
//! | `studies=N` | 2000 | the larger size; the smaller is a quarter of it. A phantom of fewer studies is repeated, by links |
//! | `run=FOLDER` | none | a finished run of the preset `full` that predicts; without one a small run is trained |
//! | `stages=WORDS` | `inspect,train,locate,predict` | which stages |
//! | `program=FILE` | the set-up's | the command `lumbar` |
//! | `out=FOLDER` | a scratch folder | where runs and logs stay |
//! | `FIELD=VALUE` | see `SETTINGS` | a field of the config of the preset `real` |
//!
//! Two studies are broken: a file that is cut to a third, and an empty one. No stage may stop, and each that reads the
//! files must name study and file.
//!
//! Images of the localiser and networks of the graders are small (`SETTINGS` in `rehearsal/measure.rs`), so that two cores end: seconds of
//! training say nothing about the preset's own sizes. Memory of a stage that grows with the number of studies grows as
//! it would there.

#[cfg(target_os = "linux")]
#[path = "rehearsal/data.rs"]
mod data;
#[cfg(target_os = "linux")]
#[path = "rehearsal/measure.rs"]
mod measure;
#[cfg(target_os = "linux")]
#[path = "rehearsal/stage.rs"]
mod stage;

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    if std::env::args().any(|word| word == "--bench") {
        #[cfg(target_os = "linux")]
        measure::measure();
        #[cfg(not(target_os = "linux"))]
        println!("not measured: the memory of a process is read from Linux's /proc");
    }
}

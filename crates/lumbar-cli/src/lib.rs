//! The command `lumbar`.
//!
//! Everything that a notebook can do with a data set is also a command: draw a synthetic one, look at a folder, train,
//! score, predict, report. The crate is glue. It reads arguments, calls the library, and prints; a rule that could be
//! tested without a process is in `lumbar`, `lumbar-dicom` or `lumbar-phantom`.
//!
//! What a command promises its caller, and where that is implemented:
//!
//! - **Results go to standard output, progress and errors to standard error.** A pipe that is closed early
//!   (`lumbar score | head`) is no error, and nothing that is printed can end a training run (`output`).
//! - **It fails before the work, not after it.** An output file that cannot be written, a sample submission with wrong
//!   row ids, a GPU that is not there are errors at the start (`output_file`, `device`).
//! - **It can be stopped.** Ctrl-C, SIGTERM and a closed terminal save first; the exit code says which signal it was
//!   (`signal`).
//! - **It can be read by programs.** Each command has `--json`; exit codes are in `lumbar --help`.
//!
//! # Why a library and a program
//!
//! The set-up compiles this library once more with the optimisation that notebooks have, in the folder where theirs is
//! already compiled, and puts that program beside Python's in the environment. `cargo run -p lumbar-cli` compiles for
//! development instead, with overflow checks and debug assertions, and is about 1.6 times slower.

#[macro_use]
mod output;

mod completions;
mod device;
mod inspect;
mod locate;
mod output_file;
mod phantom;
mod predict;
mod progress;
mod report;
mod score;
mod signal;
mod train;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Grades degenerative lumbar-spine disease on MRI. For research and teaching, not a medical device.
///
/// From synthetic data to a submission:
///
///   lumbar phantom --out data
///   lumbar train --data data --run runs/first
///   lumbar score --run runs/first
///   lumbar predict --run runs/first --data data --out submission.csv
///
/// Exit codes: 0 done, 1 an error (it says what was expected and found), 2 wrong arguments, 129, 130 and 143 stopped
/// by SIGHUP, Ctrl-C and SIGTERM after saving.
#[derive(Debug, Parser)]
#[command(name = "lumbar", version, arg_required_else_help = true, verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draw a synthetic data set in the competition's layout
    ///
    /// Studies with sagittal T1, sagittal T2/STIR and axial T2 series, labels and coordinates, and the irregularities
    /// of the competition's files. The same seed gives the same bytes. The folder `truth/` beside the data, which no
    /// loader reads, contains exact points, planted irregularities, and the predictions of an oracle, the lowest score
    /// that any model can expect.
    Phantom(phantom::Arguments),
    /// Describe a folder: the tables of the competition's layout, else DICOM series
    ///
    /// Every file that is not used and every warning is listed with its reason.
    Inspect(inspect::Arguments),
    /// Train the folds of a run, or continue with them
    ///
    /// A run is a folder. The first call makes it from a config and a data set; later calls continue exactly where
    /// the earlier one ended, to the same weights bit for bit, and refuse another config or other data, field by
    /// field. Ctrl-C, SIGTERM and SIGHUP save first and end with code 130, 143 or 129; a second one does not wait.
    ///
    /// Each fold can be trained by its own process with --fold; the last one merges the out-of-fold table and fits
    /// the temperatures. Beside the checkpoints each fold has history.jsonl, events.jsonl and TensorBoard's event
    /// files.
    Train(train::Arguments),
    /// Predict studies with a trained run and write a submission
    ///
    /// The studies are those of the data set's sample_submission.csv, else all of its test half, else all of its
    /// training half. No study is refused: what cannot be read is listed and predicted from the run's prior.
    /// The file is validated before it is written: every row of the sample once, in its order, finite, at least 0,
    /// summing to 1.
    Predict(predict::Arguments),
    /// Find the points of studies, and write them as a table
    ///
    /// Without a run, by the localiser that is part of the program: it was trained on synthetic studies alone.
    ///
    /// The studies are those that `predict` would predict. Each has 25 rows: the position in patient mm (LPS), the slice
    /// that shows it best with its pixels, and the reliability, the probability that the point is within 6 mm of where a
    /// reader would put it. Cells are empty where no point was found, or no slice of the series on which the condition
    /// is graded covers it.
    Locate(locate::Arguments),
    /// Score predictions as the competition does, with intervals, beside predictors that saw no image
    ///
    /// Of a run: its out-of-fold table. Of a file: any submission, against a table of labels. Intervals are from a
    /// bootstrap over studies. A model that is no better than the best constant has learned nothing.
    Score(score::Arguments),
    /// Write the results of a trained run as one HTML page
    ///
    /// Score with intervals beside the baselines, curves, probability distributions for each condition and severity,
    /// reliability, confusion, and the worst cases with their images and Grad-CAM. The page loads nothing, has at
    /// most 10 MB, and holds no path and no study number. In a browser the slices of the first cases can be scrolled;
    /// on paper they are images.
    Report(report::Arguments),
    /// Print the completions of a shell: `lumbar completions bash > FILE`
    ///
    /// `cargo xtask setup --user` writes them for bash and fish to the places where these look.
    Completions(completions::Arguments),
    /// Print the man page, in roff: `lumbar man | man -l -`
    Man(completions::ManArguments),
}

/// Reads the arguments of the process and does what they say.
///
/// Call it first in `main`: it sets variables of the environment that libtorch reads, which is sound only while no
/// other thread runs.
pub fn main() -> ExitCode {
    // SAFETY: no other thread runs yet.
    unsafe { torch_ext::determinism::set_cublas_workspace() };
    torch_ext::memory::keep_freed_pages();
    let done = |result: anyhow::Result<()>| result.map(|()| ExitCode::SUCCESS);
    let arguments = Arguments::parse();
    if let Err(error) = torch_ext::cpu_kernels::check_environment() {
        log_line!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let result = match arguments.command {
        Command::Phantom(arguments) => done(phantom::run(&arguments)),
        Command::Inspect(arguments) => done(inspect::run(&arguments)),
        Command::Train(arguments) => train::run(&arguments),
        Command::Predict(arguments) => done(predict::run(&arguments)),
        Command::Locate(arguments) => done(locate::run(&arguments)),
        Command::Score(arguments) => done(score::run(&arguments)),
        Command::Report(arguments) => done(report::run(&arguments)),
        Command::Completions(arguments) => done(completions::run(&arguments)),
        Command::Man(arguments) => done(completions::man(&arguments)),
    };
    result.unwrap_or_else(|error| {
        log_line!("error: {error:#}");
        ExitCode::FAILURE
    })
}

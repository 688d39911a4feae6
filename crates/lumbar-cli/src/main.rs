//! The command `lumbar`: arguments in, the library's calls, words and files out.

mod device;
mod inspect;
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
/// The whole way, on synthetic data:
///
///   lumbar phantom --out data
///   lumbar train --preset whole-study --data data --run runs/first
///   lumbar score --run runs/first
///   lumbar predict --run runs/first --data data --out submission.csv
///
/// Exit codes: 0 done, 1 an error (it says what was expected and found), 2 wrong arguments, 130 and 143 stopped by
/// Ctrl-C and SIGTERM after saving.
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
    /// Studies with sagittal T1, sagittal T2/STIR and axial T2 series, labels and coordinates, and the oddities of
    /// the competition's files. The same seed gives the same bytes. Beside the data lies `truth/`, which no
    /// loader reads: exact points, planted oddities, and the predictions of an oracle, the floor for any model.
    Phantom(phantom::Arguments),
    /// Say what is in a folder: in the competition's layout its tables, else its DICOM series
    ///
    /// Every file that is not used and every oddity is listed with its reason.
    Inspect(inspect::Arguments),
    /// Train the folds of a run, or go on with them
    ///
    /// A run is a folder. The first call makes it from a config and a data set; later calls go on exactly where
    /// the earlier one ended, to the same weights bit for bit, and refuse another config or other data, field by
    /// field. Ctrl-C and SIGTERM save first and end with code 130 or 143; a second one does not wait.
    ///
    /// Each fold can be trained by a process of its own with --fold; whichever ends last merges the out-of-fold
    /// table and fits the temperatures. Beside the checkpoints each fold keeps history.jsonl, events.jsonl and
    /// TensorBoard's event files.
    Train(train::Arguments),
    /// Predict studies with a trained run and write a submission
    ///
    /// The studies are those of the data set's sample_submission.csv, else all of its test half, else all of its
    /// training half. No study is refused: what cannot be read is listed and predicted from the run's prior.
    /// The file is validated before it is written: every row of the sample once, in its order, finite, at least 0,
    /// summing to 1.
    Predict(predict::Arguments),
    /// Score predictions as the competition does, with intervals, beside predictors that saw no picture
    ///
    /// Of a run: its out-of-fold table. Of a file: any submission, against a table of labels. Intervals are from a
    /// bootstrap over studies. A model that is no better than the best constant has learned nothing.
    Score(score::Arguments),
    /// Write what a trained run reached as one HTML page
    ///
    /// Score with intervals beside the reference predictors, curves, probability distributions for each condition and
    /// severity, reliability, confusion, and the worst cases with their pictures and Grad-CAM. The page loads nothing
    /// and holds no path; the study numbers of the data set are in it.
    Report(report::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Phantom(arguments) => phantom::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Inspect(arguments) => inspect::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Train(arguments) => train::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Score(arguments) => score::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Report(arguments) => report::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

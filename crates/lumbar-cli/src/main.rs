//! The command `lumbar`: arguments in, the library's calls, words and files out.

mod inspect;
mod phantom;
mod progress;
mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Grades degenerative lumbar-spine disease on MRI. For research and teaching, not a medical device.
#[derive(Debug, Parser)]
#[command(name = "lumbar", version, arg_required_else_help = true)]
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
    /// Write what a trained run reached as one HTML page
    ///
    /// Score with intervals beside the reference predictors, curves, probability distributions for each condition and
    /// severity, reliability, confusion, and the worst cases with their pictures and Grad-CAM. The page loads nothing
    /// and holds no path; the study numbers of the data set are in it.
    Report(report::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Phantom(arguments) => phantom::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

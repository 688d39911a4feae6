//! `lumbar completions` and `lumbar man`: generated from the same description of the arguments as `--help`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::output;

/// Which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

/// Where to.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArguments {
    /// Write the pages of `lumbar` and of each command to this folder, which exists, instead of printing the first
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Arguments::command(), "lumbar", &mut text);
    output::print(format_args!("{}", String::from_utf8_lossy(&text)))
}

/// Prints the man page of `lumbar`, or writes one for it and for each of its commands.
pub(crate) fn man(arguments: &ManArguments) -> Result<()> {
    if let Some(folder) = &arguments.out {
        return clap_mangen::generate_to(crate::Arguments::command(), folder)
            .with_context(|| format!("cannot write man pages to {}", folder.display()));
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(crate::Arguments::command()).render(&mut text)?;
    output::print(format_args!("{}", String::from_utf8_lossy(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_of_the_arguments_is_consistent() {
        crate::Arguments::command().debug_assert();
    }
}

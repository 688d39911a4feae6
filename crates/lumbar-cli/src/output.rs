//! Printing that cannot end a run.
//!
//! `println!` and `eprintln!` panic when the other end of a pipe is closed or the disk behind a redirection is full.
//! For a command that has trained for hours that is not an acceptable reason to stop.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// Prints a line of the result on standard output, and returns an error if it cannot be written.
macro_rules! print_line {
    ($($argument:tt)*) => { $crate::output::print(format_args!("{}\n", format_args!($($argument)*))) };
}

/// Prints a line about what happens on standard error. A line that cannot be written is dropped.
macro_rules! log_line {
    ($($argument:tt)*) => { $crate::output::log(format_args!("{}\n", format_args!($($argument)*))) };
}

/// Prints `text` on standard output.
///
/// A closed pipe is no error: the reader (`head`, a pager) has seen enough.
pub(crate) fn print(text: fmt::Arguments<'_>) -> Result<()> {
    print_to(&mut io::stdout().lock(), text)
}

fn print_to(output: &mut dyn Write, text: fmt::Arguments<'_>) -> Result<()> {
    match output.write_fmt(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// Prints `text` on standard error; errors are ignored, because there is no other place to report them.
pub(crate) fn log(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is_one() {
        print_to(&mut Failing(ErrorKind::BrokenPipe), format_args!("x")).unwrap();
        let error = print_to(&mut Failing(ErrorKind::StorageFull), format_args!("x")).unwrap_err();
        assert!(error.to_string().contains("cannot write to standard output"), "{error}");
    }
}

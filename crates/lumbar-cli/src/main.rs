//! The command `lumbar`: see [`lumbar_cli`].

fn main() -> std::process::ExitCode {
    lumbar_cli::main()
}

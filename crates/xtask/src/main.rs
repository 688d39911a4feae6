//! Set-up, notebooks, tests and benchmarks: `cargo xtask …`.

fn main() {}

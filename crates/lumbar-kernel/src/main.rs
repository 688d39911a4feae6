//! The Jupyter kernel `Rust (lumbar)`.

fn main() {}

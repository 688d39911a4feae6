//! The command `lumbar`.

fn main() {}

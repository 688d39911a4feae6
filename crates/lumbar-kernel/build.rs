//! The kernel and its `cargo` are copied out of the target folder; they find Rust's own library there, too.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(rustc).args(["--print", "target-libdir"]).output().expect("rustc runs");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", String::from_utf8_lossy(&output.stdout).trim());
}

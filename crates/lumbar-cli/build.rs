//! Lets the program find libtorch, CUDA included, and Rust's own library when it runs.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let lib = env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys names libtorch's folder");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    // Nothing refers to libtorch_cuda by name: without these the linker leaves it out and CUDA is silently absent.
    println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
    println!("cargo:rustc-link-arg=-ltorch");
    // The workspace links Rust's library dynamically; `cargo install` copies the program out of the target folder.
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(rustc).args(["--print", "target-libdir"]).output().expect("rustc runs");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", String::from_utf8_lossy(&output.stdout).trim());
}

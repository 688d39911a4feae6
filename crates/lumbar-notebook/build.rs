//! How the notebooks' dynamic library is linked.
//!
//! - rustc hides the symbols of tch's C++ wrapper in a dynamic library, but tch has generic functions that are
//!   compiled in a cell and call it: a version script of our own exports them (rust-lld, the default linker on
//!   x86-64 Linux, takes a second script; GNU ld does not).
//! - torch's folder goes into the run path, and `-ltorch` stays although nothing refers to it: it brings
//!   libtorch_cuda, without which `Cuda::is_available()` would silently be false.

use std::path::PathBuf;
use std::{env, fs};

const EXPORTED: &str =
    "{ global: at_*; atg_*; ati_*; atm_*; ato_*; ats_*; atc_*; get_and_reset_last_err; torch_ext_*; };\n";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let script = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("exported.map");
    fs::write(&script, EXPORTED).expect("OUT_DIR can be written");
    println!("cargo:rustc-link-arg=-Wl,--version-script={}", script.display());
    if let Ok(torch) = env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{torch}");
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo:rustc-link-arg=-ltorch");
    }
}

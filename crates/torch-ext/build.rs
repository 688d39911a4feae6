//! Compiles the C++ shim against the headers of the torch that torch-sys links, and links this package's
//! tests to all of torch.

use std::path::PathBuf;

#[path = "src/shim_types.rs"]
#[allow(missing_docs, unused, reason = "the build script needs the layouts alone")]
mod shim_types;

fn main() {
    println!("cargo:rerun-if-changed=csrc");
    println!("cargo:rerun-if-changed=src/shim_types.rs");
    let lib = PathBuf::from(std::env::var_os("DEP_TCH_LIBTORCH_LIB").expect("torch-sys names libtorch's folder"));
    let include = lib.parent().expect("libtorch's lib folder has a parent").join("include");
    assert!(
        include.join("ATen/ATen.h").exists(),
        "no torch headers at {}: LIBTORCH has to name a torch with its include folder",
        include.display()
    );
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo names the output folder"));
    std::fs::write(out.join("shim_types.h"), shim_types::header()).expect("the output folder can be written");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .opt_level(2)
        .include(include.join("torch/csrc/api/include"))
        .include(&include)
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include("csrc")
        .include(&out)
        .file("csrc/shim.cpp")
        .file("csrc/conv3x3.cpp")
        .file("csrc/batch_norm.cpp")
        .file("csrc/branches.cpp")
        .compile("torch_ext_shim");
    println!("cargo:rustc-link-search=native={}", lib.display());
    for library in ["torch_cpu", "torch", "c10"] {
        println!("cargo:rustc-link-lib={library}");
    }
    // Nothing refers to libtorch_cuda by name: without these the linker leaves it out and CUDA is silently absent.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
    println!("cargo:rustc-link-arg=-ltorch");
}

//! Lets this package's programs and tests find libtorch at run time, CUDA included.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys names libtorch's folder");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    // Nothing refers to libtorch_cuda by name: without these the linker leaves it out and CUDA is silently absent.
    println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
    println!("cargo:rustc-link-arg=-ltorch");
}

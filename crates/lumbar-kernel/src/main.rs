//! The Jupyter kernel `Rust (lumbar)`: evcxr's kernel with what [`lumbar_kernel`] puts around it.

fn main() -> anyhow::Result<()> {
    // The process that runs the cells is this program, started again by evcxr.
    evcxr::runtime_hook();
    lumbar_kernel::command::run(evcxr_jupyter::main)
}

//! The Jupyter kernel `Rust (lumbar)`: evcxr's kernel with what [`lumbar_kernel`] adds.

fn main() -> anyhow::Result<()> {
    // evcxr starts this program again as the process that runs the cells, which never returns from the hook.
    if lumbar_kernel::parent::runs_cells() {
        lumbar_kernel::parent::end_with_it();
    }
    evcxr::runtime_hook();
    lumbar_kernel::command::run(evcxr_jupyter::main)
}

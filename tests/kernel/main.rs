//! The kernel, through Jupyter's protocol: state survives cells and errors, two notebooks do not disturb each other,
//! versions are those of the workspace.
//!
//! Needs the set-up (`cargo xtask setup`), which `cargo xtask test` runs first.

mod alongside;
mod session;
mod state;
mod versions;

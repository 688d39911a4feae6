//! The kernel, through Jupyter's own protocol: state survives cells, errors leave it alone, two notebooks do not
//! disturb each other, versions hold.
//!
//! Needs the set-up (`cargo xtask setup`), as `cargo xtask test` runs it first.

mod alongside;
mod session;
mod state;
mod versions;

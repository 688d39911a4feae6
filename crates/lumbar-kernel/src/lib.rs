//! What the Jupyter kernel `Rust (lumbar)` adds to [evcxr](https://github.com/evcxr/evcxr), whose kernel it runs.
//!
//! Stock evcxr compiles every dependency of a notebook anew, statically, into each cell. Here a notebook
//! depends on one dynamic library, which the set-up has built, and a kernel starts on a copy of that
//! build:
//!
//! - [`places`]: where the workspace, the warm build folder and the kernels' own folders are.
//! - [`folder`]: one build folder a running kernel, locked, cloned from the warm one in seconds.
//! - [`lockfile`]: cells compile against exactly the versions of the workspace's `Cargo.lock`.
//! - [`environment`]: the variables that cells and cargo need, so that no shell has to be prepared.
//! - [`kernelspec`]: the entry in Jupyter's list of kernels.
//! - [`warm`]: what the set-up builds ahead, so that a first cell waits for nothing.
//! - [`command`]: the program's arguments.
//!
//! Deliberately absent: any notebook-facing type (`lumbar-notebook` has them) and any network access.

pub mod command;
pub mod environment;
pub mod folder;
pub mod kernelspec;
pub mod lockfile;
pub mod places;
pub mod warm;

//! The Jupyter kernel `Rust (lumbar)`: [evcxr](https://github.com/evcxr/evcxr), with what makes it quick and stable enough
//! to teach with.
//!
//! # Why a kernel of our own
//!
//! evcxr compiles each cell to a dynamic library and loads it. Its stock kernel is made for small crates. With this
//! library behind it, three things go wrong:
//!
//! - **It is slow.** Every dependency of a notebook is compiled again, by evcxr's own profile, and linked statically into
//!   each cell: about 13 minutes for the first `:dep`, then 30 MB and one to three seconds for each cell.
//! - **Cells do not share state.** Each of these libraries has its own statics: thread pools multiply, and a data frame
//!   made in one cell cannot find its columns in the next, because the seed of polars' hash maps differs.
//! - **Versions float.** evcxr's package has its own lock file, which it empties at each start. A release of any crate
//!   can change, or break, a notebook that worked yesterday.
//!
//! So a notebook here depends on one dynamic library, `lumbar-notebook`, which the set-up has built, and each kernel
//! starts in a clone of that build. A cell then takes about a second, all cells share one copy of everything, and their
//! versions are those of the workspace's `Cargo.lock`. This crate is a small program around evcxr's kernel, used as a
//! library, so that the workspace's lock file also fixes evcxr itself.
//!
//! # What happens when a kernel starts
//!
//! 1. Jupyter reads the [`kernelspec`] and starts `lumbar-kernel --control_file FILE`, perhaps from another Python
//!    environment with almost no variables ([`command`]).
//! 2. The kernel takes the first build [`folder`] that no other kernel uses and brings it up to date with the warm one,
//!    which the set-up fills ([`warm`]). [`places`] lists the folders.
//! 3. It sets the variables that cells and cargo need ([`environment`]) and ends itself when its server is gone
//!    ([`parent`]).
//! 4. evcxr takes over. Each time it calls cargo, it gets the program `lumbar-cargo`, which first puts the workspace's
//!    versions into the folder's lock file ([`lockfile`]) and calls rustc without cargo if only the cell has changed
//!    ([`direct`]). rust-analyzer, which infers the types of variables, gets only the packages that are compiled
//!    ([`metadata`]).
//!
//! The command `lumbar` is built with the same crates, so that it is as quick as a notebook ([`cli`]).
//!
//! No type that notebooks use is here (`lumbar-notebook` has them), and nothing that needs a network.

pub mod cli;
pub mod command;
pub mod direct;
pub mod environment;
pub mod folder;
pub mod kernelspec;
pub mod lockfile;
pub mod metadata;
pub mod parent;
pub mod places;
pub mod warm;

//! Training: one fold, five folds, exact resume.
//!
//! The library prints nothing: whoever watches gives an observer.

pub(crate) mod atomic;

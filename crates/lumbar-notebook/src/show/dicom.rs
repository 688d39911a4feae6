//! Slices, stacks and series.

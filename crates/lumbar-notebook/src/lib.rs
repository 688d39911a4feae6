//! The library that notebooks import: re-exports, prelude and how values show themselves.

//! What tch leaves out of libtorch, behind a safe face.

//! Views: slices through which a reader scrolls, in a notebook's output or in the report's page.
//!
//! A view is a piece of HTML with its images inside: grey slices as PNG files, positions in the patient as JSON, and
//! one script, `view.js`, which needs no network and no library. Where scripts do not run (an untrusted notebook, a
//! preview, on paper) the view is a static image. All texts are escaped, and the script creates text nodes only.
//!
//! - [`StackView`]: a slice scroller. Wheel and keys change the slice, dragging changes the display window.
//! - [`LinkedView`]: sagittal and axial slices of a study with their scout lines and a crosshair at the same patient
//!   point, beside the table of predictions and labels.
//!
//! Slices whose file says that the pixels may show a name (BurnedInAnnotation) are not part of a view; a note says how
//! many were left out.

mod atlas;
mod grades;
mod html;
mod linked;
mod stack;

pub use html::view_code;
pub use linked::{LinkedView, LinkedViewConfig};
pub use stack::StackView;

/// Maximum size of a view's HTML in bytes. With the other figures of its notebook it stays below two megabytes.
pub const VIEW_BYTES: usize = 1_200_000;

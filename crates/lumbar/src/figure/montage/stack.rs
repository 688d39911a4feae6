//! Some slices of a stack.

use lumbar_dicom::{Stack, counted};

use super::super::{Figure, FigureError, Tile, window_of};
use super::{MontageConfig, montage};

/// Slices that are shown of a longer stack.
const SLICES: usize = 12;

/// Up to twelve evenly spaced slices of a stack, in one window. The title says what the stack is (`name`, for example
/// the kind of the series), how many slices are not shown, and sizes and distances.
///
/// # Errors
/// [`FigureError::Empty`] if the stack has no slice, [`FigureError::Drawing`] if pixels cannot be decoded.
///
/// ```
/// use lumbar::figure::stack_montage;
/// use lumbar_dicom::{Geometry, Pixels, Slice, Stack};
///
/// let slice = |number: i32| {
///     let geometry = Geometry::new([f64::from(number), 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [0.5, 0.5]);
///     let pixels = Pixels::U16((0..400).collect::<Vec<u16>>().into());
///     Slice::in_memory(20, 20, pixels, geometry.ok(), Some(number))
/// };
/// let stack = Stack::new((0..30).map(slice).collect::<Result<_, _>>()?);
/// let figure = stack_montage(&stack, "Sagittal T1", true)?;
/// assert!(figure.alt().starts_with("Sagittal T1: 12 of 30 slices, 18 not shown"));
/// assert!(figure.faults().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn stack_montage(stack: &Stack, name: &str, is_synthetic: bool) -> Result<Figure, FigureError> {
    let window = window_of(stack)?;
    let count = stack.slices.len();
    let shown = count.min(SLICES);
    let tiles: Vec<Tile> = (0..shown)
        .map(|number| Tile::of_slice(&stack.slices[number * count / shown], window))
        .collect::<Result<_, _>>()?;
    let title = stack_title(stack, name, shown);
    let columns = shown.clamp(1, 6);
    montage(&tiles, &MontageConfig { columns, tile_px: 142, title, is_synthetic, ..MontageConfig::default() })
}

/// What the stack is, how many of its slices are shown, their size, plane and distance.
pub(in crate::figure) fn stack_title(stack: &Stack, name: &str, shown: usize) -> String {
    let count = stack.slices.len();
    let mut title = if name.is_empty() { String::new() } else { format!("{name}: ") };
    title += &if shown < count {
        format!("{shown} of {}, {} not shown", counted(count, "slice"), count - shown)
    } else {
        counted(count, "slice")
    };
    if let Some(slice) = stack.slices.first() {
        title.push_str(&format!(", {} × {} pixels", slice.rows, slice.columns));
        if let Some(geometry) = &slice.geometry {
            let (row_mm, column_mm) = (geometry.row_spacing_mm, geometry.column_spacing_mm);
            title.push_str(&format!(" of {row_mm:.2} × {column_mm:.2} mm, {}", geometry.plane()));
        }
    }
    if let Some(spacing) = stack.spacing_mm() {
        title.push_str(&format!(", {spacing:.2} mm apart"));
    }
    title
}

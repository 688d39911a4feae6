//! Slices, stacks and series: an image and their attributes, no free text.

use lumbar::figure::{Figure, FigureError, MontageConfig, Tile, montage, stack_montage, window_of};
use lumbar_dicom::{Series, Slice, Stack, counted};

use super::{Show, Shown};
use crate::banner::is_synthetic;

impl Show for Slice {
    fn show(&self) -> Shown {
        let stack = Stack::new(vec![self.clone()]);
        let image = window_of(&stack).and_then(|window| {
            let config =
                MontageConfig { columns: 1, tile_px: 360, is_synthetic: is_synthetic(), ..MontageConfig::default() };
            montage(&[Tile::of_slice(self, window)?], &config)
        });
        with_image(of_slice(self), image)
    }
}

impl Show for Stack {
    fn show(&self) -> Shown {
        with_image(of_stack(self), stack_montage(self, "", is_synthetic()))
    }
}

impl Show for Series {
    fn show(&self) -> Shown {
        let text = self.to_string();
        match self.stacks.iter().max_by_key(|stack| stack.slices.len()) {
            Some(stack) if self.stacks.len() == 1 => with_image(text, stack_montage(stack, "", is_synthetic())),
            Some(stack) => {
                let name = format!("the largest of {} stacks", self.stacks.len());
                with_image(text, stack_montage(stack, &name, is_synthetic()))
            }
            None => Shown::default().text(text),
        }
    }
}

fn with_image(text: String, image: Result<Figure, FigureError>) -> Shown {
    match image {
        Ok(figure) => Shown::default().text(text).figure(&figure),
        Err(error) => Shown::default().text(format!("{text}\nno image: {error}")),
    }
}

fn of_slice(slice: &Slice) -> String {
    let mut text = format!("slice of {} × {} pixels", slice.rows, slice.columns);
    if let Some(number) = slice.instance_number {
        text.push_str(&format!(", instance {number}"));
    }
    if let Some(geometry) = &slice.geometry {
        let [x, y, z] = geometry.origin_mm;
        text.push_str(&format!(
            ", {} ({:.1}° oblique), pixels {:.3} × {:.3} mm, first pixel at {x:.1}, {y:.1}, {z:.1} mm",
            geometry.plane(),
            geometry.obliquity_deg(),
            geometry.row_spacing_mm,
            geometry.column_spacing_mm,
        ));
    }
    text
}

fn of_stack(stack: &Stack) -> String {
    let mut text = format!("stack of {}", counted(stack.slices.len(), "slice"));
    if let Some(spacing) = stack.spacing_mm() {
        text.push_str(&format!(", {spacing:.2} mm apart"));
    }
    if let Some(slice) = stack.slices.first() {
        text.push_str(&format!("; first: {}", of_slice(slice)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbar_dicom::{Geometry, Pixels};

    fn slice(number: i32) -> Slice {
        let geometry =
            Geometry::new([f64::from(number), 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [0.5, 0.5]).unwrap();
        let pixels = Pixels::U16((0..400_u16).collect::<Vec<_>>().into());
        Slice::in_memory(20, 20, pixels, Some(geometry), Some(number)).unwrap()
    }

    #[test]
    fn a_slice_says_where_it_lies_and_shows_itself() {
        let shown = slice(3).show();
        let text = &shown.parts()[0].1;
        assert!(
            text.contains("instance 3") && text.contains("sagittal") && text.contains("0.500 × 0.500 mm"),
            "{text}"
        );
        assert_eq!(shown.parts().iter().map(|(mime, _)| *mime).collect::<Vec<_>>(), ["text/plain", "text/html"]);
    }

    #[test]
    fn a_long_stack_shows_some_of_its_slices_and_says_so() {
        let stack = Stack::new((0..40).rev().map(slice).collect());
        assert!(stack.show().parts()[1].1.starts_with("<img alt=\"12 of 40 slices"));
        assert!(stack.show().parts()[0].1.contains("40 slices, 1.00 mm apart"));
    }

    #[test]
    fn no_path_reaches_a_display() {
        assert!(!of_slice(&slice(1)).contains('/'));
    }
}

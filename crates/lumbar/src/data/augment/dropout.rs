use serde::{Deserialize, Serialize};

/// A rectangle that is overwritten: columns `x..x + width`, rows `y..y + height`, clipped at the image's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Hole {
    /// Overwrites the rectangle in a row-major image of `columns` columns.
    pub fn apply(&self, image: &mut [f32], columns: usize, value: f32) {
        let end = (self.x + self.width).min(columns);
        if columns == 0 || self.x >= end {
            return;
        }
        for row in image.chunks_exact_mut(columns).skip(self.y).take(self.height) {
            row[self.x..end].fill(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_ends_at_the_edge() {
        let mut image = [1.0; 12];
        Hole { x: 2, y: 1, width: 9, height: 9 }.apply(&mut image, 4, 0.0);
        assert_eq!(image, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        Hole { x: 4, y: 0, width: 1, height: 3 }.apply(&mut image, 4, 0.0);
        assert_eq!(image[3], 1.0);
    }
}

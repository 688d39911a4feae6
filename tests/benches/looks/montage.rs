//! A picture of drawn slices.

use std::path::Path;

use image::{GrayImage, Luma};
use lumbar_phantom::{Appearance, SyntheticConfig, SyntheticStudy};

/// Side of a tile in pixels, and of a pixel in millimetres.
const SIDE_PX: u32 = 200;
const PIXEL_MM: f64 = 1.75;
const COLUMNS: u32 = 6;
/// Rows of each look.
const ROWS: [(Appearance, u32); 3] = [(Appearance::Varied, 2), (Appearance::Randomised, 2), (Appearance::Physical, 1)];

/// Writes a PNG of 30 sagittal slices through the canal: two rows varied, two randomised, one with the default look.
/// Canal points are crosses.
pub(crate) fn write(path: &Path, seed: u64) {
    let rows: u32 = ROWS.iter().map(|(_, rows)| rows).sum();
    let mut image = GrayImage::new(COLUMNS * SIDE_PX, rows * SIDE_PX);
    let mut top = 0;
    for (look, rows) in ROWS {
        let wide = if look == Appearance::Physical { 0.0 } else { 1.0 };
        let config = SyntheticConfig { wide, ..SyntheticConfig::only(look) };
        for number in 0..rows * COLUMNS {
            let study = SyntheticStudy::draw(&config, seed, u64::from(number));
            tile(&mut image, (number % COLUMNS * SIDE_PX, (top + number / COLUMNS) * SIDE_PX), &study);
        }
        top += rows;
    }
    image.save(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    println!("{}: two rows varied, two randomised, one physical", path.display());
}

fn tile(image: &mut GrayImage, (left, top): (u32, u32), study: &SyntheticStudy) {
    let middle = study.points()[2];
    let across = |slice: &usize| (study.place(*slice).middle_mm[0] - middle[0]).abs();
    let slice = (0..study.slice_count()).min_by(|a, b| across(a).total_cmp(&across(b))).expect("slices");
    let (pixels, place) = (study.render(slice, PIXEL_MM), study.place(slice));
    let mut sorted = pixels.values.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let (low, high) = (sorted[sorted.len() / 200], sorted[sorted.len() * 199 / 200]);
    let corner = [pixels.columns, pixels.rows].map(|count| (i64::from(SIDE_PX) - count as i64) / 2);
    let mut put = |column: i64, row: i64, value: u8| {
        let (column, row) = (column + corner[0], row + corner[1]);
        let inside = 0..i64::from(SIDE_PX);
        if inside.contains(&column) && inside.contains(&row) {
            image.put_pixel(left + column as u32, top + row as u32, Luma([value]));
        }
    };
    for (at, value) in pixels.values.iter().enumerate() {
        let grey = (255.0 * (value - low) / (high - low).max(1e-6)).clamp(0.0, 255.0) as u8;
        put((at % pixels.columns) as i64, (at / pixels.columns) as i64, grey);
    }
    for point in &study.points()[..5] {
        let along = |axis: [f64; 3], count: usize| {
            let mm: f64 = (0..3).map(|k| axis[k] * (point[k] - place.middle_mm[k])).sum();
            (mm / PIXEL_MM + 0.5 * (count as f64 - 1.0)).round() as i64
        };
        let (column, row) = (along(place.along_columns, pixels.columns), along(place.along_rows, pixels.rows));
        for step in -2..=2 {
            put(column + step, row, 255);
            put(column, row + step, 255);
        }
    }
}

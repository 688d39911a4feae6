//! Draws a montage of synthetic sagittal slices: `cargo run -p lumbar-phantom --example looks -- FILE.pgm [SEED]`.
//!
//! Six slices of the physical look above, then nine of the varied and nine of the randomised one, each in a window from
//! its 0.5th to its 99.5th percentile. Canal points are white crosses.

use std::fs;

use lumbar_phantom::{Appearance, SyntheticConfig, SyntheticStudy};

/// Side of a tile, and of a pixel in the patient.
const TILE_PX: usize = 200;
const PIXEL_MM: f64 = 1.6;
/// Tiles a row.
const TILES: usize = 6;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let path = words.next().ok_or("expected the name of a file")?;
    let seed: u64 = words.next().map_or(Ok(1), |word| word.parse())?;
    let looks = [(Appearance::Physical, 6), (Appearance::Varied, 12), (Appearance::Randomised, 12)];
    let studies: Vec<SyntheticStudy> = looks
        .into_iter()
        .flat_map(|(look, count)| (0..count).map(move |number| (SyntheticConfig::only(look), number)))
        .map(|(config, number)| SyntheticStudy::draw(&config, seed, number))
        .collect();
    let rows = studies.len().div_ceil(TILES);
    let (width, height) = (TILES * TILE_PX, rows * TILE_PX);
    let mut page = vec![0_u8; width * height];
    for (number, study) in studies.iter().enumerate() {
        let slice = study.slice_count() / 2;
        let pixels = study.render(slice, PIXEL_MM);
        let mut sorted = pixels.values.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
        let (low, high) = (at(0.005), at(0.995));
        let (left, top) = (number % TILES * TILE_PX, number / TILES * TILE_PX);
        let shift = |size: usize| (TILE_PX as isize - size as isize) / 2;
        let mut set = |row: isize, column: isize, value: u8| {
            let (row, column) = (row + shift(pixels.rows), column + shift(pixels.columns));
            let inside = 0..TILE_PX as isize;
            if inside.contains(&row) && inside.contains(&column) {
                page[(top + row as usize) * width + left + column as usize] = value;
            }
        };
        for (at, value) in pixels.values.iter().enumerate() {
            let grey = (255.0 * (value - low) / (high - low).max(1e-6)).clamp(0.0, 255.0) as u8;
            set((at / pixels.columns) as isize, (at % pixels.columns) as isize, grey);
        }
        let place = study.place(slice);
        for point in &study.points()[..5] {
            let along = |axis: [f64; 3]| -> f64 { (0..3).map(|k| axis[k] * (point[k] - place.middle_mm[k])).sum() };
            let row = (along(place.along_rows) / PIXEL_MM + 0.5 * pixels.rows as f64) as isize;
            let column = (along(place.along_columns) / PIXEL_MM + 0.5 * pixels.columns as f64) as isize;
            (-2..=2).for_each(|step| {
                set(row + step, column, 255);
                set(row, column + step, 255);
            });
        }
    }
    let mut bytes = format!("P5\n{width} {height}\n255\n").into_bytes();
    bytes.extend(page);
    fs::write(path, bytes)?;
    Ok(())
}

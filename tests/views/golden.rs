//! Screenshots beside golden ones.
//!
//! `LUMBAR_GOLDEN=write cargo test --package lumbar-tests --test views golden` makes them again; look at them before they
//! are committed. They are `golden/*.png`, a quarter of the page's size. Compared are the means of blocks, so that
//! another version of the browser may smooth letters in another way. The page's font is DejaVu Sans, which has to be
//! installed: another one moves lines.

use std::path::PathBuf;

use image::imageops::FilterType;
use image::{Rgb, RgbImage};
use lumbar::data::SeriesKind;
use lumbar::data::study::Study;
use lumbar::figure::{LinkedView, LinkedViewConfig, StackView};
use lumbar_tests::browser::chromium;
use lumbar_tests::{scratch, workspace};
use serde_json::json;

use super::browser::{PageTest, alive, visit};
use super::{record, report};

/// Pixels of the page for each pixel of a golden screenshot.
const SHRINK: u32 = 4;
/// Pixels of a golden screenshot along each side of a block.
const BLOCK: u32 = 4;
/// Largest mean difference of all blocks, in grey levels.
const MEAN: f64 = 2.0;
/// Largest difference of one block, in grey levels.
const MAX: f64 = 40.0;
/// Largest file of a golden screenshot.
const BYTES: u64 = 60_000;

fn golden(name: &str) -> PathBuf {
    workspace().join("tests/views/golden").join(format!("{name}.png"))
}

fn shrunk(image: &RgbImage) -> RgbImage {
    let size = |length: u32| (length / SHRINK).max(1);
    image::imageops::resize(image, size(image.width()), size(image.height()), FilterType::Triangle)
}

/// Why two images differ by more than what another version of the browser explains.
fn difference(found: &RgbImage, expected: &RgbImage) -> Result<(), String> {
    let (own, other) = (found.dimensions(), expected.dimensions());
    if own.0.abs_diff(other.0) * 50 > other.0 || own.1.abs_diff(other.1) * 50 > other.1 {
        return Err(format!("{own:?} pixels, expected {other:?}"));
    }
    let (across, down) = (own.0.min(other.0) / BLOCK, own.1.min(other.1) / BLOCK);
    let mean = |image: &RgbImage, x: u32, y: u32, channel: usize| {
        let values = (0..BLOCK * BLOCK).map(|place| {
            let pixel = image.get_pixel(x * BLOCK + place % BLOCK, y * BLOCK + place / BLOCK);
            f64::from(pixel.0[channel])
        });
        values.sum::<f64>() / f64::from(BLOCK * BLOCK)
    };
    let (mut sum, mut max, mut place) = (0.0, 0.0, (0, 0));
    for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
        for channel in 0..3 {
            let away = (mean(found, x, y, channel) - mean(expected, x, y, channel)).abs();
            sum += away;
            if away > max {
                (max, place) = (away, (x, y));
            }
        }
    }
    let sum = sum / f64::from(3 * across * down);
    let side = BLOCK * SHRINK;
    let (x, y) = (place.0 * side, place.1 * side);
    if sum > MEAN || max > MAX {
        let allowed = format!("mean {MEAN} and maximum {MAX}");
        return Err(format!("mean difference {sum:.2}, largest {max:.0} at ({x}, {y}), expected at most {allowed}"));
    }
    Ok(())
}

fn read(path: &std::path::Path) -> RgbImage {
    image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8()
}

#[test]
fn a_stack_a_linked_view_and_a_section_of_the_report_look_as_they_did() {
    let Some(chromium) = chromium() else { return };
    let record = record();
    let study = Study::open(&record).unwrap();
    let stack = &study.series_of(SeriesKind::SagittalT2).next().unwrap().data.stacks[0];
    let stack = StackView::new("Sagittal T2", stack, true).unwrap();
    let config = LinkedViewConfig { title: "Both planes".into(), is_synthetic: true, ..Default::default() };
    let linked = LinkedView::of_study(&study, &record, &config).unwrap();
    let folder = scratch();
    let shot = |name: &str| folder.path().join(format!("{name}.png"));
    let steps = |name: &str, of: &str| vec![alive(), json!({ "screenshot": shot(name), "of": of })];
    let pages = [
        PageTest::of_output(stack.html(), steps("stack", ".lumbar-live")),
        PageTest::of_output(linked.html(), steps("linked", ".lumbar-live")),
        PageTest { html: report::page(), scripts: true, steps: steps("report", "#labels") },
    ];
    visit(&chromium, &pages);
    let is_written = std::env::var_os("LUMBAR_GOLDEN").is_some_and(|value| value == "write");
    let mut wrong = Vec::new();
    for name in ["stack", "linked", "report"] {
        let found = shrunk(&read(&shot(name)));
        let path = golden(name);
        if is_written {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            found.save(&path).unwrap();
        }
        let bytes = std::fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len();
        assert!(bytes < BYTES, "{name}: {bytes} bytes");
        if let Err(reason) = difference(&found, &read(&path)) {
            let saved = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
            found.save(&saved).unwrap();
            wrong.push(format!("{name}: {reason}; found: {}", saved.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_moved_a_mirrored_and_a_recoloured_view_differ_and_a_little_noise_does_not() {
    let expected = read(&golden("linked"));
    assert!(difference(&expected, &expected).is_ok());
    let noisy = RgbImage::from_fn(expected.width(), expected.height(), |x, y| {
        let add = ((x * 7 + y * 13) % 5) as u8;
        Rgb(expected.get_pixel(x, y).0.map(|value| value.saturating_add(add)))
    });
    assert!(difference(&noisy, &expected).is_ok(), "{:?}", difference(&noisy, &expected));
    let mirrored = image::imageops::flip_horizontal(&expected);
    let mut moved = expected.clone();
    for (x, y, pixel) in moved.enumerate_pixels_mut() {
        *pixel = *expected.get_pixel(x.saturating_sub(3), y);
    }
    // one colour of a severity becomes another one
    let recoloured = RgbImage::from_fn(expected.width(), expected.height(), |x, y| {
        let pixel = *expected.get_pixel(x, y);
        if pixel.0[2] > pixel.0[0].saturating_add(60) { Rgb([pixel.0[2], pixel.0[1], pixel.0[0]]) } else { pixel }
    });
    for (name, other) in [("mirrored", mirrored), ("moved", moved), ("recoloured", recoloured)] {
        assert!(difference(&other, &expected).is_err(), "{name}");
    }
    let smaller = image::imageops::crop_imm(&expected, 0, 0, expected.width(), expected.height() / 2).to_image();
    assert!(difference(&smaller, &expected).unwrap_err().contains("pixels, expected"));
}

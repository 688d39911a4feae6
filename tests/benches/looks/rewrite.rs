//! Other pixels in the sagittal files of a phantom.

use std::fs;
use std::path::{Path, PathBuf};

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_object::open_file;
use lumbar_dicom::Slice;
use lumbar_tests::python;

/// Largest value of 12 bits.
const LARGEST: f32 = 4095.0;
const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

/// The pixels of one slice.
pub(crate) struct Pixels {
    columns: usize,
    values: Vec<f32>,
}

impl Pixels {
    /// Dark becomes bright, within the body; air stays dark.
    pub(crate) fn invert(&mut self) {
        let mut sorted = self.values.clone();
        sorted.sort_by(f32::total_cmp);
        let high = sorted[(sorted.len() - 1) * 995 / 1000].max(1.0);
        let air = 0.02 * high;
        self.values.iter_mut().filter(|value| **value > air).for_each(|value| *value = (high - *value).max(air));
    }
}

/// Texture and noise of a real MR image: its values relative to their surroundings.
pub(crate) struct RealTexture {
    columns: usize,
    relative: Vec<f32>,
}

impl RealTexture {
    /// Of an image in pydicom's package.
    pub(crate) fn read() -> Self {
        let script = "import pydicom.data; print(pydicom.data.get_testdata_file('MR_small_RLE.dcm'))";
        let output = std::process::Command::new(python()).args(["-c", script]).output().expect("Python");
        let path = PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim());
        let image = decode(&path);
        let rows = image.values.len() / image.columns;
        let around = |row: usize, column: usize| {
            let near = |at: usize, size: usize| at.saturating_sub(4)..(at + 5).min(size);
            let values = near(row, rows).flat_map(|row| near(column, image.columns).map(move |column| (row, column)));
            let values: Vec<f32> = values.map(|(row, column)| image.values[row * image.columns + column]).collect();
            values.iter().sum::<f32>() / values.len() as f32
        };
        let relative = (0..rows * image.columns)
            .map(|at| (image.values[at] / around(at / image.columns, at % image.columns).max(1.0)).clamp(0.4, 2.0))
            .collect();
        Self { columns: image.columns, relative }
    }

    /// Multiplies each pixel by the texture, mirrored to and fro over the slice.
    pub(crate) fn paint(&self, pixels: &mut Pixels) {
        let rows = self.relative.len() / self.columns;
        let folded =
            |at: usize, size: usize| if (at / size).is_multiple_of(2) { at % size } else { size - 1 - at % size };
        for (at, value) in pixels.values.iter_mut().enumerate() {
            let (row, column) = (folded(at / pixels.columns, rows), folded(at % pixels.columns, self.columns));
            *value *= self.relative[row * self.columns + column];
        }
    }
}

fn decode(path: &Path) -> Pixels {
    let slice = Slice::read(path).unwrap_or_else(|error| panic!("{error}"));
    Pixels { columns: slice.columns, values: slice.rescaled().unwrap_or_else(|error| panic!("{error}")) }
}

/// Changes the pixels of every sagittal slice of a phantom.
pub(crate) fn rewrite(folder: &Path, change: &dyn Fn(&mut Pixels)) {
    let table = fs::read_to_string(folder.join("train_series_descriptions.csv")).expect("the table of series");
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        if !cells[2].starts_with("Sagittal") {
            continue;
        }
        let series = folder.join("train_images").join(cells[0]).join(cells[1]);
        for entry in fs::read_dir(&series).expect("a series") {
            let path = entry.expect("a file").path();
            let mut pixels = decode(&path);
            change(&mut pixels);
            let values: Vec<u16> = pixels.values.iter().map(|value| value.clamp(0.0, LARGEST) as u16).collect();
            let mut file = open_file(&path).expect("a slice");
            file.put(DataElement::new(PIXEL_DATA, VR::OW, PrimitiveValue::U16(values.into())));
            // explicit little endian
            file.update_meta(|meta| meta.transfer_syntax = "1.2.840.10008.1.2.1".to_owned());
            file.write_to_file(&path).expect("a slice");
        }
    }
}

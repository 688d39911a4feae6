//! DICOM files whose headers are changed.

use std::fs;
use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_object::open_file;

pub(crate) const PIXEL_SPACING: Tag = Tag(0x0028, 0x0030);
pub(crate) const IMAGE_POSITION_PATIENT: Tag = Tag(0x0020, 0x0032);

/// Changes the numbers of an attribute in all files below a folder; `change` is given each number and its place.
pub(crate) fn change(folder: &Path, tag: Tag, change: &dyn Fn(usize, f64) -> f64) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        if path.is_dir() {
            self::change(&path, tag, change);
            continue;
        }
        let mut file = open_file(&path).expect("a slice");
        let numbers = file.element(tag).expect("the attribute").to_multi_float64().expect("numbers");
        let numbers = numbers.iter().enumerate().map(|(place, number)| format!("{:.4}", change(place, *number)));
        file.put(DataElement::new(tag, VR::DS, PrimitiveValue::Strs(numbers.collect())));
        file.write_to_file(&path).expect("a slice");
    }
}

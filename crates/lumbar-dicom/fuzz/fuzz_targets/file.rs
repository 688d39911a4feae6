//! Any bytes as a whole file: header, first and last frame, one stack of all frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lumbar_dicom::{Header, Slice, Stack};

fuzz_target!(|bytes: &[u8]| {
    let Ok(slices) = Header::read_bytes(bytes).and_then(|header| Slice::from_header(&header)) else { return };
    for slice in [slices.first(), slices.last()].into_iter().flatten() {
        if let Ok(pixels) = slice.pixels() {
            assert_eq!(pixels.len(), slice.rows * slice.columns);
            let _ = pixels.rescaled(slice.rescale);
        }
    }
    let stack = Stack::new(slices);
    let _ = (stack.affine(), stack.nearest_slice([1.0, 2.0, 3.0]));
});

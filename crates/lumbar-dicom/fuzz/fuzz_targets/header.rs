//! Any bytes as the header of a file, and what of it may be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lumbar_dicom::{Header, privacy};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = Header::read_bytes(bytes) {
        let _ = header.check_slice();
        let _ = (header.frame(0).geometry(), header.frame(0).windows());
        let _ = (privacy::shown_attributes(&header), format!("{header:?}"));
    }
});

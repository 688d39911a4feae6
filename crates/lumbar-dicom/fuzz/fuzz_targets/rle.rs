//! Any bytes as an RLE frame; the first three give its size and the bytes of a pixel. Pixels of 64 bits are double
//! float pixels, which are never compressed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lumbar_dicom::{Header, Slice};

fn short(element: u16, value: u16) -> Vec<u8> {
    let mut bytes = vec![0x28, 0x00];
    bytes.extend(element.to_le_bytes());
    bytes.extend(b"US\x02\x00");
    bytes.extend(value.to_le_bytes());
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let [rows, columns, width, frame @ ..] = bytes else { return };
    let bits = [8, 16, 32, 64][usize::from(width % 4)];
    let mut file = vec![0; 128];
    file.extend(b"DICM\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.5\0");
    for (element, value) in [
        (0x0010, u16::from(*rows) + 1),
        (0x0011, u16::from(*columns) + 1),
        (0x0100, bits),
        (0x0101, bits),
        (0x0102, bits - 1),
        (0x0103, 0),
    ] {
        file.extend(short(element, value));
    }
    file.extend(if bits == 64 { b"\xE0\x7F\x09\x00" } else { b"\xE0\x7F\x10\x00" });
    file.extend(b"OB\0\0\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\0\0\0\0\xFE\xFF\x00\xE0");
    file.extend((frame.len() as u32).to_le_bytes());
    file.extend(frame);
    let header = Header::read_bytes(&file).expect("the header is valid");
    let slice = &Slice::from_header(&header).expect("the description is valid")[0];
    if let Ok(pixels) = slice.pixels() {
        assert!(bits < 64);
        assert_eq!(pixels.len(), slice.rows * slice.columns);
    }
});

//! DICOM files written byte by byte, valid and invalid.

/// An implicit element.
pub(crate) fn element(tag: (u16, u16), length: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.extend(length.to_le_bytes());
    bytes.extend(value);
    bytes
}

/// An implicit element of text, padded to an even length.
pub(crate) fn text(tag: (u16, u16), value: &str) -> Vec<u8> {
    let mut value = value.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    element(tag, value.len() as u32, &value)
}

/// An implicit element of 16 bits.
pub(crate) fn short(tag: (u16, u16), value: u16) -> Vec<u8> {
    element(tag, 2, &value.to_le_bytes())
}

/// An explicit element of text, padded to an even length.
pub(crate) fn explicit(tag: (u16, u16), vr: &[u8; 2], value: &str) -> Vec<u8> {
    let mut value = value.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.extend(vr);
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(value);
    bytes
}

/// An explicit element of 16 bits.
pub(crate) fn explicit_short(tag: (u16, u16), value: u16) -> Vec<u8> {
    let mut bytes = explicit(tag, b"US", "  ");
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// The start of an implicit file without meta that describes `allocated` bits for each pixel.
pub(crate) fn described_as(rows: u16, columns: u16, allocated: u16, stored: u16) -> Vec<u8> {
    [
        element((0x0008, 0x0060), 2, b"MR"),
        short((0x0028, 0x0002), 1),
        short((0x0028, 0x0010), rows),
        short((0x0028, 0x0011), columns),
        short((0x0028, 0x0100), allocated),
        short((0x0028, 0x0101), stored),
        short((0x0028, 0x0102), stored - 1),
        short((0x0028, 0x0103), 0),
    ]
    .concat()
}

/// [`described_as`] 16-bit pixels of which twelve bits are stored.
pub(crate) fn described(rows: u16, columns: u16) -> Vec<u8> {
    described_as(rows, columns, 16, 12)
}

/// Uncompressed implicit pixels.
pub(crate) fn pixels(values: &[u8]) -> Vec<u8> {
    element((0x7FE0, 0x0010), values.len() as u32, values)
}

/// An axial slice of one byte for each pixel, with `more` elements in front.
pub(crate) fn slice(
    position_mm: [f64; 3],
    number: i32,
    more: &[u8],
    rows: u16,
    columns: u16,
    values: &[u8],
) -> Vec<u8> {
    let [x, y, z] = position_mm;
    [
        more.to_vec(),
        text((0x0020, 0x000E), "1.2.3"),
        text((0x0020, 0x0013), &number.to_string()),
        text((0x0020, 0x0032), &format!("{x}\\{y}\\{z}")),
        text((0x0020, 0x0037), "1\\0\\0\\0\\1\\0"),
        text((0x0028, 0x0030), "1\\1"),
        described_as(rows, columns, 8, 8),
        pixels(values),
    ]
    .concat()
}

/// An explicit file with preamble and meta around one encapsulated frame. `tag` is that of the pixels.
pub(crate) fn encapsulated(
    syntax: &str,
    [rows, columns]: [u16; 2],
    [allocated, stored]: [u16; 2],
    tag: (u16, u16),
    frame: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    let mut uid = explicit((0x0002, 0x0010), b"UI", syntax);
    // identifiers are padded with zero
    if syntax.len() % 2 == 1 {
        *uid.last_mut().expect("a value") = 0;
    }
    bytes.extend(uid);
    for (element, value) in
        [(0x0010, rows), (0x0011, columns), (0x0100, allocated), (0x0101, stored), (0x0102, stored - 1), (0x0103, 0)]
    {
        bytes.extend(explicit_short((0x0028, element), value));
    }
    bytes.extend([tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat());
    bytes.extend(b"OB\0\0\xFF\xFF\xFF\xFF");
    bytes.extend(element((0xFFFE, 0xE000), 0, b""));
    bytes.extend(element((0xFFFE, 0xE000), frame.len() as u32, frame));
    bytes.extend(element((0xFFFE, 0xE0DD), 0, b""));
    bytes
}

pub(crate) const PIXEL_DATA: (u16, u16) = (0x7FE0, 0x0010);
pub(crate) const RLE: &str = "1.2.840.10008.1.2.5";
pub(crate) const JPEG: &str = "1.2.840.10008.1.2.4.50";
pub(crate) const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
pub(crate) const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";

/// A file whose data set is deflated.
pub(crate) fn deflated(dataset: &[&[u8]]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    dataset.iter().for_each(|part| encoder.write_all(part).expect("memory takes it"));
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99");
    bytes.extend(encoder.finish().expect("memory takes it"));
    bytes
}

//! Compressed frames that claim more than they are: nothing is decoded that the file's size does not justify.

use std::path::PathBuf;

use lumbar_dicom::Pixels;
use lumbar_tests::{oracle, scratch};
use serde_json::json;

use crate::bytes::{JPEG, JPEG_2000, JPEG_LS, PIXEL_DATA, RLE, encapsulated};
use crate::hostile::read_both_ways;

/// A baseline JPEG of one component and eight bits, grey all over: two bits for each block.
fn blank_jpeg(rows: u16, columns: u16) -> Vec<u8> {
    let table = |class: u8| [&[0xFF, 0xC4, 0x00, 0x14, class, 1][..], &[0; 15], &[0]].concat();
    let ([h1, h0], [w1, w0]) = (rows.to_be_bytes(), columns.to_be_bytes());
    let blocks = usize::from(rows).div_ceil(8) * usize::from(columns).div_ceil(8);
    [
        &[0xFF, 0xD8, 0xFF, 0xDB, 0x00, 0x43, 0x00][..],
        &[1; 64],
        &[0xFF, 0xC0, 0x00, 0x0B, 8, h1, h0, w1, w0, 1, 1, 0x11, 0],
        &table(0x00),
        &table(0x10),
        &[0xFF, 0xDA, 0x00, 0x08, 1, 1, 0, 0, 63, 0],
        &vec![0; blocks.div_ceil(4)],
        &[0xFF, 0xD9],
    ]
    .concat()
}

#[test]
fn an_8_bit_jpeg_takes_one_byte_for_each_pixel() {
    let file = encapsulated(JPEG, [6000, 8000], [8, 8], PIXEL_DATA, &blank_jpeg(6000, 8000));
    let pixels = read_both_ways(&file).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(&pixels[0], Pixels::U8(values) if values.iter().all(|value| *value == 128)));
    // more pixels than the file's size justifies
    let file = encapsulated(JPEG, [8000, 8000], [8, 8], PIXEL_DATA, &blank_jpeg(8000, 8000));
    let error = read_both_ways(&file).expect_err("64 million pixels").to_string();
    assert!(error.contains("are allowed for a file of this size"), "{error}");
}

#[test]
fn compressed_float_pixels_are_an_error() {
    // eight planes of eight bytes each, as a frame of 64-bit pixels would have
    let mut frame = vec![8_u8, 0, 0, 0];
    (0..8_u32).for_each(|plane| frame.extend((64 + 2 * plane).to_le_bytes()));
    frame.resize(64, 0);
    frame.extend([0xF9, 1].repeat(8));
    for (tag, bits) in [((0x7FE0, 0x0009), 64), ((0x7FE0, 0x0008), 32)] {
        let error = read_both_ways(&encapsulated(RLE, [2, 4], [bits, bits], tag, &frame)).expect_err("float pixels");
        assert!(error.to_string().contains("expected uncompressed float pixels"), "{error}");
    }
}

/// What of a JPEG 2000 codestream can be changed.
struct Jpeg2000 {
    size: [u32; 2],
    tile: [u32; 2],
    /// COD without marker and length.
    coding: Vec<u8>,
    /// QCD without marker and length.
    steps: Vec<u8>,
    /// Bytes of empty packets in the only tile that has any.
    packets: usize,
}

impl Jpeg2000 {
    /// 16 bits, five levels of the reversible transform, code-blocks of 64 × 64, one tile.
    fn blank(rows: u32, columns: u32) -> Self {
        let steps = [&[0x40][..], &[17 << 3; 16]].concat();
        Self {
            size: [columns, rows],
            tile: [columns, rows],
            coding: vec![0, 0, 0, 1, 0, 5, 4, 4, 0, 1],
            steps,
            packets: 6,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let segment = |marker: u8, content: &[u8]| {
            let length = (content.len() as u16 + 2).to_be_bytes();
            [&[0xFF, marker][..], &length, content].concat()
        };
        let word = |pair: [u32; 2]| pair.map(u32::to_be_bytes).concat();
        let size = [&[0, 0][..], &word(self.size), &word([0; 2]), &word(self.tile), &word([0; 2]), &[0, 1, 15, 1, 1]];
        let tile_part = (14 + self.packets as u32).to_be_bytes();
        [
            vec![0xFF, 0x4F],
            segment(0x51, &size.concat()),
            segment(0x52, &self.coding),
            segment(0x5C, &self.steps),
            segment(0x90, &[&[0, 0][..], &tile_part, &[0, 1]].concat()),
            vec![0xFF, 0x93],
            vec![0; self.packets],
            vec![0xFF, 0xD9],
        ]
        .concat()
    }

    fn file(&self) -> Vec<u8> {
        encapsulated(JPEG_2000, [self.size[1] as u16, self.size[0] as u16], [16, 16], PIXEL_DATA, &self.bytes())
    }
}

#[test]
fn a_blank_jpeg_2000_of_four_million_pixels_decodes_within_the_limit() {
    for rows in [64, 2048] {
        let pixels = read_both_ways(&Jpeg2000::blank(rows, rows).file()).unwrap_or_else(|error| panic!("{error}"));
        assert!(pixels[0].as_u16().is_some_and(|values| values.iter().all(|value| *value == 1 << 15)));
    }
}

#[test]
fn jpeg_2000_structures_are_limited_by_the_size_of_the_file() {
    let blank = || Jpeg2000::blank(2048, 2048);
    let precincts = |size: u8| [&[1, 0, 0, 1, 0, 5, 4, 4, 0, 1][..], &[size; 6]].concat();
    let bombs = [
        ("tiles in", Jpeg2000 { tile: [1, 1], coding: vec![0, 0, 0, 1, 0, 0, 4, 4, 0, 1], ..blank() }),
        ("step sizes", Jpeg2000 { steps: [&[0x40][..], &[17 << 3; 60_000]].concat(), ..blank() }),
        ("are allowed", Jpeg2000 { coding: precincts(0x00), packets: 1 << 20, ..blank() }),
        ("are allowed", Jpeg2000 { coding: vec![0, 0, 0, 32, 0, 5, 0, 0, 0, 1], packets: 200, ..blank() }),
        // more coding parameters where the decoder stops reading the segment
        ("wrong length", Jpeg2000 { coding: [blank().coding, vec![0xFF, 0x52, 0, 12]].concat(), ..blank() }),
    ];
    for (expected, bomb) in bombs {
        let error = read_both_ways(&bomb.file()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    // the codestream in a JP2 file counts, not what looks like one in another box
    let boxed =
        |name: &[u8; 4], content: &[u8]| [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat();
    let tiny_tiles = Jpeg2000 { tile: [1, 1], coding: vec![0, 0, 0, 1, 0, 0, 4, 4, 0, 1], ..blank() };
    let jp2 = |real: &[u8]| {
        let boxes = [
            boxed(b"jP  ", b"\x0D\x0A\x87\x0A"),
            boxed(b"ftyp", b"jp2 \0\0\0\0jp2 "),
            boxed(b"free", &blank().bytes()),
            boxed(b"jp2h", &boxed(b"colr", &[1, 0, 0, 0, 0, 0, 17])),
            boxed(b"jp2c", real),
        ];
        encapsulated(JPEG_2000, [2048, 2048], [16, 16], PIXEL_DATA, &boxes.concat())
    };
    let error = read_both_ways(&jp2(&tiny_tiles.bytes())).expect_err("a decoy").to_string();
    assert!(error.contains("tiles in"), "{error}");
    assert!(read_both_ways(&jp2(&blank().bytes())).is_ok());
}

#[test]
fn damaged_jpeg_ls_decodes_as_in_charls_or_not_at_all() {
    let out = scratch();
    let streams = oracle("dicom_jpegls", &json!({ "task": "encode", "out": out.path() }));
    let mut files: Vec<(PathBuf, [u16; 2], u16, Vec<u8>)> = Vec::new();
    for stream in streams.as_array().expect("a list") {
        let number = |key: &str| stream[key].as_u64().expect("a number") as u16;
        let path = PathBuf::from(stream["path"].as_str().expect("a path"));
        let (size, bits) = ([number("rows"), number("columns")], number("bits"));
        let whole = std::fs::read(&path).expect("the oracle wrote it");
        // the frame header stays: another size is another image
        let scan = whole.windows(2).position(|pair| pair == [0xFF, 0xDA]).expect("a scan");
        for (index, at) in (scan..whole.len()).step_by(5).enumerate() {
            let mut bytes = whole.clone();
            bytes[at] ^= [0x01, 0x10, 0xFF][index % 3];
            files.push((path.with_extension(format!("{index}")), size, bits, bytes));
        }
        // a scan of one byte, over and over, is the largest errors that codes can express; sums grow as long as
        // they are not reset (LSE, T.87 C.2.4.1)
        for reset in [64_u16, 3, 65_535] {
            let preset = [&[0xFF, 0xF8, 0, 13, 1][..], &[0; 8], &reset.to_be_bytes()].concat();
            for value in [0x00, 0x01, 0x40, 0x55, 0x7F, 0x80, 0xAA] {
                let bytes = [&whole[..scan], &preset, &whole[scan..scan + 10], &vec![value; 1 << 14], &[0xFF, 0xD9]];
                files.push((path.with_extension(format!("{reset}_{value}")), size, bits, bytes.concat()));
            }
        }
        files.push((path, size, bits, whole));
    }
    for (path, .., bytes) in &files {
        std::fs::write(path, bytes).expect("the folder takes it");
    }
    let paths: Vec<_> = files.iter().map(|(path, ..)| path).collect();
    let list = out.path().join("list.json");
    std::fs::write(&list, json!(paths).to_string()).expect("the folder takes it");
    let theirs = oracle("dicom_jpegls", &json!({ "task": "decode", "list": list }));
    let (mut both, mut undamaged, mut differing) = (0, 0, Vec::new());
    for ((path, [rows, columns], bits, bytes), theirs) in files.iter().zip(theirs.as_array().expect("a list")) {
        let allocated = if *bits > 8 { 16 } else { 8 };
        let file = encapsulated(JPEG_LS, [*rows, *columns], [allocated, allocated], PIXEL_DATA, bytes);
        let ours = read_both_ways(&file);
        undamaged += usize::from(path.extension().is_some_and(|end| end == "jls") && ours.is_ok());
        let (Ok(ours), Some(theirs)) = (ours, theirs.as_array()) else { continue };
        let ours: Vec<_> = (0..ours[0].len()).map(|k| ours[0].get(k)).collect();
        let theirs: Vec<_> = theirs.iter().map(|value| value.as_f64()).collect();
        if ours != theirs {
            let first = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
            differing.push(format!("{} from value {first:?}", path.display()));
        }
        both += 1;
    }
    assert!(differing.is_empty(), "{} of {both} differ:\n{}", differing.len(), differing.join("\n"));
    assert_eq!(undamaged, streams.as_array().map_or(0, Vec::len));
    assert!(both > 100, "only {both} of {} damaged streams decode in both", files.len());
}

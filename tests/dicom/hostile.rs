//! Damaged and hostile files: wrong lengths, missing ends, endless nesting. Nothing panics, nothing takes memory
//! that the file's size does not justify, and valid files beside invalid ones are read.

use std::path::{Path, PathBuf};

use lumbar_dicom::{Header, Outcome, Pixels, ReadOptions, Slice, read_series};
use lumbar_tests::{oracle, scratch};
use rayon::prelude::*;
use serde_json::json;

use crate::bytes::{PIXEL_DATA, RLE, deflated, described, element, encapsulated};
use crate::meter::metered;

/// Reads header and pixels; panics when more memory is taken than 64 MiB and three times the file.
fn read(bytes: &[u8]) -> Result<Vec<Pixels>, lumbar_dicom::Error> {
    read_within(bytes.len(), || Header::read_bytes(bytes))
}

/// Reads the same bytes from memory and from disk, which is different code; the answers have to agree.
pub(crate) fn read_both_ways(bytes: &[u8]) -> Result<Vec<Pixels>, lumbar_dicom::Error> {
    let folder = scratch();
    let path = folder.path().join("hostile.dcm");
    std::fs::write(&path, bytes).expect("the folder takes it");
    let (memory, disk) = (read(bytes), read_within(bytes.len(), || Header::read(&path)));
    match (&memory, &disk) {
        (Err(memory), Err(disk)) => assert_eq!(memory.cause, disk.cause),
        _ => assert!(memory == disk, "{memory:?} in memory, {disk:?} on disk"),
    }
    disk
}

fn read_within(
    length: usize,
    header: impl FnOnce() -> Result<Header, lumbar_dicom::Error>,
) -> Result<Vec<Pixels>, lumbar_dicom::Error> {
    let (answer, most) = metered(|| {
        let slices = Slice::from_header(&header()?)?;
        // the first and last frames: thousands of claimed ones would take too long
        let ends = if slices.len() > 1 { vec![&slices[0], &slices[slices.len() - 1]] } else { vec![&slices[0]] };
        ends.into_iter().map(Slice::pixels).collect()
    });
    let allowed = (64 << 20) + 3 * length as isize;
    assert!(most <= allowed, "{most} bytes taken for a file of {length}");
    answer
}

fn public(name: &str) -> Vec<u8> {
    let out = scratch();
    let folders = oracle("dicom_series", &json!({ "task": "folders", "out": out.path() }));
    let folder = Path::new(folders["pydicom"].as_str().expect("a folder"));
    std::fs::read(folder.join(name)).expect("a public file")
}

/// Small files of every packing.
const SMALL: [&str; 6] = [
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
];

#[test]
fn a_file_cut_anywhere_is_an_error_or_the_whole_image() {
    for name in SMALL {
        let bytes = public(name);
        let whole = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        (0..bytes.len()).into_par_iter().for_each(|end| {
            if let Ok(pixels) = read(&bytes[..end]) {
                // only bytes after the pixels may be missing
                assert!(pixels == whole, "{name} cut at {end} of {} gives another image", bytes.len());
            }
        });
    }
}

#[test]
fn any_flipped_byte_is_survived() {
    for name in SMALL {
        let bytes = public(name);
        (0..bytes.len()).into_par_iter().for_each_init(
            || bytes.clone(),
            |bytes, at| {
                // one flip a byte, in turn: all its bits, the lowest, the highest
                let flip = [0xFF, 0x01, 0x80][at % 3];
                bytes[at] ^= flip;
                let _ = read(bytes);
                bytes[at] ^= flip;
            },
        );
    }
}

#[test]
fn the_meter_counts_what_a_thread_takes_and_reading_is_metered() {
    let (_, most) = metered(|| drop(std::hint::black_box(vec![1_u8; 100 << 20])));
    assert!(most >= 100 << 20);
    // half a megabyte of image is seen, from memory and from disk
    let image = [described(512, 512), element(PIXEL_DATA, 512 * 512 * 2, &vec![3; 512 * 512 * 2])].concat();
    let (pixels, most) = metered(|| read_both_ways(&image).unwrap_or_else(|error| panic!("{error}")));
    assert_eq!(pixels[0].as_u16().map(|values| values[9]), Some(0x0303));
    assert!(most >= 2 * image.len() as isize - 1024);
}

#[test]
fn claimed_lengths_are_not_believed() {
    for claimed in [0x10_0000, 0x7FFF_FFFE, 0x8000_0000, 0xC000_0000, 0xFFFF_FFFE] {
        for tag in [(0x7FE0, 0x0010), (0x0009, 0x1001), (0x0008, 0x103E), (0x5200, 0x9230), (0x0028, 0x3010)] {
            let bytes = [described(512, 512), element(tag, claimed, b"little")].concat();
            let error = read_both_ways(&bytes).expect_err("less is there than claimed").to_string();
            assert!(error.contains("are there") || error.contains("no image"), "{error}");
        }
    }
    // images larger than their file
    for (rows, columns) in [(65535, 65535), (65535, 1), (512, 512)] {
        let bytes = [described(rows, columns), element((0x7FE0, 0x0010), 6, b"little")].concat();
        let error = read_both_ways(&bytes).expect_err("no such pixels").to_string();
        assert!(error.contains("(7FE0,0010) PixelData announces"), "{error}");
    }
    // frames beyond counting
    let frames = element((0x0028, 0x0008), 10, b"2147483647");
    let bytes = [described(1, 1), frames, element((0x7FE0, 0x0010), u32::MAX, b"little")].concat();
    assert!(read_both_ways(&bytes).is_err());
}

#[test]
fn impossible_bits_are_errors_and_an_impossible_high_bit_is_the_highest() {
    let with = |tag: u16, value: u16| {
        let mut bytes = [described(2, 2), element((0x7FE0, 0x0010), 8, &[7; 8])].concat();
        let head = element((0x0028, tag), 2, &[]);
        let at = bytes.windows(head.len()).position(|bytes| bytes == head).expect("the attribute") + head.len();
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        read_both_ways(&bytes)
    };
    for (tag, value) in [(0x0100, 0), (0x0100, u16::MAX), (0x0101, u16::MAX)] {
        assert!(with(tag, value).is_err(), "(0028,{tag:04X}) = {value}");
    }
    let good = with(0x0102, 11).unwrap_or_else(|error| panic!("{error}"));
    for high in [0, 16, u16::MAX] {
        assert!(with(0x0102, high).is_ok_and(|pixels| pixels == good), "HighBit = {high}");
    }
}

#[test]
fn nesting_without_end_is_refused() {
    for (sequence, item) in [(u32::MAX, u32::MAX), (0xFFFF_FFF0, 0xFFFF_FFF0)] {
        for tag in [(0x0009, 0x1001), (0x5200, 0x9230), (0x0020, 0x9113)] {
            let mut bytes = described(8, 8);
            for _ in 0..100_000 {
                bytes.extend(element(tag, sequence, b""));
                bytes.extend(element((0xFFFE, 0xE000), item, b""));
            }
            assert!(read_both_ways(&bytes).is_err());
        }
    }
    // empty items beyond counting
    let mut bytes = described(8, 8);
    bytes.extend(element((0x5200, 0x9230), u32::MAX, b""));
    for _ in 0..500_000 {
        bytes.extend(element((0xFFFE, 0xE000), 0, b""));
    }
    assert!(read_both_ways(&bytes).is_err());
}

/// An encapsulated file around one RLE frame.
fn rle(rows: u16, columns: u16, frame: &[u8]) -> Vec<u8> {
    encapsulated(RLE, [rows, columns], [16, 12], PIXEL_DATA, frame)
}

#[test]
fn wrong_rle_segments_are_errors() {
    let frame = |words: &[u32], data: &[u8]| {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(64, 0);
        bytes.extend(data);
        bytes
    };
    let good = frame(&[2, 64, 66], &[0xFD, 0x01, 0xFD, 0x02]);
    assert_eq!(read_both_ways(&rle(2, 2, &good)).expect("four pixels")[0].as_u16(), Some([0x0102; 4].as_slice()));
    let wrong = [
        frame(&[2, 64, 0xFFFF_FFFF], &[0; 8]),
        frame(&[2, 66, 64], &[0; 8]),
        frame(&[2, 0, 0], &[0; 8]),
        frame(&[0xFFFF_FFFF, 64, 66], &[0; 8]),
        frame(&[2, 64, 65], &[0x7F; 8]),
        frame(&[1, 64], &[0xFD, 0x01]),
        vec![2, 0, 0, 0],
        Vec::new(),
    ];
    for frame in wrong {
        let error = read_both_ways(&rle(2, 2, &frame)).expect_err("wrong segments").to_string();
        assert!(error.contains("RLE") || error.contains("announces"), "{error}");
    }
    // an image of four thousand million pixels in a few bytes, and in a few thousand
    assert!(read_both_ways(&rle(65535, 65535, &good)).is_err());
    let bomb = frame(&[2, 64, 40_064], &[0x81; 80_000]);
    assert!(read_both_ways(&rle(65535, 65535, &bomb)).is_err());
}

#[test]
fn a_deflation_bomb_is_refused() {
    let zeros = vec![0; 1 << 20];
    let head = [described(65535, 8000), element(PIXEL_DATA, 1_048_560_000, b"")].concat();
    let parts: Vec<&[u8]> =
        std::iter::once(head.as_slice()).chain(std::iter::repeat_n(zeros.as_slice(), 1000)).collect();
    let bytes = deflated(&parts);
    let error = read_both_ways(&bytes).expect_err("a bomb").to_string();
    assert!(error.contains("are allowed for a file of this size"), "{error}");
}

#[test]
fn a_hundred_broken_files_among_a_thousand_are_named_and_the_rest_is_read() {
    let folder = scratch();
    let good = public("MR_small_RLE.dcm");
    let number = good.windows(6).position(|bytes| bytes == b"\x20\0\x13\0IS").expect("an instance number") + 8;
    let position = good.windows(6).position(|bytes| bytes == b"\x20\0\x32\0DS").expect("a position") + 8;
    for index in 0..1000_usize {
        let path: PathBuf = folder.path().join(format!("{index}.dcm"));
        let mut bytes = good.clone();
        bytes[number..number + 1].copy_from_slice(b"7");
        // each slice at a position of its own, written over the first digits
        bytes[position..position + 4].copy_from_slice(format!("{:04}", index).as_bytes());
        if index % 10 == 3 {
            match index / 10 % 4 {
                0 => bytes.clear(),
                1 => bytes.truncate(1000),
                2 => bytes = b"no image at all".to_vec(),
                _ => bytes[..900].fill(0xFF),
            }
        }
        std::fs::write(path, bytes).expect("the folder takes it");
    }
    let options = ReadOptions { check_pixels: true, ..ReadOptions::default() };
    let series = read_series(folder.path(), &options, &()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(series.report.files.len(), 1000);
    assert_eq!(series.report.not_used().count(), 100);
    assert!(series.report.not_used().all(|file| matches!(file.outcome, Outcome::NotUsed(_))));
    assert_eq!(series.len(), 900);
}

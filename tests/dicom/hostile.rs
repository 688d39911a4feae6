//! Malice and accident: files that lie, break off, or nest without end. Nothing panics, nothing takes
//! memory that the file does not justify, and good files beside bad ones are read.

use std::cell::Cell;
use std::ffi::c_void;
use std::path::{Path, PathBuf};

use lumbar_dicom::{Header, Outcome, Pixels, ReadOptions, Slice, read_series};
use lumbar_tests::{oracle, scratch};
use rayon::prelude::*;
use serde_json::json;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// Counts what the current thread holds, and the most it held.
fn count(bytes: isize) {
    // a thread that is ending has no counters left
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// A `#[global_allocator]` would count nothing here: with `-Cprefer-dynamic` the standard library keeps its own.
// So the C library's functions below it are replaced; glibc finds these first.
unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(number: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(pointer: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_free(pointer: *mut c_void);
}

fn size(pointer: *mut c_void) -> isize {
    // SAFETY: null, or a piece that the functions below gave and nobody has freed.
    unsafe { libc::malloc_usable_size(pointer) as isize }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(bytes: usize) -> *mut c_void {
    // SAFETY: the caller's promises are handed on, here and below.
    let pointer = unsafe { __libc_malloc(bytes) };
    count(size(pointer));
    pointer
}

#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(number: usize, bytes: usize) -> *mut c_void {
    let pointer = unsafe { __libc_calloc(number, bytes) };
    count(size(pointer));
    pointer
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(pointer: *mut c_void, bytes: usize) -> *mut c_void {
    let before = size(pointer);
    let pointer = unsafe { __libc_realloc(pointer, bytes) };
    // a piece that was refused stays what it was
    if !pointer.is_null() || bytes == 0 {
        count(size(pointer) - before);
    }
    pointer
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free(pointer: *mut c_void) {
    count(-size(pointer));
    unsafe { __libc_free(pointer) };
}

/// Reads head and pixels; panics when more memory is taken than 64 MiB and three times the file.
fn read(bytes: &[u8]) -> Result<Vec<Pixels>, lumbar_dicom::Error> {
    read_within(bytes.len(), || Header::read_bytes(bytes))
}

/// The same bytes in memory and on disk, which are read in another way; the answers have to agree.
fn read_both_ways(bytes: &[u8]) -> Result<Vec<Pixels>, lumbar_dicom::Error> {
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
    let before = HELD.get();
    MOST.set(before);
    let answer = (|| {
        let slices = Slice::from_header(&header()?)?;
        // the first and last frames: thousands of claimed ones would take the test's time
        let ends = if slices.len() > 1 { vec![&slices[0], &slices[slices.len() - 1]] } else { vec![&slices[0]] };
        ends.into_iter().map(Slice::pixels).collect()
    })();
    let most = MOST.get() - before;
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

fn element(tag: (u16, u16), length: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.extend(length.to_le_bytes());
    bytes.extend(value);
    bytes
}

/// An implicit file without meta that describes 16-bit pixels.
fn described(rows: u16, columns: u16) -> Vec<u8> {
    let short = |tag, value: u16| element(tag, 2, &value.to_le_bytes());
    [
        element((0x0008, 0x0060), 2, b"MR"),
        short((0x0028, 0x0002), 1),
        short((0x0028, 0x0010), rows),
        short((0x0028, 0x0011), columns),
        short((0x0028, 0x0100), 16),
        short((0x0028, 0x0101), 12),
        short((0x0028, 0x0102), 11),
        short((0x0028, 0x0103), 0),
    ]
    .concat()
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_the_whole_picture() {
    for name in SMALL {
        let bytes = public(name);
        let whole = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        (0..bytes.len()).into_par_iter().for_each(|end| {
            if let Ok(pixels) = read(&bytes[..end]) {
                // only what stands behind the pixels may be missing
                assert!(pixels == whole, "{name} cut at {end} of {} gives another picture", bytes.len());
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
fn the_meter_sees_what_a_thread_takes_and_reading_is_metered() {
    let before = HELD.get();
    MOST.set(before);
    let taken = std::hint::black_box(vec![1_u8; 100 << 20]);
    assert!(MOST.get() - before >= 100 << 20);
    drop(taken);
    assert!(HELD.get() - before < 1 << 20);
    // half a megabyte of picture is seen, from memory and from disk
    let picture = [described(512, 512), element((0x7FE0, 0x0010), 512 * 512 * 2, &vec![3; 512 * 512 * 2])].concat();
    let before = HELD.get();
    let pixels = read_both_ways(&picture).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(pixels[0].as_u16().map(|values| values[9]), Some(0x0303));
    assert!(MOST.get() - before >= 2 * picture.len() as isize - 1024);
}

#[test]
fn claimed_lengths_are_not_believed() {
    for claimed in [0x10_0000, 0x7FFF_FFFE, 0x8000_0000, 0xC000_0000, 0xFFFF_FFFE] {
        for tag in [(0x7FE0, 0x0010), (0x0009, 0x1001), (0x0008, 0x103E), (0x5200, 0x9230), (0x0028, 0x3010)] {
            let bytes = [described(512, 512), element(tag, claimed, b"little")].concat();
            let error = read_both_ways(&bytes).expect_err("less is there than claimed").to_string();
            assert!(error.contains("are there") || error.contains("no picture"), "{error}");
        }
    }
    // pictures larger than their file
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
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.5\0");
    let explicit = |tag: (u16, u16), value: u16| {
        let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
        bytes.extend(b"US\x02\x00");
        bytes.extend(value.to_le_bytes());
        bytes
    };
    let described = [(0x0010, rows), (0x0011, columns), (0x0100, 16), (0x0101, 12), (0x0102, 11), (0x0103, 0)];
    bytes.extend(described.iter().flat_map(|(tag, value)| explicit((0x0028, *tag), *value)));
    bytes.extend(b"\xE0\x7F\x10\x00OB\0\0\xFF\xFF\xFF\xFF");
    bytes.extend(element((0xFFFE, 0xE000), 0, b""));
    bytes.extend(element((0xFFFE, 0xE000), frame.len() as u32, frame));
    bytes.extend(element((0xFFFE, 0xE0DD), 0, b""));
    bytes
}

#[test]
fn rle_segments_that_lie_are_errors() {
    let frame = |words: &[u32], data: &[u8]| {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(64, 0);
        bytes.extend(data);
        bytes
    };
    let good = frame(&[2, 64, 66], &[0xFD, 0x01, 0xFD, 0x02]);
    assert_eq!(read_both_ways(&rle(2, 2, &good)).expect("four pixels")[0].as_u16(), Some([0x0102; 4].as_slice()));
    let lies = [
        frame(&[2, 64, 0xFFFF_FFFF], &[0; 8]),
        frame(&[2, 66, 64], &[0; 8]),
        frame(&[2, 0, 0], &[0; 8]),
        frame(&[0xFFFF_FFFF, 64, 66], &[0; 8]),
        frame(&[2, 64, 65], &[0x7F; 8]),
        frame(&[1, 64], &[0xFD, 0x01]),
        vec![2, 0, 0, 0],
        Vec::new(),
    ];
    for lie in lies {
        let error = read_both_ways(&rle(2, 2, &lie)).expect_err("a lie").to_string();
        assert!(error.contains("RLE") || error.contains("announces"), "{error}");
    }
    // a picture of four thousand million pixels in a few bytes, and in a few thousand
    assert!(read_both_ways(&rle(65535, 65535, &good)).is_err());
    let bomb = frame(&[2, 64, 40_064], &[0x81; 80_000]);
    assert!(read_both_ways(&rle(65535, 65535, &bomb)).is_err());
}

#[test]
fn a_deflation_bomb_is_refused() {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&described(65535, 8000)).expect("memory takes it");
    encoder.write_all(&element((0x7FE0, 0x0010), 1_048_560_000, b"")).expect("memory takes it");
    for _ in 0..1000 {
        encoder.write_all(&vec![0; 1 << 20]).expect("memory takes it");
    }
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99");
    bytes.extend(encoder.finish().expect("memory takes it"));
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
        // each slice at a place of its own, written over the first digits
        bytes[position..position + 4].copy_from_slice(format!("{:04}", index).as_bytes());
        if index % 10 == 3 {
            match index / 10 % 4 {
                0 => bytes.clear(),
                1 => bytes.truncate(1000),
                2 => bytes = b"no picture at all".to_vec(),
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

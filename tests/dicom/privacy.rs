//! No identifier reaches a person who looks at a header, a series, a report or an error.

use lumbar_dicom::privacy::shown_attributes;
use lumbar_dicom::{Header, ReadOptions, Slice, read_series};
use lumbar_tests::scratch;

const SECRETS: [&str; 7] = ["Doe", "JANE", "19700131", "Saint", "SECRET", "1.2.826.0.1.99", "4711"];

fn explicit(tag: (u16, u16), vr: &[u8; 2], value: &str) -> Vec<u8> {
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

fn short(tag: (u16, u16), value: u16) -> Vec<u8> {
    let mut bytes = explicit(tag, b"US", "  ");
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// A slice that names its patient wherever a writer could, also where only numbers belong.
fn file(in_numbers: &str) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    bytes.extend(explicit((0x0002, 0x0010), b"UI", "1.2.840.10008.1.2.1"));
    for (tag, vr, value) in [
        ((0x0008, 0x0018), b"UI", "1.2.826.0.1.99.1"),
        ((0x0008, 0x0020), b"DA", "19700131"),
        ((0x0008, 0x0050), b"SH", "4711"),
        ((0x0008, 0x0060), b"CS", "Doe^Jane"),
        ((0x0008, 0x0080), b"LO", "Saint Mary"),
        ((0x0008, 0x103E), b"LO", "T2 for Doe"),
        ((0x0009, 0x1001), b"LO", "SECRET"),
        ((0x0010, 0x0010), b"PN", "Doe^JANE"),
        ((0x0010, 0x0020), b"LO", "4711"),
        ((0x0010, 0x0030), b"DA", "19700131"),
        ((0x0018, 0x0050), b"DS", in_numbers),
        ((0x0018, 0x1000), b"LO", "4711"),
        ((0x0018, 0x5100), b"CS", "HFS"),
        ((0x0020, 0x000D), b"UI", "1.2.826.0.1.99.2"),
        ((0x0020, 0x000E), b"UI", "1.2.826.0.1.99.3"),
        ((0x0020, 0x0013), b"IS", in_numbers),
        ((0x0020, 0x0032), b"DS", in_numbers),
        ((0x0020, 0x4000), b"LT", "Doe again"),
    ] {
        bytes.extend(explicit(tag, vr, value));
    }
    for (element, value) in [(0x0010, 1), (0x0011, 2), (0x0100, 16), (0x0101, 16), (0x0102, 15), (0x0103, 0)] {
        bytes.extend(short((0x0028, element), value));
    }
    bytes.extend(b"\xE0\x7F\x10\x00OW\0\0\x04\0\0\0\x01\0\x02\0");
    bytes
}

fn assert_clean(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} shows in: {text}");
    }
}

#[test]
fn headers_show_only_what_is_allowed() {
    let header = Header::read_bytes(&file("Doe^JANE")).expect("a header");
    let shown = shown_attributes(&header).expect("attributes");
    assert_clean(&format!("{shown:?}"));
    let value = |keyword: &str| shown.iter().find(|shown| shown.keyword == keyword).map(|shown| shown.value.as_str());
    assert_eq!(value("PatientPosition"), Some("HFS"));
    assert_eq!(value("Rows"), Some("1"));
    assert!(value("SeriesInstanceUID").is_some_and(|hash| hash.starts_with("uid-")));
    for hidden in ["SliceThickness", "Modality", "SeriesDescription", "ImagePositionPatient"] {
        assert_eq!(value(hidden), None);
    }
}

#[test]
fn displays_reports_and_errors_name_nobody() {
    let folder = scratch();
    for (name, in_numbers) in [("1.dcm", "Doe^JANE"), ("2.dcm", "SECRET")] {
        std::fs::write(folder.path().join(name), file(in_numbers)).expect("the folder takes it");
    }
    let cut = &file("Doe")[..file("Doe").len() - 3];
    std::fs::write(folder.path().join("3.dcm"), cut).expect("the folder takes it");
    let series = read_series(folder.path(), &ReadOptions::default(), &()).expect("a series");
    assert_clean(&format!("{series} {series:?} {} {:?}", series.report, series.report));
    assert_clean(&format!("{:?} {:?}", series.uid, series.description));
    assert_clean(&format!("{:?}", series.stacks));
    assert_eq!(series.description.as_ref().map(|text| text.reveal()), Some("T2 for Doe"));
    let header = Header::read_bytes(cut).expect("a header");
    let error = Slice::from_header(&header).expect_err("cut short");
    assert_clean(&format!("{error} {error:?} {header:?}"));
}

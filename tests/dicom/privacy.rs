//! No identifier is shown in a header, a series, a report or an error.

use lumbar_dicom::privacy::shown_attributes;
use lumbar_dicom::{Header, ReadOptions, Slice, read_series};
use lumbar_tests::scratch;

use crate::bytes::{explicit, explicit_short};

const SECRETS: [&str; 8] = ["Doe", "JANE", "DOE", "19700131", "Saint", "SECRET", "1.2.826.0.1.99", "4711"];

/// A slice with a patient's name wherever a writer could put it, also in code strings and numbers.
fn file(in_numbers: &str) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    bytes.extend(explicit((0x0002, 0x0010), b"UI", "1.2.840.10008.1.2.1"));
    for (tag, vr, value) in [
        ((0x0008, 0x0008), b"CS", "ORIGINAL\\PRIMARY\\DOE JANE"),
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
        ((0x0018, 0x0022), b"CS", "DOE"),
        ((0x0018, 0x0050), b"DS", in_numbers),
        ((0x0018, 0x1000), b"LO", "4711"),
        ((0x0018, 0x5100), b"CS", "HFS"),
        ((0x0020, 0x000D), b"UI", "1.2.826.0.1.99.2"),
        ((0x0020, 0x000E), b"UI", "1.2.826.0.1.99.3"),
        ((0x0020, 0x0011), b"IS", "19700131"),
        ((0x0020, 0x0013), b"IS", in_numbers),
        ((0x0020, 0x0032), b"DS", in_numbers),
        ((0x0020, 0x4000), b"LT", "Doe again"),
        ((0x0020, 0x9056), b"SH", "DOE JANE"),
    ] {
        bytes.extend(explicit(tag, vr, value));
    }
    for (element, value) in [(0x0010, 1), (0x0011, 2), (0x0100, 16), (0x0101, 16), (0x0102, 15), (0x0103, 0)] {
        bytes.extend(explicit_short((0x0028, element), value));
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
    assert_eq!(value("ImageType"), Some("ORIGINAL\\PRIMARY\\(other)"));
    assert_eq!((value("ScanOptions"), value("Modality")), (Some("(other)"), Some("(other)")));
    for hidden in ["SliceThickness", "SeriesDescription", "ImagePositionPatient", "SeriesNumber", "StackID"] {
        assert_eq!(value(hidden), None);
    }
}

#[test]
fn displays_reports_and_errors_contain_no_name() {
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

#[test]
fn a_private_transfer_syntax_is_not_shown() {
    let file = file("1");
    let standard = b"1.2.840.10008.1.2.1\x20";
    let at = file.windows(standard.len()).position(|bytes| bytes == standard).expect("the transfer syntax");
    let mut private = file;
    private[at..at + standard.len()].copy_from_slice(b"1.2.826.0.1.99.4711\x20");
    let header = Header::read_bytes(&private).expect("a header");
    let error = Slice::from_header(&header).expect_err("no decoder");
    assert_clean(&format!("{:?} {error} {error:?}", header.transfer_syntax));
    assert!(error.to_string().contains("a private one"), "{error}");
}

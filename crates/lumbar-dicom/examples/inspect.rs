//! Shows what a folder of DICOM files holds: `cargo run -p lumbar-dicom --example inspect -- <folder>`.

use lumbar_dicom::{ReadOptions, read_folder};

fn main() -> Result<(), lumbar_dicom::Error> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let read = read_folder(std::path::Path::new(&folder), &ReadOptions::default(), &())?;
    for series in &read.series {
        println!("{series}");
        for oddity in &series.report.oddities {
            println!("  {oddity}");
        }
    }
    println!("{}", read.report);
    Ok(())
}

//! Small PNG files: indexed colours if 256 are enough.
//!
//! A notebook with a dozen images of slices has to stay below two megabytes. Slices are drawn with 64 grey values, which
//! in a noisy image look like 256. With text and markers most images then have fewer than 256 colours, and the file is
//! a third of the size.

use std::collections::HashMap;

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter, Info};

/// Encodes rows of red, green and blue bytes as a PNG file, without loss.
///
/// `density` is the number of pixels for each pixel of the page, in both directions. It is stored in the file, and
/// browsers show the image at its size on the page.
pub(super) fn png((width, height): (u32, u32), rgb: &[u8], density: u32) -> Result<Vec<u8>, EncodingError> {
    let mut file = Vec::new();
    let mut info = Info::with_size(width, height);
    if density > 1 {
        info.exif_metadata = Some(exif((width / density, height / density), density).into());
    }
    let mut encoder = Encoder::with_info(&mut file, info)?;
    encoder.set_compression(Compression::High);
    encoder.set_depth(BitDepth::Eight);
    if let Some((palette, indices)) = indexed(rgb) {
        encoder.set_color(ColorType::Indexed);
        encoder.set_palette(palette);
        encoder.set_filter(Filter::NoFilter);
        encoder.write_header()?.write_image_data(&indices)?;
    } else {
        encoder.set_color(ColorType::Rgb);
        encoder.write_header()?.write_image_data(rgb)?;
    }
    Ok(file)
}

/// The palette and each pixel's index in it; `None` if there are more than 256 colours.
fn indexed(rgb: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut known: HashMap<[u8; 3], u8> = HashMap::new();
    let mut palette = Vec::new();
    let mut indices = Vec::with_capacity(rgb.len() / 3);
    for &colour in rgb.as_chunks::<3>().0 {
        let index = match known.get(&colour) {
            Some(index) => *index,
            None => {
                let index = u8::try_from(known.len()).ok()?;
                known.insert(colour, index);
                palette.extend(colour);
                index
            }
        };
        indices.push(index);
    }
    Some((palette, indices))
}

/// Exif data from which browsers take the size of an image on the page (HTML Standard, "density-corrected natural width
/// and height"): the resolution, 72 per inch times the density, and the size on the page.
fn exif(page_px: (u32, u32), density: u32) -> Vec<u8> {
    // TIFF 6.0, big-endian: a header, a directory with four entries, its values, and the Exif directory
    const VALUES_AT: u32 = 8 + 2 + 4 * 12 + 4;
    const EXIF_AT: u32 = VALUES_AT + 16;
    let entry = |tag: u16, kind: u16, value: [u8; 4]| {
        [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &1_u32.to_be_bytes(), &value].concat()
    };
    let (rational, short, long) = (5, 3, 4);
    let resolution = [72 * density, 1].map(u32::to_be_bytes).concat();
    [
        b"MM\0\x2a".to_vec(),
        8_u32.to_be_bytes().to_vec(),
        4_u16.to_be_bytes().to_vec(),
        entry(0x011a, rational, VALUES_AT.to_be_bytes()),
        entry(0x011b, rational, (VALUES_AT + 8).to_be_bytes()),
        entry(0x0128, short, [0, 2, 0, 0]), // per inch
        entry(0x8769, long, EXIF_AT.to_be_bytes()),
        vec![0; 4],
        resolution.clone(),
        resolution,
        2_u16.to_be_bytes().to_vec(),
        entry(0xa002, long, page_px.0.to_be_bytes()),
        entry(0xa003, long, page_px.1.to_be_bytes()),
        vec![0; 4],
    ]
    .concat()
}

/// Reduces an image to 256 colours: the most frequent ones. Rare colours, those of the edges of lines and letters on
/// slices, become the nearest of them.
pub(super) fn reduce(rgb: &mut [u8]) {
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    for &colour in rgb.as_chunks::<3>().0 {
        *counts.entry(colour).or_default() += 1;
    }
    if counts.len() <= 256 {
        return;
    }
    let mut colours: Vec<([u8; 3], usize)> = counts.into_iter().collect();
    colours.sort_unstable_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    let (frequent, rare) = colours.split_at(256);
    let distance = |one: [u8; 3], other: [u8; 3]| -> u32 {
        one.into_iter().zip(other).map(|(one, other)| u32::from(one.abs_diff(other)).pow(2)).sum()
    };
    let nearest = |colour: [u8; 3]| {
        frequent.iter().map(|(other, _)| *other).min_by_key(|other| distance(colour, *other)).unwrap_or(colour)
    };
    let replaced: HashMap<[u8; 3], [u8; 3]> = rare.iter().map(|(colour, _)| (*colour, nearest(*colour))).collect();
    for colour in rgb.as_chunks_mut::<3>().0 {
        if let Some(other) = replaced.get(colour) {
            *colour = *other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_colours_become_the_nearest_frequent_one() {
        let mut rgb: Vec<u8> = (0..=255_u8).flat_map(|grey| [grey; 6]).collect();
        rgb.extend([200, 203, 200]);
        reduce(&mut rgb);
        assert!(indexed(&rgb).is_some());
        assert_eq!(rgb[rgb.len() - 3..], [201; 3]);
    }

    #[test]
    fn the_size_on_the_page_is_in_the_file() {
        let file = png((8, 4), &[0; 96], 2).unwrap();
        let decoder = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let exif = decoder.info().exif_metadata.clone().unwrap();
        assert!(exif.starts_with(b"MM\0\x2a") && exif.len() == 8 + 2 + 48 + 4 + 16 + 2 + 24 + 4);
        assert_eq!(exif[62..70], [0, 0, 0, 144, 0, 0, 0, 1]);
        assert_eq!(exif[exif.len() - 8..exif.len() - 4], [0, 0, 0, 2]);
    }

    fn decode(file: &[u8]) -> Vec<u8> {
        image::load_from_memory(file).unwrap().to_rgb8().into_raw()
    }

    #[test]
    fn few_colours_and_many_come_back_as_they_were() {
        let few: Vec<u8> = (0..300).map(|value| (value % 7 * 36) as u8).collect();
        assert_eq!(decode(&png((10, 10), &few, 1).unwrap()), few);
        let many: Vec<u8> = (0..20 * 20).flat_map(|value: i32| [(value % 256) as u8, (value / 2) as u8, 3]).collect();
        assert!(indexed(&many).is_none());
        assert_eq!(decode(&png((20, 20), &many, 1).unwrap()), many);
    }

    #[test]
    fn exactly_256_colours_fit() {
        let grey: Vec<u8> = (0..=255_u8).flat_map(|value| [value; 3]).collect();
        assert_eq!(indexed(&grey).unwrap().0.len(), 768);
    }
}

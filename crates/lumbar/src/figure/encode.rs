//! Small PNG files: indexed colours if 256 are enough.
//!
//! A notebook with a dozen images of slices has to stay below two megabytes. Slices are drawn with 64 grey values, which
//! in a noisy image look like 256. With text and markers most images then have fewer than 256 colours, and the file is
//! a third of the size.

use std::collections::HashMap;

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

/// Encodes rows of red, green and blue bytes as a PNG file, without loss.
pub(super) fn png((width, height): (u32, u32), rgb: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(file: &[u8]) -> Vec<u8> {
        image::load_from_memory(file).unwrap().to_rgb8().into_raw()
    }

    #[test]
    fn few_colours_and_many_come_back_as_they_were() {
        let few: Vec<u8> = (0..300).map(|value| (value % 7 * 36) as u8).collect();
        assert_eq!(decode(&png((10, 10), &few).unwrap()), few);
        let many: Vec<u8> = (0..20 * 20).flat_map(|value: i32| [(value % 256) as u8, (value / 2) as u8, 3]).collect();
        assert!(indexed(&many).is_none());
        assert_eq!(decode(&png((20, 20), &many).unwrap()), many);
    }

    #[test]
    fn exactly_256_colours_fit() {
        let grey: Vec<u8> = (0..=255_u8).flat_map(|value| [value; 3]).collect();
        assert_eq!(indexed(&grey).unwrap().0.len(), 768);
    }
}

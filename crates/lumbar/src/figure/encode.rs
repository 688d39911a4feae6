//! Small PNG files: a palette where 256 colours are enough.
//!
//! A notebook with a dozen pictures of slices has to stay below two megabytes. Slices are painted in 64 greys,
//! which the eye does not tell from 256 in a noisy picture, so that with text and marks most pictures need
//! fewer than 256 colours, and a third of the room.

use std::collections::HashMap;

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

/// Rows of red, green, blue bytes as a PNG file; nothing is lost.
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

/// The colours, and each pixel's place among them; none where there are more than 256.
fn indexed(rgb: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut places: HashMap<[u8; 3], u8> = HashMap::new();
    let mut palette = Vec::new();
    let mut indices = Vec::with_capacity(rgb.len() / 3);
    for &colour in rgb.as_chunks::<3>().0 {
        let place = match places.get(&colour) {
            Some(place) => *place,
            None => {
                let place = u8::try_from(places.len()).ok()?;
                places.insert(colour, place);
                palette.extend(colour);
                place
            }
        };
        indices.push(place);
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

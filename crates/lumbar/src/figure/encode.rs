//! Small PNG files: indexed colours if 256 are enough.
//!
//! A notebook with a dozen images of slices has to stay below two megabytes. Slices are drawn with 64 grey values, which
//! in a noisy image look like 256. With text and markers most images then have fewer than 256 colours, and the file is
//! a third of the size.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter, Info, PixelDimensions, Unit};

/// Encodes rows of red, green and blue bytes as a PNG file, without loss.
///
/// `density` is the number of pixels for each pixel of the page, in both directions. It is stored in the file as pixels
/// per metre, for programs that print. Browsers ignore it: a page has to say how wide the image is.
pub(super) fn png((width, height): (u32, u32), rgb: &[u8], density: u32) -> Result<Vec<u8>, EncodingError> {
    let mut info = Info::with_size(width, height);
    if density > 1 {
        // an inch has 96 pixels of a page
        let per_metre = (96.0 * f64::from(density) / 0.0254).round() as u32;
        info.pixel_dims = Some(PixelDimensions { xppu: per_metre, yppu: per_metre, unit: Unit::Meter });
    }
    if let Some((palette, indices)) = indexed(rgb) {
        info.palette = Some(palette.into());
        let filter = smaller_filter(width, &indices)?;
        encode(info, ColorType::Indexed, filter, &indices)
    } else {
        encode(info, ColorType::Rgb, Filter::Adaptive, rgb)
    }
}

fn encode(info: Info<'_>, colour: ColorType, filter: Filter, bytes: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let mut file = Vec::new();
    let mut encoder = Encoder::with_info(&mut file, info)?;
    encoder.set_color(colour);
    encoder.set_depth(BitDepth::Eight);
    // `High` takes twice the time of the whole figure, for a twentieth fewer bytes
    encoder.set_compression(Compression::Balanced);
    encoder.set_filter(filter);
    encoder.write_header()?.write_image_data(bytes)?;
    Ok(file)
}

/// The filter with which a part of the rows takes fewer bytes. Noisy slices become smaller with differences from the
/// row above, charts without.
fn smaller_filter(width: u32, indices: &[u8]) -> Result<Filter, EncodingError> {
    /// Rows of a block.
    const ROWS: usize = 12;
    /// One block of so many is tried.
    const EVERY: usize = 10;
    let blocks = indices.chunks(width.max(1) as usize * ROWS);
    let part: Vec<u8> = blocks.skip(EVERY / 2).step_by(EVERY).flatten().copied().collect();
    let rows = part.len() as u32 / width.max(1);
    if rows == 0 {
        return Ok(Filter::NoFilter);
    }
    let bytes = |filter| {
        let file = encode(Info::with_size(width, rows), ColorType::Grayscale, filter, &part)?;
        Ok::<usize, EncodingError>(file.len())
    };
    Ok(if bytes(Filter::Up)? < bytes(Filter::NoFilter)? { Filter::Up } else { Filter::NoFilter })
}

/// A map from colours, quick enough for images of a million pixels.
type ColourMap<T> = HashMap<u32, T, BuildHasherDefault<ColourHasher>>;

/// Multiplies by the golden ratio (Knuth, *The Art of Computer Programming* 3, 6.4). The keys are the colours of
/// an image, so that protection against chosen keys is not needed.
#[derive(Default)]
struct ColourHasher(u64);

impl Hasher for ColourHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(((self.0 as u32) << 8) ^ u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.0 = u64::from(value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

fn key([red, green, blue]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, red, green, blue])
}

/// How many pixels each colour has.
fn counts(rgb: &[u8]) -> ColourMap<usize> {
    let mut counts = ColourMap::default();
    // neighbours often have one colour
    for run in rgb.as_chunks::<3>().0.chunk_by(PartialEq::eq) {
        *counts.entry(key(run[0])).or_default() += run.len();
    }
    counts
}

/// The palette and each pixel's index in it; `None` if there are more than 256 colours. Greys come first, from black to
/// white, so that differences of indices are differences of greys.
fn indexed(rgb: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut colours: Vec<[u8; 4]> = counts(rgb).into_keys().map(u32::to_be_bytes).collect();
    if colours.len() > 256 {
        return None;
    }
    let is_coloured = |[_, red, green, blue]: [u8; 4]| red != green || green != blue;
    colours.sort_unstable_by_key(|colour| (is_coloured(*colour), *colour));
    let known: ColourMap<u8> = colours.iter().map(|colour| u32::from_be_bytes(*colour)).zip(0..=255).collect();
    let mut indices = Vec::with_capacity(rgb.len() / 3);
    for run in rgb.as_chunks::<3>().0.chunk_by(PartialEq::eq) {
        let index = known.get(&key(run[0])).copied()?;
        indices.resize(indices.len() + run.len(), index);
    }
    Some((colours.into_iter().flat_map(|[_, red, green, blue]| [red, green, blue]).collect(), indices))
}

/// Reduces an image to 256 colours: the most frequent ones. Rare colours, those of the edges of lines and letters on
/// slices, become the nearest of them.
pub(super) fn reduce(rgb: &mut [u8]) {
    let counts = counts(rgb);
    if counts.len() <= 256 {
        return;
    }
    let mut colours: Vec<(u32, usize)> = counts.into_iter().collect();
    colours.sort_unstable_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    let (frequent, rare) = colours.split_at(256);
    let distance = |one: u32, other: u32| -> u32 {
        let pairs = one.to_be_bytes().into_iter().zip(other.to_be_bytes());
        pairs.map(|(one, other)| u32::from(one.abs_diff(other)).pow(2)).sum()
    };
    let nearest = |colour: u32| {
        frequent.iter().map(|(other, _)| *other).min_by_key(|other| distance(colour, *other)).unwrap_or(colour)
    };
    let replaced: ColourMap<u32> = rare.iter().map(|(colour, _)| (*colour, nearest(*colour))).collect();
    for colour in rgb.as_chunks_mut::<3>().0 {
        if let Some(other) = replaced.get(&key(*colour)) {
            let [_, red, green, blue] = other.to_be_bytes();
            *colour = [red, green, blue];
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
    fn the_resolution_is_in_the_file() {
        let file = png((8, 4), &[0; 96], 2).unwrap();
        let decoder = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let dimensions = decoder.info().pixel_dims.unwrap();
        // 192 pixels an inch
        assert_eq!((dimensions.xppu, dimensions.yppu, dimensions.unit), (7559, 7559, Unit::Meter));
    }

    #[test]
    fn noise_that_is_smooth_from_row_to_row_is_stored_as_differences_and_the_palette_is_in_order() {
        let grey = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) >> 28) as u8 * 8 + (y % 64 / 2) as u8;
        let rgb: Vec<u8> = (0..128).flat_map(|y| (0..64).flat_map(move |x| [grey(x, y); 3])).collect();
        let (palette, indices) = indexed(&rgb).unwrap();
        assert!(palette.is_sorted());
        assert_eq!(smaller_filter(64, &indices).unwrap(), Filter::Up);
        assert_eq!(decode(&png((64, 128), &rgb, 1).unwrap()), rgb);
        let chance = |at: u32| at.wrapping_mul(0x9e37_79b1).rotate_left(15).wrapping_mul(0x85eb_ca77) >> 28;
        let chart: Vec<u8> = (0..64 * 128).map(|at| u8::from(chance(at) == 0)).collect();
        assert_eq!(smaller_filter(64, &chart).unwrap(), Filter::NoFilter);
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
        assert_eq!(indexed(&grey).unwrap().0, grey);
    }
}

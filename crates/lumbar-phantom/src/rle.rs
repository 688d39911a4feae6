//! RLE Lossless (PS3.5 annex G): byte planes, PackBits within each row.

/// Encodes 16-bit grayscale pixels of one frame: a 64-byte header and two segments, high bytes first.
pub(crate) fn encode(pixels: &[u16], columns: usize) -> Vec<u8> {
    let mut frame = vec![0_u8; 64];
    frame[0] = 2;
    let mut bytes = vec![0_u8; columns];
    for plane in 0..2 {
        let start = frame.len() as u32;
        frame[4 + 4 * plane..8 + 4 * plane].copy_from_slice(&start.to_le_bytes());
        for row in pixels.chunks(columns) {
            for (byte, pixel) in bytes.iter_mut().zip(row) {
                *byte = pixel.to_be_bytes()[plane];
            }
            pack(&bytes[..row.len()], &mut frame);
        }
        if frame.len() % 2 == 1 {
            frame.push(0);
        }
    }
    frame
}

/// PackBits: a run of two or more equal bytes becomes two bytes, everything else is copied.
fn pack(row: &[u8], packed: &mut Vec<u8>) {
    let run_at = |start: usize| row[start..].iter().take(128).take_while(|&&byte| byte == row[start]).count();
    let mut place = 0;
    while place < row.len() {
        let run = run_at(place);
        if run >= 2 {
            packed.push((257 - run) as u8);
            packed.push(row[place]);
            place += run;
            continue;
        }
        let start = place;
        place += 1;
        while place < row.len() && place - start < 128 && row[place..].iter().take(3).any(|&byte| byte != row[place]) {
            place += 1;
        }
        packed.push((place - start - 1) as u8);
        packed.extend_from_slice(&row[start..place]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::generator;
    use rand::RngExt;

    fn unpack(mut packed: &[u8], count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            match packed[0] as usize {
                literal @ 0..=127 => {
                    bytes.extend_from_slice(&packed[1..literal + 2]);
                    packed = &packed[literal + 2..];
                }
                128 => packed = &packed[1..],
                run => {
                    bytes.extend(std::iter::repeat_n(packed[1], 257 - run));
                    packed = &packed[2..];
                }
            }
        }
        bytes
    }

    #[test]
    fn pixels_with_runs_of_any_length_are_decoded_unchanged() {
        let mut random = generator(1, 0, "rle");
        for (columns, rows, most) in [(1, 1, 4095), (7, 3, 1), (300, 5, 2), (129, 4, 4095), (260, 2, 0)] {
            let pixels: Vec<u16> = (0..columns * rows).map(|_| random.random_range(0..=most)).collect();
            let frame = encode(&pixels, columns);
            let offset =
                |plane: usize| u32::from_le_bytes(frame[4 + 4 * plane..8 + 4 * plane].try_into().unwrap()) as usize;
            assert_eq!((frame[0], frame.len() % 2), (2, 0));
            let high = unpack(&frame[offset(0)..], pixels.len());
            let low = unpack(&frame[offset(1)..], pixels.len());
            let found: Vec<u16> = high.iter().zip(&low).map(|(&h, &l)| u16::from_be_bytes([h, l])).collect();
            assert_eq!(found, pixels);
        }
    }
}

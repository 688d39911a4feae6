//! The headers of a codestream (ITU-T T.800 annex A) and what its structures cost the decoder.
//!
//! The decoder takes some segments by their fields and not by their length, so a segment has to be exactly as
//! long as its fields: nothing that is skipped here is read there.

use super::broken;
use crate::error::Cause;

/// Sizes of the decoder's records in bytes, rounded up, with the growth of the lists that contain them.
const TILE: u64 = 1024;
const PRECINCT: u64 = 2 * 192;
const CODE_BLOCK: u64 = 2 * (96 + 2 * 4 * 64 / 3);
const LAYER: u64 = 2 * 32;
const SEGMENT: u64 = 2 * 48;
/// The most passes of a code-block: three for each bit plane, and the first has one.
const PASSES: u64 = 3 * 38;
/// The shortest description of a pass in a packet's header.
const PASSES_PER_BYTE: u64 = 3;
/// A tile-part is at least SOT and SOD.
const TILE_PART_BYTES: usize = 14;
/// Beyond this many tile-parts a codestream is refused.
const TILE_PARTS: usize = 1 << 14;
/// The most step sizes: three sub-bands for each of 32 levels, and the last (T.800 table A.27).
const STEP_SIZES: usize = 97;
/// Changes of the progression order beyond this are refused.
const PROGRESSION_CHANGES: usize = 32;

/// A codestream that was checked as far as its headers go.
pub(super) struct Codestream<'a> {
    pub(super) bytes: &'a [u8],
    /// Rows and columns.
    pub(super) size: [usize; 2],
    /// Bits of a value.
    pub(super) precision: u32,
    pub(super) signed: bool,
    /// What the decoder takes for tiles, precincts and code-blocks.
    pub(super) working_bytes: u64,
}

/// SIZ (A.5.1).
struct Size {
    end: [u32; 2],
    start: [u32; 2],
    tile: [u32; 2],
    tile_start: [u32; 2],
    precision: u32,
    signed: bool,
}

/// COD or COC (A.6.1, A.6.2).
struct Coding {
    layers: u64,
    /// The most segments of a code-block in a layer.
    segments: u64,
    /// Exponents of a code-block's width and height.
    block: [u32; 2],
    /// Exponents of a precinct's width and height for each resolution, from the lowest.
    precincts: Vec<[u32; 2]>,
}

/// The codestream in a JP2 file (T.800 annex I), or the bytes themselves.
pub(super) fn find(bytes: &[u8]) -> Result<&[u8], Cause> {
    if !bytes.starts_with(b"\0\0\0\x0CjP  ") {
        return Ok(bytes);
    }
    let (mut rest, mut found) = (bytes, None);
    while !rest.is_empty() {
        let short = || broken("a box is cut short");
        let (head, after) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let [a, b, c, d, name @ ..] = *head;
        let (length, after) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (after.len(), after),
            1 => {
                let (long, after) = after.split_first_chunk::<8>().ok_or_else(short)?;
                let length = u64::from_be_bytes(*long).checked_sub(16).ok_or_else(short)?;
                (usize::try_from(length).map_err(|_| short())?, after)
            }
            length => (length.checked_sub(8).ok_or_else(short)? as usize, after),
        };
        let content = after.get(..length).ok_or_else(short)?;
        if &name == b"jp2c" && found.replace(content).is_some() {
            return Err(broken("several codestreams"));
        }
        rest = &after[length..];
    }
    found.ok_or_else(|| broken("no codestream"))
}

impl<'a> Codestream<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Cause> {
        let mut walk = Walk { bytes, at: 2 };
        if !bytes.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]) {
            return Err(broken("no SIZ segment"));
        }
        walk.at += 2;
        let size = Size::read(walk.segment()?)?;
        let mut coding: Option<Coding> = None;
        loop {
            let marker = walk.marker()?;
            match marker {
                0x90 => break,
                0x30..=0x3F => {}
                0x52 => coding = Some(Coding::read(walk.segment()?)?),
                0x5C => check_steps(walk.segment()?)?,
                // QCC: a component's index comes first
                0x5D => check_steps(walk.segment()?.get(1..).unwrap_or_default())?,
                0x5F if walk.segment()?.len() <= 7 * PROGRESSION_CHANGES => {}
                0x5E => walk.region()?,
                // TLM, CRG, COM
                0x55 | 0x63 | 0x64 => drop(walk.segment()?),
                // COC would replace COD for the only component; PPM and PLM are not in use
                _ => return Err(broken(format!("marker FF{marker:02X} in the main header"))),
            }
        }
        let coding = coding.ok_or_else(|| broken("no COD segment"))?;
        let tiles = size.tiles();
        if tiles.saturating_mul(TILE_PART_BYTES as u64) > bytes.len() as u64 {
            return Err(broken(format!("{tiles} tiles in {} bytes", bytes.len())));
        }
        walk.at -= 2;
        walk.tile_parts()?;
        let (pixels, working_bytes) = (size.size(), TILE * tiles + coding.working_bytes(&size, bytes.len() as u64));
        Ok(Self { bytes, size: pixels, precision: size.precision, signed: size.signed, working_bytes })
    }
}

impl Size {
    fn read(segment: &[u8]) -> Result<Self, Cause> {
        let segment: &[u8; 39] = segment.try_into().map_err(|_| broken("expected a SIZ segment of 1 component"))?;
        let word = |at: usize| u32::from_be_bytes([segment[at], segment[at + 1], segment[at + 2], segment[at + 3]]);
        let pair = |at: usize| [word(at), word(at + 4)];
        let [end, start, tile, tile_start] = [pair(2), pair(10), pair(18), pair(26)];
        let components = u16::from_be_bytes([segment[34], segment[35]]);
        let (precision, signed) = (u32::from(segment[36] & 0x7F) + 1, segment[36] & 0x80 != 0);
        if components != 1 || precision > 24 {
            return Err(broken(format!("expected 1 component of up to 24 bits, found {components} of {precision}")));
        }
        let good = |k: usize| tile_start[k] <= start[k] && start[k] < end[k] && tile[k] > 0;
        if !good(0) || !good(1) {
            return Err(broken("impossible sizes"));
        }
        Ok(Self { end, start, tile, tile_start, precision, signed })
    }

    /// Rows and columns.
    fn size(&self) -> [usize; 2] {
        [1, 0].map(|k| (self.end[k] - self.start[k]) as usize)
    }

    fn tiles(&self) -> u64 {
        let along = |k: usize| u64::from((self.end[k] - self.tile_start[k]).div_ceil(self.tile[k]));
        along(0).saturating_mul(along(1))
    }
}

impl Coding {
    fn read(segment: &[u8]) -> Result<Self, Cause> {
        let &[flags, _, high, low, _, levels, width, height, style, _, ref sizes @ ..] = segment else {
            return Err(broken("a COD segment of the wrong length"));
        };
        let resolutions = usize::from(levels) + 1;
        if levels > 32 || width > 8 || height > 8 {
            return Err(broken("impossible coding parameters"));
        }
        if sizes.len() != if flags & 1 == 0 { 0 } else { resolutions } {
            return Err(broken("a COD segment of the wrong length"));
        }
        let precincts = if sizes.is_empty() {
            vec![[15; 2]; resolutions]
        } else {
            sizes.iter().map(|size| [u32::from(size & 15), u32::from(size >> 4)]).collect()
        };
        let layers = u16::from_be_bytes([high, low]).into();
        // passes are segments of their own where each is terminated or some bypass the arithmetic coder
        let segments = if style & 0b101 == 0 { 1 } else { PASSES };
        Ok(Self { layers, segments, block: [u32::from(width) + 2, u32::from(height) + 2], precincts })
    }

    /// What the decoder takes for the precincts and code-blocks of the largest tile, at most; it reuses the memory
    /// for the next tile.
    fn working_bytes(&self, size: &Size, bytes: u64) -> u64 {
        let tile: [u64; 2] = std::array::from_fn(|k| (size.end[k] - size.start[k]).min(size.tile[k]).into());
        let (mut precincts, mut blocks) = (0_u64, 0_u64);
        let levels = self.precincts.len() as u32 - 1;
        for (resolution, exponents) in (0..).zip(&self.precincts) {
            // the lowest resolution is one sub-band, every other three of half its size
            let (bands, halved) = if resolution == 0 { (1, 0) } else { (3, 1) };
            let at = |k: usize| tile[k].div_ceil(1 << (levels - resolution)) + 1;
            let across = |k: usize| at(k).div_ceil(1 << exponents[k]) + 1;
            let block = |k: usize| self.block[k].min(exponents[k].saturating_sub(halved));
            let along = |k: usize| at(k).div_ceil(1 << halved).div_ceil(1 << block(k)) + 2;
            precincts = precincts.saturating_add(bands * across(0).saturating_mul(across(1)));
            // each precinct has a block of its own at least
            let own = along(0).saturating_mul(along(1)).max(across(0).saturating_mul(across(1)));
            blocks = blocks.saturating_add(bands * own);
        }
        let segments = blocks.saturating_mul(self.segments * self.layers).min(PASSES_PER_BYTE * bytes);
        let per_block = CODE_BLOCK + LAYER * self.layers;
        (precincts.saturating_mul(PRECINCT))
            .saturating_add(blocks.saturating_mul(per_block))
            .saturating_add(segments * SEGMENT)
    }
}

/// The content of QCD (A.6.4).
fn check_steps(segment: &[u8]) -> Result<(), Cause> {
    let Some((style, steps)) = segment.split_first() else { return Err(broken("no quantisation table")) };
    let (count, left) = match style & 31 {
        0 => (steps.len(), 0),
        // one step, from which the others are derived
        1 => (1, steps.len().abs_diff(2)),
        _ => (steps.len() / 2, steps.len() % 2),
    };
    if left != 0 {
        return Err(broken("a quantisation table of the wrong length"));
    }
    if count > STEP_SIZES {
        return Err(broken(format!("expected up to {STEP_SIZES} step sizes, found {count}")));
    }
    Ok(())
}

/// A walk over markers and their segments.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn marker(&mut self) -> Result<u8, Cause> {
        let Some(&[0xFF, marker]) = self.bytes.get(self.at..self.at + 2) else {
            return Err(broken("a marker is missing"));
        };
        self.at += 2;
        Ok(marker)
    }

    /// The segment that follows a marker, without its length.
    fn segment(&mut self) -> Result<&'a [u8], Cause> {
        let short = || broken("a marker segment is cut short");
        let length = self.bytes.get(self.at..self.at + 2).ok_or_else(short)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let segment = self.bytes.get(self.at + 2..self.at + length.max(2)).ok_or_else(short)?;
        self.at += length.max(2);
        Ok(segment)
    }

    /// RGN (A.6.3).
    fn region(&mut self) -> Result<(), Cause> {
        if self.segment()?.len() == 3 { Ok(()) } else { Err(broken("an RGN segment of the wrong length")) }
    }

    /// Walks the headers of all tile-parts: none may change what the main header says.
    fn tile_parts(&mut self) -> Result<(), Cause> {
        for _ in 0..TILE_PARTS {
            let start = self.at;
            match self.bytes.get(self.at..self.at + 2) {
                Some([0xFF, 0x90]) => {}
                // the decoder says what is wrong with the end
                _ => return Ok(()),
            }
            self.at += 2;
            let &[_, _, a, b, c, d, ..] = self.segment()? else { return Err(broken("a tile-part is cut short")) };
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            loop {
                let marker = self.marker()?;
                match marker {
                    0x93 => break,
                    0x30..=0x3F => {}
                    0x5E => self.region()?,
                    // PLT, COM
                    0x58 | 0x64 => drop(self.segment()?),
                    _ => return Err(broken(format!("marker FF{marker:02X} in a tile's header"))),
                }
            }
            if length == 0 {
                return Ok(());
            }
            self.at = start.saturating_add(length).max(self.at);
        }
        Err(broken(format!("more than {TILE_PARTS} tile-parts")))
    }
}

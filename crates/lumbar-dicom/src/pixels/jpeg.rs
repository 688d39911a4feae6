//! JPEG (ITU-T T.81) of one component: baseline, extended with 8 or 12 bits, lossless with 2 to 16 bits;
//! Huffman coded. A decoder in safe Rust: the available crates refuse twelve bits or panic on bad input.

use super::stored::Sample;
use crate::error::Cause;

fn broken(why: impl Into<String>) -> Cause {
    Cause::Codec { codec: "JPEG", why: why.into() }
}

/// Position in the block of the k-th coefficient (T.81 figure 5).
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

struct Frame {
    lossless: bool,
    bits: u32,
    quantisation: usize,
}

/// Decodes `rows` × `columns` grey values, of no more bits than `T` has.
pub(super) fn decode<T: Sample>(bytes: &[u8], rows: usize, columns: usize) -> Result<Vec<T>, Cause> {
    let mut tables = Tables { quantisation: [[0; 64]; 4], dc: [const { None }; 4], ac: [const { None }; 4] };
    let mut restart = 0;
    let mut frame: Option<Frame> = None;
    let mut at = 2;
    loop {
        // any number of fill bytes may stand before a marker
        while bytes.get(at..at + 2) == Some(&[0xFF, 0xFF]) {
            at += 1;
        }
        let Some(&[0xFF, marker, high, low]) = bytes.get(at..at + 4).and_then(|head| head.first_chunk()) else {
            return Err(broken("a marker is missing"));
        };
        let length = usize::from(u16::from_be_bytes([high, low])).max(2);
        let body = bytes.get(at + 4..at + 2 + length).ok_or_else(|| broken("a marker segment is cut short"))?;
        at += 2 + length;
        match marker {
            0xC0 | 0xC1 | 0xC3 => frame = Some(start_of_frame(marker, body, rows, columns)?),
            0xC4 => tables.huffman(body)?,
            0xC2 | 0xC5..=0xCF => return Err(broken("a progressive, hierarchical or arithmetic process")),
            0xDB => tables.quantisation(body)?,
            0xDD => restart = body.first_chunk().map_or(0, |pair| usize::from(u16::from_be_bytes(*pair))),
            0xDA => {
                let frame = frame.ok_or_else(|| broken("the scan comes before the frame"))?;
                if frame.bits > T::BITS {
                    return Err(broken(format!("{} bits in a file that allocates {}", frame.bits, T::BITS)));
                }
                let &[1, _, selectors, start, _, approximation, ..] = body else {
                    return Err(broken("a scan of several components"));
                };
                let reader = BitReader::new(bytes.get(at..).unwrap_or_default());
                let dc = tables.dc[usize::from(selectors >> 4) & 3].as_ref();
                let dc = dc.ok_or_else(|| broken("a Huffman table is missing"))?;
                let scan = Scan { reader, restart, rows, columns, bits: frame.bits };
                if frame.lossless {
                    return scan.lossless(dc, start, u32::from(approximation & 15));
                }
                let ac = tables.ac[usize::from(selectors) & 3].as_ref();
                let ac = ac.ok_or_else(|| broken("a Huffman table is missing"))?;
                return scan.blocks(dc, ac, &tables.quantisation[frame.quantisation]);
            }
            _ => {}
        }
    }
}

fn start_of_frame(marker: u8, body: &[u8], rows: usize, columns: usize) -> Result<Frame, Cause> {
    let &[bits, h1, h0, w1, w0, components, _, _, quantisation, ..] = body else {
        return Err(broken("a frame header that is too short"));
    };
    let size = [usize::from(u16::from_be_bytes([h1, h0])), usize::from(u16::from_be_bytes([w1, w0]))];
    if components != 1 || size != [rows, columns] {
        let found = format!("{} × {} with {components} components", size[0], size[1]);
        return Err(broken(format!("expected {rows} × {columns} with 1 component, found {found}")));
    }
    let lossless = marker == 0xC3;
    if !(if lossless { (2..=16).contains(&bits) } else { bits == 8 || bits == 12 }) {
        return Err(broken(format!("{bits} bits are not allowed in this process")));
    }
    Ok(Frame { lossless, bits: bits.into(), quantisation: usize::from(quantisation) & 3 })
}

struct Tables {
    quantisation: [[u16; 64]; 4],
    dc: [Option<Box<Huffman>>; 4],
    ac: [Option<Box<Huffman>>; 4],
}

impl Tables {
    fn quantisation(&mut self, mut body: &[u8]) -> Result<(), Cause> {
        while let [head, rest @ ..] = body {
            let wide = head >> 4 != 0;
            let size = if wide { 128 } else { 64 };
            let values = rest.get(..size).ok_or_else(|| broken("a quantisation table is cut short"))?;
            for (k, slot) in self.quantisation[usize::from(head & 3)].iter_mut().enumerate() {
                *slot = if wide { u16::from_be_bytes([values[2 * k], values[2 * k + 1]]) } else { values[k].into() };
            }
            body = &rest[size..];
        }
        Ok(())
    }

    fn huffman(&mut self, mut body: &[u8]) -> Result<(), Cause> {
        while let [head, rest @ ..] = body {
            let short = || broken("a Huffman table is cut short");
            let counts: &[u8; 16] = rest.first_chunk().ok_or_else(short)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
            let values = rest.get(16..16 + total).ok_or_else(short)?;
            let table = Box::new(Huffman::new(counts, values)?);
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            tables[usize::from(head & 3)] = Some(table);
            body = &rest[16 + total..];
        }
        Ok(())
    }
}

/// Codes of up to nine bits are looked up in one step, longer ones by their length.
const TABLE_BITS: u32 = 9;

struct Huffman {
    /// (length, value); length 0 for longer codes.
    short: [(u8, u8); 1 << TABLE_BITS],
    /// For each length: the first code beyond it, left-aligned to 16 bits, and code − index.
    ends: [u32; 17],
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl Huffman {
    fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self, Cause> {
        let mut table =
            Self { short: [(0, 0); 1 << TABLE_BITS], ends: [0; 17], offsets: [0; 17], values: values.to_vec() };
        let (mut code, mut index) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            let count = u32::from(counts[length as usize - 1]);
            table.offsets[length as usize] = code as i32 - index as i32;
            for _ in 0..count {
                if code >= 1 << length {
                    return Err(broken("a Huffman table with too many codes"));
                }
                if length <= TABLE_BITS {
                    let first = (code << (TABLE_BITS - length)) as usize;
                    table.short[first..first + (1 << (TABLE_BITS - length))].fill((length as u8, values[index]));
                }
                code += 1;
                index += 1;
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    hold: u64,
    count: u32,
    padded: u32,
}

impl<'a> BitReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, hold: 0, count: 0, padded: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match self.bytes.get(self.at..) {
                Some([0xFF, 0x00, ..]) => {
                    self.at += 2;
                    0xFF
                }
                // a marker ends the bits; zeros follow
                Some([0xFF, ..] | []) | None => {
                    self.padded += 8;
                    0
                }
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            self.hold = self.hold << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    fn bits(&mut self, count: u32) -> i32 {
        if self.count < count {
            self.fill();
        }
        self.count -= count;
        ((self.hold >> self.count) & ((1 << count) - 1)) as i32
    }

    fn symbol(&mut self, table: &Huffman) -> Result<u8, Cause> {
        if self.count < 16 {
            self.fill();
        }
        let next = (self.hold >> (self.count - 16)) as u32 & 0xFFFF;
        let (length, value) = table.short[(next >> (16 - TABLE_BITS)) as usize];
        if length > 0 {
            self.count -= u32::from(length);
            return Ok(value);
        }
        for length in TABLE_BITS + 1..=16 {
            if next < table.ends[length as usize] {
                self.count -= length;
                let index = (next >> (16 - length)) as i32 - table.offsets[length as usize];
                let value = usize::try_from(index).ok().and_then(|index| table.values.get(index));
                return value.copied().ok_or_else(|| broken("a code that is not in its table"));
            }
        }
        Err(broken("a code that is not in its table"))
    }

    /// A difference of `size` bits (T.81 F.2.2.1).
    fn difference(&mut self, size: u32) -> i32 {
        if size == 0 {
            return 0;
        }
        let value = self.bits(size);
        if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value }
    }

    fn exhausted(&self) -> bool {
        self.padded > self.count
    }

    /// Continues after the next restart marker.
    fn restart(&mut self) {
        self.hold = 0;
        self.count = 0;
        self.padded = 0;
        if let Some([0xFF, 0xD0..=0xD7, ..]) = self.bytes.get(self.at..) {
            self.at += 2;
        }
    }
}

struct Scan<'a> {
    reader: BitReader<'a>,
    /// Units between restarts; 0 for none.
    restart: usize,
    rows: usize,
    columns: usize,
    bits: u32,
}

impl Scan<'_> {
    /// T.81 annex H.
    fn lossless<T: Sample>(mut self, table: &Huffman, predictor: u8, transform: u32) -> Result<Vec<T>, Cause> {
        if !(1..=7).contains(&predictor) || transform >= self.bits {
            return Err(broken("an invalid predictor"));
        }
        let columns = self.columns;
        let first = 1_i32 << (self.bits - transform - 1);
        let mut out = vec![T::default(); self.rows * columns];
        // the row in which prediction starts again: the first, and the one of a restart
        let mut fresh = 0;
        for at in 0..out.len() {
            let (row, column) = (at / columns, at % columns);
            if self.restart > 0 && at > 0 && at % self.restart == 0 {
                self.reader.restart();
                fresh = row;
            }
            let left = || out[at - 1].value();
            let above = || out[at - columns].value();
            let prediction = match (row == fresh, column == 0) {
                (true, true) => first,
                (true, false) => left(),
                (false, true) => above(),
                (false, false) => {
                    let (a, b, c) = (left(), above(), out[at - columns - 1].value());
                    match predictor {
                        1 => a,
                        2 => b,
                        3 => c,
                        4 => a + b - c,
                        5 => a + ((b - c) >> 1),
                        6 => b + ((a - c) >> 1),
                        _ => (a + b) >> 1,
                    }
                }
            };
            let difference = match self.reader.symbol(table)? {
                16 => 32768,
                size @ 0..16 => self.reader.difference(size.into()),
                _ => return Err(broken("a difference of more than 16 bits")),
            };
            out[at] = T::of(prediction + difference);
            if column == 0 && self.reader.exhausted() {
                return Err(broken("the codestream ends too early"));
            }
        }
        if self.reader.exhausted() {
            return Err(broken("the codestream ends too early"));
        }
        if transform > 0 {
            out.iter_mut().for_each(|value| *value = T::of(value.value() << transform));
        }
        Ok(out)
    }

    /// T.81 annex F, with the exact inverse cosine transform of A.3.3 rounded once.
    fn blocks<T: Sample>(mut self, dc: &Huffman, ac: &Huffman, quantisation: &[u16; 64]) -> Result<Vec<T>, Cause> {
        let cosines = cosines();
        let mut out = vec![T::default(); self.rows * self.columns];
        let (across, down) = (self.columns.div_ceil(8), self.rows.div_ceil(8));
        let (level, maximum) = ((1 << (self.bits - 1)) as f32, ((1 << self.bits) - 1) as f32);
        let mut last = 0_i32;
        for block in 0..across * down {
            if self.restart > 0 && block > 0 && block % self.restart == 0 {
                self.reader.restart();
                last = 0;
            }
            let mut coefficients = [0_f32; 64];
            let size = self.reader.symbol(dc)?;
            if size > 16 {
                return Err(broken("a difference of more than 16 bits"));
            }
            last = last.wrapping_add(self.reader.difference(size.into()));
            coefficients[0] = last as f32 * f32::from(quantisation[0]);
            let mut k = 1;
            while k < 64 {
                let symbol = self.reader.symbol(ac)?;
                let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
                if size == 0 {
                    if zeros < 15 {
                        break;
                    }
                    k += 16;
                    continue;
                }
                k += zeros;
                let Some(&position) = ZIGZAG.get(k) else { return Err(broken("a block of more than 64 values")) };
                coefficients[position] = self.reader.difference(size) as f32 * f32::from(quantisation[k]);
                k += 1;
            }
            if self.reader.exhausted() {
                return Err(broken("the codestream ends too early"));
            }
            let values = inverse(&coefficients, &cosines);
            let (top, left) = (block / across * 8, block % across * 8);
            for y in 0..8.min(self.rows - top) {
                let start = (top + y) * self.columns + left;
                let width = 8.min(self.columns - left);
                for (to, value) in out[start..start + width].iter_mut().zip(&values[8 * y..]) {
                    *to = T::of((value + level).round().clamp(0.0, maximum) as i32);
                }
            }
        }
        Ok(out)
    }
}

/// cosines[u][x] = ½ C(u) cos((2x + 1) u π / 16).
fn cosines() -> [[f32; 8]; 8] {
    std::array::from_fn(|u| {
        let scale = if u == 0 { 0.5 * std::f64::consts::FRAC_1_SQRT_2 } else { 0.5 };
        std::array::from_fn(|x| (scale * ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos()) as f32)
    })
}

fn inverse(coefficients: &[f32; 64], cosines: &[[f32; 8]; 8]) -> [f32; 64] {
    let mut half = [0.0; 64];
    for v in 0..8 {
        for (u, waves) in cosines.iter().enumerate() {
            let coefficient = coefficients[8 * v + u];
            for x in 0..8 {
                half[8 * v + x] += coefficient * waves[x];
            }
        }
    }
    let mut values = [0.0; 64];
    for (v, waves) in cosines.iter().enumerate() {
        for y in 0..8 {
            for x in 0..8 {
                values[8 * y + x] += half[8 * v + x] * waves[y];
            }
        }
    }
    values
}

//! Chance from a seed, and values of every type made by it, with many that are equal or close.

use icecore::document::{ArrayWriter, Writer, kind};
use mongodb::bson::Decimal128;

use super::doc;

/// Splitmix64: the same for every run of a seed.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

pub type Value = (u8, Vec<u8>);

/// What may stand as an `_id`: no array, no regex, no undefined; within a document they may.
pub fn id(chance: &mut Chance) -> Value {
    loop {
        let value = value(chance, 0);
        if !matches!(value.0, kind::ARRAY | kind::REGEX | kind::UNDEFINED) {
            return value;
        }
    }
}

/// A value of any type; documents lie in it three deep at most.
pub fn value(chance: &mut Chance, depth: usize) -> Value {
    match chance.below(30) {
        0..=8 => number(chance),
        9..=11 => (kind::STRING, text(chance)),
        12 => (chance.pick(&[kind::SYMBOL, kind::CODE]), text(chance)),
        13..=15 if depth < 3 => (kind::DOCUMENT, document(chance, depth + 1)),
        16..=17 if depth < 3 => (kind::ARRAY, values(chance, depth + 1)),
        18 | 19 => (kind::BINARY, binary(chance)),
        20 => (kind::OBJECT_ID, few_bytes(chance, 12)),
        21 => (kind::BOOL, vec![chance.below(2) as u8]),
        22 => (kind::DATE, bits(chance).to_le_bytes().to_vec()),
        23 => (kind::TIMESTAMP, bits(chance).to_le_bytes().to_vec()),
        24 => (kind::REGEX, chance.pick(&[&b"a\0\0"[..], b"a\0i\0", b"ab\0\0", b"\0m\0"]).to_vec()),
        25 => (kind::DB_POINTER, [text(chance), few_bytes(chance, 12)].concat()),
        26 => (kind::CODE_WITH_SCOPE, code_with_scope(chance, depth)),
        27 => (chance.pick(&[kind::MIN_KEY, kind::MAX_KEY, kind::NULL]), vec![]),
        28 => (kind::UNDEFINED, vec![]),
        _ => number(chance),
    }
}

fn document(chance: &mut Chance, depth: usize) -> Vec<u8> {
    let mut out = Writer::new();
    for _ in 0..chance.below(4) {
        let (kind, bytes) = value(chance, depth);
        out.push_raw(kind, chance.pick(&["a", "b", "", "ab", "ä", "a b"]).as_bytes(), &bytes);
    }
    out.finish()
}

fn values(chance: &mut Chance, depth: usize) -> Vec<u8> {
    let mut out = ArrayWriter::new();
    for _ in 0..chance.below(4) {
        let (kind, bytes) = value(chance, depth);
        out.push_raw(kind, &bytes);
    }
    out.finish()
}

/// A string's bytes with length and NUL: mostly short, of few letters, some of them odd.
fn text(chance: &mut Chance) -> Vec<u8> {
    let length = if chance.one_in(200) { 3000 + chance.below(3) } else { chance.below(5) };
    let letters = [&b"a"[..], b"b", b"\0", b"\x01", "ä".as_bytes(), b"\xff", b"\x7f"];
    let text: Vec<u8> = (0..length).flat_map(|_| chance.pick(&letters).to_vec()).collect();
    [&(text.len() as i32 + 1).to_le_bytes()[..], &text, b"\0"].concat()
}

fn binary(chance: &mut Chance) -> Vec<u8> {
    let length = chance.pick(&[0, 1, 2, 3, 4, 16, 254, 255, 256, 300]);
    let subtype = chance.pick(&[0u8, 0, 1, 2, 3, 4, 5, 6, 0x80, 0xff]);
    let inner = if subtype == 2 { 4 } else { 0 };
    let bytes = few_bytes(chance, length);
    let mut out = (length as i32 + inner).to_le_bytes().to_vec();
    out.push(subtype);
    if subtype == 2 {
        out.extend((length as i32).to_le_bytes());
    }
    [out, bytes].concat()
}

/// All the same, but for the last.
fn few_bytes(chance: &mut Chance, length: usize) -> Vec<u8> {
    let mut bytes = vec![chance.pick(&[0u8, 7, 0xff]); length];
    if let Some(last) = bytes.last_mut() {
        *last = chance.next() as u8;
    }
    bytes
}

fn code_with_scope(chance: &mut Chance, depth: usize) -> Vec<u8> {
    let scope = if depth < 3 { document(chance, depth + 1) } else { doc(|_| {}) };
    let inside = [text(chance), scope].concat();
    [&(inside.len() as i32 + 4).to_le_bytes()[..], &inside].concat()
}

/// Powers of two and their neighbours, small ones, or anything.
fn bits(chance: &mut Chance) -> i64 {
    match chance.below(4) {
        0 => chance.below(20) as i64 - 10,
        1 => (1i64 << chance.below(64)).wrapping_add(chance.below(3) as i64 - 1),
        2 => (1i64 << chance.below(64)).wrapping_neg().wrapping_add(chance.below(3) as i64 - 1),
        _ => chance.next() as i64 >> chance.below(64),
    }
}

pub fn number(chance: &mut Chance) -> Value {
    match chance.below(4) {
        0 => (kind::INT32, (bits(chance) as i32).to_le_bytes().to_vec()),
        1 => (kind::INT64, bits(chance).to_le_bytes().to_vec()),
        2 => (kind::DOUBLE, double(chance).to_le_bytes().to_vec()),
        _ => (kind::DECIMAL128, decimal(chance)),
    }
}

fn double(chance: &mut Chance) -> f64 {
    let special = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 0.1];
    let base = match chance.below(6) {
        0 => chance.pick(&special),
        1 => bits(chance) as f64,
        2 => bits(chance) as f64 / (1u64 << chance.below(20)) as f64,
        3 => 2f64.powi(chance.below(2100) as i32 - 1074),
        4 => f64::from_bits(chance.next() >> chance.below(64)),
        _ => chance.below(100) as f64 / 10.0,
    };
    // Its neighbours, too.
    let bits = base.to_bits().wrapping_add_signed(chance.pick(&[0, 0, 1, -1]));
    f64::from_bits(bits)
}

fn decimal(chance: &mut Chance) -> Vec<u8> {
    if chance.one_in(20) {
        // Any bits: most of them are not canonical.
        return [chance.next().to_le_bytes(), chance.next().to_le_bytes()].concat();
    }
    let text = match chance.below(6) {
        0 => chance.pick(&["NaN", "Infinity", "-Infinity", "0", "-0E-6176", "0E+6111"]).into(),
        1 => bits(chance).to_string(),
        2 => format!("{}E{}", bits(chance), chance.below(12287) as i32 - 6176),
        3 => {
            let value = double(chance);
            let digits = chance.below(33);
            if value.is_finite() { format!("{value:.digits$e}") } else { "1".into() }
        }
        // The same value, with one zero more.
        4 => format!("{}.{}", chance.below(20), chance.pick(&["0", "00", "5", "50", "500"])),
        _ => format!("{}.{:02}", bits(chance), chance.below(100)),
    };
    let parsed = text.parse::<Decimal128>();
    parsed.unwrap_or_else(|_| "0.1".parse().unwrap()).bytes().to_vec()
}

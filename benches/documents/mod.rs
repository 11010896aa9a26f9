//! Documents of about 540 bytes that are the same on every run: 13 fields, one of them nested, an
//! array, a token of 32 hexadecimal digits and some 26 words, under keys like ObjectIds.

use bytes::Bytes;
use icecore::tree::{Pieces, Value};

/// A generator of numbers (splitmix64), for things that must only look random.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// One byte of type, then 4 of time, 5 of the process and 3 that count.
pub fn key(n: u64) -> [u8; 13] {
    let mut key = [7; 13];
    key[1..5].copy_from_slice(&(1_700_000_000 + (n / 900) as u32).to_be_bytes());
    key[5..10].copy_from_slice(&[0x5a, 0x11, 0xc3, 0x90, 0x07]);
    key[10..].copy_from_slice(&(n as u32).to_be_bytes()[1..]);
    key
}

/// Document `n` after update `version`: each counts one integer up and replaces a field of 16
/// hexadecimal digits.
pub fn document(n: u64, version: u64) -> Value {
    let mut numbers = Numbers(n.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut out = Vec::with_capacity(640);
    out.extend_from_slice(&[0; 4]);
    field(&mut out, 7, "_id", &key(n)[1..]);
    let counter = numbers.below(100_000) + version;
    field(&mut out, 18, "counter", &counter.to_le_bytes());
    text(&mut out, "name", &format!("{} {}", word(&mut numbers), word(&mut numbers)));
    text(&mut out, "email", &format!("{}{}@example.org", word(&mut numbers), n % 977));
    field(&mut out, 9, "created", &(1_700_000_000_000 + 1_111 * n).to_le_bytes());
    field(&mut out, 16, "age", &(numbers.below(90) as u32).to_le_bytes());
    let score = numbers.below(1 << 40) as f64 / 1024.0;
    field(&mut out, 1, "score", &score.to_le_bytes());
    field(&mut out, 8, "active", &[(n.is_multiple_of(3)).into()]);
    let mut nested = Vec::new();
    text(&mut nested, "city", word(&mut numbers));
    text(&mut nested, "zip", &format!("{:05}", numbers.below(100_000)));
    field(&mut out, 3, "address", &nested);
    let mut tags = Vec::new();
    for at in 0..3 {
        text(&mut tags, &at.to_string(), word(&mut numbers));
    }
    field(&mut out, 4, "tags", &tags);
    text(&mut out, "token", &format!("{:016x}{:016x}", numbers.next(), numbers.next()));
    let words: Vec<_> = (0..26).map(|_| word(&mut numbers)).collect();
    text(&mut out, "text", &words.join(" "));
    let touched = Numbers(n ^ version.rotate_left(40)).next();
    text(&mut out, "touched", &format!("{touched:016x}"));
    out.push(0);
    let length = out.len() as u32;
    out[..4].copy_from_slice(&length.to_le_bytes());
    Value { head: Bytes::from(out), pieces: Pieces::None }
}

fn field(out: &mut Vec<u8>, kind: u8, name: &str, bytes: &[u8]) {
    out.push(kind);
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.extend_from_slice(bytes);
}

fn text(out: &mut Vec<u8>, name: &str, text: &str) {
    let length = (text.len() as u32 + 1).to_le_bytes();
    field(out, 2, name, &[&length, text.as_bytes(), &[0]].concat());
}

const WORDS: [&str; 68] = [
    "river", "stone", "cloud", "winter", "amber", "forest", "signal", "harbor", "candle", "meadow",
    "copper", "silver", "lantern", "bridge", "garden", "thunder", "marble", "window", "harvest",
    "letter", "mirror", "paper", "ocean", "island", "valley", "summit", "engine", "ribbon",
    "saddle", "temple", "anchor", "basket", "cotton", "desert", "ember", "falcon", "glacier",
    "hollow", "indigo", "jungle", "kettle", "ladder", "magnet", "needle", "orchard", "pepper",
    "quartz", "rocket", "shadow", "timber", "umber", "velvet", "willow", "yellow", "zephyr",
    "border", "castle", "dragon", "empire", "fabric", "guitar", "hunter", "insect", "jacket",
    "kernel", "lemon", "mother", "number",
];

fn word(numbers: &mut Numbers) -> &'static str {
    let count = WORDS.len() as u64;
    // Some words are said more often than others.
    WORDS[numbers.below(count).min(numbers.below(count)) as usize]
}

//! Pairs in memory, side by side in large pieces, and where each lies.

use std::ops::Range;

use bytes::Bytes;

use crate::limits::MIB;

/// A pair that is longer gets a piece of its own.
const PIECE_BYTES: usize = MIB;

#[derive(Default)]
pub(super) struct Held {
    pieces: Vec<Vec<u8>>,
    rows: Vec<Row>,
    piece_bytes: usize,
}

#[derive(Clone, Copy)]
struct Row {
    /// The key's first bytes, so that most comparisons need no look at the pieces.
    prefix: u64,
    piece: u32,
    at: u32,
    key_bytes: u32,
    value_bytes: u32,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What all of it takes.
    pub fn bytes(&self) -> usize {
        self.piece_bytes + self.rows.len() * self.bytes_beside_a_pair()
    }

    /// What a pair takes beside its own bytes: rows move to twice the place when they grow.
    pub fn bytes_beside_a_pair(&self) -> usize {
        2 * size_of::<Row>()
    }

    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let bytes = key.len() + value.len();
        let has_room = |piece: &Vec<u8>| piece.capacity() - piece.len() >= bytes;
        if !self.pieces.last().is_some_and(has_room) {
            let piece = Vec::with_capacity(bytes.max(PIECE_BYTES));
            self.piece_bytes += piece.capacity();
            self.pieces.push(piece);
        }
        let place = self.pieces.len() - 1;
        let piece = &mut self.pieces[place];
        self.rows.push(Row {
            prefix: prefix(key),
            piece: place as u32,
            at: piece.len() as u32,
            key_bytes: key.len() as u32,
            value_bytes: value.len() as u32,
        });
        piece.extend_from_slice(key);
        piece.extend_from_slice(value);
    }

    pub fn into_sorted(mut self) -> InOrder {
        let pieces: Vec<Bytes> = self.pieces.into_iter().map(Bytes::from).collect();
        let key = |row: &Row| &pieces[row.piece as usize][row.key()];
        self.rows.sort_unstable_by(|a, b| {
            a.prefix
                .cmp(&b.prefix)
                .then_with(|| key(a).cmp(key(b)))
                // Pairs of one key stay in the order they came: that of their places.
                .then_with(|| (a.piece, a.at).cmp(&(b.piece, b.at)))
        });
        InOrder { pieces, rows: self.rows.into_iter() }
    }
}

/// The pairs in the order of their keys.
#[derive(Default)]
pub struct InOrder {
    pieces: Vec<Bytes>,
    rows: std::vec::IntoIter<Row>,
}

impl Iterator for InOrder {
    type Item = (Bytes, Bytes);

    fn next(&mut self) -> Option<(Bytes, Bytes)> {
        let row = self.rows.next()?;
        let piece = &self.pieces[row.piece as usize];
        Some((piece.slice(row.key()), piece.slice(row.value())))
    }
}

impl Row {
    fn key(&self) -> Range<usize> {
        self.at as usize..(self.at + self.key_bytes) as usize
    }

    fn value(&self) -> Range<usize> {
        let start = (self.at + self.key_bytes) as usize;
        start..start + self.value_bytes as usize
    }
}

/// Orders as the keys do, where two prefixes differ.
fn prefix(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

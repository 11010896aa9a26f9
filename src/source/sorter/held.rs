//! Pairs in memory, side by side in large pieces, and where each lies.

use std::{mem, ops::Range};

use bytes::Bytes;

use crate::{
    buffers::{Buffer, Buffers},
    limits::MIB,
};

/// A pair that is longer gets a piece of its own.
const PIECE_BYTES: usize = MIB;

pub(super) struct Held {
    buffers: Buffers,
    /// Full ones, and behind them the one that is being filled.
    full: Vec<Piece>,
    open: Option<Buffer>,
    rows: Vec<Row>,
    piece_bytes: usize,
}

struct Piece {
    bytes: Bytes,
    /// What it takes in memory.
    room: usize,
}

#[derive(Clone, Copy)]
struct Row {
    /// The key's first bytes, so that most comparisons need no look at the pieces: all of it for
    /// an ObjectId or a number.
    prefix: [u64; 2],
    piece: u32,
    at: u32,
    key_bytes: u32,
    value_bytes: u32,
}

impl Held {
    /// Pieces are such buffers, and come back when all pairs in them are dropped.
    pub fn new(buffers: Buffers) -> Self {
        Held { buffers, full: Vec::new(), open: None, rows: Vec::new(), piece_bytes: 0 }
    }

    /// All of it; nothing is held after.
    pub fn take(&mut self) -> Held {
        let nothing = Held::new(self.buffers.clone());
        mem::replace(self, nothing)
    }

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
        let has_room = |piece: &Buffer| piece.capacity() - piece.len() >= bytes;
        if !self.open.as_ref().is_some_and(has_room) {
            self.close();
        }
        let piece = self.open.get_or_insert_with(|| {
            let piece = self.buffers.take(bytes.max(PIECE_BYTES));
            self.piece_bytes += piece.capacity();
            piece
        });
        self.rows.push(Row {
            prefix: prefix(key),
            piece: self.full.len() as u32,
            at: piece.len() as u32,
            key_bytes: key.len() as u32,
            value_bytes: value.len() as u32,
        });
        piece.extend_from_slice(key);
        piece.extend_from_slice(value);
    }

    fn close(&mut self) {
        if let Some(piece) = self.open.take() {
            let room = piece.capacity();
            self.full.push(Piece { bytes: piece.freeze(), room });
        }
    }

    pub fn into_sorted(mut self) -> InOrder {
        self.close();
        let Held { full: pieces, mut rows, .. } = self;
        let key = |row: &Row| &pieces[row.piece as usize].bytes[row.key()];
        // Rows stand in the order their pairs came; a stable sort keeps it for those of one key.
        rows.sort_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| key(a).cmp(key(b))));
        InOrder { pieces, rows: rows.into_iter() }
    }

    /// Takes back what was not taken of pairs in order. They stay where they lie; but of a piece of
    /// which less than half is left the rest is copied, so that few pairs do not keep the memory of
    /// many. Nothing was pushed since: these pairs came before all that follow.
    pub fn put_back(&mut self, rest: InOrder) {
        let InOrder { pieces, rows } = rest;
        let mut left = vec![0; pieces.len()];
        for row in rows.as_slice() {
            left[row.piece as usize] += row.bytes();
        }
        let stays = |piece: usize| left[piece] * 2 >= pieces[piece].room;
        let mut places = vec![0; pieces.len()];
        for piece in (0..pieces.len()).filter(|piece| stays(*piece)) {
            places[piece] = self.full.len() as u32;
            let Piece { ref bytes, room } = pieces[piece];
            self.full.push(Piece { bytes: bytes.clone(), room });
            self.piece_bytes += room;
        }
        for row in rows {
            let piece = row.piece as usize;
            if stays(piece) {
                self.rows.push(Row { piece: places[piece], ..row });
            } else {
                let bytes = &pieces[piece].bytes;
                self.push(&bytes[row.key()], &bytes[row.value()]);
            }
        }
    }
}

/// The pairs in the order of their keys.
#[derive(Default)]
pub struct InOrder {
    pieces: Vec<Piece>,
    rows: std::vec::IntoIter<Row>,
}

impl InOrder {
    /// What the pairs that are left take.
    pub(super) fn bytes(&self) -> usize {
        self.rows.as_slice().iter().map(Row::bytes).sum()
    }

    pub(super) fn peek_key(&self) -> Option<&[u8]> {
        let row = self.rows.as_slice().first()?;
        Some(&self.pieces[row.piece as usize].bytes[row.key()])
    }
}

impl Iterator for InOrder {
    type Item = (Bytes, Bytes);

    fn next(&mut self) -> Option<(Bytes, Bytes)> {
        let row = self.rows.next()?;
        let piece = &self.pieces[row.piece as usize].bytes;
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

    fn bytes(&self) -> usize {
        (self.key_bytes + self.value_bytes) as usize
    }
}

/// Orders as the keys do, where two prefixes differ.
fn prefix(key: &[u8]) -> [u64; 2] {
    let mut bytes = [0; 16];
    let length = key.len().min(16);
    bytes[..length].copy_from_slice(&key[..length]);
    let both = u128::from_be_bytes(bytes);
    [(both >> 64) as u64, both as u64]
}

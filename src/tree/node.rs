//! A node's bytes: written in one way only, and believed in nothing when they are read.
//!
//! ```text
//! node   version u8 = 1 · level u8 · rows number · row ...
//! leaf   key length number · key · head length number · head · content
//!        content: 0 · or 1, pieces number, piece ... · or 2 (a tree of pieces) or 3 (a map), and
//!        its root's id, level u8, entries number, bytes number
//!        piece: length number * 2 + 1, id 32 bytes · or (a hole) length * 2
//! inner  separator length number · separator · id 32 bytes · entries number · bytes number
//! ```
//!
//! Numbers are LEB128. Rows stand whole, one after another: zstd finds shared prefixes itself, and
//! a changed value leaves every other row's bytes as they were, which is what deltas live on. An
//! inner row's separator is the shortest key that lies above all keys of the row before and not
//! above those of its own; the first has none, as the node above knows it.

use bytes::Bytes;

use super::{
    error::Fault,
    value::{Piece, Pieces, Root, Value},
    varint::{self, Input},
};
use crate::{
    id::BlobId,
    limits::{
        BLOB_MAX_BYTES, KEY_MAX_BYTES, PIECES_INLINE_MAX, TREE_LEVELS_MAX, VALUE_HEAD_MAX_BYTES,
    },
};

const VERSION: u8 = 1;

/// A node that keeps all it promises by itself (its place in the tree is the cursor's matter).
#[derive(Clone)]
pub enum Node {
    Leaf(Leaf),
    Inner(Inner),
}

#[derive(Clone)]
pub struct Leaf {
    bytes: Bytes,
    rows: Vec<LeafRow>,
    total_bytes: u64,
}

/// Where the parts of a row lie in the node's bytes.
#[derive(Clone, Copy)]
struct LeafRow {
    start: u32,
    key: u32,
    key_end: u32,
    head: u32,
    head_end: u32,
    end: u32,
    content_bytes: u64,
}

#[derive(Clone)]
pub struct Inner {
    bytes: Bytes,
    level: u8,
    rows: Vec<InnerRow>,
    entries: u64,
    total_bytes: u64,
}

#[derive(Clone, Copy)]
struct InnerRow {
    separator: u32,
    separator_end: u32,
    id: BlobId,
    entries: u64,
    bytes: u64,
}

/// A subtree as the node above knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// No key in it is below; empty at the left edge of the tree.
    pub low: Bytes,
    pub id: BlobId,
    pub level: u8,
    pub entries: u64,
    pub bytes: u64,
}

impl Leaf {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn key(&self, row: usize) -> &[u8] {
        self.text(&self.rows[row])
    }

    pub fn key_bytes(&self, row: usize) -> Bytes {
        let LeafRow { key, key_end, .. } = self.rows[row];
        self.bytes.slice(key as usize..key_end as usize)
    }

    pub fn value(&self, row: usize) -> Value {
        let LeafRow { head, head_end, end, .. } = self.rows[row];
        let content = &self.bytes[head_end as usize..end as usize];
        let pieces = read_pieces(&mut Input::new(content), row).expect("checked by decode");
        Value { head: self.bytes.slice(head as usize..head_end as usize), pieces }
    }

    /// The row as it stands in the node; it would stand alike in any other.
    pub fn row(&self, row: usize) -> &[u8] {
        let LeafRow { start, end, .. } = self.rows[row];
        &self.bytes[start as usize..end as usize]
    }

    /// The length of key, head and content.
    pub fn entry_bytes(&self, row: usize) -> u64 {
        let LeafRow { key, key_end, head, head_end, content_bytes, .. } = self.rows[row];
        u64::from(key_end - key) + u64::from(head_end - head) + content_bytes
    }

    /// The first row whose key is not below `key`.
    pub fn find(&self, key: &[u8]) -> usize {
        self.rows.partition_point(|row| self.text(row) < key)
    }

    /// The first row whose key is above `key`.
    pub fn find_above(&self, key: &[u8]) -> usize {
        self.rows.partition_point(|row| self.text(row) <= key)
    }

    fn text(&self, row: &LeafRow) -> &[u8] {
        &self.bytes[row.key as usize..row.key_end as usize]
    }
}

impl Inner {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The first one's is empty.
    pub fn separator(&self, row: usize) -> Bytes {
        let InnerRow { separator, separator_end, .. } = self.rows[row];
        self.bytes.slice(separator as usize..separator_end as usize)
    }

    /// `low`: what the node above says of this one, which holds for its first child.
    pub fn child(&self, row: usize, low: &Bytes) -> Child {
        let InnerRow { id, entries, bytes, .. } = self.rows[row];
        let low = if row == 0 { low.clone() } else { self.separator(row) };
        Child { low, id, level: self.level - 1, entries, bytes }
    }

    pub fn ids(&self) -> impl Iterator<Item = BlobId> {
        self.rows.iter().map(|row| row.id)
    }

    /// The child under which `key` stands if it stands in this node at all.
    pub fn find(&self, key: &[u8]) -> usize {
        let text = |row: &InnerRow| &self.bytes[row.separator as usize..row.separator_end as usize];
        self.rows[1..].partition_point(|row| text(row) <= key)
    }
}

impl Node {
    pub fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(inner) => inner.len(),
        }
    }

    pub fn level(&self) -> u8 {
        match self {
            Node::Leaf(_) => 0,
            Node::Inner(inner) => inner.level,
        }
    }

    pub fn bytes(&self) -> &Bytes {
        match self {
            Node::Leaf(leaf) => &leaf.bytes,
            Node::Inner(inner) => &inner.bytes,
        }
    }

    /// Entries in and below it, and their bytes.
    pub fn totals(&self) -> (u64, u64) {
        match self {
            Node::Leaf(leaf) => (leaf.len() as u64, leaf.total_bytes),
            Node::Inner(inner) => (inner.entries, inner.total_bytes),
        }
    }
}

/// What stands before the rows takes at most so much: version, level, a number.
pub const HEAD_ROOM: usize = 2 + 10;

/// Completes a buffer that holds rows behind `HEAD_ROOM` bytes; tells where the node begins in it.
pub fn put_head(buffer: &mut [u8], level: u8, rows: u64) -> usize {
    let mut head = Vec::with_capacity(HEAD_ROOM);
    head.extend([VERSION, level]);
    varint::write(&mut head, rows);
    let start = HEAD_ROOM - head.len();
    buffer[start..HEAD_ROOM].copy_from_slice(&head);
    start
}

/// The bytes of a node of these rows.
#[cfg(test)]
pub fn encode(level: u8, rows: u64, rows_bytes: &[u8]) -> Vec<u8> {
    let mut buffer = [&[0; HEAD_ROOM], rows_bytes].concat();
    let start = put_head(&mut buffer, level, rows);
    buffer.split_off(start)
}

/// Appends a leaf's row; the parts have been held against their limits.
pub fn write_entry(out: &mut Vec<u8>, key: &[u8], value: &Value) {
    varint::write(out, key.len() as u64);
    out.extend_from_slice(key);
    varint::write(out, value.head.len() as u64);
    out.extend_from_slice(&value.head);
    match &value.pieces {
        Pieces::None => out.push(0),
        Pieces::List(pieces) => {
            out.push(1);
            varint::write(out, pieces.len() as u64);
            for piece in pieces {
                varint::write(out, piece.len << 1 | u64::from(piece.id.is_some()));
                out.extend_from_slice(piece.id.as_ref().map_or(&[], |id| id.bytes()));
            }
        }
        Pieces::Tree(root) => write_root(out, 2, root),
        Pieces::Map(root) => write_root(out, 3, root),
    }
}

fn write_root(out: &mut Vec<u8>, tag: u8, root: &Root) {
    out.push(tag);
    out.extend_from_slice(root.id.bytes());
    out.push(root.level);
    varint::write(out, root.entries);
    varint::write(out, root.bytes);
}

/// Appends an inner node's row.
pub fn write_child(out: &mut Vec<u8>, separator: &[u8], child: &Child) {
    varint::write(out, separator.len() as u64);
    out.extend_from_slice(separator);
    out.extend_from_slice(child.id.bytes());
    varint::write(out, child.entries);
    varint::write(out, child.bytes);
}

/// Reads and checks everything that a node can say of itself. `find`, `value` and the others never
/// panic on what comes out.
pub fn decode(bytes: Bytes) -> Result<Node, Fault> {
    if bytes.len() > BLOB_MAX_BYTES {
        return Err(Fault::Rows);
    }
    let mut input = Input::new(&bytes);
    let version = input.byte()?;
    if version != VERSION {
        return Err(Fault::Version { found: version });
    }
    let level = input.byte()?;
    if level > TREE_LEVELS_MAX {
        return Err(Fault::TooHigh);
    }
    let rows = input.number()?;
    // The shortest row of a leaf takes 3 bytes, an inner one's 35.
    let row_min = if level == 0 { 3 } else { 35 };
    let rows = usize::try_from(rows).map_err(|_| Fault::Rows)?;
    if rows > input.left() / row_min {
        return Err(if input.left() == 0 { Fault::Truncated } else { Fault::Rows });
    }
    if level == 0 {
        decode_leaf(&bytes, input, rows)
    } else {
        decode_inner(&bytes, input, level, rows)
    }
}

fn decode_leaf(bytes: &Bytes, mut input: Input<'_>, count: usize) -> Result<Node, Fault> {
    let mut rows = Vec::with_capacity(count);
    let (mut last, mut total_bytes) = (None, 0u64);
    for row in 0..count {
        let start = input.at() as u32;
        let length = input.length()?;
        let key = input.at() as u32;
        let text = input.take(length)?;
        if last.is_some_and(|last| last >= text) {
            return Err(Fault::Order { row });
        }
        last = Some(text);
        let length = input.length()?;
        let head = input.at() as u32;
        let head_length = input.take(length)?.len();
        if text.len() > KEY_MAX_BYTES || head_length > VALUE_HEAD_MAX_BYTES {
            return Err(Fault::TooLong { row });
        }
        let head_end = input.at() as u32;
        let content_bytes = content_bytes(&read_pieces(&mut input, row)?).ok_or(Fault::Totals)?;
        let key_end = key + text.len() as u32;
        rows.push(LeafRow {
            start,
            key,
            key_end,
            head,
            head_end,
            end: input.at() as u32,
            content_bytes,
        });
        total_bytes = total_bytes
            .checked_add((text.len() + head_length) as u64)
            .and_then(|sum| sum.checked_add(content_bytes))
            .ok_or(Fault::Totals)?;
    }
    if input.left() > 0 {
        return Err(Fault::Trailing);
    }
    Ok(Node::Leaf(Leaf { bytes: bytes.clone(), rows, total_bytes }))
}

fn read_pieces(input: &mut Input<'_>, row: usize) -> Result<Pieces, Fault> {
    match input.byte()? {
        0 => Ok(Pieces::None),
        1 => {
            let count = usize::try_from(input.number()?).map_err(|_| Fault::Pieces { row })?;
            if count == 0 || count > PIECES_INLINE_MAX {
                return Err(Fault::Pieces { row });
            }
            let mut pieces = Vec::with_capacity(count);
            for _ in 0..count {
                let number = input.number()?;
                if number >> 1 == 0 {
                    return Err(Fault::Pieces { row });
                }
                let id = if number & 1 == 1 { Some(BlobId::new(input.array()?)) } else { None };
                pieces.push(Piece { id, len: number >> 1 });
            }
            Ok(Pieces::List(pieces))
        }
        2 => read_root(input).map(Pieces::Tree),
        3 => read_root(input).map(Pieces::Map),
        _ => Err(Fault::Pieces { row }),
    }
}

fn read_root(input: &mut Input<'_>) -> Result<Root, Fault> {
    let id = BlobId::new(input.array()?);
    let level = input.byte()?;
    if level > TREE_LEVELS_MAX {
        return Err(Fault::TooHigh);
    }
    Ok(Root { id, level, entries: input.number()?, bytes: input.number()? })
}

/// `None`: the parts contradict one another, or sum up to more than u64 holds.
pub fn content_bytes(pieces: &Pieces) -> Option<u64> {
    match pieces {
        Pieces::None => Some(0),
        Pieces::List(pieces) => {
            pieces.iter().try_fold(0u64, |sum, piece| sum.checked_add(piece.len))
        }
        // Each of its entries has a key of 8 bytes beside the piece.
        Pieces::Tree(root) => root.bytes.checked_sub(root.entries.checked_mul(8)?),
        Pieces::Map(root) => Some(root.bytes),
    }
}

fn decode_inner(
    bytes: &Bytes,
    mut input: Input<'_>,
    level: u8,
    count: usize,
) -> Result<Node, Fault> {
    if count == 0 {
        return Err(Fault::Empty);
    }
    let mut rows = Vec::with_capacity(count);
    let (mut last, mut entries, mut total_bytes): (&[u8], u64, u64) = (&[], 0, 0);
    for row in 0..count {
        let length = input.length()?;
        if length > KEY_MAX_BYTES {
            return Err(Fault::TooLong { row });
        }
        let separator = input.at() as u32;
        let text = input.take(length)?;
        if (row == 0) != text.is_empty() || (row > 0 && text <= last) {
            return Err(Fault::Order { row });
        }
        last = text;
        let id = BlobId::new(input.array()?);
        let row = InnerRow {
            separator,
            separator_end: separator + length as u32,
            id,
            entries: input.number()?,
            bytes: input.number()?,
        };
        if row.entries == 0 {
            return Err(Fault::Empty);
        }
        entries = entries.checked_add(row.entries).ok_or(Fault::Totals)?;
        total_bytes = total_bytes.checked_add(row.bytes).ok_or(Fault::Totals)?;
        rows.push(row);
    }
    if input.left() > 0 {
        return Err(Fault::Trailing);
    }
    Ok(Node::Inner(Inner { bytes: bytes.clone(), level, rows, entries, total_bytes }))
}

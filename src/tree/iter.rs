//! Reading a map: one entry, a stretch in order, and how much a stretch holds.

use std::iter::FusedIterator;

use bytes::Bytes;

use super::{
    cursor::{Cursor, Here, read_node},
    error::Error,
    node::{Child, Node},
    range::KeyRange,
    value::{Root, Value},
};
use crate::repo::ReadBlobs;

/// So many leaves are announced to the repository at a time.
const AHEAD_LEAVES: usize = 32;

/// What stands under `key`. Reads one node a level.
pub fn get<R: ReadBlobs>(
    blobs: &R,
    root: &Root,
    key: &[u8],
) -> Result<Option<Value>, Error<R::Error>> {
    let mut cursor = Cursor::new(blobs, root);
    loop {
        match cursor.here() {
            Here::Subtree { child, .. } if child.low <= key => {
                cursor.descend()?;
                cursor.skip_within(key);
            }
            Here::Entry { leaf, row } if leaf.key(row) == key => return Ok(Some(leaf.value(row))),
            _ => return Ok(None),
        }
    }
}

/// The highest key that is not above `key`.
pub(super) fn floor<R: ReadBlobs>(
    blobs: &R,
    root: &Root,
    key: &[u8],
) -> Result<Option<Bytes>, Error<R::Error>> {
    let Root { id, level, entries, bytes } = *root;
    // Ways not yet tried, the best one last: when a leaf begins above `key`, the one before it has
    // the answer at its end.
    let mut ways = vec![Child { low: Bytes::new(), id, level, entries, bytes }];
    while let Some(child) = ways.pop() {
        match read_node(blobs, &child)? {
            Node::Inner(inner) => {
                let found = inner.find(key);
                let first = found.saturating_sub(1);
                ways.extend((first..=found).map(|row| inner.child(row, &child.low)));
            }
            Node::Leaf(leaf) => {
                let above = leaf.find_above(key);
                if above > 0 {
                    return Ok(Some(leaf.key_bytes(above - 1)));
                }
            }
        }
    }
    Ok(None)
}

/// The entries of a stretch of keys, in order. Reads only the nodes that it needs.
pub fn iter<'a, R: ReadBlobs>(blobs: &'a R, root: &Root, range: KeyRange) -> Iter<'a, R> {
    let cursor = Cursor::new(blobs, root).announcing(AHEAD_LEAVES);
    Iter { cursor, range, goes_on: false, lost: None, lost_entries: 0, is_done: false }
}

/// See `iter`. After an error it is at its end, unless it was told to go on.
pub struct Iter<'a, R> {
    cursor: Cursor<'a, R>,
    range: KeyRange,
    goes_on: bool,
    lost: Option<KeyRange>,
    lost_entries: u64,
    is_done: bool,
}

impl<R: ReadBlobs> Iter<'_, R> {
    /// Goes on at `key`, or at what follows it. Never back: entries already given stay behind.
    pub fn seek(&mut self, key: &[u8]) {
        self.range.move_start(key);
    }

    /// After an error it goes on behind the node that could not be had, without its entries.
    pub fn going_on(self) -> Self {
        Iter { goes_on: true, ..self }
    }

    /// The keys that the node of the last error is the place of.
    pub fn lost(&self) -> Option<&KeyRange> {
        self.lost.as_ref()
    }

    /// How many entries that node holds, as the one above it tells.
    pub fn lost_entries(&self) -> u64 {
        self.lost_entries
    }

    fn step(&mut self) -> Result<Option<(Bytes, Value)>, Error<R::Error>> {
        loop {
            match self.cursor.here() {
                Here::End => return Ok(None),
                Here::Subtree { child, high } => {
                    if self.range.ends_before(&child.low) {
                        return Ok(None);
                    }
                    if self.range.misses(&child.low, high.as_deref()) {
                        self.cursor.skip();
                        continue;
                    }
                    self.cursor.descend()?;
                    if let Some(from) = self.range.lowest() {
                        self.cursor.skip_within(from);
                    }
                }
                Here::Entry { leaf, row } => {
                    let key = leaf.key(row);
                    if self.range.ends_before(key) {
                        return Ok(None);
                    }
                    let found = (!self.range.starts_after(key))
                        .then(|| (leaf.key_bytes(row), leaf.value(row)));
                    self.cursor.skip();
                    if found.is_some() {
                        return Ok(found);
                    }
                }
            }
        }
    }
}

impl<R: ReadBlobs> Iterator for Iter<'_, R> {
    type Item = Result<(Bytes, Value), Error<R::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.lost_entries = match self.cursor.here() {
                Here::Subtree { child, .. } => child.entries,
                _ => 0,
            };
            self.lost = self.cursor.give_up();
        }
        self.is_done = match &step {
            Ok(found) => found.is_none(),
            Err(_) => !self.goes_on,
        };
        step.transpose()
    }
}

impl<R: ReadBlobs> FusedIterator for Iter<'_, R> {}

/// What a stretch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub entries: u64,
    /// Lengths of keys, heads and content.
    pub bytes: u64,
}

/// How much stands in a stretch of keys. Reads only nodes that lie across its ends.
pub fn totals<R: ReadBlobs>(
    blobs: &R,
    root: &Root,
    range: &KeyRange,
) -> Result<Totals, Error<R::Error>> {
    let mut cursor = Cursor::new(blobs, root);
    let mut totals = Totals::default();
    loop {
        let (entries, bytes) = match cursor.here() {
            Here::End => return Ok(totals),
            Here::Subtree { child, high } => {
                if range.covers(&child.low, high.as_deref()) {
                    (child.entries, child.bytes)
                } else if range.misses(&child.low, high.as_deref()) {
                    (0, 0)
                } else {
                    cursor.descend()?;
                    continue;
                }
            }
            Here::Entry { leaf, row } => {
                let key = leaf.key(row);
                let is_outside = range.starts_after(key) || range.ends_before(key);
                if is_outside { (0, 0) } else { (1, leaf.entry_bytes(row)) }
            }
        };
        totals.entries += entries;
        totals.bytes += bytes;
        cursor.skip();
    }
}

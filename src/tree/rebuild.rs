//! A map built whole from all its entries, beside an older form of it.
//!
//! For sources that can only give everything: what was the same before is found out by comparing
//! ids of leaves, so leaves of the old tree are read only where something differs. The result is
//! the canonical tree, as a `Merger` would make it.

use std::cmp::Ordering;

use super::{
    build::{Builder, ClosedLeaf, OldNode},
    cursor::{Cursor, Here},
    error::Error,
    merge::check,
    node::{self, Node},
    splitter::Splitter,
    value::{Root, Value},
};
use crate::repo::WriteBlobs;

/// How the new map differs from the old one, in entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    pub new: u64,
    pub changed: u64,
    pub deleted: u64,
    pub unmodified: u64,
}

/// Takes every entry of the new map in the order of keys. After an error it is to be dropped;
/// nodes already written are unreferenced, not wrong.
pub struct Rebuilder<'a, W> {
    builder: Builder<'a, W>,
    old: Option<Cursor<'a, W>>,
    compared: Compared,
    last_key: Option<Vec<u8>>,
    row: Vec<u8>,
}

impl<'a, W: WriteBlobs> Rebuilder<'a, W> {
    /// Without `old` everything is new.
    pub fn new(blobs: &'a W, splitter: Splitter, old: Option<Root>) -> Self {
        let levels = old.map_or(0, |root| root.level + 1);
        let mut builder = Builder::new(blobs, splitter, levels);
        builder.keep_closed_leaves();
        let old = old.map(|root| Cursor::new(blobs, &root));
        let (compared, last_key, row) = (Compared::default(), None, Vec::new());
        Rebuilder { builder, old, compared, last_key, row }
    }

    /// The next entry; its key lies above those of all before.
    pub fn put(&mut self, key: &[u8], value: &Value) -> Result<(), Error<W::Error>> {
        let bytes = check(key, value)?;
        if self.last_key.as_ref().is_some_and(|last| &last[..] >= key) {
            return Err(Error::Order);
        }
        let last = self.last_key.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        if self.builder.is_at_edge(0)? {
            self.meet_closed_leaves()?;
            self.go_to(key)?;
        }
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        node::write_entry(&mut row, key, value);
        self.builder.push_entry(key, &row, bytes)?;
        self.row = row;
        Ok(())
    }

    /// Writes what remains. The root's nodes are all written when this returns.
    pub fn finish(self) -> Result<(Root, Compared), Error<W::Error>> {
        let mut closed = Vec::new();
        let root = self.builder.finish_keeping(&mut closed)?;
        let mut compare = Compare { old: self.old, compared: self.compared };
        for leaf in closed {
            compare.meet(leaf)?;
        }
        Ok((root, compare.rest()))
    }

    fn meet_closed_leaves(&mut self) -> Result<(), Error<W::Error>> {
        let closed = self.builder.take_closed_leaves();
        let mut compare = Compare { old: self.old.take(), compared: self.compared };
        for leaf in closed {
            compare.meet(leaf)?;
        }
        (self.old, self.compared) = (compare.old, compare.compared);
        Ok(())
    }

    /// Moves the old tree's cursor to the leaf where `key` has its place, which new nodes from here
    /// on will resemble. What is passed is in the new map no more.
    fn go_to(&mut self, key: &[u8]) -> Result<(), Error<W::Error>> {
        let Some(old) = &mut self.old else { return Ok(()) };
        loop {
            match old.here() {
                Here::End => return Ok(()),
                Here::Subtree { child, high } => {
                    if high.is_some_and(|high| &high[..] <= key) {
                        self.compared.deleted += child.entries;
                        old.skip();
                    } else if child.level == 0 {
                        self.builder.pass(0, OldNode { id: child.id, bytes: None });
                        return Ok(());
                    } else if let Some((child, node)) = old.descend()? {
                        let bytes = Some(node.bytes().clone());
                        self.builder.pass(child.level, OldNode { id: child.id, bytes });
                    }
                }
                Here::Entry { leaf, row } if leaf.key(row) < key => {
                    self.compared.deleted += 1;
                    old.skip();
                }
                Here::Entry { .. } => return Ok(()),
            }
        }
    }
}

/// The old tree's cursor, beside new leaves.
struct Compare<'a, W> {
    old: Option<Cursor<'a, W>>,
    compared: Compared,
}

impl<W: WriteBlobs> Compare<'_, W> {
    /// Counts what a new leaf has in common with the old tree, and moves behind it.
    fn meet(&mut self, closed: ClosedLeaf) -> Result<(), Error<W::Error>> {
        let ClosedLeaf { id, bytes, entries } = closed;
        // Mostly there is nothing old, or the same: the leaf itself need not be looked at.
        match self.old.as_ref().map(Cursor::here) {
            None | Some(Here::End) => {
                self.compared.new += entries;
                return Ok(());
            }
            Some(Here::Subtree { child, .. }) if child.id == id => {
                self.compared.unmodified += entries;
                self.old.as_mut().expect("it has a place").skip();
                return Ok(());
            }
            Some(_) => {}
        }
        let node = node::decode(bytes).map_err(|source| Error::Damaged { id, source })?;
        let (Node::Leaf(leaf), Some(old)) = (node, &mut self.old) else { return Ok(()) };
        let mut row = 0;
        while row < leaf.len() {
            match old.here() {
                Here::End => {
                    self.compared.new += (leaf.len() - row) as u64;
                    return Ok(());
                }
                Here::Subtree { child, .. } if child.id == id && row == 0 => {
                    self.compared.unmodified += child.entries;
                    old.skip();
                    return Ok(());
                }
                Here::Subtree { child, .. } if &child.low[..] > leaf.key(row) => {
                    self.compared.new += 1;
                    row += 1;
                }
                Here::Subtree { .. } => {
                    old.descend()?;
                }
                Here::Entry { leaf: before, row: before_row } => {
                    let order = before.key(before_row).cmp(leaf.key(row));
                    let count = match order {
                        Ordering::Less => &mut self.compared.deleted,
                        Ordering::Greater => &mut self.compared.new,
                        Ordering::Equal if before.row(before_row) == leaf.row(row) => {
                            &mut self.compared.unmodified
                        }
                        Ordering::Equal => &mut self.compared.changed,
                    };
                    *count += 1;
                    row += usize::from(order.is_ge());
                    if order.is_le() {
                        old.skip();
                    }
                }
            }
        }
        Ok(())
    }

    /// What is left of the old tree is in the new one no more.
    fn rest(mut self) -> Compared {
        let Some(old) = &mut self.old else { return self.compared };
        loop {
            match old.here() {
                Here::End => return self.compared,
                Here::Subtree { child, .. } => self.compared.deleted += child.entries,
                Here::Entry { .. } => self.compared.deleted += 1,
            }
            old.skip();
        }
    }
}

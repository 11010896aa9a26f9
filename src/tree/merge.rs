//! A map built from sorted entries, or changed by sorted changes: the one way trees are made.
//!
//! **Invariant.** The result is the canonical form: a pure function of the map, the splitter and
//! the node format, whatever tree it was reached from and in whatever batches.
//!
//! Changes and the old tree are merged as two ordered streams. Where a new node would begin and
//! no change falls into the old subtree at hand, the subtree is taken as it is, unread; for what
//! the splitter decides within it hangs on its own rows only. Two things do not: a last node is
//! ended by the end (so the right edge is always built again when something is put behind it),
//! and a leaf may have been ended by the long row that follows (so a change at a leaf of a single
//! entry reads the leaf before, too).

use super::{
    build::{Builder, OldNode},
    cursor::{Cursor, Here},
    error::Error,
    node,
    splitter::Splitter,
    value::{Pieces, Root, Value},
};
use crate::{
    limits::{KEY_MAX_BYTES, PIECES_INLINE_MAX, VALUE_HEAD_MAX_BYTES},
    repo::WriteBlobs,
};

/// Merges changes into a tree, in memory that does not grow with either. After an error it is to
/// be dropped; nodes already written are unreferenced, not wrong.
pub struct Merger<'a, W> {
    builder: Builder<'a, W>,
    old: Option<(Root, Cursor<'a, W>)>,
    last_key: Option<Vec<u8>>,
    row: Vec<u8>,
}

impl<'a, W: WriteBlobs> Merger<'a, W> {
    /// Without `old` the tree is built whole. Reads nothing yet.
    pub fn new(blobs: &'a W, splitter: Splitter, old: Option<Root>) -> Self {
        let levels = old.map_or(0, |root| root.level + 1);
        Merger {
            builder: Builder::new(blobs, splitter, levels),
            old: old.map(|root| (root, Cursor::new(blobs, &root))),
            last_key: None,
            row: Vec::new(),
        }
    }

    /// Sets what stands under `key`, which lies above those of all calls before. An equal value
    /// is no change.
    pub fn put(&mut self, key: &[u8], value: &Value) -> Result<(), Error<W::Error>> {
        let bytes = check(key, value)?;
        self.make_room(key)?;
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        node::write_entry(&mut row, key, value);
        self.builder.push_entry(key, &row, bytes)?;
        self.row = row;
        Ok(())
    }

    /// Removes `key`, which lies above those of all calls before, if it is there.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Error<W::Error>> {
        self.make_room(key)
    }

    /// Writes what remains. The root's nodes are all written when this returns.
    pub fn finish(mut self) -> Result<Root, Error<W::Error>> {
        let Some((root, mut old)) = self.old.take() else { return self.builder.finish(None) };
        loop {
            match old.here() {
                Here::End => return self.builder.finish(Some(&root)),
                Here::Entry { leaf, row } => {
                    let bytes = leaf.entry_bytes(row);
                    self.builder.push_entry(leaf.key(row), leaf.row(row), bytes)?;
                    old.skip();
                }
                Here::Subtree { child, high } => {
                    if self.builder.is_at_edge(child.level)? {
                        self.builder.push_subtree(child, high.as_ref())?;
                        old.skip();
                    } else {
                        descend(&mut self.builder, &mut old)?;
                    }
                }
            }
        }
    }

    /// Brings over what the old tree holds below `key`, and drops what it holds there.
    fn make_room(&mut self, key: &[u8]) -> Result<(), Error<W::Error>> {
        if self.last_key.as_ref().is_some_and(|last| &last[..] >= key) {
            return Err(Error::Order);
        }
        let last = self.last_key.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        let Some((_, old)) = &mut self.old else { return Ok(()) };
        bring_over(&mut self.builder, old, key)?;
        if let Here::Entry { leaf, row } = old.here()
            && leaf.key(row) == key
        {
            old.skip();
        }
        Ok(())
    }
}

fn bring_over<W: WriteBlobs>(
    builder: &mut Builder<'_, W>,
    old: &mut Cursor<'_, W>,
    key: &[u8],
) -> Result<(), Error<W::Error>> {
    loop {
        match old.here() {
            Here::End => return Ok(()),
            Here::Entry { leaf, row } => {
                if leaf.key(row) >= key {
                    return Ok(());
                }
                builder.push_entry(leaf.key(row), leaf.row(row), leaf.entry_bytes(row))?;
                old.skip();
            }
            Here::Subtree { child, .. } if &child.low[..] > key => return Ok(()),
            Here::Subtree { child, high } => {
                let at_edge = builder.is_at_edge(child.level)?;
                let all_below = high.as_ref().is_some_and(|high| &high[..] <= key);
                if at_edge && all_below && !old.leaf_after_stands_alone(key)? {
                    builder.push_subtree(child, high.as_ref())?;
                    old.skip();
                } else {
                    descend(builder, old)?;
                }
            }
        }
    }
}

fn descend<W: WriteBlobs>(
    builder: &mut Builder<'_, W>,
    old: &mut Cursor<'_, W>,
) -> Result<(), Error<W::Error>> {
    if let Some((child, node)) = old.descend()? {
        let bytes = Some(node.bytes().clone());
        builder.pass(child.level, OldNode { id: child.id, bytes });
    }
    Ok(())
}

/// Holds what is put against the limits of the format. Returns the length of it all.
pub(super) fn check<E: std::error::Error>(key: &[u8], value: &Value) -> Result<u64, Error<E>> {
    if key.len() > KEY_MAX_BYTES {
        return Err(Error::Key { key_bytes: key.len() });
    }
    if value.head.len() > VALUE_HEAD_MAX_BYTES {
        return Err(Error::Head { head_bytes: value.head.len() });
    }
    if let Pieces::List(pieces) = &value.pieces {
        if pieces.is_empty() || pieces.len() > PIECES_INLINE_MAX {
            return Err(Error::List { pieces: pieces.len() });
        }
        if pieces.iter().any(|piece| piece.len == 0 || piece.len >= 1 << 63) {
            return Err(Error::Piece);
        }
    }
    let content = node::content_bytes(&value.pieces).ok_or(Error::Piece)?;
    content.checked_add((key.len() + value.head.len()) as u64).ok_or(Error::Piece)
}

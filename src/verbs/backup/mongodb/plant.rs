//! A collection's tree from its documents in order, and from what is changed in it afterwards.

use bytes::Bytes;

use super::{Error, Ground, order::Block, pair::read_value};
use crate::{
    repo::WriteBlobs,
    tree::{self, Compared, Iter, KeyRange, Merger, Pieces, Rebuilder, Root, Value, content},
};

/// The tree of one collection, and how it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planted {
    pub root: Root,
    /// With the collection's tree in the previous snapshot.
    pub compared: Compared,
    /// The sum of the documents' lengths.
    pub bytes: u64,
}

/// Builds from everything there is.
pub(super) struct Plant<'a, W: WriteBlobs> {
    rebuilder: Rebuilder<'a, W>,
    /// Held back until it is known that no later one of its key comes.
    last: Option<(Bytes, Bytes)>,
    bytes: u64,
}

impl<'a, W: WriteBlobs> Plant<'a, W> {
    pub fn new(ground: &Ground<'a, W>, old: Option<Root>) -> Self {
        let rebuilder = Rebuilder::new(ground.writer, ground.splitter, old);
        Plant { rebuilder, last: None, bytes: 0 }
    }

    pub fn put(&mut self, block: Block) -> Result<(), Error<W::Error>> {
        for (key, value) in block {
            match self.last.replace((key, value)) {
                Some(before) if self.last.as_ref().is_none_or(|last| last.0 != before.0) => {
                    self.write(before)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<Planted, Error<W::Error>> {
        if let Some(last) = self.last.take() {
            self.write(last)?;
        }
        let (root, compared) = self.rebuilder.finish()?;
        Ok(Planted { root, compared, bytes: self.bytes })
    }

    fn write(&mut self, (key, pair): (Bytes, Bytes)) -> Result<(), Error<W::Error>> {
        let (value, bytes) = read_value(pair);
        self.bytes += bytes;
        Ok(self.rebuilder.put(&key, &value)?)
    }
}

/// Changes single entries of a tree that was built, in the order of their keys, and keeps count.
pub(super) struct Amend<'a, W: WriteBlobs> {
    merger: Merger<'a, W>,
    base: Beside<'a, W>,
    /// The previous snapshot's.
    old: Beside<'a, W>,
    compared: Compared,
    bytes: u64,
}

impl<'a, W: WriteBlobs> Amend<'a, W> {
    /// Without a base the tree is empty as yet.
    pub fn new(ground: &Ground<'a, W>, base: Option<Planted>, old: Option<Root>) -> Self {
        let root = base.map(|base| base.root);
        let compared = match (base, old) {
            (Some(base), _) => base.compared,
            (None, Some(old)) => Compared { deleted: old.entries, ..Compared::default() },
            (None, None) => Compared::default(),
        };
        Amend {
            merger: Merger::new(ground.writer, ground.splitter, root),
            base: Beside::new(ground.writer, root),
            old: Beside::new(ground.writer, old),
            compared,
            bytes: base.map_or(0, |base| base.bytes),
        }
    }

    /// What stands under `key`, which lies above those of all calls before.
    pub fn standing(&mut self, key: &[u8]) -> Result<Option<Value>, Error<W::Error>> {
        self.base.at(key)
    }

    /// Puts `after` where `before` stands.
    pub fn replace(
        &mut self,
        key: &[u8],
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Result<(), Error<W::Error>> {
        if before == after {
            return Ok(());
        }
        let old = self.old.at(key)?;
        if let Some(count) = count_of(&mut self.compared, old.as_ref(), before) {
            *count -= 1;
        }
        if let Some(count) = count_of(&mut self.compared, old.as_ref(), after) {
            *count += 1;
        }
        self.bytes = self.bytes - before.map_or(0, length) + after.map_or(0, length);
        match after {
            Some(value) => self.merger.put(key, value)?,
            None => self.merger.delete(key)?,
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Planted, Error<W::Error>> {
        let root = self.merger.finish()?;
        Ok(Planted { root, compared: self.compared, bytes: self.bytes })
    }
}

/// Which count an entry is in that was `old` and is `new`; none if it was never there.
fn count_of<'c>(
    compared: &'c mut Compared,
    old: Option<&Value>,
    new: Option<&Value>,
) -> Option<&'c mut u64> {
    Some(match (old, new) {
        (None, None) => return None,
        (None, Some(_)) => &mut compared.new,
        (Some(_), None) => &mut compared.deleted,
        (Some(old), Some(new)) if old == new => &mut compared.unmodified,
        (Some(_), Some(_)) => &mut compared.changed,
    })
}

/// How long the document is that stands here.
fn length(value: &Value) -> u64 {
    match &value.pieces {
        Pieces::None => value.head.len() as u64,
        pieces => content::length(pieces).unwrap_or(0),
    }
}

/// A tree that is read from its beginning to its end, where something is asked for.
struct Beside<'a, W: WriteBlobs> {
    entries: Option<Iter<'a, W>>,
    /// Read too far.
    ahead: Option<(Bytes, Value)>,
}

impl<'a, W: WriteBlobs> Beside<'a, W> {
    fn new(writer: &'a W, root: Option<Root>) -> Self {
        let entries = root.map(|root| tree::iter(writer, &root, KeyRange::all()));
        Beside { entries, ahead: None }
    }

    /// Keys ascend from call to call.
    fn at(&mut self, key: &[u8]) -> Result<Option<Value>, Error<W::Error>> {
        if self.ahead.as_ref().is_none_or(|ahead| &ahead.0[..] < key) {
            let Some(entries) = &mut self.entries else { return Ok(None) };
            entries.seek(key);
            self.ahead = entries.next().transpose()?;
            if self.ahead.is_none() {
                self.entries = None;
            }
        }
        Ok(self.ahead.as_ref().filter(|ahead| ahead.0 == key).map(|ahead| ahead.1.clone()))
    }
}

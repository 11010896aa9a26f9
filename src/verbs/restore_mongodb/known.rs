//! Which of a collection's live documents are known: those a restore wrote, those it recorded.

use super::{
    Error,
    live::{self, Live, Spill},
};
use crate::{
    document::namespace::Namespace,
    mongo::Link,
    progress::Progress,
    repo::{self, ReadBlobs},
    source::sorter::Sorter,
    tree::{self, KeyRange, Root},
    verbs::deployment::content,
};

/// Where documents are known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The restore writes them.
    Written = 1,
    /// They stood there before.
    Old = 2,
}

/// Documents by their hashes: a tree in natural order says nothing of ids.
pub(super) struct Known<'a> {
    spill: &'a Spill<'a>,
    hashes: Sorter,
}

/// How many live documents are known, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Found {
    pub all: u64,
    pub written: u64,
    /// Some may be as the restore writes them, too.
    pub old: u64,
    /// Others, or changed since.
    pub foreign: u64,
}

impl<'a> Known<'a> {
    pub fn new(spill: &'a Spill<'a>) -> Self {
        Known { spill, hashes: spill.sorter() }
    }

    pub fn hash(&mut self, hash: &[u8; 32], from: Side) -> Result<(), Error> {
        Ok(self.hashes.push(hash, &[from as u8])?)
    }

    /// All documents that a tree holds. A restore wrote none that can't be read.
    pub fn documents<R: ReadBlobs<Error = repo::Error>>(
        &mut self,
        reader: &R,
        root: &Root,
        from: Side,
        progress: &Progress,
    ) -> Result<(), Error> {
        for entry in tree::iter(reader, root, KeyRange::all()).going_on() {
            super::go_on(progress)?;
            let document = entry.map_err(Into::into).and_then(|(_, value)| content(reader, &value));
            let document = match document {
                Ok(document) => document,
                Err(error) if from == Side::Written && error.is_damage(repo::Error::is_damage) => {
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            self.hash(blake3::hash(&document).as_bytes(), from)?;
        }
        Ok(())
    }

    /// Reads a live collection. `take` gets each document, and whether the restore wrote it.
    pub fn meet(
        self,
        (link, place): (&Link, &Namespace),
        progress: &Progress,
        take: &mut dyn FnMut(&[u8], bool) -> Result<(), Error>,
    ) -> Result<Found, Error> {
        let mut theirs = self.spill.sorter();
        live::each(link, place, progress, &mut |document| {
            let live = Live::of(document)?.encode();
            Ok(theirs.push(blake3::hash(document).as_bytes(), &live)?)
        })?;
        let mut known = self.hashes.finish()?.peekable();
        let mut found = Found::default();
        for entry in theirs.finish()? {
            let (hash, live) = entry?;
            let mut from = 0;
            while let Some(entry) =
                known.next_if(|entry| !matches!(entry, Ok((other, _)) if *other > hash))
            {
                let (other, side) = entry?;
                from |= if other == hash { side[0] } else { 0 };
            }
            found.all += 1;
            found.written += u64::from(from & Side::Written as u8 != 0);
            found.old += u64::from(from & Side::Old as u8 != 0);
            found.foreign += u64::from(from == 0);
            let live = Live::decode(&live);
            // One that was changed in this moment is not the one that was met.
            if let Some(document) = live.whole(link, place)?.filter(|document| live.is(document)) {
                take(&document, from & Side::Written as u8 != 0)?;
            }
        }
        Ok(found)
    }
}

//! What the oplog holds of each document, brought into the order of the collections' keys.

use std::{collections::HashMap, iter::Peekable};

use bytes::Bytes;

use super::{
    Collection, Error, Keys, Op, Uuid,
    positions::{Positions, Step},
};
use crate::source::sorter::{Sorted, Sorter};

/// Gathers operations in the order in which they happened. In memory up to the sorter's bound.
pub(super) struct Gathering {
    ranks: HashMap<Uuid, (u32, Keys)>,
    sorter: Sorter,
    /// Of collections in natural order: their documents have no place before all is known.
    by_id: Sorter,
    operations: u64,
}

impl Gathering {
    /// For the collections of `catalogue`; operations on others are dropped.
    pub fn new(catalogue: &[Collection], sorter: Sorter, by_id: Sorter) -> Gathering {
        let ranked = catalogue.iter().zip(0u32..).filter_map(|(collection, rank)| {
            collection.uuid.map(|uuid| (uuid, (rank, collection.keys)))
        });
        Gathering { ranks: ranked.collect(), sorter, by_id, operations: 0 }
    }

    pub fn wants(&self, uuid: &Uuid) -> bool {
        self.ranks.contains_key(uuid)
    }

    /// `is_insert`: the document was not there before.
    pub fn push(
        &mut self,
        uuid: &Uuid,
        id_key: &[u8],
        op: &Op,
        is_insert: bool,
    ) -> Result<(), Error> {
        let Some((rank, keys)) = self.ranks.get(uuid) else { return Ok(()) };
        let (tag, body) = parts(op);
        let tag = if is_insert { INSERT } else { tag };
        match keys {
            Keys::Id => {
                let key = [&rank.to_be_bytes()[..], id_key].concat();
                self.sorter.push(&key, &[&[tag][..], body].concat())?;
            }
            Keys::Ordinal => {
                let key = [&uuid[..], id_key].concat();
                let number = self.operations.to_be_bytes();
                self.by_id.push(&key, &[&number[..], &[tag], body].concat())?;
            }
        }
        self.operations += 1;
        Ok(())
    }

    /// No more operations will come. `positions` are those that the scans saw documents of
    /// collections in natural order at.
    pub fn finish(mut self, positions: Positions) -> Result<Changes, Error> {
        let mut placed = positions.finish()?;
        for pair in self.by_id.finish()? {
            let (key, value) = pair?;
            let (number, op) = value.split_at(8);
            let number = u64::from_be_bytes(number.try_into().expect("it was split at 8"));
            let uuid: Uuid = key[..16].try_into().expect("every key begins with one");
            let (rank, _) = self.ranks[&uuid];
            let step = match op[0] {
                INSERT => Step::Insert,
                DELETE => Step::Delete,
                _ => Step::Change,
            };
            let (before, after) = placed.step(&key, number, step)?;
            let at = |place: u64| [&rank.to_be_bytes()[..], &place.to_be_bytes()].concat();
            if let Some(before) = before.filter(|before| Some(*before) != after) {
                self.sorter.push(&at(before), &[DELETE])?;
            }
            if let Some(after) = after {
                self.sorter.push(&at(after), op)?;
            }
        }
        let ranks = self.ranks.into_iter().map(|(uuid, (rank, _))| (uuid, rank)).collect();
        Ok(Changes { ranks, sorted: Some(self.sorter.finish()?.peekable()) })
    }
}

/// What the oplog has of each collection between its scan and the moment of the snapshot.
pub struct Changes {
    ranks: HashMap<Uuid, u32>,
    sorted: Option<Peekable<Sorted>>,
}

impl Changes {
    pub(super) fn none() -> Changes {
        Changes { ranks: HashMap::new(), sorted: None }
    }

    /// The changes of one collection, in the order of its keys: `document::id_key`s, or for
    /// [`Keys::Ordinal`] the position in the scan as 8 big-endian bytes, where new documents come
    /// after all that were scanned. Each document's operations follow one another in the order
    /// they happened; a document that is changed all the time may have more than memory holds.
    ///
    /// Collections must be asked for in the order of [`super::Settled::catalogue`]; any may be
    /// left out.
    pub fn of(&mut self, uuid: &Uuid) -> ChangesOf<'_> {
        let rank = self.ranks.get(uuid).copied();
        if let (Some(rank), Some(sorted)) = (rank, &mut self.sorted) {
            let before = |key: &Bytes| key[..4] < rank.to_be_bytes()[..];
            while sorted.next_if(|pair| matches!(pair, Ok((key, _)) if before(key))).is_some() {}
        }
        ChangesOf { rank, sorted: self.sorted.as_mut() }
    }
}

/// See [`Changes::of`].
pub struct ChangesOf<'a> {
    rank: Option<u32>,
    sorted: Option<&'a mut Peekable<Sorted>>,
}

impl Iterator for ChangesOf<'_> {
    type Item = Result<(Bytes, Op), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rank = self.rank?.to_be_bytes();
        let sorted = self.sorted.as_mut()?;
        let next = sorted.next_if(|pair| match pair {
            Ok((key, _)) => key[..4] == rank,
            Err(_) => true,
        })?;
        Some(next.map(|(key, value)| (key.slice(4..), op(&value))).map_err(Error::from))
    }
}

const PUT: u8 = 0;
const DIFF: u8 = 1;
const MODIFY: u8 = 2;
const DELETE: u8 = 3;
const INSERT: u8 = 4;

fn parts(op: &Op) -> (u8, &[u8]) {
    match op {
        Op::Put(document) => (PUT, document),
        Op::Diff(diff) => (DIFF, diff),
        Op::Modify(update) => (MODIFY, update),
        Op::Delete => (DELETE, &[]),
    }
}

/// Of what [`parts`] gave.
fn op(value: &[u8]) -> Op {
    let body = || value[1..].to_vec();
    match value[0] {
        PUT | INSERT => Op::Put(body()),
        DIFF => Op::Diff(body()),
        MODIFY => Op::Modify(body()),
        _ => Op::Delete,
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;
    use crate::{
        document::namespace::Namespace, source::mongo::Kind, source::sorter::SorterOptions,
    };

    fn sorter(dir: &tempfile::TempDir) -> Sorter {
        let spill_dir = dir.path().to_owned();
        Sorter::new(SorterOptions { memory_bytes: 64 << 10, spill_dir, key: [1; 32] })
    }

    #[test]
    fn of_a_document_that_is_changed_all_the_time_one_change_is_given_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let counter = Collection {
            namespace: Namespace::new("shop", "counters"),
            kind: Kind::Collection,
            uuid: Some([7; 16]),
            options: Vec::new(),
            id_index: None,
            indexes: Vec::new(),
            keys: Keys::Id,
        };
        let mut gathering = Gathering::new(&[counter], sorter(&dir), sorter(&dir));
        let change = |number: i32| Op::Diff(rawdoc! { "u": { "n": number } }.into_bytes());
        for number in 0..20_000 {
            gathering.push(&[7; 16], b"a", &change(number), false).unwrap();
        }
        gathering.push(&[7; 16], b"b", &Op::Delete, false).unwrap();
        let mut changes = gathering.finish(Positions::new(sorter(&dir))).unwrap();
        let mut changes = changes.of(&[7; 16]).map(Result::unwrap);
        for number in 0..20_000 {
            assert_eq!(changes.next().unwrap(), (Bytes::from_static(b"a"), change(number)));
        }
        assert_eq!(changes.next().unwrap(), (Bytes::from_static(b"b"), Op::Delete));
        assert!(changes.next().is_none());
    }
}

//! Where in natural order a scan saw each document of the collections that are kept in it.

use std::iter::Peekable;

use bytes::Bytes;

use super::{Error, Uuid};
use crate::source::sorter::{Sorted, Sorter};

/// Positions beyond all that a scan can come to: of documents that only the oplog has.
const AFTER_ALL: u64 = 1 << 63;

/// Gathered while scans run.
pub(super) struct Positions(Sorter);

impl Positions {
    pub fn new(sorter: Sorter) -> Positions {
        Positions(sorter)
    }

    pub fn push(&mut self, uuid: &Uuid, id_key: &[u8], position: u64) -> Result<(), Error> {
        Ok(self.0.push(&[&uuid[..], id_key].concat(), &position.to_be_bytes())?)
    }

    pub fn finish(self) -> Result<Placed, Error> {
        Ok(Placed { sorted: self.0.finish()?.peekable(), last: None })
    }
}

/// Answers for one document after the other, in the order of UUID and key.
pub(super) struct Placed {
    sorted: Peekable<Sorted>,
    /// The document at hand, and where it is by now.
    last: Option<(Bytes, Option<u64>)>,
}

impl Placed {
    /// Where the document of `key` is before operation `number` and after it. One that is
    /// inserted while the oplog is read is newer than all that are not.
    pub fn step(
        &mut self,
        key: &Bytes,
        number: u64,
        step: Step,
    ) -> Result<(Option<u64>, Option<u64>), Error> {
        let before = match &self.last {
            Some((last, place)) if last == key => *place,
            _ => self.scanned(key)?,
        };
        let after = match step {
            Step::Insert => Some(AFTER_ALL + number),
            Step::Change => before.or(Some(AFTER_ALL + number)),
            Step::Delete => None,
        };
        self.last = Some((key.clone(), after));
        Ok((before, after))
    }

    fn scanned(&mut self, key: &Bytes) -> Result<Option<u64>, Error> {
        let mut place = None;
        while let Some(pair) = self.sorted.next_if(|pair| match pair {
            Ok((known, _)) => known <= key,
            Err(_) => true,
        }) {
            let (known, position) = pair?;
            if known == *key {
                let position = position[..].try_into().expect("positions have 8 bytes");
                place = Some(u64::from_be_bytes(position));
            }
        }
        Ok(place)
    }
}

/// What happens to a document's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Insert,
    Change,
    Delete,
}

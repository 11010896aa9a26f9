//! What one entry of the oplog says.

use crate::{
    document::{self, Element, Malformed, kind},
    format::snapshot::ClusterTime,
};

use super::{Op, Uuid};

/// An entry, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// A document was put, changed or deleted: the `_id` and what was done.
    Document { uuid: Option<Uuid>, id: Element<'a>, op: Op, is_insert: bool },
    /// A command on the catalogue: as `create`, with its UUID if it has one.
    Catalogue { command: &'a [u8], uuid: Option<Uuid> },
    /// The operations of one transaction, or of a batch: each again like an entry.
    Together { operations: &'a [u8] },
    /// A transaction's part that only counts if a later entry says so.
    Pending { operations: &'a [u8] },
    /// The pending parts before it count from now on.
    Commit,
    /// Nothing that a snapshot would show.
    Nothing,
    /// An operation this version does not know.
    Unknown { what: Vec<u8>, uuid: Option<Uuid> },
}

/// The fields of an entry, or of an operation within `applyOps`, that are looked at.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    kind: &'a [u8],
    uuid: Option<Uuid>,
    object: Option<&'a [u8]>,
    object2: Option<&'a [u8]>,
    pub time: ClusterTime,
    pub term: Option<i64>,
    /// The one before it of the same transaction.
    pub previous: Option<ClusterTime>,
}

impl<'a> Entry<'a> {
    pub fn of(bytes: &'a [u8]) -> Result<Entry<'a>, Malformed> {
        let mut entry = Entry::default();
        for element in document::elements(bytes) {
            let element = element?;
            match element.name {
                b"op" => entry.kind = element.as_str().unwrap_or(b""),
                b"ui" => entry.uuid = uuid(&element),
                b"o" => entry.object = element.as_doc(),
                b"o2" => entry.object2 = element.as_doc(),
                b"ts" => entry.time = time(&element).unwrap_or_default(),
                b"t" => entry.term = element.as_i64(),
                b"prevOpTime" => entry.previous = previous(&element)?,
                _ => {}
            }
        }
        Ok(entry)
    }

    pub fn meaning(&self) -> Result<Meaning<'a>, Malformed> {
        let Some(object) = self.object else {
            return Ok(match self.kind {
                b"n" => Meaning::Nothing,
                other => self.unknown(other),
            });
        };
        match self.kind {
            b"n" => Ok(Meaning::Nothing),
            b"i" => self.on_document(object, Op::Put(object.to_vec())),
            b"d" => self.on_document(object, Op::Delete),
            b"u" => match (changes(object)?, self.object2) {
                (Some(op), Some(which)) => self.on_document(which, op),
                _ => Ok(self.unknown(b"u")),
            },
            b"c" => self.command(object),
            other => Ok(self.unknown(other)),
        }
    }

    fn on_document(&self, which: &'a [u8], op: Op) -> Result<Meaning<'a>, Malformed> {
        Ok(match document::get(which, b"_id")? {
            Some(id) => Meaning::Document { uuid: self.uuid, id, op, is_insert: self.kind == b"i" },
            None => self.unknown(self.kind),
        })
    }

    fn unknown(&self, what: &[u8]) -> Meaning<'a> {
        Meaning::Unknown { what: what.to_vec(), uuid: self.uuid }
    }

    fn command(&self, object: &'a [u8]) -> Result<Meaning<'a>, Malformed> {
        let Some(first) = document::elements(object).next().transpose()? else {
            return Ok(self.unknown(b"c"));
        };
        Ok(match first.name {
            b"applyOps" => match first.as_doc() {
                Some(operations)
                    if is_set(object, b"partialTxn")? || is_set(object, b"prepare")? =>
                {
                    Meaning::Pending { operations }
                }
                Some(operations) => Meaning::Together { operations },
                None => self.unknown(b"applyOps"),
            },
            b"commitTransaction" => Meaning::Commit,
            b"abortTransaction" | b"dbCheck" => Meaning::Nothing,
            // The documents of a collection that is dropped are no longer asked for; the others
            // leave documents as they are.
            b"create" | b"drop" | b"dropDatabase" | b"renameCollection" | b"collMod"
            | b"createIndexes" | b"startIndexBuild" | b"commitIndexBuild" | b"abortIndexBuild"
            | b"dropIndexes" | b"deleteIndexes" => {
                Meaning::Catalogue { command: first.name, uuid: self.uuid }
            }
            other => self.unknown(other),
        })
    }
}

/// What an update's `o` does. A whole document begins with its `_id`, never with `$v`.
fn changes(object: &[u8]) -> Result<Option<Op>, Malformed> {
    let Some(first) = document::elements(object).next().transpose()? else {
        return Ok(Some(Op::Put(object.to_vec())));
    };
    Ok(match first.name {
        b"$v" if first.as_i64() == Some(2) => {
            let diff = document::get(object, b"diff")?;
            diff.and_then(|diff| diff.as_doc()).map(|diff| Op::Diff(diff.to_vec()))
        }
        b"$v" if first.as_i64() == Some(1) => Some(Op::Modify(object.to_vec())),
        b"$v" => None,
        b"$set" | b"$unset" => Some(Op::Modify(object.to_vec())),
        _ => Some(Op::Put(object.to_vec())),
    })
}

fn is_set(object: &[u8], name: &[u8]) -> Result<bool, Malformed> {
    Ok(document::get(object, name)?.and_then(|flag| flag.as_bool()).unwrap_or(false))
}

fn uuid(element: &Element) -> Option<Uuid> {
    match element.as_binary()? {
        (4, bytes) => bytes.try_into().ok(),
        _ => None,
    }
}

fn time(element: &Element) -> Option<ClusterTime> {
    let time = element.as_timestamp()?;
    Some(ClusterTime { seconds: (time >> 32) as u32, increment: time as u32 })
}

/// The time of a `prevOpTime`; the first of a transaction has one that is all nothing.
fn previous(element: &Element) -> Result<Option<ClusterTime>, Malformed> {
    if element.kind != kind::DOCUMENT {
        return Ok(None);
    }
    let time = document::get(element.value, b"ts")?.and_then(|element| time(&element));
    Ok(time.filter(|time| *time != ClusterTime::default()))
}

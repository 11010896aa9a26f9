//! The oplog of a member, as far as it is asked for.

use bson::{RawDocumentBuf, Timestamp, rawdoc};

use super::{Error, entry::Entry};
use crate::{
    format::snapshot::ClusterTime,
    limits,
    mongo::{Batch, Cursor, Link},
};

/// CappedPositionLost: what was being read has been overwritten.
const OVERWRITTEN: i32 = 136;
/// MaxTimeMSExpired.
const TIME_IS_UP: i32 = 50;

/// Whether this user may read it.
pub(super) fn may_be_read(link: &Link) -> Result<bool, Error> {
    match first(link) {
        Ok(first) => Ok(first.is_some()),
        Err(Error::Server(error)) if error.is_unauthorized() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The time of its first entry.
pub(super) fn first(link: &Link) -> Result<Option<ClusterTime>, Error> {
    let command = rawdoc! {
        "find": "oplog.rs",
        "sort": { "$natural": 1 },
        "limit": 1,
        "projection": { "ts": 1 },
    };
    match link.list("local", command.as_bytes())?.first() {
        Some(entry) => Ok(Some(read(entry)?.time)),
        None => Ok(None),
    }
}

/// The entry of exactly that time.
pub(super) fn at(link: &Link, time: ClusterTime) -> Result<Option<Vec<u8>>, Error> {
    let command = rawdoc! {
        "find": "oplog.rs",
        "filter": { "ts": { "$gte": Timestamp::from(time) } },
        "limit": 1,
    };
    let Some(entry) = link.list("local", command.as_bytes())?.pop() else { return Ok(None) };
    let found = read(&entry)?.time;
    Ok((found == time).then_some(entry))
}

/// Waits until a majority of the members has all that this one has of `time` and before.
pub(super) fn await_majority(link: &Link, time: ClusterTime) -> Result<(), Error> {
    let command = rawdoc! {
        "find": "oplog.rs",
        "limit": 1,
        "projection": { "ts": 1 },
        "readConcern": { "level": "majority", "afterClusterTime": Timestamp::from(time) },
        "maxTimeMS": limits::MAJORITY_PATIENCE_MILLIS,
    };
    match link.list("local", command.as_bytes()) {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(TIME_IS_UP) => {
            Err(Error::NoMajority { member: link.facts().member.clone(), time })
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn read(entry: &[u8]) -> Result<Entry<'_>, Error> {
    Entry::of(entry).map_err(malformed)
}

pub(super) fn malformed(why: impl std::fmt::Display) -> Error {
    Error::Malformed {
        what: "an entry",
        namespace: "local.oplog.rs".to_owned(),
        why: why.to_string(),
    }
}

/// Batches of entries after `since`, in their order; goes on when the connection is lost.
pub(super) struct Entries<'a> {
    link: &'a Link,
    since: ClusterTime,
    /// Up to here and only what a majority has; else all there is at the moment.
    until: Option<ClusterTime>,
    cursor: Option<Cursor>,
    failures: u32,
}

impl<'a> Entries<'a> {
    pub fn new(link: &'a Link, since: ClusterTime, until: Option<ClusterTime>) -> Entries<'a> {
        Entries { link, since, until, cursor: None, failures: 0 }
    }

    pub fn next_batch(&mut self) -> Result<Option<Batch>, Error> {
        loop {
            let cursor = match &mut self.cursor {
                Some(cursor) => cursor,
                empty => {
                    let command = command(self.since, self.until).into_bytes();
                    let many = limits::SCAN_BATCH_DOCUMENTS;
                    empty.insert(self.link.cursor("local", &command, many)?)
                }
            };
            match cursor.next() {
                Some(Ok(batch)) => {
                    if let Some(last) = batch.documents().last() {
                        self.since = read(last)?.time;
                    }
                    self.failures = 0;
                    return Ok(Some(batch));
                }
                Some(Err(error)) if error.is_passing() => {
                    self.cursor = None;
                    self.failures += 1;
                    if self.failures > limits::SCAN_FAILURES_MAX {
                        return Err(error.into());
                    }
                    self.link.pause_after(self.failures);
                }
                Some(Err(error)) if error.code() == Some(OVERWRITTEN) => {
                    return Err(rolled_over(self.link, self.since)?);
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(None),
            }
        }
    }
}

/// No-ops tell nothing.
fn command(since: ClusterTime, until: Option<ClusterTime>) -> RawDocumentBuf {
    let mut range = rawdoc! { "$gt": Timestamp::from(since) };
    let mut concern = rawdoc! { "level": "local" };
    if let Some(until) = until {
        let until = Timestamp::from(until);
        range.append(bson::cstr!("$lte"), until);
        concern = rawdoc! { "level": "majority", "afterClusterTime": until };
    }
    rawdoc! {
        "find": "oplog.rs",
        "filter": { "ts": range, "op": { "$ne": "n" } },
        "batchSize": limits::SCAN_BATCH_DOCUMENTS as i32,
        "readConcern": concern,
    }
}

/// The error that tells of it.
pub(super) fn rolled_over(link: &Link, since: ClusterTime) -> Result<Error, Error> {
    let first = first(link)?.unwrap_or_default();
    let member = link.facts().member.clone();
    Ok(Error::OplogRolledOver { member, since, first })
}

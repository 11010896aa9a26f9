//! What stops a collector.

use std::io;

use crate::{
    format,
    id::{BlobId, PackId, Sid},
    repo::{self, catalog::SegmentError},
    store::{self, Name},
};

/// Facts of a run that stopped. Nothing that a snapshot needs is gone after any of them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Repo(#[from] repo::Error),
    #[error("the cache can't be used")]
    Cache(#[from] io::Error),
    #[error("rows of the cache can't be read")]
    TornCache,
    #[error("{object} can't be read, and what it says must be known")]
    Unreadable {
        object: String,
        #[source]
        source: format::Error,
    },
    #[error("{what} can't be sealed")]
    Unsealable {
        what: &'static str,
        #[source]
        source: format::Error,
    },
    #[error("an index segment just written can't be read back")]
    OwnSegment {
        #[source]
        source: SegmentError,
    },
    #[error("the index has more rows than can be marked")]
    TooManyRows,
    #[error("a tree of snapshot {snapshot} can't be walked")]
    Walk {
        snapshot: Sid,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("snapshot {snapshot} needs blob {blob}, which is in no pack ({missing} are missing)")]
    BlobMissing { snapshot: Sid, blob: BlobId, missing: usize },
    #[error("blob {blob} is needed and can be read from no pack, the last tried is {pack}")]
    NoGoodCopy { blob: BlobId, pack: PackId },
    #[error("two listings of packs differ: {first} and then {second} packs, {differing} differ")]
    ListingsDiffer { first: usize, second: usize, differing: usize },
    #[error("{gone} snapshots are gone though nobody forgot them, {sid} is one")]
    SnapshotsShrank { gone: usize, sid: Sid },
    #[error("session {session} relies on snapshot {parent}, which is not there")]
    ParentMissing { session: Sid, parent: Sid },
    #[error("{packs} of {all} packs would go, more than {max_percent} %")]
    TooMuch { packs: usize, all: usize, max_percent: u8 },
    #[error("the last snapshot of {} {}, {sid}, would go", host, paths.join(" "))]
    LastOfSource { sid: Sid, host: String, paths: Vec<String> },
    #[error("there is no snapshot at all, not even a forgotten one, and {packs} packs would go")]
    NoSnapshots { packs: u64 },
    #[error("the packs that must stay could not be settled: others keep condemning them")]
    Unsettled,
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    pub(super) fn unreadable(name: &Name, source: format::Error) -> Error {
        Error::Unreadable { object: name.to_string(), source }
    }
}

//! Why a deployment could not be captured.

use std::time::Duration;

use crate::{format::snapshot::ClusterTime, mongo, source::sorter::SortError};

use super::Collection;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Server(#[from] mongo::Error),
    #[error("{uri} is a router of a sharded cluster, and those can't be captured yet")]
    Sharded { uri: String },
    #[error("{member} is a standalone server: it has no {asked} to read at one moment")]
    Standalone { member: String, asked: &'static str },
    #[error("{member} has the version {version}; servers read as of one moment from 5.0 on")]
    TooOld { member: String, version: String },
    /// What was read so far can't become a snapshot of one moment. Another capture may.
    #[error("it has to start again: {why}")]
    StartAgain { why: String },
    /// Something happened to these collections that can't be told from the oplog. Once each was
    /// scanned again, and what was read of it before forgotten, the capture can be settled.
    #[error("{} must be scanned again", .collections[0].namespace)]
    ScanAgain { collections: Vec<Collection> },
    #[error(
        "the oplog rolled over: {member} no longer has what happened since {since}, only since \
         {first}"
    )]
    OplogRolledOver { member: String, since: ClusterTime, first: ClusterTime },
    #[error("no majority of the set's members has come to {time}, where {member} is")]
    NoMajority { member: String, time: ClusterTime },
    #[error("the oplog holds an operation that this version does not know: {what}")]
    UnknownOperation { what: String },
    #[error("{namespace} is capped, and such can't be read as of one moment without the oplog")]
    Capped { namespace: String },
    #[error("what the oplog has can't be sorted")]
    Sort(#[from] SortError),
    #[error("the catalogue of {member} changed each of the {tries} times it was read")]
    Restless { member: String, tries: u32 },
    #[error(
        "{member} can't read as of {at} any more: the scan took longer than the {} s it keeps",
        .window.as_secs()
    )]
    WindowPassed { member: String, at: String, window: Duration },
    #[error(
        "{namespace} was changed in a way that this version does not know, and the document can't \
         be read as of {at}: {why}"
    )]
    NotAsOf { namespace: String, at: ClusterTime, why: String },
    #[error("interrupted")]
    Cancelled,
    #[error("{namespace} is a {kind}, which this version can't capture")]
    UnknownKind { namespace: String, kind: String },
    #[error("{what} of {namespace} can't be read: {why}")]
    Malformed { what: &'static str, namespace: String, why: String },
}

impl Error {
    /// Whether a new capture may well succeed where this one did not.
    pub fn is_start_again(&self) -> bool {
        matches!(self, Error::StartAgain { .. })
    }

    /// What to type against it, if there is such a thing.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Server(error) => error.hint(),
            Error::Sharded { .. } => Some(
                "connect to each shard's replica set while nothing writes, or use the cluster's \
                 own backup"
                    .to_owned(),
            ),
            Error::Standalone { .. } => Some(
                "restart it as a replica set of one member: mongod --replSet rs0, then once \
                 rs.initiate() in mongosh"
                    .to_owned(),
            ),
            Error::TooOld { .. } => Some(
                "let the user read the oplog (role `backup`) and leave the choice to icecore"
                    .to_owned(),
            ),
            Error::Restless { .. } => Some(
                "something creates or drops collections all the time; leave those out with \
                 --ns-exclude, or let the user read the oplog (role `backup`)"
                    .to_owned(),
            ),
            Error::OplogRolledOver { .. } => Some(
                "make the oplog larger, on each member, in mongosh: \
                 db.adminCommand({replSetResizeOplog: 1, size: MEGABYTES}); or read faster"
                    .to_owned(),
            ),
            Error::NoMajority { .. } => Some(
                "bring the set's other members up (rs.status() in mongosh shows them): what only \
                 a minority has may be rolled back"
                    .to_owned(),
            ),
            Error::Capped { .. } => Some(
                "let the user read the oplog (role `backup`), or leave the collection out with \
                 --ns-exclude"
                    .to_owned(),
            ),
            Error::NotAsOf { .. } => Some(
                "use a version of icecore that knows this server; or back up when less is \
                 written, or let the server look back further (minSnapshotHistoryWindowInSeconds)"
                    .to_owned(),
            ),
            Error::WindowPassed { .. } => Some(
                "let the user read the oplog (role `backup`): then there is no limit in time"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

//! What is read out of a reply's own fields.

use bson::{RawBsonRef, RawDocument, Timestamp};

use crate::format::snapshot::ClusterTime;

impl From<Timestamp> for ClusterTime {
    fn from(time: Timestamp) -> Self {
        ClusterTime { seconds: time.time, increment: time.increment }
    }
}

impl From<ClusterTime> for Timestamp {
    fn from(time: ClusterTime) -> Self {
        Timestamp { time: time.seconds, increment: time.increment }
    }
}

/// How far the member had come when it answered (`operationTime`).
pub fn operation_time(reply: &[u8]) -> Option<ClusterTime> {
    let reply = RawDocument::from_bytes(reply).ok()?;
    match reply.get("operationTime").ok()?? {
        RawBsonRef::Timestamp(time) => Some(time.into()),
        _ => None,
    }
}

/// The latest time that the member has heard of in its cluster (`$clusterTime`).
pub fn cluster_time(reply: &[u8]) -> Option<ClusterTime> {
    let reply = RawDocument::from_bytes(reply).ok()?;
    let gossip = reply.get_document("$clusterTime").ok()?;
    gossip.get_timestamp("clusterTime").ok().map(Into::into)
}

//! What a capture comes to: a moment, the catalogue of that moment, and what changed since a scan.

use super::{Changes, Collection};
use crate::format::snapshot::{ClusterTime, Consistency};

/// The moment that all collections stand at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub consistency: Consistency,
    /// None for a standalone.
    pub cluster_time: Option<ClusterTime>,
    /// The election term at that moment, if the oplog could be read.
    pub term: Option<i64>,
    /// The member's count of rollbacks, if it could be asked.
    pub rollback_id: Option<i32>,
}

/// The end of a capture.
pub struct Settled {
    pub point: Point,
    /// Exactly that of the moment, views too, in the order of the catalogue's keys. A collection
    /// in it that was never scanned was empty when it was created; a scanned one that is not in
    /// it is gone.
    pub catalogue: Vec<Collection>,
    pub changes: Changes,
}

/// What happened to one document. In the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The whole document, new or in place of the old one.
    Put(Vec<u8>),
    /// A `$v: 2` diff. Of a document that is not there: nothing.
    Diff(Vec<u8>),
    /// A `$v: 1` update (`$set`, `$unset`). Of a document that is not there: nothing.
    Modify(Vec<u8>),
    Delete,
}

//! What kind of server it is that answers.

use std::time::Duration;

use crate::format::snapshot::ClusterTime;

/// What a connected server told of itself. Taken once, when the connection was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// As it may be shown and recorded: `mongodb://host:port/db`, without user and password.
    pub uri: String,
    /// The database that the connection string names.
    pub database: Option<String>,
    /// `(6, 0, 5)`
    pub version: (u32, u32, u32),
    /// Of the replica set; none for a standalone and for a router.
    pub set_name: Option<String>,
    /// `host:port` of the member that answers all that is asked.
    pub member: String,
    /// A router of a sharded cluster.
    pub is_mongos: bool,
    pub is_primary: bool,
    /// How far back the member can read (`minSnapshotHistoryWindowInSeconds`); none if it can't
    /// or does not say.
    pub history_window: Option<Duration>,
    /// The member's time when it was asked; none for a standalone.
    pub cluster_time: Option<ClusterTime>,
}

impl Facts {
    pub fn is_replica_set(&self) -> bool {
        self.set_name.is_some()
    }

    /// `6.0.5`
    pub fn version_text(&self) -> String {
        let (major, minor, patch) = self.version;
        format!("{major}.{minor}.{patch}")
    }

    /// From 5.0 on a server reads as of a moment outside of transactions.
    pub fn reads_as_of_a_moment(&self) -> bool {
        self.is_replica_set() && self.version >= (5, 0, 0)
    }

    /// From 6.0 on a server refuses to answer for another collection of the same name.
    pub fn checks_collection_uuid(&self) -> bool {
        self.version >= (6, 0, 0)
    }
}

//! The record that names a snapshot's trees, and says when, where and of what it was made.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{BlobId, Sid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The moment it stands for, as the person gave it or as the backup began.
    pub time: Timestamp,
    pub host: String,
    pub user: String,
    #[serde(default)]
    pub uid: u32,
    #[serde(default)]
    pub gid: u32,
    #[serde(default)]
    pub tags: Vec<String>,
    /// What was asked for, absolute, sorted; for people and for finding a parent. Bytes that are
    /// not UTF-8 show as U+FFFD here: the names themselves are in the tree.
    #[serde(default)]
    pub paths: Vec<String>,
    pub roots: Vec<NamedRoot>,
    /// The snapshot whose tree was the starting point.
    #[serde(default)]
    pub parent: Option<Sid>,
    /// The snapshot that this one is a later form of (tagged, copied, undeleted).
    #[serde(default)]
    pub original: Option<Sid>,
    pub program: String,
    #[serde(default)]
    pub excludes: Vec<String>,
    /// Items that could not be read, so that this snapshot lacks them.
    #[serde(default)]
    pub troubles: u64,
    #[serde(default)]
    pub summary: Summary,
    /// What is known of the MongoDB deployment, if there is a root "mongodb".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mongodb: Option<Mongodb>,
}

/// The deployment that was captured, and what moment of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mongodb {
    /// Where it was asked for, without user and password: `mongodb://host:port/db`.
    pub uri: String,
    /// `6.0.5`
    pub version: String,
    /// Of the replica set; none for a standalone.
    #[serde(default)]
    pub set_name: Option<String>,
    /// The member that was read, `host:port`.
    pub member: String,
    pub consistency: Consistency,
    /// The moment all collections stand at; none for a standalone.
    #[serde(default)]
    pub cluster_time: Option<ClusterTime>,
    /// The election term at that moment.
    #[serde(default)]
    pub term: Option<i64>,
    /// The count of rollbacks of the member (`replSetGetRBID`), if it could be asked.
    #[serde(default)]
    pub rollback_id: Option<i32>,
}

/// How the collections of a snapshot belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Read at one cluster time.
    Snapshot,
    /// Scanned, and made exact by the oplog up to one cluster time.
    Oplog,
    /// Not a point in time: each document as it was at some moment of the scan.
    None,
}

/// MongoDB's time: seconds since 1970, and the number of the operation within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct ClusterTime {
    pub seconds: u32,
    pub increment: u32,
}

impl std::fmt::Display for ClusterTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.seconds, self.increment)
    }
}

/// A tree of the snapshot: "files", "mongodb". `tree::Root` with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedRoot {
    pub name: String,
    pub id: BlobId,
    pub level: u8,
    pub entries: u64,
    pub bytes: u64,
}

/// What the backup did, in restic's words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    pub files_new: u64,
    pub files_changed: u64,
    pub files_unmodified: u64,
    pub dirs_new: u64,
    pub dirs_changed: u64,
    pub dirs_unmodified: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub docs_new: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub docs_changed: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub docs_deleted: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub docs_unmodified: u64,
    /// Collections of the snapshot, views too.
    #[serde(skip_serializing_if = "is_zero")]
    pub collections: u64,
    /// Plain bytes of the blobs that were new to the repository.
    pub data_added: u64,
    /// The same, as stored.
    pub data_added_packed: u64,
    pub total_files_processed: u64,
    pub total_bytes_processed: u64,
    pub backup_start: Timestamp,
    pub backup_end: Timestamp,
}

// Serde hands in a reference.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

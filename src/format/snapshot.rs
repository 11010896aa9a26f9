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
}

/// A tree of the snapshot: "files", and what else is to come. `tree::Root` with a name.
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
    /// Plain bytes of the blobs that were new to the repository.
    pub data_added: u64,
    /// The same, as stored.
    pub data_added_packed: u64,
    pub total_files_processed: u64,
    pub total_bytes_processed: u64,
    pub backup_start: Timestamp,
    pub backup_end: Timestamp,
}

//! What collectors and people say about what should go, and what is known to be bad.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::{
    id::{BlobId, Id, PackId, Sid},
    seal::ControlKind,
};

/// A condemned set.
pub enum Condemned {}
/// 32 random bytes.
pub type SetId = Id<Condemned>;

/// `gc/<set>`: packs that will be deleted. Never edited, never cancelled, only completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CondemnedSet {
    pub packs: Vec<PackId>,
    pub time: Timestamp,
    pub host: String,
}

/// `tombstones/<sid>-<rand>`: somebody asked that this snapshot be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    pub snapshot: Sid,
    pub actor: String,
    pub reason: String,
    pub time: Timestamp,
}

/// `damaged/<rand>`: writers make no use of these. Packs alone: all that is in them. Blobs alone:
/// every copy. Both: these blobs where they lie in these packs; other copies are good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    #[serde(default)]
    pub packs: Vec<PackId>,
    #[serde(default)]
    pub blobs: Vec<BlobId>,
    pub time: Timestamp,
}

impl Record for CondemnedSet {
    const KIND: ControlKind = ControlKind::Condemned;
}

impl Record for Tombstone {
    const KIND: ControlKind = ControlKind::Tombstone;
}

impl Record for Damaged {
    const KIND: ControlKind = ControlKind::Damaged;
}

//! What a writer at work tells collectors.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Record, gc::SetId};
use crate::{
    id::{PackId, Sid},
    seal::ControlKind,
};

/// `sessions/<sid>/open`: published before the session lists anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub sid: Sid,
    /// Snapshots whose blobs the session reuses without looking at each: collectors count them
    /// as roots.
    #[serde(default)]
    pub parents: Vec<Sid>,
    pub host: String,
    pub time: Timestamp,
    pub program: String,
}

/// `sessions/<sid>/hb-<n>`: what the session knows of condemned packs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub time: Timestamp,
    /// Every condemned set it has seen: it makes no new use of their packs.
    #[serde(default)]
    pub seen: Vec<SetId>,
    /// Packs of those sets that it used before it saw them.
    #[serde(default)]
    pub pins: Vec<PackId>,
    #[serde(default)]
    pub parents: Vec<Sid>,
}

impl Record for Open {
    const KIND: ControlKind = ControlKind::SessionOpen;
}

impl Record for Heartbeat {
    const KIND: ControlKind = ControlKind::Heartbeat;
}

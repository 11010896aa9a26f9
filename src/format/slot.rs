//! `snapshots/<sid>`, the commit slot: created once, and then it is decided.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Record, snapshot::Snapshot};
use crate::seal::ControlKind;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    Commit {
        /// The writer's own: finding it means that the commit happened, though its answer was lost.
        #[serde(with = "serde_bytes")]
        nonce: [u8; 16],
        snapshot: Box<Snapshot>,
    },
    /// A collector fenced the session: it must begin again under another sid.
    Abort { by: String, reason: String, time: Timestamp },
}

impl Record for Slot {
    const KIND: ControlKind = ControlKind::Slot;
}

//! What a capture and its scans know together.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard},
};

use super::{Error, Uuid, positions::Positions};
use crate::{format::snapshot::ClusterTime, mongo::Link};

/// How documents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As they are.
    Plain,
    /// As of this moment.
    Snapshot { at: ClusterTime },
    /// As they are, and not older than this; the oplog tells the rest.
    Fuzzy { since: ClusterTime },
}

/// What a capture and its scans know together.
pub(super) struct Shared {
    pub link: Link,
    /// Whether reads that can't be had as of one moment may be made good by the oplog.
    pub has_oplog: bool,
    known: Mutex<Known>,
}

pub(super) struct Known {
    pub mode: Mode,
    pub vanished: BTreeSet<Uuid>,
    /// Where documents without a key's order were seen.
    pub positions: Option<Positions>,
}

impl Shared {
    pub fn new(link: &Link, has_oplog: bool, mode: Mode, positions: Option<Positions>) -> Shared {
        let known = Known { mode, vanished: BTreeSet::new(), positions };
        Shared { link: link.clone(), has_oplog, known: Mutex::new(known) }
    }

    pub fn mode(&self) -> Mode {
        self.known().mode
    }

    /// Reads of a moment are given up, if there is another way to one; whether they are.
    pub fn fall_back(&self) -> bool {
        let mut known = self.known();
        if let (Mode::Snapshot { at }, true) = (known.mode, self.has_oplog) {
            known.mode = Mode::Fuzzy { since: at };
        }
        matches!(known.mode, Mode::Fuzzy { .. })
    }

    /// A collection was dropped under its scan.
    pub fn vanished(&self, uuid: Uuid) {
        self.known().vanished.insert(uuid);
    }

    /// A document was seen so many documents after the first.
    pub fn seen_at(&self, uuid: &Uuid, id_key: &[u8], position: u64) -> Result<(), Error> {
        match &mut self.known().positions {
            Some(positions) => positions.push(uuid, id_key, position),
            None => Ok(()),
        }
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no code panics while it holds this")
    }
}

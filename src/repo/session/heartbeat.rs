//! Heartbeats: what a session tells collectors while it works.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::{Reuse, Session, Shared};
use crate::{
    format::session::Heartbeat,
    id::{PackId, Sid},
    limits::HEARTBEAT_SECONDS,
    repo::{Error, layout},
    store::Put,
};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(500);
/// A heartbeat that failed is tried again after this long.
const RETRY: Duration = Duration::from_secs(30);

impl Session {
    /// Step 6, now. A thread does this every few minutes by the ambient clock.
    pub fn heartbeat(&self) -> Result<(), Error> {
        self.shared.heartbeat()
    }
}

impl Shared {
    /// Until the session lets go of the other end.
    pub(super) fn beat_until(&self, stopped: &Receiver<()>) {
        let clock = &self.repo.ambient().clock;
        let every = Duration::from_secs(HEARTBEAT_SECONDS);
        let mut next = clock.monotonic() + every;
        while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            if clock.monotonic() < next {
                continue;
            }
            // Missing one is not unsafe, only late: a collector waits, and at last it fences.
            next = clock.monotonic() + if self.heartbeat().is_ok() { every } else { RETRY };
            if let Err(error) = self.index_if_due() {
                self.fail(error);
            }
        }
    }

    pub(super) fn heartbeat(&self) -> Result<(), Error> {
        // Held over both steps: no dedup decision falls between the listing and the promise.
        let mut knowledge = self.knowledge.write().expect("no code panics changing it");
        knowledge.learn_condemned(&self.repo)?;
        let pins = self.rests_on().into_iter().filter(|pack| knowledge.condemned.contains(pack));
        let beat = Heartbeat {
            time: self.repo.now(),
            seen: knowledge.sets.iter().copied().collect(),
            pins: pins.collect(),
            parents: self.live_parents(),
        };
        let mut name = self.name();
        if name.ended {
            return Ok(());
        }
        loop {
            let put =
                self.repo.put_record(&layout::heartbeat(&name.sid, name.heartbeats), &beat)?;
            name.heartbeats += 1;
            // Else an earlier one, whose answer was lost, has this number and does not say this.
            if put == Put::Created {
                return Ok(());
            }
        }
    }

    /// Every pack that blobs of this session rest on, its own included.
    pub(super) fn rests_on(&self) -> Vec<PackId> {
        let depends = self.depends.lock().expect("no code panics holding it");
        let mut packs: Vec<PackId> = (depends.iter())
            .filter_map(|number| self.repo.catalog().pack(number).map(|pack| pack.id))
            .collect();
        drop(depends);
        packs.extend(self.own.lock().expect("no code panics holding it").iter());
        packs.sort_unstable();
        packs.dedup();
        packs
    }

    fn live_parents(&self) -> Vec<Sid> {
        match *self.reuse.lock().expect("no code panics holding it") {
            Reuse::Free => self.parents.clone(),
            // What was reused was looked at, and is pinned if it must be.
            Reuse::No | Reuse::Test => Vec::new(),
        }
    }
}

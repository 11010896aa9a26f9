//! The end of a session: a commit, or the announcement is taken back.

use super::{Knowledge, Reuse, Session, SessionName, Shared, announce};
use crate::{
    format::{slot::Slot, snapshot::Snapshot},
    id::Sid,
    repo::{Error, layout},
    store::Put,
};

/// How often a session that was fenced tries again by itself.
const TRIES: usize = 3;

/// What became of a commit that was sent.
enum Decision {
    Committed,
    Fenced { by: String, reason: String },
}

impl Session {
    /// The snapshot is in the repository on return, under the sid that is given. Everything that
    /// was written is flushed first.
    ///
    /// A session that was fenced begins again under another sid, if all that it rests on may
    /// still be built on; `Error::Fenced` says that the work must be done again, which finds
    /// most of it done.
    pub fn commit(self, snapshot: Snapshot) -> Result<Sid, Error> {
        let shared = &self.shared;
        shared.flush()?;
        for _ in 0..TRIES {
            let sid = self.sid();
            match shared.commit(&snapshot)? {
                Decision::Committed => return Ok(sid),
                Decision::Fenced { by, reason } => {
                    if !shared.begin_again()? {
                        return Err(Error::Fenced { sid, by, reason });
                    }
                }
            }
        }
        let (by, reason) = (String::from("collectors"), String::from("again and again"));
        Err(Error::Fenced { sid: self.sid(), by, reason })
    }
}

impl Shared {
    /// Step 7.
    fn commit(&self, snapshot: &Snapshot) -> Result<Decision, Error> {
        let nonce = self.repo.ambient().random();
        let sid = self.name().sid;
        let slot = Slot::Commit { nonce, snapshot: Box::new(snapshot.clone()) };
        let object = layout::slot(&sid);
        // From the moment it is sent it may arrive, however late.
        self.name().undecided = true;
        let put = self.repo.put_record(&object, &slot);
        if let Ok(Put::Created) = put {
            self.name().undecided = false;
            return Ok(Decision::Committed);
        }
        // The slot has been decided, or the answer was lost: it says which.
        let decision = match (self.repo.get_record::<Slot>(&object), put) {
            (Ok(Slot::Commit { nonce: found, .. }), _) if found == nonce => Decision::Committed,
            (Ok(Slot::Commit { .. }), _) => return Err(Error::SlotTaken { sid }),
            (Ok(Slot::Abort { by, reason, .. }), _) => Decision::Fenced { by, reason },
            (Err(_), Err(failed)) => return Err(failed),
            (Err(failed), Ok(_)) => return Err(failed),
        };
        self.name().undecided = false;
        Ok(decision)
    }

    /// A new sid, and steps 1 to 4 again for all that the session rests on. False: some of it may
    /// not be built on any more.
    fn begin_again(&self) -> Result<bool, Error> {
        self.withdraw()?;
        let sid = announce(&self.repo, &self.parents)?;
        *self.name() = SessionName::new(sid);
        let mut fresh = Knowledge::learn(&self.repo)?;
        self.repo.refresh()?;
        fresh.learn_packs(&self.repo)?;
        let reuse = self.judge(&fresh)?;
        let before = *self.reuse.lock().expect("no code panics holding it");
        let sound = self.rests_on().iter().all(|pack| {
            let number = self.repo.catalog().number(pack);
            number.is_some_and(|number| fresh.may_use(number))
        });
        // Blobs reused freely were never looked at: only a parent that still frees from looking
        // covers them. Those that were tested are among what the session rests on.
        let covered = before != Reuse::Free || reuse == Reuse::Free;
        *self.knowledge.write().expect("no code panics changing it") = fresh;
        Ok(sound && covered)
    }

    /// Step 8: the session's own objects go, the announcement last.
    pub(super) fn withdraw(&self) -> Result<(), Error> {
        let mut name = self.name();
        if name.ended || name.undecided {
            return Ok(());
        }
        name.ended = true;
        for number in 0..name.heartbeats {
            self.repo.store().remove(&layout::heartbeat(&name.sid, number))?;
        }
        Ok(self.repo.store().remove(&layout::session_open(&name.sid))?)
    }
}

//! Sessions at work: who they are, and waiting for them (C3, C4).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Error, Options,
    ground::{Ground, Strange},
};
use crate::{
    format::{
        gc::{CondemnedSet, SetId},
        session::{Heartbeat, Open},
        slot::Slot,
    },
    id::{PackId, Sid},
    limits::DRAIN_LOOK_SECONDS,
    progress::Progress,
    repo::layout::{self, SessionObject},
    store::{Name, Put},
};

/// A session that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtWork {
    pub sid: Sid,
    /// `None` when its `open` can't be read.
    pub host: Option<String>,
    /// When it last said something, by its own clock.
    pub heard: Option<Timestamp>,
}

impl AtWork {
    /// Whether it has said something within the lease, if its clock and ours agree.
    pub(super) fn is_fresh(&self, ground: &Ground, options: &Options) -> bool {
        let lease = SignedDuration::try_from(options.lease).unwrap_or(SignedDuration::MAX);
        let now = ground.ambient.clock.now();
        self.heard.is_some_and(|time| now.duration_since(time) < lease)
    }
}

/// What the drained sessions rely on.
#[derive(Debug, Default)]
pub(super) struct Drained {
    pub pins: BTreeSet<PackId>,
    /// Which snapshots count as roots, and for whom.
    pub parents: BTreeMap<Sid, Sid>,
    /// Those that were not waited for any longer: nothing may be deleted.
    pub left: Vec<AtWork>,
    pub fenced: Vec<Sid>,
}

/// One listing of `sessions/`: of each session with an `open`, the numbers of its heartbeats.
fn listing(ground: &Ground) -> Result<BTreeMap<Sid, Vec<u64>>, Error> {
    let (mut open, mut beats) = (BTreeSet::new(), BTreeMap::<Sid, Vec<u64>>::new());
    for listed in ground.list(layout::SESSIONS)? {
        match layout::session_object(&listed) {
            Some((sid, SessionObject::Open)) => drop(open.insert(sid)),
            Some((sid, SessionObject::Heartbeat(number))) => {
                beats.entry(sid).or_default().push(number);
            }
            None => {}
        }
    }
    Ok(open.into_iter().map(|sid| (sid, beats.remove(&sid).unwrap_or_default())).collect())
}

/// The sessions that are open and undecided now.
pub(super) fn sessions(ground: &Ground, strange: &mut Vec<Strange>) -> Result<Vec<AtWork>, Error> {
    let mut at_work = Vec::new();
    for (sid, beats) in listing(ground)? {
        if !ground.has(&layout::slot(&sid))? {
            at_work.push(look(ground, sid, &beats, strange)?.0);
        }
    }
    Ok(at_work)
}

type Beats = Vec<Heartbeat>;

/// Reads what a session says. Heartbeats that can't be read say nothing.
fn look(
    ground: &Ground,
    sid: Sid,
    numbers: &[u64],
    strange: &mut Vec<Strange>,
) -> Result<(AtWork, Option<Open>, Beats), Error> {
    let mut name_it = |name: &Name, error| {
        if !strange.iter().any(|known| known.object == name.as_str()) {
            strange.push(Strange { object: name.to_string(), error });
        }
    };
    let name = layout::session_open(&sid);
    let open = match ground.get::<Open>(&name)? {
        Some(Ok(open)) => Some(open),
        Some(Err(error)) => {
            name_it(&name, error);
            None
        }
        None => None,
    };
    let mut beats = Vec::new();
    for number in numbers {
        let name = layout::heartbeat(&sid, *number);
        match ground.get::<Heartbeat>(&name)? {
            Some(Ok(beat)) => beats.push(beat),
            Some(Err(error)) => name_it(&name, error),
            None => {}
        }
    }
    let times = open.iter().map(|open| open.time).chain(beats.iter().map(|beat| beat.time));
    let heard = times.max();
    let host = open.as_ref().map(|open| open.host.clone());
    Ok((AtWork { sid, host, heard }, open, beats))
}

/// C3 and C4: waits until every session that is listed now has ended, is decided, or says that it
/// has seen all of `sets`, for as long as the options allow.
pub(super) fn drain(
    ground: &Ground,
    sets: &BTreeMap<SetId, CondemnedSet>,
    options: &Options,
    strange: &mut Vec<Strange>,
    progress: &Progress,
) -> Result<Drained, Error> {
    progress.phase("waiting for backups at work");
    let start = ground.ambient.clock.monotonic();
    let mut waits: BTreeSet<Sid> = listing(ground)?.into_keys().collect();
    let mut drained = Drained::default();
    loop {
        let listed = listing(ground)?;
        let mut left = Vec::new();
        for sid in std::mem::take(&mut waits) {
            // That a session has ended is not believed of a listing alone.
            let has_ended =
                !listed.contains_key(&sid) && !ground.has(&layout::session_open(&sid))?;
            if has_ended || ground.has(&layout::slot(&sid))? {
                continue;
            }
            let numbers = listed.get(&sid).map_or(&[][..], Vec::as_slice);
            let (at_work, open, beats) = look(ground, sid, numbers, strange)?;
            let seen = beats.iter().any(|beat| sets.keys().all(|set| beat.seen.contains(set)));
            if let (true, Some(open)) = (seen, &open) {
                drained.pins.extend(beats.iter().flat_map(|beat| &beat.pins));
                let parents = beats.iter().flat_map(|beat| &beat.parents).chain(&open.parents);
                drained.parents.extend(parents.map(|parent| (*parent, sid)));
                continue;
            }
            let waited = ground.ambient.clock.monotonic().saturating_sub(start);
            if ground.may_fence && is_dead(ground, &at_work, sets, options, waited)
                || options.give_up.contains(&sid)
            {
                fence(ground, &sid)?;
                drained.fenced.push(sid);
                continue;
            }
            left.push(at_work);
        }
        if left.is_empty() {
            return Ok(drained);
        }
        if ground.ambient.clock.monotonic().saturating_sub(start) >= options.wait {
            drained.left = left;
            return Ok(drained);
        }
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        waits = left.iter().map(|at_work| at_work.sid).collect();
        ground.ambient.clock.sleep(Duration::from_secs(DRAIN_LOOK_SECONDS).min(options.wait));
    }
}

/// No progress for the lease: waited for so long in this run; or a set of an earlier run has lain
/// there for so long (a live session lists the sets every few minutes) and the session has said
/// nothing for so long by its own clock either. To be wrong here costs a session its retry.
fn is_dead(
    ground: &Ground,
    at_work: &AtWork,
    sets: &BTreeMap<SetId, CondemnedSet>,
    options: &Options,
    waited: Duration,
) -> bool {
    if waited >= options.lease {
        return true;
    }
    let now = ground.ambient.clock.now();
    let lease = SignedDuration::try_from(options.lease).unwrap_or(SignedDuration::MAX);
    let lay_there = sets.values().any(|set| now.duration_since(set.time) >= lease);
    lay_there && !at_work.is_fresh(ground, options)
}

/// Abort and commit compete for one name. Whichever stands there then, the session is decided.
fn fence(ground: &Ground, sid: &Sid) -> Result<Put, Error> {
    let slot = Slot::Abort {
        by: ground.ambient.host.clone(),
        reason: "the session showed no progress".into(),
        time: ground.ambient.clock.now(),
    };
    ground.put(&layout::slot(sid), &slot)
}

//! The last steps: the index without the packs that go, the packs, the sets (C8 to C10), and the
//! tidying of what has lost its meaning.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::{
    Error,
    ground::{Ground, Slots},
    run::Tidied,
};
use crate::{
    format::{
        self,
        gc::{CondemnedSet, SetId},
        index,
        pack::PackTable,
    },
    id::{PackId, SegmentId, Sid},
    limits::{INDEX_SEGMENT_AIM_BYTES, TOMBSTONE_KEEP_DAYS},
    progress::Progress,
    repo::KnownDamage,
    repo::layout::{self, SessionObject},
    store::Name,
};

/// Stands in every segment that a collector makes of others: the id of no segment. Packs in such
/// segments are older than the sessions at work (`choose`).
const OF_A_COLLECTOR: SegmentId = SegmentId::new([0; 32]);

/// C8: segments that name packs of `going`, or packs that are gone already, are replaced by
/// segments without them; so are those of sessions, if all of their packs are `used`. `listed`:
/// any listing of packs.
pub(super) fn reindex(
    ground: &Ground,
    going: &BTreeSet<PackId>,
    used: &RoaringBitmap,
    listed: &BTreeMap<PackId, u64>,
) -> Result<(), Error> {
    let catalog = ground.catalog;
    let settled = catalog.settled_packs();
    let segments = catalog.segments();
    let mut without = vanished(ground, &segments, listed)?;
    without.extend(going);
    let (must, rest): (Vec<_>, Vec<_>) = (segments.into_iter())
        .partition(|(_, packs)| packs.iter().any(|pack| without.contains(pack)));
    let may = rest.into_iter().filter(|(_, packs)| {
        let numbers: RoaringBitmap = packs.iter().filter_map(|id| catalog.number(id)).collect();
        numbers.is_subset(used) && !numbers.is_subset(&settled)
    });
    let mut batch: Vec<PackTable> = Vec::new();
    let (mut bytes, mut replaced) = (0, Vec::new());
    let mut seen = BTreeSet::new();
    for (id, _) in must.into_iter().chain(may) {
        let Some(segment) = ground.segment(&id)? else { continue };
        if matches!(segment, Err(format::Error::Unreadable { .. })) {
            // The next run may read it: only it may know what is in a pack.
            continue;
        }
        // One that is damaged says nothing; its packs' tables are read next time.
        for table in segment.unwrap_or_default().packs {
            if !without.contains(&table.id) && seen.insert(table.id) {
                bytes += index::table_bytes(&table);
                batch.push(table);
            }
        }
        replaced.push(id);
        if bytes > INDEX_SEGMENT_AIM_BYTES {
            replace(ground, std::mem::take(&mut batch), std::mem::take(&mut replaced))?;
            bytes = 0;
        }
    }
    replace(ground, batch, replaced)
}

/// The packs that segments name and that are gone for good, as a session that slept, or another
/// collector at the same time, can leave them behind. A pack was there before a segment named it,
/// and no name is used again: what is not there now never will be. Listings are not believed.
fn vanished(
    ground: &Ground,
    segments: &[(SegmentId, Vec<PackId>)],
    listed: &BTreeMap<PackId, u64>,
) -> Result<BTreeSet<PackId>, Error> {
    let named = segments.iter().flat_map(|(_, packs)| packs);
    let unlisted: BTreeSet<PackId> =
        named.filter(|pack| !listed.contains_key(*pack)).copied().collect();
    if unlisted.is_empty() {
        return Ok(unlisted);
    }
    ground.wait_for_visibility();
    let look = |id: PackId| match ground.has(&layout::pack(&id)) {
        Ok(true) => None,
        Ok(false) => Some(Ok(id)),
        Err(error) => Some(Err(error)),
    };
    unlisted.into_par_iter().filter_map(look).collect()
}

fn replace(ground: &Ground, tables: Vec<PackTable>, replaced: Vec<SegmentId>) -> Result<(), Error> {
    if replaced.is_empty() {
        return Ok(());
    }
    let mut supersedes = replaced.clone();
    supersedes.push(OF_A_COLLECTOR);
    ground.publish(tables, supersedes)?;
    for id in replaced {
        ground.store.remove(&layout::segment(&id))?;
    }
    Ok(())
}

/// C9.
pub(super) fn delete(
    ground: &Ground,
    going: &BTreeSet<PackId>,
    progress: &Progress,
) -> Result<(), Error> {
    going.par_iter().try_for_each(|id| {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        ground.store.remove(&layout::pack(id))?;
        progress.done(1, 0);
        Ok(())
    })
}

/// C10: sets none of whose packs is left are done. The number of those that are not.
pub(super) fn complete(
    ground: &Ground,
    sets: &BTreeMap<SetId, CondemnedSet>,
) -> Result<u64, Error> {
    let packs = ground.packs()?;
    let mut left = 0;
    for (id, set) in sets {
        if set.packs.iter().any(|pack| packs.contains_key(pack)) {
            left += 1;
        } else {
            ground.store.remove(&layout::condemned(id))?;
        }
    }
    Ok(left)
}

/// Removes what no one can need: objects of sessions that are decided, and aborted or forgotten
/// slots with their tombstones after `TOMBSTONE_KEEP_DAYS`.
pub(super) fn tidy(
    ground: &Ground,
    slots: &Slots,
    damage: &KnownDamage,
    undelete_days: u32,
) -> Result<Tidied, Error> {
    let now = ground.ambient.clock.now();
    let days = i64::from(TOMBSTONE_KEEP_DAYS.max(undelete_days));
    let is_old =
        |time: Timestamp| now.duration_since(time) >= SignedDuration::from_hours(24 * days);
    let mut tidied = Tidied::default();
    let mut sessions: BTreeMap<Sid, Vec<(Name, SessionObject)>> = BTreeMap::new();
    for listed in ground.list(layout::SESSIONS)? {
        if let Some((sid, object)) = layout::session_object(&listed) {
            sessions.entry(sid).or_default().push((listed.name, object));
        }
    }
    // Decided ones have ended or are about to; heartbeats without an `open` are leftovers.
    let mut at_work = false;
    for (sid, objects) in sessions {
        let is_decided = slots.commits.contains_key(&sid) || slots.aborts.contains_key(&sid);
        if !is_decided && objects.iter().any(|(_, object)| *object == SessionObject::Open) {
            at_work = true;
            continue;
        }
        for (name, _) in objects {
            ground.store.remove(&name)?;
            tidied.session_objects += 1;
        }
    }
    for (sid, time) in &slots.aborts {
        if is_old(*time) {
            ground.store.remove(&layout::slot(sid))?;
            tidied.slots += 1;
        }
    }
    // A session at work may name a forgotten snapshot as its parent: none is removed meanwhile.
    if !at_work {
        tidied.add(tidy_forgotten(ground, slots, &is_old)?);
    }
    let packs = ground.packs()?;
    for (name, record) in damage.records() {
        let gone = record.packs.iter().all(|pack| !packs.contains_key(pack));
        if gone && !record.packs.is_empty() {
            ground.store.remove(name)?;
            tidied.damage_records += 1;
        }
    }
    Ok(tidied)
}

/// The slot goes before its tombstones: the other way round the snapshot would be back.
fn tidy_forgotten(
    ground: &Ground,
    slots: &Slots,
    is_old: &dyn Fn(Timestamp) -> bool,
) -> Result<Tidied, Error> {
    let mut tidied = Tidied::default();
    let mut names: BTreeMap<Sid, Vec<(&Name, Timestamp)>> = BTreeMap::new();
    for (name, tombstone) in &slots.tombstones {
        names.entry(tombstone.snapshot).or_default().push((name, tombstone.time));
    }
    for (sid, tombstones) in names {
        if !tombstones.iter().all(|(_, time)| is_old(*time)) {
            continue;
        }
        if slots.commits.contains_key(&sid) {
            ground.store.remove(&layout::slot(&sid))?;
            tidied.slots += 1;
        }
        for (name, _) in tombstones {
            ground.store.remove(name)?;
            tidied.tombstones += 1;
        }
    }
    Ok(tidied)
}

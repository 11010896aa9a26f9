//! What the store holds, what of it is needed, and what could go (C1, a hint).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::{
    Error, Options, Reach, choose, drain,
    ground::{Committed, Ground, Slots, Strange},
    marks::{Marks, Present},
    scan,
};
use crate::{
    format::{
        gc::{CondemnedSet, SetId},
        snapshot::Snapshot,
    },
    id::{BlobId, PackId, SegmentId, Sid},
    limits::INDEX_FLUSH_PACKS,
    progress::Progress,
    repo::layout,
};

/// What a prune would do, in figures. Bytes are of whole packs unless they say otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub snapshots_kept: u64,
    /// Forgotten ones that can still come back; their data stays.
    pub snapshots_undeletable: u64,
    /// Forgotten ones whose time is over.
    pub snapshots_gone: u64,
    pub packs: u64,
    pub pack_bytes: u64,
    /// Blobs that snapshots need, one copy of each.
    pub used_blobs: u64,
    pub used_bytes: u64,
    pub unused_bytes: u64,
    /// Packs that hold nothing needed.
    pub packs_to_delete: u64,
    pub delete_bytes: u64,
    /// Packs whose needed blobs move to new packs.
    pub packs_to_repack: u64,
    /// What moves.
    pub repack_bytes: u64,
    /// By how much the packs together become smaller.
    pub freed_bytes: u64,
    /// Stays in packs that stay.
    pub unused_left_bytes: u64,
    /// Sets of earlier runs, or of others, that this run would complete.
    pub sets_left_behind: u64,
    pub sessions_at_work: u64,
}

/// What would be done; nothing is, yet.
pub struct Plan {
    pub totals: Totals,
    /// To be condemned by this run, beside the sets that are there.
    pub condemn: Vec<PackId>,
    /// Snapshots that are the last of their host and paths and whose data would go.
    pub last_of_source: Vec<(Sid, Snapshot)>,
    /// Objects that were left alone because they can't be what their name says.
    pub strange: Vec<Strange>,
    pub(super) options: Options,
    pub(super) seen: Seen,
}

/// What the plan saw, to be held against what the run sees.
pub(super) struct Seen {
    /// Those that nobody has forgotten: they can't vanish.
    pub commits: BTreeSet<Sid>,
    pub roots: BTreeSet<Sid>,
    pub marks: Marks,
    pub segments: BTreeSet<SegmentId>,
    /// What lies beyond the end of packs that are shorter than the index says.
    pub cut: Vec<(PackId, BTreeSet<BlobId>)>,
    pub packs: usize,
    /// Of any kind: committed, forgotten, aborted.
    pub slots: usize,
}

/// The packs that are there, as the catalog numbers them.
pub(super) struct Packs {
    pub sizes: BTreeMap<PackId, u64>,
    pub present: RoaringBitmap,
    /// Condemned by anyone.
    pub condemned: RoaringBitmap,
}

impl Packs {
    pub fn new(
        ground: &Ground,
        sizes: BTreeMap<PackId, u64>,
        sets: &BTreeMap<SetId, CondemnedSet>,
    ) -> Packs {
        let number = |id: &PackId| ground.catalog.number(id);
        let present = sizes.keys().filter_map(number).collect();
        let condemned = sets.values().flat_map(|set| &set.packs).filter_map(number).collect();
        Packs { sizes, present, condemned }
    }
}

/// Snapshots whose blobs must stay: committed, and not forgotten for longer than `undelete_days`.
pub(super) fn roots(slots: &Slots, now: Timestamp, undelete_days: u32) -> Vec<(Sid, &Snapshot)> {
    let is_root = |committed: &Committed| {
        let window = SignedDuration::from_hours(24 * i64::from(undelete_days));
        committed.forgotten.is_none_or(|time| now.duration_since(time) < window)
    };
    let live = slots.commits.iter().filter(|(_, committed)| is_root(committed));
    live.map(|(sid, committed)| (*sid, &committed.snapshot)).collect()
}

/// Packs that no segment names are read themselves and put into the catalog; and into the index,
/// if something may be written. What is no pack is named; nobody will delete it.
pub(super) fn adopt_packs(
    ground: &Ground,
    sizes: &BTreeMap<PackId, u64>,
    may_write: bool,
    strange: &mut Vec<Strange>,
) -> Result<(), Error> {
    let unindexed: Vec<_> = sizes.iter().filter(|(id, _)| !ground.catalog.is_live(id)).collect();
    for some in unindexed.chunks(INDEX_FLUSH_PACKS) {
        let read: Vec<_> = some
            .par_iter()
            .map(|(id, size_bytes)| Ok((*id, ground.table_of(id, **size_bytes)?)))
            .collect::<Result<_, Error>>()?;
        let mut tables = Vec::new();
        for (id, table) in read {
            match table {
                None => {}
                Some(Ok(table)) => tables.push(table),
                Some(Err(error)) => {
                    let object = layout::pack(id).to_string();
                    strange.push(Strange { object, error });
                }
            }
        }
        if may_write {
            ground.publish(tables, Vec::new())?;
        } else if !tables.is_empty() {
            // Under the id of no segment, so that the next look at the index forgets it.
            let mut update = ground.catalog.update()?;
            update.tables(SegmentId::new(ground.ambient.random()), &tables)?;
            update.finish(None)?;
        }
    }
    Ok(())
}

/// Looks at everything and decides what could go. Writes nothing to the store.
pub fn plan(
    ground: &Ground,
    reach: &dyn Reach,
    options: &Options,
    progress: &Progress,
) -> Result<Plan, Error> {
    let again = || plan_once(ground, reach, options, progress);
    ground.with_whole_cache(|| unless_forgotten(ground, options, &BTreeMap::new(), again))
}

/// Does `work` again when it failed on a snapshot that was forgotten meanwhile, and may have been
/// collected by others under its feet.
pub(super) fn unless_forgotten<T>(
    ground: &Ground,
    options: &Options,
    parents: &BTreeMap<Sid, Sid>,
    mut work: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    loop {
        let error = match work() {
            Err(error) => error,
            done => return done,
        };
        let (Error::BlobMissing { snapshot, .. } | Error::Walk { snapshot, .. }) = &error else {
            return Err(error);
        };
        let slots = ground.slots(&mut Vec::new())?;
        let roots = roots(&slots, ground.ambient.clock.now(), options.undelete_days);
        if roots.iter().any(|(sid, _)| sid == snapshot) || parents.contains_key(snapshot) {
            return Err(error);
        }
    }
}

fn plan_once(
    ground: &Ground,
    reach: &dyn Reach,
    options: &Options,
    progress: &Progress,
) -> Result<Plan, Error> {
    let mut strange = Vec::new();
    progress.phase("listing");
    let at_work = drain::sessions(ground, &mut strange)?;
    let is_busy = at_work.iter().any(|session| session.is_fresh(ground, options));
    let sets = ground.sets()?;
    let mut damage = ground.known_damage(&mut strange)?;
    // Packs after snapshots: what a snapshot needs was there before it.
    let mut slots = ground.slots(&mut strange)?;
    let now = ground.ambient.clock.now();
    for sid in &options.as_if_forgotten {
        if let Some(committed) = slots.commits.get_mut(sid) {
            committed.forgotten.get_or_insert(now);
        }
    }
    let sizes = ground.packs()?;
    ground.load_index(&mut strange)?;
    adopt_packs(ground, &sizes, false, &mut strange)?;
    let cut = cut_copies(ground, &sizes)?;
    cut.iter().for_each(|(pack, blobs)| damage.add_found(*pack, blobs));
    progress.phase("marking");
    let roots = roots(&slots, now, options.undelete_days);
    let packs = Packs::new(ground, sizes, &sets);
    let present = Present { packs: &packs.present, damage: &damage };
    let preferred = &packs.present - &packs.condemned;
    let marks = Marks::of(ground, reach, &roots, &present, &preferred)?.complete(&slots)?;
    let kept: BTreeSet<Sid> = roots.iter().map(|(sid, _)| *sid).collect();
    let mut totals = Totals {
        sets_left_behind: sets.len() as u64,
        sessions_at_work: at_work.len() as u64,
        ..Totals::default()
    };
    for (sid, committed) in &slots.commits {
        *match (kept.contains(sid), committed.forgotten) {
            (true, None) => &mut totals.snapshots_kept,
            (true, Some(_)) => &mut totals.snapshots_undeletable,
            (false, _) => &mut totals.snapshots_gone,
        } += 1;
    }
    let condemn = choose::choose(ground, &packs, &marks, &damage, is_busy, options, &mut totals);
    let going = going(ground, &packs, &condemn);
    let last_of_source = last_of_source(ground, reach, &slots, &kept, &going);
    let segments = ground.catalog.segments().into_iter().map(|(id, _)| id).collect();
    let unforgotten = slots.commits.iter().filter(|(_, committed)| committed.forgotten.is_none());
    let commits = unforgotten.map(|(sid, _)| *sid).collect();
    let count = packs.sizes.len();
    let decided = slots.commits.len() + slots.aborts.len();
    let seen = Seen { commits, roots: kept, marks, segments, cut, packs: count, slots: decided };
    Ok(Plan { totals, condemn, last_of_source, strange, options: options.clone(), seen })
}

/// Of packs that are cut short, the blobs that are no more in them: those copies do not count.
fn cut_copies(
    ground: &Ground,
    sizes: &BTreeMap<PackId, u64>,
) -> Result<Vec<(PackId, BTreeSet<BlobId>)>, Error> {
    let mut cut = Vec::new();
    for (id, size_bytes) in sizes.iter().filter(|(id, bytes)| ground.is_resized(id, **bytes)) {
        if let Some(mut table) = ground.indexed_table(id)? {
            cut.push((*id, scan::cut(&mut table, *size_bytes)));
        }
    }
    Ok(cut)
}

/// The packs that would be gone after the run.
fn going(ground: &Ground, packs: &Packs, condemn: &[PackId]) -> RoaringBitmap {
    let condemn = condemn.iter().filter_map(|id| ground.catalog.number(id));
    condemn.collect::<RoaringBitmap>() | &packs.present & &packs.condemned
}

/// Forgotten backups with no sister of the same host and paths, whose root still lies in a pack
/// that would go.
fn last_of_source(
    ground: &Ground,
    reach: &dyn Reach,
    slots: &Slots,
    kept: &BTreeSet<Sid>,
    going: &RoaringBitmap,
) -> Vec<(Sid, Snapshot)> {
    let source = |snapshot: &Snapshot| (snapshot.host.clone(), snapshot.paths.clone());
    let alive = kept.iter().map(|sid| &slots.commits[sid].snapshot);
    let alive: BTreeSet<_> = alive.filter(|kept| reach.is_backup(kept)).map(source).collect();
    let lies_there = |snapshot: &Snapshot| {
        snapshot.roots.iter().any(|root| {
            ground.catalog.copies(&root.id).iter().any(|copy| going.contains(copy.number))
        })
    };
    let mut newest = BTreeMap::new();
    for (sid, Committed { snapshot, .. }) in &slots.commits {
        let key = source(snapshot);
        let is_last = !kept.contains(sid) && !alive.contains(&key) && reach.is_backup(snapshot);
        if !is_last || !lies_there(snapshot) {
            continue;
        }
        let last = newest.entry(key).or_insert((*sid, snapshot));
        if last.1.time < snapshot.time {
            *last = (*sid, snapshot);
        }
    }
    newest.into_values().map(|(sid, snapshot)| (sid, snapshot.clone())).collect()
}

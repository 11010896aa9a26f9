//! Whether the packs hold what the index and the snapshots say, down to each blob.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use super::{
    Error, Reach, Strange,
    compare::{Compared, check_index, compare_with_index, named_again},
    ground::{Ground, Slots},
    marks::{Marks, Present},
    scan::read_packs,
};
use crate::{
    format::{
        self,
        snapshot::{NamedRoot, Snapshot},
    },
    id::{BlobId, BlobKind, PackId, Sid},
    progress::{Progress, Trouble},
    repo::{KnownDamage, layout},
};

/// Which packs to read whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReadData {
    None,
    All,
    /// The `part`-th of `of` parts, counted from 1; the parts together are all packs.
    Part {
        part: u32,
        of: u32,
    },
    /// A random share.
    Percent(f64),
    /// Random packs up to this sum of sizes.
    Bytes(u64),
}

/// What is wrong with a pack.
#[derive(Debug)]
pub enum Fault {
    /// The index names it, and it is not there.
    Missing,
    /// The index says another size. By the index's table, all blobs but `bad` are whole.
    Size { listed_bytes: u64, indexed_bytes: u64, bad: BTreeSet<BlobId> },
    /// The bytes are not those it is named for, and every blob in it is whole.
    Hash,
    /// Its own table can't be read; by the index's, every blob in it is whole.
    OwnTable(format::Error),
    /// It is no pack, or its table can't be read, and no index knows it.
    Table(format::Error),
    /// Blobs that can't be opened, or are not those that they should be.
    Blobs(BTreeSet<BlobId>),
}

#[derive(Debug)]
pub struct DamagedPack {
    pub pack: PackId,
    pub fault: Fault,
}

static NO_BLOBS: BTreeSet<BlobId> = BTreeSet::new();

impl Fault {
    /// The blobs in the pack that can't be read. `None`: nothing in it can.
    pub(super) fn bad_blobs(&self) -> Option<&BTreeSet<BlobId>> {
        match self {
            Fault::Blobs(bad) | Fault::Size { bad, .. } => Some(bad),
            Fault::Hash | Fault::OwnTable(_) => Some(&NO_BLOBS),
            Fault::Missing | Fault::Table(_) => None,
        }
    }

    /// Some of it may be whole, and a prune moves that.
    pub fn is_partly_whole(&self) -> bool {
        self.bad_blobs().is_some()
    }

    /// Nothing is lost with it: what is in the pack can be read, and a prune moves it.
    pub fn is_harmless(&self) -> bool {
        self.bad_blobs().is_some_and(BTreeSet::is_empty)
    }
}

/// What was found. Packs named here may hold nothing that a snapshot needs.
#[derive(Debug, Default)]
pub struct Checked {
    pub snapshots: u64,
    pub packs: u64,
    pub packs_read: u64,
    pub bytes_read: u64,
    pub blobs_read: u64,
    /// Packs that no index names: whole ones are no fault, the next backup or prune takes them in.
    pub unindexed: u64,
    /// Blobs that snapshots need and only such packs have: until the index names them they can't
    /// be read.
    pub only_unindexed: u64,
    pub damaged: Vec<DamagedPack>,
    /// Needed by a snapshot (the first that was met is named), and to be had from no copy that is
    /// there and not known to be bad.
    pub lost: Vec<(Sid, BlobId)>,
    /// Snapshots whose trees could not be walked to the end.
    pub unwalked: Vec<(Sid, Box<dyn std::error::Error + Send + Sync>)>,
    pub strange: Vec<Strange>,
    /// What earlier checks wrote down.
    pub known: KnownDamage,
    /// Of the packs that it names, those that were looked into now: what it says of them is
    /// replaced.
    pub judged: BTreeSet<PackId>,
    /// There are packs and no snapshot, not even a forgotten one, and no session that may be
    /// making the first: perhaps a disk with the snapshots is not mounted.
    pub only_packs: bool,
}

impl Checked {
    pub fn is_good(&self) -> bool {
        self.damaged.is_empty()
            && self.lost.is_empty()
            && self.unwalked.is_empty()
            && self.strange.is_empty()
            && self.only_unindexed == 0
    }

    /// Packs that an earlier check found damaged, and that are whole.
    pub fn whole_again(&self) -> BTreeSet<PackId> {
        let damaged: BTreeSet<PackId> = self.damaged.iter().map(|damaged| damaged.pack).collect();
        &self.judged - &damaged
    }

    /// The blobs that were found bad, in any copy.
    pub fn bad_blobs(&self) -> BTreeSet<BlobId> {
        let found = self.damaged.iter().filter_map(|damaged| damaged.fault.bad_blobs());
        found.flatten().chain(self.lost.iter().map(|(_, blob)| blob)).copied().collect()
    }
}

/// Checks packs against the index, then their bytes as far as `read_data` says, and that every
/// snapshot can have every blob it needs.
pub fn check(
    ground: &Ground,
    reach: &dyn Reach,
    read_data: ReadData,
    progress: &Progress,
) -> Result<Checked, Error> {
    ground.with_whole_cache(|| check_once(ground, reach, read_data, progress))
}

fn check_once(
    ground: &Ground,
    reach: &dyn Reach,
    read_data: ReadData,
    progress: &Progress,
) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    progress.phase("checking packs");
    // Packs after snapshots: what a snapshot needs was there before it.
    let slots = ground.readable_slots(&mut checked.strange)?;
    ground.load_index(&mut checked.strange)?;
    check_index(ground, &mut checked.strange)?;
    let sizes = ground.packs()?;
    checked.packs = sizes.len() as u64;
    let Compared { bad, resized, unindexed } = compare_with_index(ground, &sizes, &mut checked)?;
    let damage = ground.known_damage(&mut checked.strange)?;
    // Of packs of another size it is always found out what is whole in them.
    let mut chosen = choose(ground, &sizes, read_data);
    chosen.extend(resized);
    chosen.extend(named_again(ground, &damage, &sizes, &mut checked)?);
    chosen.retain(|id| !bad.contains(id));
    let chosen: Vec<_> = chosen.into_iter().map(|id| (id, sizes[&id])).collect();
    let mut needs = Needs { ground, slots, damage, sizes };
    needs.sizes.retain(|id, _| !bad.contains(id));
    checked.snapshots = needs.roots().len() as u64;
    checked.only_packs = needs.are_none() && checked.packs > 0 && are_only_packs(ground)?;
    check_needs(&mut needs, &chosen, reach, progress, &mut checked)?;
    let mut hidden = Vec::new();
    if !unindexed.is_empty() {
        hidden = needs.missing_without(&unindexed, &checked.lost, reach, progress)?;
    }
    checked.known = needs.damage;
    but_for_forgotten(ground, checked, hidden)
}

/// Whether there is still no slot, of any kind, and nobody at work: in this order, since a session
/// ends after it has committed.
fn are_only_packs(ground: &Ground) -> Result<bool, Error> {
    let is_none = |directory| ground.list(directory).map(|listed| listed.is_empty());
    Ok(is_none(layout::SESSIONS)? && is_none(layout::SNAPSHOTS)?)
}

/// Reads the chosen packs, and finds what snapshots need and can't have. What is found bad counts
/// in `needs` from then on.
fn check_needs(
    needs: &mut Needs,
    chosen: &[(PackId, u64)],
    reach: &dyn Reach,
    progress: &Progress,
    checked: &mut Checked,
) -> Result<(), Error> {
    let until = Until { reach, progress, stop: &AtomicBool::new(false) };
    needs.damage.acquit(&checked.judged);
    if chosen.is_empty() {
        progress.phase("checking snapshots");
        return needs.check(&until, checked);
    }
    let (before, judged) = (checked.damaged.len(), checked.judged.len());
    // Trees are walked meanwhile, as if all packs were good: nearly always they are.
    let met = beside(needs, reach, progress, |stop| {
        let read = read_all(needs, chosen, progress, checked);
        stop.store(read.is_err(), Relaxed);
        read
    })?;
    if (checked.damaged.len(), checked.judged.len()) == (before, judged) {
        (checked.lost, checked.unwalked) = met;
        return Ok(());
    }
    needs.damage.acquit(&checked.judged);
    for DamagedPack { pack, fault } in &checked.damaged[before..] {
        match fault.bad_blobs() {
            Some(blobs) => needs.damage.add_found(*pack, blobs),
            None => drop(needs.sizes.remove(pack)),
        }
    }
    progress.phase("checking snapshots");
    needs.check(&until, checked)
}

/// Leaves out what only snapshots need that were forgotten meanwhile: others may have pruned it.
/// Of `hidden`, what snapshots need and only unindexed packs have, the rest is counted.
fn but_for_forgotten(
    ground: &Ground,
    mut checked: Checked,
    mut hidden: Vec<(Sid, BlobId)>,
) -> Result<Checked, Error> {
    if !checked.lost.is_empty() || !checked.unwalked.is_empty() || !hidden.is_empty() {
        let slots = ground.readable_slots(&mut Vec::new())?;
        let live =
            |sid: &Sid| slots.commits.get(sid).is_some_and(|commit| commit.forgotten.is_none());
        checked.lost.retain(|(sid, _)| live(sid));
        checked.unwalked.retain(|(sid, _)| live(sid));
        hidden.retain(|(sid, _)| live(sid));
    }
    checked.only_unindexed = hidden.len() as u64;
    Ok(checked)
}

/// What snapshots need and could not have, and those whose trees could not be walked.
type Met = (Vec<(Sid, BlobId)>, Vec<(Sid, Box<dyn std::error::Error + Send + Sync>)>);

/// Looks at what the snapshots need while `work` goes on; given up as soon as `work` sets its flag.
fn beside(
    needs: &Needs,
    reach: &dyn Reach,
    progress: &Progress,
    work: impl FnOnce(&AtomicBool) -> Result<(), Error>,
) -> Result<Met, Error> {
    let stop = AtomicBool::new(false);
    let mut met = Checked::default();
    std::thread::scope(|scope| {
        let until = Until { reach, progress, stop: &stop };
        let met = &mut met;
        let walk = scope.spawn(move || needs.check(&until, met));
        let worked = work(&stop);
        let walked = walk.join().expect("the walk does not panic");
        worked.and(walked)
    })?;
    Ok((met.lost, met.unwalked))
}

/// A walk that can be given up: what it has met then is to be dropped.
struct Until<'a> {
    reach: &'a dyn Reach,
    progress: &'a Progress,
    stop: &'a AtomicBool,
}

impl Reach for Until<'_> {
    fn reachable(
        &self,
        root: &NamedRoot,
        visit: &mut dyn FnMut(BlobKind, &BlobId) -> bool,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let goes_on = || !self.stop.load(Relaxed) && !self.progress.is_cancelled();
        self.reach.reachable(root, &mut |kind, id| goes_on() && visit(kind, id))
    }

    fn is_backup(&self, snapshot: &Snapshot) -> bool {
        self.reach.is_backup(snapshot)
    }
}

/// What snapshots rest on.
struct Needs<'a> {
    ground: &'a Ground<'a>,
    slots: Slots,
    damage: KnownDamage,
    /// The packs that may be good.
    sizes: BTreeMap<PackId, u64>,
}

impl Needs<'_> {
    fn are_none(&self) -> bool {
        self.slots.commits.is_empty() && self.slots.aborts.is_empty()
    }

    fn roots(&self) -> Vec<(Sid, &Snapshot)> {
        let live = self.slots.commits.iter().filter(|(_, commit)| commit.forgotten.is_none());
        live.map(|(sid, committed)| (*sid, &committed.snapshot)).collect()
    }

    /// What would be missing without these packs, and is not `lost` with them. (Below a node that
    /// would be, nothing is told.)
    fn missing_without(
        &self,
        packs: &[PackId],
        lost: &[(Sid, BlobId)],
        reach: &dyn Reach,
        progress: &Progress,
    ) -> Result<Vec<(Sid, BlobId)>, Error> {
        progress.phase("checking packs that no index names");
        let packs: BTreeSet<&PackId> = packs.iter().collect();
        let lost: BTreeSet<&BlobId> = lost.iter().map(|(_, blob)| blob).collect();
        let until = Until { reach, progress, stop: &AtomicBool::new(false) };
        let mut without = Checked::default();
        self.check_with(&|id| !packs.contains(id), &until, &mut without)?;
        without.lost.retain(|(_, blob)| !lost.contains(blob));
        Ok(without.lost)
    }

    fn check(&self, reach: &Until, checked: &mut Checked) -> Result<(), Error> {
        self.check_with(&|_| true, reach, checked)
    }

    /// With those of the packs that `counts` takes.
    fn check_with(
        &self,
        counts: &dyn Fn(&PackId) -> bool,
        reach: &Until,
        checked: &mut Checked,
    ) -> Result<(), Error> {
        let packs = self.sizes.keys().filter(|id| counts(id));
        let present = packs.filter_map(|id| self.ground.catalog.number(id)).collect();
        let counting = Present { packs: &present, damage: &self.damage };
        let marks = Marks::of(self.ground, reach, &self.roots(), &counting, &present)?;
        if reach.progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        (checked.lost, checked.unwalked) = (marks.missing, marks.unwalked);
        Ok(())
    }
}

fn read_all(
    needs: &Needs,
    chosen: &[(PackId, u64)],
    progress: &Progress,
    checked: &mut Checked,
) -> Result<(), Error> {
    let total = chosen.iter().map(|(_, size_bytes)| size_bytes).sum();
    progress.phase("reading packs");
    progress.expect(chosen.len() as u64, total);
    let before = checked.damaged.len();
    read_packs(needs.ground, chosen, |read| {
        checked.judged.extend(Some(read.id).filter(|id| needs.damage.names(id)));
        checked.packs_read += 1;
        checked.bytes_read += read.bytes;
        checked.blobs_read += read.blobs;
        progress.done(1, read.bytes);
        if let Some(fault) = read.fault {
            let item = layout::pack(&read.id).to_string();
            let error = "damaged".to_owned();
            progress.trouble(Trouble { item, during: "check", error });
            checked.damaged.push(DamagedPack { pack: read.id, fault });
        }
        !progress.is_cancelled()
    })?;
    if progress.is_cancelled() {
        return Err(Error::Cancelled);
    }
    checked.damaged[before..].sort_by_key(|damaged| damaged.pack);
    Ok(())
}

fn choose(ground: &Ground, sizes: &BTreeMap<PackId, u64>, read_data: ReadData) -> BTreeSet<PackId> {
    let random = |id: &PackId| *blake3::keyed_hash(&ground.ambient.random(), id.bytes()).as_bytes();
    let mut shuffled: Vec<PackId> = sizes.keys().copied().collect();
    match read_data {
        ReadData::None => shuffled.clear(),
        ReadData::All => {}
        ReadData::Part { part, of } => {
            let word = |id: &PackId| {
                u32::from_le_bytes(id.bytes()[..4].try_into().expect("an id is longer"))
            };
            shuffled.retain(|id| word(id) % of.max(1) == part.wrapping_sub(1) % of.max(1));
        }
        ReadData::Percent(percent) => {
            shuffled.sort_by_cached_key(random);
            let share = percent.clamp(0.0, 100.0) / 100.0;
            shuffled.truncate((shuffled.len() as f64 * share).ceil() as usize);
        }
        ReadData::Bytes(bytes) => {
            shuffled.sort_by_cached_key(random);
            let mut left = bytes;
            shuffled.retain(|id| match left.checked_sub(sizes[id]) {
                Some(rest) => {
                    left = rest;
                    true
                }
                None => false,
            });
        }
    }
    shuffled.into_iter().collect()
}

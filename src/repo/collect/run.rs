//! Condemn, drain, rescue, delete: the plan carried out (C2 to C10).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AtWork, BadPack, Error, Options, Plan, Reach, Strange,
    drain::{self, Drained},
    finish,
    ground::{Ground, Slots},
    marks::{Marks, Present},
    rescue::{self, Mover},
    survey::{self, Packs, Seen},
};
use crate::{
    format::{
        gc::{CondemnedSet, SetId},
        snapshot::Snapshot,
    },
    id::{PackId, Sid},
    limits::{ASK_FROM_PACKS, RESCUE_ROUNDS_MAX},
    progress::Progress,
    repo::KnownDamage,
    repo::layout,
};

/// What was tidied away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    pub session_objects: u64,
    pub slots: u64,
    pub tombstones: u64,
    pub damage_records: u64,
}

impl Tidied {
    pub(super) fn add(&mut self, other: Tidied) {
        self.session_objects += other.session_objects;
        self.slots += other.slots;
        self.tombstones += other.tombstones;
        self.damage_records += other.damage_records;
    }
}

/// What was done.
#[derive(Debug, Default)]
pub struct Outcome {
    pub packs_deleted: u64,
    pub deleted_bytes: u64,
    pub packs_written: u64,
    pub written_bytes: u64,
    pub blobs_moved: u64,
    /// Sets that wait for the next run: sessions at work may rely on their packs.
    pub sets_left: u64,
    /// The sessions that were not waited for any longer.
    pub left_for: Vec<AtWork>,
    /// Packs that stay because a session at work relies on them.
    pub packs_pinned: u64,
    pub fenced: Vec<Sid>,
    /// Packs that stay because something needed in them can't be read.
    pub bad: Vec<BadPack>,
    pub tidied: Tidied,
    pub strange: Vec<Strange>,
}

impl Outcome {
    /// By how much the packs together became smaller; negative when they grew.
    pub fn freed_bytes(&self) -> i64 {
        self.deleted_bytes as i64 - self.written_bytes as i64
    }
}

/// Carries the plan out.
///
/// After an error everything that snapshots need is there; the next run goes on with what this
/// one has condemned.
pub fn carry_out(
    ground: &Ground,
    reach: &dyn Reach,
    plan: Plan,
    progress: &Progress,
) -> Result<Outcome, Error> {
    ask(&plan)?;
    let Plan { condemn, options, strange, seen, .. } = plan;
    let mut outcome = Outcome { strange, ..Outcome::default() };
    let own = if condemn.is_empty() { None } else { Some(put_set(ground, condemn)?) };
    // A session that does not see a set is seen by whoever has waited since it saw the set: that
    // holds for sets of others too.
    ground.wait_for_visibility();
    let sets = ground.sets()?;
    if sets.len() > usize::from(own.is_some()) {
        ground.wait_for_visibility();
    }
    if own.is_some_and(|own| !sets.contains_key(&own)) {
        return Err(Error::ListingsDiffer {
            first: sets.len() + 1,
            second: sets.len(),
            differing: 1,
        });
    }
    if !sets.is_empty() {
        let strange = &mut outcome.strange;
        let drained = drain::drain(ground, &sets, &options, strange, progress)?;
        outcome.fenced = drained.fenced.clone();
        if drained.left.is_empty() {
            // Whoever ended before it was met, or while it was waited for, may have committed just
            // now: C5 must see that.
            ground.wait_for_visibility();
            let run = Run { ground, reach, options: &options, seen, drained, sets, progress };
            run.finish(&mut outcome)?;
        } else {
            outcome.sets_left = sets.len() as u64;
            outcome.left_for = drained.left;
        }
    } else {
        let used = seen.marks.used_packs();
        finish::reindex(ground, &BTreeSet::new(), &used, &ground.packs()?)?;
    }
    progress.phase("tidying");
    let slots = ground.slots(&mut Vec::new())?;
    let damage = ground.known_damage(&mut Vec::new())?;
    outcome.tidied = finish::tidy(ground, &slots, &damage, options.undelete_days)?;
    Ok(outcome)
}

/// The breakers that a person may close again.
fn ask(plan: &Plan) -> Result<(), Error> {
    // Forgotten snapshots keep their slots for long after their packs. So this is a first backup
    // that died; or a disk with the slots is not mounted, or a copy was cut short.
    let going = plan.totals.packs_to_delete;
    if plan.seen.slots == 0 && going > 0 && !plan.options.last_of_source_may_go {
        return Err(Error::NoSnapshots { packs: going });
    }
    let (packs, all, max_percent) = (plan.condemn.len(), plan.seen.packs, plan.options.max_percent);
    if packs >= ASK_FROM_PACKS && packs * 100 > all * usize::from(max_percent) {
        return Err(Error::TooMuch { packs, all, max_percent });
    }
    match plan.last_of_source.first() {
        Some((sid, Snapshot { host, paths, .. })) if !plan.options.last_of_source_may_go => {
            Err(Error::LastOfSource { sid: *sid, host: host.clone(), paths: paths.clone() })
        }
        _ => Ok(()),
    }
}

/// C2.
fn put_set(ground: &Ground, packs: Vec<PackId>) -> Result<SetId, Error> {
    let id = SetId::new(ground.ambient.random());
    let time = ground.ambient.clock.now();
    let set = CondemnedSet { packs, time, host: ground.ambient.host.clone() };
    ground.put(&layout::condemned(&id), &set)?;
    Ok(id)
}

/// From C5 on.
struct Run<'a, 'g> {
    ground: &'a Ground<'g>,
    reach: &'a dyn Reach,
    options: &'a Options,
    seen: Seen,
    drained: Drained,
    sets: BTreeMap<SetId, CondemnedSet>,
    progress: &'a Progress,
}

impl Run<'_, '_> {
    fn finish(self, outcome: &mut Outcome) -> Result<(), Error> {
        let ground = self.ground;
        self.progress.phase("marking");
        let mut damage = ground.known_damage(&mut outcome.strange)?;
        self.seen.cut.iter().for_each(|(pack, blobs)| damage.add_found(*pack, blobs));
        let strange = &mut outcome.strange;
        let again = || self.look(&damage, strange);
        let (first, walked) =
            survey::unless_forgotten(ground, self.options, &self.drained.parents, again)?;
        let marks = walked.as_ref().unwrap_or(&self.seen.marks);
        let doomed: BTreeSet<PackId> =
            self.sets.values().flat_map(|set| &set.packs).copied().collect();
        let mut going = doomed;
        going.retain(|pack| !self.drained.pins.contains(pack) && first.sizes.contains_key(pack));
        outcome.packs_pinned = (self.drained.pins.iter())
            .filter(|pack| first.sizes.contains_key(pack) && first_condemned(&first, ground, pack))
            .count() as u64;
        let packs = self.rescue(marks, &damage, &mut going, outcome)?;
        self.check_listing(&first, &packs)?;
        self.progress.phase("deleting");
        finish::reindex(ground, &going, &marks.used_packs(), &packs.sizes)?;
        finish::delete(ground, &going, self.progress)?;
        outcome.packs_deleted = going.len() as u64;
        outcome.deleted_bytes = going.iter().filter_map(|pack| packs.sizes.get(pack)).sum();
        // Nobody may see a deleted pack in a listing once the set is not in one any more.
        ground.wait_for_visibility();
        outcome.sets_left = finish::complete(ground, &self.sets)?;
        ground.load_index(&mut outcome.strange)?;
        Ok(())
    }

    /// C5: what the snapshots need that count now, and the packs that are there after them. `None`
    /// for the marks: those of the plan still hold.
    fn look(
        &self,
        damage: &KnownDamage,
        strange: &mut Vec<Strange>,
    ) -> Result<(Packs, Option<Marks>), Error> {
        let slots = self.ground.slots(strange)?;
        self.check_commits(&slots)?;
        let (roots, packs) = self.look_at_roots(&slots, strange)?;
        let marks = self.walk_again((&slots, &roots), &packs, damage)?;
        Ok((packs, marks))
    }

    /// Snapshots do not vanish without a tombstone: a listing that lacks one is short.
    fn check_commits(&self, slots: &Slots) -> Result<(), Error> {
        let gone: Vec<&Sid> =
            self.seen.commits.iter().filter(|sid| !slots.commits.contains_key(sid)).collect();
        match gone.first() {
            Some(sid) => Err(Error::SnapshotsShrank { gone: gone.len(), sid: **sid }),
            None => Ok(()),
        }
    }

    /// The snapshots that count, with those that sessions at work rely on; and the packs, all
    /// of them in the catalog.
    fn look_at_roots<'s>(
        &self,
        slots: &'s Slots,
        strange: &mut Vec<Strange>,
    ) -> Result<(Vec<(Sid, &'s Snapshot)>, Packs), Error> {
        let ground = self.ground;
        let now = ground.ambient.clock.now();
        let mut roots = survey::roots(slots, now, self.options.undelete_days);
        for (parent, session) in &self.drained.parents {
            let Some(committed) = slots.commits.get(parent) else {
                return Err(Error::ParentMissing { session: *session, parent: *parent });
            };
            if roots.iter().all(|(sid, _)| sid != parent) {
                roots.push((*parent, &committed.snapshot));
            }
        }
        let sizes = ground.packs()?;
        ground.load_index(strange)?;
        survey::adopt_packs(ground, &sizes, true, strange)?;
        Ok((roots, Packs::new(ground, sizes, &self.sets)))
    }

    /// What the plan has marked still holds if the index is the same and every root was one then.
    fn walk_again(
        &self,
        (slots, roots): (&Slots, &[(Sid, &Snapshot)]),
        packs: &Packs,
        damage: &KnownDamage,
    ) -> Result<Option<Marks>, Error> {
        let segments: BTreeSet<_> =
            self.ground.catalog.segments().into_iter().map(|(id, _)| id).collect();
        if segments == self.seen.segments
            && roots.iter().all(|(sid, _)| self.seen.roots.contains(sid))
        {
            return Ok(None);
        }
        let present = Present { packs: &packs.present, damage };
        let preferred = &packs.present - &packs.condemned;
        let marks = Marks::of(self.ground, self.reach, roots, &present, &preferred)?;
        Ok(Some(marks.complete(slots)?))
    }

    /// C6 and C7, until there is nothing left to move. Packs that must stay leave `going`. Gives
    /// the last listing.
    fn rescue(
        &self,
        marks: &Marks,
        damage: &KnownDamage,
        going: &mut BTreeSet<PackId>,
        outcome: &mut Outcome,
    ) -> Result<Packs, Error> {
        let ground = self.ground;
        self.progress.phase("moving what is needed");
        let mut rounds = 0;
        while rounds < RESCUE_ROUNDS_MAX {
            let sets = ground.sets()?;
            let sizes = ground.packs()?;
            ground.load_index(&mut outcome.strange)?;
            let packs = Packs::new(ground, sizes, &self.with_own(sets));
            let look = rescue::look(ground, marks, &packs, damage, going)?;
            going.retain(|pack| !look.illegible.contains(pack));
            if look.needed.is_empty() {
                return Ok(packs);
            }
            rounds += usize::from(!look.is_cut_short);
            let mover = Mover::new(ground, self.options, &packs, damage);
            let moved = mover.run(&look.needed, self.progress)?;
            outcome.packs_written += moved.packs;
            outcome.written_bytes += moved.pack_bytes;
            outcome.blobs_moved += moved.blobs;
            going.retain(|pack| !moved.bad.contains_key(pack));
            outcome.bad.extend(moved.bad.into_values());
        }
        Err(Error::Unsettled)
    }

    /// Everybody's sets as listed now; this run's own ones whether they are listed or not.
    fn with_own(&self, mut listed: BTreeMap<SetId, CondemnedSet>) -> BTreeMap<SetId, CondemnedSet> {
        listed.extend(self.sets.iter().map(|(id, set)| (*id, set.clone())));
        listed
    }

    /// Two listings must agree on every pack that nobody has condemned; new ones may have come.
    fn check_listing(&self, first: &Packs, second: &Packs) -> Result<(), Error> {
        let differing = |(id, size): &(&PackId, &u64)| {
            let number = self.ground.catalog.number(id);
            let condemned = number.is_some_and(|number| second.condemned.contains(number));
            !condemned && second.sizes.get(id) != Some(size)
        };
        match first.sizes.iter().filter(differing).count() {
            0 => Ok(()),
            differing => Err(Error::ListingsDiffer {
                first: first.sizes.len(),
                second: second.sizes.len(),
                differing,
            }),
        }
    }
}

fn first_condemned(packs: &Packs, ground: &Ground, pack: &PackId) -> bool {
    ground.catalog.number(pack).is_some_and(|number| packs.condemned.contains(number))
}

//! A collector, line by line of the protocol.

use super::world::{
    BLOBS, Blobs, Held, PACKS_MAX, Packs, Setting, Slot, Slots, World, bit, pack_bit,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum At {
    /// C1 and C2, or the adoption of a set that is there.
    #[default]
    Choose,
    ListSessions,
    Drain,
    ListSnapshots,
    ListTombstones,
    ListSets,
    ListPacks,
    Rescue,
    Delete,
    Finish,
    Done,
}

/// What a collector remembers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Collector {
    pub at: At,
    pub rounds: u8,
    /// The set at hand.
    set: u8,
    /// W: sessions still to be waited for.
    waits: Slots,
    /// What heartbeats pinned: packs, and parents as roots.
    pins: Packs,
    parents: Slots,
    roots: Slots,
    /// K' of C6.
    known: Packs,
    listed: Packs,
    /// Blobs to be rescued.
    missing: Blobs,
}

impl Setting {
    pub fn collector_steps(
        &self,
        world: &World,
        place: usize,
        each: &mut dyn FnMut(&'static str, World),
    ) {
        let me = world.collectors[place];
        let mut next = *world;
        match me.at {
            At::Choose => self.choose(world, place, each),
            At::ListSessions => {
                if self.rules.condemn_before_listing_sessions {
                    next.collectors[place].waits = world.open;
                    self.after_listing_sessions(&mut next, place);
                    return each("C3 list sessions", next);
                }
                // The mutant listed the sessions when it chose.
                next.gc |= bit(me.set as usize);
                self.after_listing_sessions(&mut next, place);
                each("C2 put the set, after C3", next);
            }
            At::Drain => self.drain_steps(world, place, each),
            At::ListSnapshots => {
                next.collectors[place].roots = world.commits();
                next.collectors[place].at = At::ListTombstones;
                each("C5 list snapshots", next);
                if world.late != 0 {
                    next.collectors[place].roots &= !world.late;
                    each("C5 list snapshots, too early", next);
                }
            }
            At::ListTombstones => {
                self.list_tombstones(&mut next, place);
                each("C5 list tombstones", next);
            }
            At::ListSets => {
                let sets = if self.rules.heed_others_sets { world.gc } else { 0 };
                let me = &mut next.collectors[place];
                me.known = world.condemned_by(sets | bit(me.set as usize));
                if self.rules.sets_before_packs {
                    me.at = At::ListPacks;
                } else {
                    self.weigh(&mut next, place);
                }
                each("C6 list gc", next);
            }
            At::ListPacks => {
                next.collectors[place].listed = world.packs;
                if self.rules.sets_before_packs {
                    self.weigh(&mut next, place);
                } else {
                    next.collectors[place].at = At::ListSets;
                }
                each("C6 list packs", next);
            }
            At::Rescue => self.rescue_step(world, place, each),
            At::Delete => self.delete_step(world, place, each),
            At::Finish => {
                if world.condemned[me.set as usize] & world.packs == 0 {
                    next.gc &= !bit(me.set as usize);
                }
                self.next_round(&mut next, place);
                each("C10 list packs, delete the set", next);
            }
            At::Done => {}
        }
    }

    fn list_tombstones(&self, next: &mut World, place: usize) {
        let tombs = next.tombs;
        let me = &mut next.collectors[place];
        me.roots &= !tombs;
        if self.rules.parent_is_root {
            let forgotten = if self.rules.parent_outlives_tombstone { 0 } else { tombs };
            me.roots |= me.parents & !forgotten;
        }
        me.parents = 0;
        me.at = if self.rules.roots_after_drain { self.look_at_store() } else { At::Drain };
    }

    /// C1 is a hint and may be wrong, so every choice of packs is tried; so is every adoption.
    fn choose(&self, world: &World, place: usize, each: &mut dyn FnMut(&'static str, World)) {
        for set in (0..world.gc_born as usize).filter(|&set| world.gc & bit(set) != 0) {
            let mut next = *world;
            next.collectors[place].set = set as u8;
            next.collectors[place].at =
                if self.rules.adopter_drains { At::ListSessions } else { At::ListSnapshots };
            each("adopt a set", next);
        }
        let free = world.packs & !world.condemned_by(world.gc);
        for packs in (1..=free).filter(|packs| packs & !free == 0) {
            if packs.count_ones() > self.condemn_max {
                continue;
            }
            let mut next = *world;
            let set = next.gc_born as usize;
            // C3 follows after a wait: by then what was committed until now is in listings.
            next.late = 0;
            next.condemned[set] = packs;
            next.gc_born += 1;
            if self.rules.condemn_before_listing_sessions {
                next.gc |= bit(set);
            } else {
                next.collectors[place].waits = world.open;
            }
            next.collectors[place].set = set as u8;
            next.collectors[place].at = At::ListSessions;
            each("C2 put the set", next);
        }
    }

    fn after_listing_sessions(&self, next: &mut World, place: usize) {
        let me = &mut next.collectors[place];
        if !self.rules.drain {
            me.waits = 0;
        }
        me.at = match (self.rules.roots_after_drain, me.waits) {
            (false, _) | (true, 0) => At::ListSnapshots,
            (true, _) => At::Drain,
        };
    }

    /// C4 for the first session of W: it is gone, decided, has seen the set, or is fenced.
    fn drain_steps(&self, world: &World, place: usize, each: &mut dyn FnMut(&'static str, World)) {
        let me = world.collectors[place];
        let after = if self.rules.roots_after_drain { At::ListSnapshots } else { At::ListSets };
        if me.waits == 0 {
            let mut next = *world;
            next.collectors[place].at = after;
            return each("C4 nobody to wait for", next);
        }
        let sid = me.waits.trailing_zeros() as usize;
        let mut next = *world;
        next.collectors[place].waits &= !bit(sid);
        if next.collectors[place].waits == 0 {
            next.collectors[place].at = after;
        }
        let gone = world.open & bit(sid) == 0 || world.slots[sid] != Slot::Free;
        let seen = world.seen[sid] & bit(me.set as usize) != 0;
        if gone {
            return each("C4 gone or decided", next);
        }
        if seen {
            let me = &mut next.collectors[place];
            me.pins |= world.pins[sid];
            me.parents |= self.parent_of(sid).map_or(0, bit);
            return each("C4 has seen the set", next);
        }
        if self.rules.fence_by_slot {
            next.slots[sid] = Slot::Abort;
        }
        each("C4 fence", next);
    }

    /// Copies outside K' are compared with what the roots need.
    fn weigh(&self, next: &mut World, place: usize) {
        let me = next.collectors[place];
        next.collectors[place].missing = self.missing(next, place);
        let to_rescue = next.collectors[place].missing != 0 && self.rules.rescue;
        next.collectors[place].at = if to_rescue { At::Rescue } else { At::Delete };
        if !to_rescue {
            let me = &mut next.collectors[place];
            (me.roots, me.known, me.listed, me.missing) = (0, 0, 0, 0);
        }
        if !self.rules.condemned_is_final && to_rescue {
            // The mutant takes the set back instead of rescuing.
            next.gc &= !bit(me.set as usize);
            self.next_round(next, place);
        }
    }

    /// Blobs of the set that the roots need and that packs outside K' do not give.
    fn missing(&self, world: &World, place: usize) -> Blobs {
        let me = world.collectors[place];
        let wanted: Blobs = (0..8)
            .filter(|&slot| me.roots & bit(slot) != 0)
            .fold(0, |all, slot| all | self.needs_of(slot));
        let own_set = world.condemned[me.set as usize];
        let legible = if self.rules.read_unindexed_tables { !0 } else { !world.unindexed };
        let outside = me.listed & !me.known;
        let mut missing = 0;
        for blob in (0..BLOBS).filter(|&blob| wanted & bit(blob) != 0) {
            if self.rules.base_is_needed && self.rules.generations_descend {
                let concerns_set = (0..BLOBS).any(|any| {
                    (any == blob || self.is_based(world, blob))
                        && world.any_copy(any, own_set & legible).is_some()
                });
                if concerns_set && world.best_copy(blob, outside).is_none() {
                    missing |= bit(blob);
                }
                continue;
            }
            // The mutants: any copy will do; bases are not looked at, or any copy of one will do.
            let bases = if self.rules.base_is_needed && self.is_based(world, blob) { 2 } else { 1 };
            for needed in [blob, 1 - blob].into_iter().take(bases) {
                let concerns_set = world.any_copy(needed, own_set & legible).is_some();
                if concerns_set && world.any_copy(needed, outside).is_none() {
                    missing |= bit(needed);
                }
            }
        }
        missing
    }

    fn is_based(&self, world: &World, blob: usize) -> bool {
        (0..PACKS_MAX).any(|pack| {
            world.packs & pack_bit(pack) != 0 && matches!(world.held_by(blob, pack), Held::Delta(_))
        })
    }

    /// C7: what is missing is read from whatever pack still has it and put whole into a new pack.
    fn rescue_step(&self, world: &World, place: usize, each: &mut dyn FnMut(&'static str, World)) {
        let mut next = *world;
        let missing = next.collectors[place].missing;
        let readable = |blob: usize| world.best_copy(blob, world.packs).is_some();
        if (0..BLOBS).any(|blob| missing & bit(blob) != 0 && !readable(blob)) {
            // Another collector has deleted the source since: it must have a copy somewhere, which
            // the next look at the store shows. That nothing shows up would be a lost blob.
            next.collectors[place].at = self.look_at_store();
            next.collectors[place].missing = 0;
            return each("C7 source gone, look again", next);
        }
        let copies =
            std::array::from_fn(
                |blob| {
                    if missing & bit(blob) != 0 { Held::Whole } else { Held::None }
                },
            );
        self.put_pack(&mut next, copies);
        let me = &mut next.collectors[place];
        (me.missing, me.known, me.listed) = (0, 0, 0);
        if self.rules.look_again_after_rescue {
            me.at = self.look_at_store();
        } else {
            (me.at, me.roots) = (At::Delete, 0);
        }
        each("C7 put rescued blobs", next);
    }

    fn look_at_store(&self) -> At {
        if self.rules.sets_before_packs { At::ListSets } else { At::ListPacks }
    }

    /// C9, one pack a step.
    fn delete_step(&self, world: &World, place: usize, each: &mut dyn FnMut(&'static str, World)) {
        let me = world.collectors[place];
        let mut next = *world;
        if !self.rules.set_outlives_packs && world.gc & bit(me.set as usize) != 0 {
            next.gc &= !bit(me.set as usize);
            return each("C10 delete the set, too early", next);
        }
        let pins = if self.rules.keep_pinned { me.pins } else { 0 };
        let doomed: Packs = world.condemned[me.set as usize] & !pins & world.packs;
        if doomed == 0 {
            next.collectors[place].pins = 0;
            next.collectors[place].at = At::Finish;
            return self.collector_steps(&next, place, each);
        }
        next.packs &= !(doomed & doomed.wrapping_neg());
        each("C9 delete a pack", next);
    }

    fn next_round(&self, next: &mut World, place: usize) {
        if !self.rules.keep_aborted_slots {
            for slot in next.slots.iter_mut().filter(|slot| **slot == Slot::Abort) {
                *slot = Slot::Free;
            }
        }
        let rounds = next.collectors[place].rounds - 1;
        let at = if rounds == 0 { At::Done } else { At::Choose };
        next.collectors[place] = Collector { at, rounds, ..Collector::default() };
    }
}

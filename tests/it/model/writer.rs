//! A writer, line by line of the protocol.

use super::world::{BLOBS, Blobs, Held, Packs, Sets, Setting, Slot, World, bit, sid_of};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum At {
    #[default]
    Announce,
    ListSets,
    CheckParent,
    ListPacks,
    /// W4 to W7: deciding, uploading; a heartbeat may come in between.
    Work,
    /// W6, second half: the sets are listed, the heartbeat is not out.
    Beat,
    Commit,
    Leave,
    Done,
}

/// What a writer remembers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Writer {
    pub at: At,
    pub attempt: u8,
    /// K: condemned packs it knows of, and the sets they come from.
    known: Packs,
    seen: Sets,
    /// P - K as first listed; K is subtracted again at each decision.
    listed: Packs,
    /// Blobs not decided yet, and those to be uploaded.
    undecided: Blobs,
    upload: Blobs,
    /// Packs it relies on; its own ones too.
    depends: Packs,
    own: Packs,
    /// The pins of the heartbeat that is about to be put.
    pins: Packs,
    /// The parent is reused without looking at its blobs.
    free: bool,
    put_done: bool,
}

impl Setting {
    pub fn writer_steps(
        &self,
        world: &World,
        place: usize,
        each: &mut dyn FnMut(&'static str, World),
    ) {
        let me = world.writers[place];
        let mut next = *world;
        match me.at {
            At::Announce => {
                if self.rules.announce_first {
                    next.open |= bit(sid_of(place, me.attempt));
                    next.writers[place].at = At::ListSets;
                    each("W1 put open", next);
                } else {
                    self.list_sets(&mut next, place);
                    next.writers[place].at = At::ListSets;
                    each("W2 list gc, too early", next);
                }
            }
            At::ListSets => {
                if self.rules.announce_first {
                    self.list_sets(&mut next, place);
                } else {
                    next.open |= bit(sid_of(place, me.attempt));
                }
                next.writers[place].at = match self.writers[place].parent {
                    Some(_) => At::CheckParent,
                    None => At::ListPacks,
                };
                each("W2 list gc", next);
            }
            At::CheckParent => {
                self.check_parent(&mut next, place);
                next.writers[place].at = At::ListPacks;
                each("W4 list snapshots and tombstones for the parent", next);
            }
            At::ListPacks => {
                self.list_packs(&mut next, place);
                next.writers[place].at = At::Work;
                each("W3 list packs", next);
            }
            At::Work => {
                self.upload_step(world, place, each);
                self.beat_begins(world, place, each);
            }
            At::Beat => self.beat_ends(world, place, each),
            At::Commit => {
                self.commit_step(world, place, each);
                self.beat_begins(world, place, each);
            }
            At::Leave => {
                next.open &= !bit(sid_of(place, me.attempt));
                finish(&mut next, place);
                each("W8 delete open", next);
            }
            At::Done => {}
        }
    }

    /// W2: K is the union of what is condemned now.
    fn list_sets(&self, next: &mut World, place: usize) {
        let (gc, packs) = (next.gc, next.condemned_by(next.gc));
        let me = &mut next.writers[place];
        if self.rules.heed_condemned {
            (me.seen, me.known) = (gc, packs);
        }
        if !self.rules.parent_checked_after_sets {
            me.free = self.writers[place].parent.is_some();
        }
    }

    /// The parent named in `open` may be reused without a walk when nothing was condemned at W2
    /// and it is (still) live afterwards.
    fn check_parent(&self, next: &mut World, place: usize) {
        let Some(parent) = self.writers[place].parent else { return };
        let live = next.live() & bit(parent) != 0 || !self.rules.parent_checked_after_sets;
        let calm = next.writers[place].seen == 0 || !self.rules.free_reuse_only_when_none_condemned;
        next.writers[place].free = live && calm;
    }

    fn list_packs(&self, next: &mut World, place: usize) {
        let errand = self.writers[place];
        let listed = if self.rules.trust_listing_only { next.packs } else { next.born };
        let me = &mut next.writers[place];
        me.listed = listed;
        me.undecided = match errand.parent {
            Some(parent) if me.free => errand.needs & !self.needs_of(parent),
            _ => errand.needs,
        };
    }

    /// W4 for one blob: depend on a usable copy, or upload. `known` is the K it is decided by.
    fn decide(&self, next: &mut World, place: usize, blob: usize, known: Packs) {
        let usable = next.writers[place].listed & !known;
        let found = if self.rules.chain_is_dependency {
            next.best_copy(blob, usable)
        } else {
            next.any_copy(blob, usable)
        };
        let me = &mut next.writers[place];
        me.undecided &= !bit(blob);
        match found {
            Some((_, chain)) => me.depends |= chain,
            None => me.upload |= bit(blob),
        }
    }

    fn decide_all(&self, next: &mut World, place: usize) {
        for blob in 0..BLOBS {
            if next.writers[place].undecided & bit(blob) != 0 {
                self.decide(next, place, blob, next.writers[place].known);
            }
        }
    }

    /// W5: what is not there is put; the index follows (or does not: a crash between the two).
    fn upload_step(&self, world: &World, place: usize, each: &mut dyn FnMut(&'static str, World)) {
        let mut next = *world;
        self.decide_all(&mut next, place);
        let me = next.writers[place];
        next.writers[place].at = At::Commit;
        if me.upload == 0 {
            // Nothing to put: the next call is the commit.
            return self.commit_step(&next, place, each);
        }
        let copies = std::array::from_fn(|blob| self.form_of(&mut next, place, blob));
        let own = self.put_pack(&mut next, copies);
        let me = &mut next.writers[place];
        (me.own, me.put_done, me.upload) = (me.own | own, true, 0);
        each("W5 put pack", next);
        if !self.rules.read_unindexed_tables {
            next.unindexed |= own;
            each("W5 put pack, and its index is lost", next);
        }
    }

    /// Whole, or as a delta against the other blob when a copy of that may be used.
    fn form_of(&self, next: &mut World, place: usize, blob: usize) -> Held {
        let me = next.writers[place];
        if me.upload & bit(blob) == 0 {
            return Held::None;
        }
        if !self.writers[place].deltas || me.upload & bit(1 - blob) != 0 {
            return Held::Whole;
        }
        let usable = me.listed & !me.known;
        match next.best_copy(1 - blob, usable) {
            Some((generation, chain)) if generation < 2 => {
                next.writers[place].depends |= chain;
                Held::Delta(generation + 1)
            }
            _ => Held::Whole,
        }
    }

    /// W6, first half: list the sets. Any number of decisions may have fallen before. A listing
    /// that shows nothing new would change nothing, so only those that do are steps.
    fn beat_begins(&self, world: &World, place: usize, each: &mut dyn FnMut(&'static str, World)) {
        if world.gc & !world.writers[place].seen == 0 {
            return;
        }
        let undecided = world.writers[place].undecided;
        for decided_now in 0..=undecided {
            if decided_now & !undecided != 0 {
                continue;
            }
            let mut next = *world;
            let before = next.writers[place].known;
            (0..BLOBS)
                .filter(|&blob| decided_now & bit(blob) != 0)
                .for_each(|blob| self.decide(&mut next, place, blob, before));
            let all = next.condemned_by(next.gc);
            let me = &mut next.writers[place];
            me.seen |= world.gc;
            let relied_on = if self.rules.pin_own_packs { me.depends | me.own } else { me.depends };
            if self.rules.pin_dependencies {
                me.pins = relied_on & (me.known | all);
            }
            if self.rules.heed_later_sets && self.rules.pause_decisions {
                me.known |= all;
            }
            me.at = At::Beat;
            each("W6 list gc", next);
        }
    }

    /// W6, second half: say what was seen and what must stay.
    fn beat_ends(&self, world: &World, place: usize, each: &mut dyn FnMut(&'static str, World)) {
        let mut next = *world;
        if !self.rules.pause_decisions {
            self.decide_all(&mut next, place);
            next.writers[place].known |= next.condemned_by(next.writers[place].seen);
        }
        let me = &mut next.writers[place];
        let sid = sid_of(place, me.attempt);
        me.at = if me.put_done { At::Commit } else { At::Work };
        (next.seen[sid], next.pins[sid]) = (me.seen, me.pins);
        me.pins = 0;
        each("W6 put heartbeat", next);
    }

    /// W7. A lost acknowledgement needs no step: the second try finds its own commit.
    fn commit_step(&self, world: &World, place: usize, each: &mut dyn FnMut(&'static str, World)) {
        let mut next = *world;
        let me = next.writers[place];
        let sid = sid_of(place, me.attempt);
        if !self.rules.open_until_decided && world.open & bit(sid) != 0 {
            next.open &= !bit(sid);
            return each("W8 delete open, too early", next);
        }
        if next.slots[sid] == Slot::Abort && self.rules.one_slot {
            next.open &= !bit(sid);
            if me.attempt < self.writers[place].retries {
                next.writers[place] = Writer { attempt: me.attempt + 1, ..Writer::default() };
            } else {
                finish(&mut next, place);
            }
            return each("W7 finds an abort", next);
        }
        next.slots[sid] = Slot::Commit;
        if !self.rules.wait_before_roots {
            next.late |= bit(sid);
        }
        next.writers[place] = Writer { at: At::Leave, attempt: me.attempt, ..Writer::default() };
        each("W7 commit", next);
    }
}

/// A finished writer remembers nothing.
fn finish(next: &mut World, place: usize) {
    next.writers[place] = Writer { at: At::Done, ..Writer::default() };
}

//! What lies on the store, what each actor remembers, and when a snapshot is whole.

use super::{collector::Collector, rules::Rules, writer::Writer};

/// Sets of packs, condemned sets, snapshots and blobs are bits of a word.
pub type Packs = u16;
pub type Sets = u8;
pub type Slots = u8;
pub type Blobs = u8;

pub const PACKS_MAX: usize = 16;
pub const SETS_MAX: usize = 4;
pub const BLOBS: usize = 2;
/// Slots 0 and 1 are snapshots of the past; writer w in its attempt a has slot 2 + 2w + a.
pub const SLOTS_MAX: usize = 6;
pub const PAST: usize = 2;

pub fn sid_of(writer: usize, attempt: u8) -> usize {
    PAST + 2 * writer + attempt as usize
}

pub fn bit(place: usize) -> u8 {
    1 << place
}

pub fn pack_bit(place: usize) -> Packs {
    1 << place
}

/// How a blob lies in a pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    None,
    Whole,
    /// A delta against the other blob, of this generation: a reader takes a copy of the base with
    /// a lower generation, so reading always ends.
    Delta(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Slot {
    #[default]
    Free,
    Commit,
    Abort,
}

/// One state of everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct World {
    /// Packs on the store.
    pub packs: Packs,
    /// Packs that ever were: names are never used again.
    pub born: Packs,
    /// Four bits a pack: how it holds blob 0 and blob 1.
    contents: u64,
    /// Packs that no index names (only looked at by the mutant that trusts the index).
    pub unindexed: Packs,
    /// `sessions/<sid>/open`
    pub open: Slots,
    /// The newest heartbeat of each session.
    pub seen: [Sets; SLOTS_MAX],
    pub pins: [Packs; SLOTS_MAX],
    /// `snapshots/<sid>` and the blobs a commit there needs.
    pub slots: [Slot; SLOTS_MAX],
    /// Commits that listings may not show yet (only with the mutant that does not wait for them).
    pub late: Slots,
    /// `tombstones/<sid>-...`
    pub tombs: Slots,
    /// `gc/<cset>`: those there, how many there ever were, what they condemn.
    pub gc: Sets,
    pub gc_born: u8,
    pub condemned: [Packs; SETS_MAX],
    pub writers: [Writer; 2],
    pub collectors: [Collector; 2],
}

impl World {
    pub fn held_by(&self, blob: usize, pack: usize) -> Held {
        match self.contents >> (4 * pack + 2 * blob) & 3 {
            0 => Held::None,
            1 => Held::Whole,
            deltas => Held::Delta(deltas as u8 - 1),
        }
    }

    fn generation(&self, blob: usize, pack: usize) -> Option<u8> {
        match self.held_by(blob, pack) {
            Held::None => None,
            Held::Whole => Some(0),
            Held::Delta(generation) => Some(generation),
        }
    }

    fn put_pack(&mut self, copies: [Held; BLOBS]) -> Packs {
        let place = (!self.born).trailing_zeros() as usize;
        assert!(place < PACKS_MAX, "the model has too few pack names");
        for (blob, copy) in copies.into_iter().enumerate() {
            let code = match copy {
                Held::None => 0,
                Held::Whole => 1,
                Held::Delta(generation) => 1 + u64::from(generation),
            };
            self.contents |= code << (4 * place + 2 * blob);
        }
        self.packs |= pack_bit(place);
        self.born |= pack_bit(place);
        pack_bit(place)
    }

    /// The lowest generation that `blob` has among `packs` so that it can be read from `packs`
    /// alone, and the packs of that copy and of the chain below it.
    pub fn best_copy(&self, blob: usize, packs: Packs) -> Option<(u8, Packs)> {
        self.copy_below(blob, packs, u8::MAX)
    }

    fn copy_below(&self, blob: usize, packs: Packs, below: u8) -> Option<(u8, Packs)> {
        let holders = (0..PACKS_MAX).filter(|&pack| packs & pack_bit(pack) != 0);
        let mut found: Option<(u8, Packs)> = None;
        for pack in holders {
            let Some(generation) = self.generation(blob, pack) else { continue };
            if generation >= below || found.is_some_and(|(best, _)| best <= generation) {
                continue;
            }
            if generation == 0 {
                found = Some((0, pack_bit(pack)));
            } else if let Some((_, chain)) = self.copy_below(1 - blob, packs, generation) {
                found = Some((generation, pack_bit(pack) | chain));
            }
        }
        found
    }

    /// Whether any pack of `packs` has a copy of `blob`, readable or not.
    pub fn any_copy(&self, blob: usize, packs: Packs) -> Option<(u8, Packs)> {
        (0..PACKS_MAX)
            .filter(|&pack| packs & pack_bit(pack) != 0)
            .filter_map(|pack| Some((self.generation(blob, pack)?, pack_bit(pack))))
            .min()
    }

    /// The union of the condemned sets in `sets`.
    pub fn condemned_by(&self, sets: Sets) -> Packs {
        (0..SETS_MAX).filter(|&set| sets & bit(set) != 0).map(|set| self.condemned[set]).sum_bits()
    }

    /// Snapshots that count: committed and without a tombstone.
    pub fn live(&self) -> Slots {
        self.commits() & !self.tombs
    }

    pub fn commits(&self) -> Slots {
        (0..SLOTS_MAX)
            .filter(|&slot| self.slots[slot] == Slot::Commit)
            .map(bit)
            .fold(0, |all, one| all | one)
    }
}

trait SumBits {
    fn sum_bits(self) -> Packs;
}
impl<I: Iterator<Item = Packs>> SumBits for I {
    fn sum_bits(self) -> Packs {
        self.fold(0, |all, one| all | one)
    }
}

/// What a writer is to do.
#[derive(Clone, Copy)]
pub struct Errand {
    pub needs: Blobs,
    /// Named in `open`; its blobs are among `needs`.
    pub parent: Option<usize>,
    /// After an abort it begins again, so many times (0 or 1).
    pub retries: u8,
    /// Uploads a blob as a delta against the other one when that one may be used.
    pub deltas: bool,
}

/// Who takes part, and what was there before.
#[derive(Clone, Copy)]
pub struct Setting {
    pub packs: &'static [[Held; BLOBS]],
    /// The blobs of the snapshots of the past.
    pub past: &'static [Blobs],
    /// These may be forgotten, at any moment.
    pub may_forget: Slots,
    pub writers: &'static [Errand],
    /// One collector each, with so many rounds.
    pub collectors: &'static [u8],
    /// A set condemns at most so many packs, in every combination of packs that are there.
    pub condemn_max: u32,
    /// Sets on the store at the beginning, left by a collector that crashed after C2.
    pub left_behind: &'static [Packs],
    pub rules: Rules,
}

impl Setting {
    pub fn start(&self) -> World {
        let mut world = World::default();
        for copies in self.packs {
            world.put_pack(*copies);
        }
        for slot in 0..self.past.len() {
            world.slots[slot] = Slot::Commit;
        }
        for packs in self.left_behind {
            world.condemned[world.gc_born as usize] = *packs;
            world.gc |= bit(world.gc_born as usize);
            world.gc_born += 1;
        }
        for (collector, rounds) in world.collectors.iter_mut().zip(self.collectors) {
            collector.rounds = *rounds;
        }
        world
    }

    pub fn needs_of(&self, slot: usize) -> Blobs {
        match slot.checked_sub(PAST) {
            None => self.past.get(slot).copied().unwrap_or(0),
            Some(after) => self.writers.get(after / 2).map_or(0, |errand| errand.needs),
        }
    }

    /// The parent that `sessions/<sid>/open` names.
    pub fn parent_of(&self, sid: usize) -> Option<usize> {
        self.writers.get((sid - PAST) / 2)?.parent
    }

    /// Puts a pack, under a name that never was.
    pub fn put_pack(&self, world: &mut World, copies: [Held; BLOBS]) -> Packs {
        let same = (0..PACKS_MAX).find(|&pack| {
            world.born & pack_bit(pack) != 0
                && (0..BLOBS).all(|blob| world.held_by(blob, pack) == copies[blob])
        });
        match same {
            Some(pack) if !self.rules.fresh_names => {
                // The mutant's names are of the plain content: this one is there, or is again.
                world.packs |= pack_bit(pack);
                pack_bit(pack)
            }
            _ => world.put_pack(copies),
        }
    }

    /// The promise: what is committed and not forgotten can be read.
    pub fn is_safe(&self, world: &World) -> bool {
        let live = world.live();
        let wanted = (0..SLOTS_MAX)
            .filter(|&slot| live & bit(slot) != 0)
            .fold(0, |all, slot| all | self.needs_of(slot));
        (0..BLOBS)
            .filter(|&blob| wanted & bit(blob) != 0)
            .all(|blob| world.best_copy(blob, world.packs).is_some())
    }

    /// Every step that anybody can take next.
    pub fn steps(&self, world: &World, each: &mut dyn FnMut(&'static str, usize, World)) {
        let forgettable = world.live() & self.may_forget;
        for slot in (0..SLOTS_MAX).filter(|&slot| forgettable & bit(slot) != 0) {
            let mut next = *world;
            next.tombs |= bit(slot);
            each("forget", slot, next);
        }
        for place in 0..self.writers.len() {
            self.writer_steps(world, place, &mut |step, next| each(step, place, next));
        }
        for place in 0..self.collectors.len() {
            self.collector_steps(world, place, &mut |step, next| each(step, place, next));
        }
    }
}

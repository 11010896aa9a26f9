//! Which blobs the roots need, as bitmaps over the rows of the catalog.

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::{
    Error, Reach,
    ground::{Ground, Slots},
};
use crate::{
    format::snapshot::Snapshot,
    id::{BlobId, BlobKind, Sid},
    limits::DELTA_HOPS_MAX,
    repo::{
        self, KnownDamage,
        catalog::{Catalog, Frozen, Located, Numbered, PackNumber},
    },
    seal::Codec,
};

/// So many bytes of a pack's table speak of one blob.
const ROW_BYTES: u64 = 41;
const DELTA_ROW_BYTES: u64 = ROW_BYTES + 34;

/// What is needed of one pack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub blobs: u64,
    /// With what the pack's table takes for them.
    pub bytes: u64,
}

/// What a walk from the roots has reached.
pub(super) struct Marks {
    frozen: Frozen,
    /// Of each reached blob the row of its first copy: membership.
    reached: RoaringBitmap,
    /// The same for blobs that reached ones are deltas of; the walk may never come to them itself.
    bases: RoaringBitmap,
    /// The copies that are to stay: one of each reached blob, and what it is a delta of.
    kept: RoaringBitmap,
    pub used: HashMap<PackNumber, Used>,
    /// Needed and to be had from no copy that counts, with the first snapshot that needs it.
    pub missing: Vec<(Sid, BlobId)>,
    /// Trees that could not be walked to the end.
    pub unwalked: Vec<(Sid, Box<dyn std::error::Error + Send + Sync>)>,
}

/// The copies that count: those in packs that are there and not known to be bad.
pub(super) struct Present<'a> {
    pub packs: &'a RoaringBitmap,
    pub damage: &'a KnownDamage,
}

impl Present<'_> {
    pub fn has(&self, copy: &Located) -> bool {
        self.packs.contains(copy.number) && !self.damage.has(&copy.pack.id, &copy.row.id)
    }
}

/// How many deltas a reader goes through to the blob's plain bytes, at best, with packs that count
/// alone. `None`: it can't have them, or not in as many as a reader allows.
pub(super) fn depth(catalog: &Catalog, present: &Present, id: &BlobId) -> Option<u8> {
    depth_within(&|id| catalog.copies(id), present, id, DELTA_HOPS_MAX)
}

fn depth_within(
    copies: &dyn Fn(&BlobId) -> Vec<Located>,
    present: &Present,
    id: &BlobId,
    hops: u8,
) -> Option<u8> {
    let mut bases = Vec::new();
    for copy in copies(id).iter().filter(|copy| present.has(copy)) {
        match copy.row.codec {
            Codec::Delta { base, .. } => bases.push(base),
            _ => return Some(0),
        }
    }
    let hops = hops.checked_sub(1)?;
    bases.dedup();
    let depths = bases.iter().filter_map(|base| depth_within(copies, present, base, hops));
    Some(depths.min()? + 1)
}

/// Whether a walk ended because the repository could not be read just now: of the tree that says
/// nothing.
fn is_of_store(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<repo::Error>())
        .any(|error| !error.is_damage())
}

impl Marks {
    /// Marks all that `roots` reach. `preferred` packs are chosen before others when a blob lies
    /// in several.
    pub fn of(
        ground: &Ground,
        reach: &dyn Reach,
        roots: &[(Sid, &Snapshot)],
        present: &Present,
        preferred: &RoaringBitmap,
    ) -> Result<Marks, Error> {
        let mut marks = Marks {
            frozen: ground.catalog.freeze().ok_or(Error::TooManyRows)?,
            reached: RoaringBitmap::new(),
            bases: RoaringBitmap::new(),
            kept: RoaringBitmap::new(),
            used: HashMap::new(),
            missing: Vec::new(),
            unwalked: Vec::new(),
        };
        for (sid, snapshot) in roots {
            for root in &snapshot.roots {
                let mut visit = |kind, id: &BlobId| marks.visit(sid, kind, id, present, preferred);
                match reach.reachable(root, &mut visit) {
                    Err(source) if is_of_store(&*source) => {
                        return Err(Error::Walk { snapshot: *sid, source });
                    }
                    walked => marks.unwalked.extend(walked.err().map(|error| (*sid, error))),
                }
            }
        }
        marks.whole()
    }

    /// What was not found in a torn cache may be anywhere.
    fn whole(self) -> Result<Marks, Error> {
        if self.frozen.is_torn() { Err(Error::TornCache) } else { Ok(self) }
    }

    /// The marks, if everything was found that the roots need. A forgotten one may lack some: an
    /// earlier prune whose `undelete_days` were fewer has freed it.
    pub fn complete(mut self, slots: &Slots) -> Result<Marks, Error> {
        let is_forgotten = |sid: &Sid| {
            slots.commits.get(sid).is_some_and(|committed| committed.forgotten.is_some())
        };
        let mut missing = self.missing.iter().filter(|(sid, _)| !is_forgotten(sid));
        if let Some((snapshot, blob)) = missing.next() {
            let (snapshot, blob, missing) = (*snapshot, *blob, 1 + missing.count());
            return Err(Error::BlobMissing { snapshot, blob, missing });
        }
        match self.unwalked.pop() {
            Some((snapshot, source)) => Err(Error::Walk { snapshot, source }),
            None => Ok(self),
        }
    }

    /// Whether the walk should go on below this blob.
    fn visit(
        &mut self,
        sid: &Sid,
        kind: BlobKind,
        id: &BlobId,
        present: &Present,
        preferred: &RoaringBitmap,
    ) -> bool {
        let copies = self.frozen.copies(id);
        let Some(first) = copies.iter().map(|copy| copy.row).min() else {
            self.missing.push((*sid, *id));
            return false;
        };
        if !self.reached.insert(first) {
            return false;
        }
        if !self.keep(copies, DELTA_HOPS_MAX, present, preferred) {
            self.missing.push((*sid, *id));
            return false;
        }
        kind == BlobKind::Node
    }

    /// Chooses the copy that stays: the one with the fewest deltas below it, in a pack that is
    /// preferred. False: none can be read. The bases of the other copies are kept too, so that no
    /// copy of a needed blob is left without what it is read with.
    fn keep(
        &mut self,
        mut copies: Vec<Numbered>,
        hops: u8,
        present: &Present,
        preferred: &RoaringBitmap,
    ) -> bool {
        copies.retain(|numbered| present.has(&numbered.copy));
        copies.sort_by_key(|numbered| {
            let Located { number, row, .. } = numbered.copy;
            let kept = self.kept.contains(numbered.row);
            let delta = matches!(row.codec, Codec::Delta { .. });
            (delta, !preferred.contains(number), !kept, number, row.offset)
        });
        let mut found = false;
        for Numbered { row: number, copy } in copies {
            if let Codec::Delta { base, .. } = copy.row.codec {
                let bases = self.frozen.copies(&base);
                let (Some(first), Some(hops)) =
                    (bases.iter().map(|base| base.row).min(), hops.checked_sub(1))
                else {
                    continue;
                };
                self.bases.insert(first);
                if !self.keep(bases, hops, present, preferred) {
                    continue;
                }
            }
            if !found {
                found = true;
                self.count(number, &copy);
            }
        }
        found
    }

    fn count(&mut self, number: u32, copy: &Located) {
        if !self.kept.insert(number) {
            return;
        }
        let used = self.used.entry(copy.number).or_default();
        let delta = matches!(copy.row.codec, Codec::Delta { .. });
        used.blobs += 1;
        used.bytes += u64::from(copy.row.stored_len);
        used.bytes += if delta { DELTA_ROW_BYTES } else { ROW_BYTES };
    }

    /// The packs of which something is to stay.
    pub fn used_packs(&self) -> RoaringBitmap {
        self.used.keys().copied().collect()
    }

    /// Whether the blob was reached, itself or as a base: then the number that stands for it.
    pub fn reached_row(&self, id: &BlobId) -> Result<Option<u32>, Error> {
        let first = self.frozen.copies(id).iter().map(|copy| copy.row).min();
        if self.frozen.is_torn() {
            return Err(Error::TornCache);
        }
        let is_reached = |row: &u32| self.reached.contains(*row) || self.bases.contains(*row);
        Ok(first.filter(is_reached))
    }
}

//! Which packs to condemn (C1): those nobody needs, and those where too little is needed.

use super::{
    MaxUnused, Options,
    ground::Ground,
    marks::{Marks, Used},
    survey::{Packs, Totals},
};
use crate::{format::pack, id::PackId, repo::KnownDamage};

/// A pack and what is needed of it.
struct Weighed {
    id: PackId,
    size_bytes: u64,
    used: Used,
    is_damaged: bool,
}

/// What a pack takes beside its blobs and their rows: header, count, tag, trailer.
const FRAME_BYTES: u64 = (pack::HEADER_BYTES + 4 + 16 + pack::TRAILER_BYTES) as u64;

impl Weighed {
    fn unused_bytes(&self) -> u64 {
        let framed = self.used.bytes + if self.used.blobs > 0 { FRAME_BYTES } else { 0 };
        self.size_bytes.saturating_sub(framed)
    }
}

/// Chooses, and fills in the figures.
pub(super) fn choose(
    ground: &Ground,
    packs: &Packs,
    marks: &Marks,
    damage: &KnownDamage,
    at_work: bool,
    options: &Options,
    totals: &mut Totals,
) -> Vec<PackId> {
    // While sessions are at work, a pack that nobody needs may be one that they have just put: to
    // condemn it would be safe, and would make a later run copy all that it holds. Packs that a
    // collector has taken into segments of its own are older than that.
    let settled = at_work.then(|| ground.catalog.settled_packs());
    let (mut sparse, mut chosen) = (Vec::new(), Vec::new());
    for (id, size_bytes) in &packs.sizes {
        totals.packs += 1;
        totals.pack_bytes += size_bytes;
        let Some(number) = ground.catalog.number(id) else { continue };
        let used = marks.used.get(&number).copied().unwrap_or_default();
        let is_recorded = damage.records().iter().any(|(_, record)| record.packs.contains(id));
        let is_damaged = is_recorded || ground.is_resized(id, *size_bytes);
        let weighed = Weighed { id: *id, size_bytes: *size_bytes, used, is_damaged };
        totals.used_blobs += used.blobs;
        totals.used_bytes += used.bytes;
        totals.unused_bytes += weighed.unused_bytes();
        if packs.condemned.contains(number) {
            count(totals, &weighed);
        } else if used.blobs > 0 {
            sparse.push(weighed);
        } else if settled.as_ref().is_none_or(|settled| settled.contains(number)) {
            count(totals, &weighed);
            chosen.push(weighed.id);
        } else {
            totals.unused_left_bytes += weighed.unused_bytes();
        }
    }
    choose_sparse(sparse, options, totals, &mut chosen);
    chosen
}

fn count(totals: &mut Totals, pack: &Weighed) {
    if pack.used.blobs == 0 {
        totals.packs_to_delete += 1;
        totals.delete_bytes += pack.size_bytes;
    } else {
        totals.packs_to_repack += 1;
        totals.repack_bytes += pack.used.bytes;
    }
    totals.freed_bytes += pack.unused_bytes();
}

/// The sparsest first, until what is left unused is little enough. Packs with damage go in any
/// case: what is needed of them has a good copy, or the plan would have stopped.
fn choose_sparse(
    mut sparse: Vec<Weighed>,
    options: &Options,
    totals: &mut Totals,
    chosen: &mut Vec<PackId>,
) {
    let mut left: u64 = sparse.iter().map(Weighed::unused_bytes).sum();
    let allowed = match options.max_unused {
        MaxUnused::Unlimited => u64::MAX,
        MaxUnused::Bytes(bytes) => bytes,
        MaxUnused::Percent(percent) => {
            let share = percent.clamp(0.0, 99.9) / 100.0;
            (totals.used_bytes as f64 * share / (1.0 - share)) as u64
        }
    };
    let mut budget = options.max_repack_bytes.unwrap_or(u64::MAX);
    let share = |pack: &Weighed| pack.unused_bytes() as f64 / pack.size_bytes.max(1) as f64;
    sparse.sort_by(|a, b| {
        b.is_damaged.cmp(&a.is_damaged).then(share(b).total_cmp(&share(a))).then(a.id.cmp(&b.id))
    });
    for pack in &sparse {
        let wanted = left > allowed && pack.unused_bytes() > 0 || pack.is_damaged;
        if !wanted || pack.used.bytes > budget {
            continue;
        }
        budget -= pack.used.bytes;
        left -= pack.unused_bytes();
        count(totals, pack);
        chosen.push(pack.id);
    }
    totals.unused_left_bytes += left;
}

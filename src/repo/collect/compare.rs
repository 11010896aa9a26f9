//! What a check finds without reading packs: index, listing and earlier damage side by side.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{Checked, DamagedPack, Error, Fault, Strange, ground::Ground, survey};
use crate::{
    id::{PackId, SegmentId},
    repo::{KnownDamage, layout},
};

/// Reads the segments that the cache on this machine knows already: others have to read them.
pub(super) fn check_index(ground: &Ground, strange: &mut Vec<Strange>) -> Result<(), Error> {
    let ids: Vec<SegmentId> = ground.list(layout::INDEX)?.iter().filter_map(layout::id).collect();
    let read = |id: &SegmentId| -> Result<Option<Strange>, Error> {
        let object = layout::segment(id).to_string();
        let error = ground.segment(id)?.and_then(Result::err);
        Ok(error.map(|error| Strange { object, error }))
    };
    let found: Vec<Option<Strange>> = ids.par_iter().map(read).collect::<Result<_, _>>()?;
    let told: BTreeSet<String> = strange.iter().map(|strange| strange.object.clone()).collect();
    strange.extend(found.into_iter().flatten().filter(|found| !told.contains(&found.object)));
    Ok(())
}

/// Of the packs that an earlier check found damaged and that are there: a disk may have been put
/// back. Gives those that must be read to know more. Where nothing was to be had, a table that can
/// be read says that it is over.
pub(super) fn named_again(
    ground: &Ground,
    damage: &KnownDamage,
    sizes: &BTreeMap<PackId, u64>,
    checked: &mut Checked,
) -> Result<Vec<PackId>, Error> {
    let mut unclear = Vec::new();
    for (id, of_blobs) in damage.named_packs() {
        let Some(size_bytes) = sizes.get(id) else { continue };
        let is_legible = || {
            let table = ground.table_of(id, *size_bytes)?;
            Ok::<_, Error>(matches!(table, Some(Ok(_))) && !ground.is_resized(id, *size_bytes))
        };
        if !of_blobs && is_legible()? {
            checked.judged.insert(*id);
        } else {
            unclear.push(*id);
        }
    }
    Ok(unclear)
}

/// The packs that are not as the index says.
#[derive(Default)]
pub(super) struct Compared {
    /// Nothing in them can be used.
    pub bad: BTreeSet<PackId>,
    /// Of another size: they must be read to know more.
    pub resized: BTreeSet<PackId>,
    /// No index names them.
    pub unindexed: Vec<PackId>,
}

pub(super) fn compare_with_index(
    ground: &Ground,
    sizes: &BTreeMap<PackId, u64>,
    checked: &mut Checked,
) -> Result<Compared, Error> {
    let sets = ground.sets()?;
    let condemned: BTreeSet<&PackId> = sets.values().flat_map(|set| &set.packs).collect();
    let is_missing = |id: &PackId| !sizes.contains_key(id) && !condemned.contains(id);
    if ground.catalog.live_packs().iter().any(|(_, info)| is_missing(&info.id)) {
        // A collector that has done all its work since the index was read: it took them out of
        // the index first.
        ground.wait_for_visibility();
        ground.load_index(&mut checked.strange)?;
    }
    let mut compared = Compared::default();
    for (_, info) in ground.catalog.live_packs() {
        match sizes.get(&info.id) {
            Some(listed) if *listed == info.size_bytes => {}
            Some(_) => drop(compared.resized.insert(info.id)),
            None if is_missing(&info.id) && !ground.has(&layout::pack(&info.id))? => {
                compared.bad.insert(info.id);
                checked.damaged.push(DamagedPack { pack: info.id, fault: Fault::Missing });
            }
            // A collector at work deletes packs before it is done with the index of its set; and
            // some were put since the listing.
            None => {}
        }
    }
    if sizes.keys().any(|id| !ground.catalog.is_live(id)) {
        // Perhaps only since it was read: whoever put them indexes them next.
        ground.load_index(&mut Vec::new())?;
    }
    for (id, size_bytes) in sizes.iter().filter(|(id, _)| !ground.catalog.is_live(id)) {
        let Some(table) = ground.table_of(id, *size_bytes)? else { continue };
        checked.unindexed += 1;
        compared.unindexed.push(*id);
        if let Err(error) = table {
            compared.bad.insert(*id);
            checked.damaged.push(DamagedPack { pack: *id, fault: Fault::Table(error) });
        }
    }
    survey::adopt_packs(ground, sizes, false, &mut Vec::new())?;
    Ok(compared)
}

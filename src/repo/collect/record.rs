//! What a check has found, written down for all who come after it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checked, DamagedPack, Error, ground::Ground};
use crate::{
    format::gc::Damaged,
    id::{BlobId, PackId},
    repo::layout,
};

/// The id of no blob: of a pack that holds no bad one, and that a prune is to give up.
const NO_BLOB: BlobId = BlobId::new([0; 32]);

/// Writes down what was found bad, so that no writer counts on it, the next backup of the same
/// content puts it again, and the next prune gives the pack up; and takes back what earlier
/// checks wrote of packs that are as this one found them.
pub fn record_damage(ground: &Ground, checked: &Checked) -> Result<(), Error> {
    let time = ground.ambient.clock.now();
    let mut nothing_whole = Vec::new();
    for DamagedPack { pack, fault } in &checked.damaged {
        let blobs = stated(fault.bad_blobs());
        if checked.known.says(pack, &blobs) {
            continue;
        }
        if blobs.is_empty() {
            nothing_whole.push(*pack);
        } else {
            let blobs = blobs.into_iter().collect();
            put(ground, &Damaged { packs: vec![*pack], blobs, time })?;
        }
    }
    if !nothing_whole.is_empty() {
        put(ground, &Damaged { packs: nothing_whole, blobs: Vec::new(), time })?;
    }
    take_back(ground, checked)
}

/// After what is to be said now has been: at no moment less is known.
fn take_back(ground: &Ground, checked: &Checked) -> Result<(), Error> {
    let found: BTreeMap<&PackId, &DamagedPack> =
        checked.damaged.iter().map(|damaged| (&damaged.pack, damaged)).collect();
    for (name, record) in checked.known.records() {
        let still = |pack: &&PackId| {
            let is_so =
                |found: &&DamagedPack| stated(found.fault.bad_blobs()).iter().eq(&record.blobs);
            !checked.judged.contains(*pack) || found.get(*pack).is_some_and(is_so)
        };
        let packs: Vec<PackId> = record.packs.iter().filter(still).copied().collect();
        if packs.len() == record.packs.len() {
            continue;
        }
        if !packs.is_empty() {
            put(ground, &Damaged { packs, ..record.clone() })?;
        }
        ground.store.remove(name)?;
    }
    Ok(())
}

/// The blobs that a record names: none when nothing in the pack can be read.
fn stated(bad: Option<&BTreeSet<BlobId>>) -> BTreeSet<BlobId> {
    match bad {
        None => BTreeSet::new(),
        Some(bad) if bad.is_empty() => BTreeSet::from([NO_BLOB]),
        Some(bad) => bad.clone(),
    }
}

fn put(ground: &Ground, record: &Damaged) -> Result<(), Error> {
    ground.put(&layout::damaged(ground.ambient.random()), record)?;
    Ok(())
}

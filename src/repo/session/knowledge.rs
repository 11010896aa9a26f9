//! What a session knows of the world: which packs it may build on, and which it does.

use std::collections::BTreeSet;

use hashbrown::HashSet;
use roaring::RoaringBitmap;

use crate::{
    format::gc::{CondemnedSet, Damaged, SetId},
    id::{PackId, Sid},
    repo::{Error, KnownDamage, Repository, catalog::PackNumber, layout},
    store::{Listed, list_all},
};

/// Changed by heartbeats only, with dedup decisions paused.
#[derive(Default)]
pub(super) struct Knowledge {
    /// K: every condemned set that was ever seen.
    pub sets: BTreeSet<SetId>,
    pub condemned: HashSet<PackId>,
    pub damage: KnownDamage,
    /// By number in the catalog: packs that exist and are not condemned.
    pub usable: RoaringBitmap,
}

impl Knowledge {
    /// Steps 2 and 3 without the listing of packs: condemned sets first.
    pub fn learn(repo: &Repository) -> Result<Knowledge, Error> {
        let mut knowledge = Knowledge::default();
        knowledge.learn_condemned(repo)?;
        for Listed { name, .. } in list_all(&**repo.store(), layout::DAMAGED)? {
            match repo.get_record_if_there::<Damaged>(&name) {
                Ok(Some(damaged)) => knowledge.damage.add(name, damaged),
                Ok(None) => {}
                // What it warned of is met again when it is read.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(knowledge)
    }

    /// LIST `gc/`, and take in the sets that are new. A set that can't be read is an error: its
    /// packs can't be known, so nothing could be built on.
    pub fn learn_condemned(&mut self, repo: &Repository) -> Result<(), Error> {
        for listed in list_all(&**repo.store(), layout::CONDEMNED)? {
            let Some(id) = layout::id::<SetId>(&listed) else { continue };
            if self.sets.contains(&id) {
                continue;
            }
            // A set that has gone since it was listed was completed: none of its packs is left.
            if let Some(set) = repo.get_record_if_there::<CondemnedSet>(&listed.name)? {
                let numbers = set.packs.iter().filter_map(|pack| repo.catalog().number(pack));
                numbers.for_each(|number| {
                    self.usable.remove(number);
                });
                self.condemned.extend(set.packs);
                self.sets.insert(id);
            }
        }
        Ok(())
    }

    /// LIST `packs/`: usable is what is there, less condemned. Gives the packs among
    /// them that the index does not name.
    pub fn learn_packs(&mut self, repo: &Repository) -> Result<Vec<(PackId, u64)>, Error> {
        let mut orphans = Vec::new();
        let mut usable = RoaringBitmap::new();
        repo.store().list(layout::PACKS, &mut |listed| {
            let Some(id) = layout::id::<PackId>(&listed) else { return Ok(()) };
            if self.condemned.contains(&id) {
                return Ok(());
            }
            match repo.catalog().number(&id) {
                Some(number) if repo.catalog().is_live(&id) => {
                    usable.insert(number);
                }
                _ => orphans.push((id, listed.size_bytes)),
            }
            Ok(())
        })?;
        self.usable = usable;
        Ok(orphans)
    }

    /// No prune is under way, nothing is known as damaged, and every pack that the index names is
    /// there: what a parent holds can be taken as it is.
    pub fn is_calm(&self, repo: &Repository) -> bool {
        let nothing_bad = self.sets.is_empty() && self.damage.is_empty();
        nothing_bad && repo.catalog().live_numbers().is_subset(&self.usable)
    }

    pub fn may_use(&self, number: PackNumber) -> bool {
        self.usable.contains(number)
    }
}

/// Whether a snapshot is there, committed, and not forgotten: asked after `open` was published and
/// the condemned sets were listed.
pub(super) fn is_live_root(repo: &Repository, sid: &Sid) -> Result<bool, Error> {
    use crate::format::slot::Slot;
    let slot = repo.get_record_if_there::<Slot>(&layout::slot(sid))?;
    if !matches!(slot, Some(Slot::Commit { .. })) {
        return Ok(false);
    }
    let mut forgotten = false;
    repo.store().list(layout::TOMBSTONES, &mut |listed| {
        forgotten |= layout::tombstoned(&listed) == Some(*sid);
        Ok(())
    })?;
    Ok(!forgotten)
}

//! Copies of blobs that a check has found bad: nobody builds on them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    format::gc::Damaged,
    id::{BlobId, PackId},
    store::Name,
};

/// What the records below `damaged/` say.
#[derive(Debug, Default)]
pub struct KnownDamage {
    packs: BTreeSet<PackId>,
    copies: BTreeSet<(PackId, BlobId)>,
    anywhere: BTreeSet<BlobId>,
    records: Vec<(Name, Damaged)>,
    /// Which records name a pack.
    by_pack: BTreeMap<PackId, Vec<usize>>,
}

impl KnownDamage {
    /// Whether this copy is known to be bad.
    pub fn has(&self, pack: &PackId, blob: &BlobId) -> bool {
        self.packs.contains(pack)
            || self.anywhere.contains(blob)
            || self.copies.contains(&(*pack, *blob))
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.copies.is_empty()
    }

    /// The records, each with its name.
    pub fn records(&self) -> &[(Name, Damaged)] {
        &self.records
    }

    pub fn add(&mut self, name: Name, record: Damaged) {
        match (record.packs.is_empty(), record.blobs.is_empty()) {
            (false, true) => self.packs.extend(&record.packs),
            (true, _) => self.anywhere.extend(&record.blobs),
            (false, false) => {
                record.packs.iter().for_each(|pack| self.add_found(*pack, &record.blobs))
            }
        }
        for pack in &record.packs {
            self.by_pack.entry(*pack).or_default().push(self.records.len());
        }
        self.records.push((name, record));
    }

    pub fn names(&self, pack: &PackId) -> bool {
        self.by_pack.contains_key(pack)
    }

    /// The packs that records name, each with whether one speaks of blobs in it.
    pub fn named_packs(&self) -> impl Iterator<Item = (&PackId, bool)> {
        let speaks = |at: &usize| !self.records[*at].1.blobs.is_empty();
        self.by_pack.iter().map(move |(pack, records)| (pack, records.iter().any(speaks)))
    }

    /// Whether a record says just this: of `blobs` in this pack, or when there are none of all in
    /// it.
    pub fn says(&self, pack: &PackId, blobs: &BTreeSet<BlobId>) -> bool {
        let is_it = |at: &usize| self.records[*at].1.blobs.iter().eq(blobs);
        self.by_pack.get(pack).is_some_and(|records| records.iter().any(is_it))
    }

    /// What records say of these packs counts no more: they have been read since. The records stay.
    pub fn acquit(&mut self, packs: &BTreeSet<PackId>) {
        self.packs.retain(|pack| !packs.contains(pack));
        self.copies.retain(|(pack, _)| !packs.contains(pack));
    }

    /// Damage that was found just now and is in no record yet.
    pub fn add_found<'b>(&mut self, pack: PackId, blobs: impl IntoIterator<Item = &'b BlobId>) {
        self.copies.extend(blobs.into_iter().map(|blob| (pack, *blob)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_speaks_of_packs_of_blobs_or_of_blobs_in_packs() {
        let (pack, other) = (PackId::new([1; 32]), PackId::new([2; 32]));
        let (blob, good) = (BlobId::new([3; 32]), BlobId::new([4; 32]));
        let known = |packs: &[PackId], blobs: &[BlobId]| {
            let mut known = KnownDamage::default();
            assert!(known.is_empty());
            let (packs, blobs) = (packs.to_vec(), blobs.to_vec());
            let time = jiff::Timestamp::UNIX_EPOCH;
            known.add(Name::parse("damaged/00").unwrap(), Damaged { packs, blobs, time });
            assert!(!known.is_empty());
            [(pack, blob), (pack, good), (other, blob)].map(|(pack, blob)| known.has(&pack, &blob))
        };
        assert_eq!(known(&[pack], &[]), [true, true, false]);
        assert_eq!(known(&[], &[blob]), [true, false, true]);
        assert_eq!(known(&[pack], &[blob]), [true, false, false]);
    }
}

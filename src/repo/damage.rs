//! Copies of blobs that a check has found bad: nobody builds on them.

use std::collections::BTreeSet;

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
        self.records.push((name, record));
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

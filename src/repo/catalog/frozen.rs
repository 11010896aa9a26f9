//! The catalog as it is at one moment, its rows numbered, for those who mark them in bitmaps.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use roaring::RoaringBitmap;

use super::{
    Catalog, Located, PackInfo, PackNumber,
    entry::{self, Place, Prefix},
    table::Table,
};
use crate::id::BlobId;

/// One copy of a blob, and the number of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    pub row: u32,
    pub copy: Located,
}

/// Immutable: updates of the catalog do not change it, nor the numbers of its rows.
pub struct Frozen {
    /// Each table, with the number of its first row.
    places: Vec<(u32, Arc<Table>)>,
    deltas: Vec<Arc<Table>>,
    packs: Vec<PackInfo>,
    /// A row could not be read: not every copy that was asked for was given.
    torn: AtomicBool,
    torn_catalog: Arc<AtomicBool>,
}

impl Catalog {
    /// `None`: there are more rows than 32 bits can number.
    pub fn freeze(&self) -> Option<Frozen> {
        let state = self.state();
        let mut places = Vec::new();
        let mut next = 0u32;
        for named in &state.places {
            places.push((next, named.table.clone()));
            next = next.checked_add(u32::try_from(named.table.len()).ok()?)?;
        }
        let deltas = state.deltas.iter().map(|named| named.table.clone()).collect();
        let packs = state.packs.clone();
        let torn = AtomicBool::new(false);
        Some(Frozen { places, deltas, packs, torn, torn_catalog: self.torn.clone() })
    }
}

impl Catalog {
    /// The packs that stand in segments which say that they replace others: those were there when
    /// a collector last rewrote the index.
    pub fn settled_packs(&self) -> RoaringBitmap {
        let state = self.state();
        let merged = state.manifest.segments.values();
        let settled = merged.filter(|merged| !merged.supersedes.is_empty());
        settled.fold(RoaringBitmap::new(), |all, merged| all | &merged.packs)
    }
}

impl Frozen {
    /// Every copy of the blob; those in packs that are gone too.
    pub fn copies(&self, id: &BlobId) -> Vec<Numbered> {
        let prefix = entry::prefix(id);
        let mut found = Vec::new();
        for (first, table) in &self.places {
            for (number, bytes) in table.find_numbered(&prefix) {
                let Some(place) = self.whole(entry::decode_place(&bytes)) else { continue };
                let base = if place.is_delta() { self.base(&prefix, &place) } else { None };
                let pack = self.packs.get(place.pack as usize);
                if let (Some(row), Some(pack)) = (place.row(id, base), pack) {
                    let copy = Located { number: place.pack, pack: *pack, row };
                    found.push(Numbered { row: first + number as u32, copy });
                }
            }
        }
        found
    }

    fn base(&self, prefix: &Prefix, place: &Place) -> Option<(BlobId, u16)> {
        let key = place.delta_key(prefix);
        let row = self.deltas.iter().find_map(|table| table.find(&key).next())?;
        self.whole(entry::decode_delta(&row))
    }

    fn whole<T>(&self, decoded: Option<T>) -> Option<T> {
        if decoded.is_none() {
            self.torn.store(true, Relaxed);
            self.torn_catalog.store(true, Relaxed);
        }
        decoded
    }

    /// Whether there were rows that could not be read. The catalog makes its tables again when it
    /// is brought up to the index next.
    pub fn is_torn(&self) -> bool {
        self.torn.load(Relaxed)
    }

    pub fn pack(&self, number: PackNumber) -> Option<&PackInfo> {
        self.packs.get(number as usize)
    }
}

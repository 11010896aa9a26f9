//! Which blob lies in which pack, for a hundred million blobs, in little memory.
//!
//! Index segments are merged once into sorted tables in the cache directory (`shelf`), which are
//! searched by interpolation (`table`), mapped while they are small (`mapped`). The catalog is a
//! hint: a pack that it names may be gone, and the listing of packs decides.

mod entry;
mod frozen;
mod mapped;
mod runs;
mod shelf;
mod table;
mod update;

#[cfg(test)]
mod tests;

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use hashbrown::{HashMap, HashSet};
use roaring::RoaringBitmap;

pub use entry::{PackInfo, PackNumber, Prefix};
pub use frozen::{Frozen, Numbered};
pub use update::{SegmentError, Update};

use crate::{
    id::{BlobId, BlobKind, PackId, SegmentId},
    seal::Row,
};
use entry::{DELTA_BYTES, PLACE_BYTES, Place};
use shelf::{Manifest, Shelf};
use table::Table;

/// One copy of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    pub number: PackNumber,
    pub pack: PackInfo,
    pub row: Row,
}

/// One row of a scan over all blobs: the beginning of the id, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    pub prefix: Prefix,
    pub number: PackNumber,
    pub kind: BlobKind,
    pub is_delta: bool,
    pub stored_len: u32,
    pub raw_len: u32,
}

/// The tables of a repository's index. Shared by all threads of a process.
///
/// Numbers of packs are this process's own, and never change their meaning in it.
pub struct Catalog {
    state: RwLock<State>,
    /// One update at a time.
    turn: Mutex<()>,
    /// A row's check failed: the tables are made again at the next chance.
    torn: Arc<AtomicBool>,
    on_private: Option<OnPrivate>,
}

/// Told once what is wrong with the directory, when one that is gone afterwards takes its place.
pub type OnPrivate = Arc<dyn Fn(&io::Error) + Send + Sync>;

struct State {
    shelf: Shelf,
    manifest: Manifest,
    places: Vec<Named>,
    deltas: Vec<Named>,
    packs: Vec<PackInfo>,
    numbers: HashMap<PackId, PackNumber>,
    /// The packs that the index names now.
    live: RoaringBitmap,
}

#[derive(Clone)]
struct Named {
    name: String,
    table: Arc<Table>,
}

impl Catalog {
    /// What the cache directory holds, whatever its state; nothing if it can't be used, and that
    /// is told. `None`: a directory of its own that goes with it. `lineage`: fresh random bytes.
    pub fn open(
        dir: Option<&Path>,
        lineage: [u8; 16],
        on_private: Option<OnPrivate>,
    ) -> io::Result<Catalog> {
        let shared = dir.map(|dir| State::load(Shelf::shared(dir)?, lineage));
        let state = match shared {
            Some(Ok(state)) => state,
            None => State::load(Shelf::temporary()?, lineage)?,
            Some(Err(error)) => {
                on_private.iter().for_each(|tell| tell(&error));
                State::load(Shelf::temporary()?, lineage)?
            }
        };
        Ok(Catalog {
            state: RwLock::new(state),
            turn: Mutex::new(()),
            torn: Arc::default(),
            on_private,
        })
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("nobody panics while changing the state")
    }

    /// Every copy of the blob, those in packs that the index names now first.
    pub fn copies(&self, id: &BlobId) -> Vec<Located> {
        let state = self.state();
        let prefix = entry::prefix(id);
        let mut found = Vec::new();
        for place in self.places(&state, &prefix) {
            let base = if place.is_delta() { self.base(&state, &prefix, &place) } else { None };
            let pack = state.packs.get(place.pack as usize);
            if let (Some(row), Some(pack)) = (place.row(id, base), pack) {
                found.push(Located { number: place.pack, pack: *pack, row });
            }
        }
        if found.len() > 1 {
            found.sort_by_key(|copy| !state.live.contains(copy.number));
        }
        found
    }

    /// The best copy of the blob.
    pub fn locate(&self, id: &BlobId) -> Option<Located> {
        self.copies(id).into_iter().next()
    }

    fn places(&self, state: &State, prefix: &Prefix) -> impl Iterator<Item = Place> {
        let rows = state.places.iter().flat_map(|named| named.table.find(prefix));
        rows.filter_map(|row| self.whole(entry::decode_place(&row)))
    }

    fn base(&self, state: &State, prefix: &Prefix, place: &Place) -> Option<(BlobId, u16)> {
        let key = place.delta_key(prefix);
        let row = state.deltas.iter().find_map(|named| named.table.find(&key).next())?;
        self.whole(entry::decode_delta(&row))
    }

    fn whole<T>(&self, decoded: Option<T>) -> Option<T> {
        if decoded.is_none() {
            self.torn.store(true, Relaxed);
        }
        decoded
    }

    pub fn pack(&self, number: PackNumber) -> Option<PackInfo> {
        self.state().packs.get(number as usize).copied()
    }

    /// `None` for packs that were never in the index.
    pub fn number(&self, pack: &PackId) -> Option<PackNumber> {
        self.state().numbers.get(pack).copied()
    }

    /// Whether the index names this pack now.
    pub fn is_live(&self, pack: &PackId) -> bool {
        let state = self.state();
        state.numbers.get(pack).is_some_and(|number| state.live.contains(*number))
    }

    /// The numbers of all packs that the index names now.
    pub fn live_numbers(&self) -> RoaringBitmap {
        self.state().live.clone()
    }

    /// All packs that the index names now.
    pub fn live_packs(&self) -> Vec<(PackNumber, PackInfo)> {
        let state = self.state();
        state.live.iter().map(|number| (number, state.packs[number as usize])).collect()
    }

    /// The segments that are merged in, each with the packs it names.
    pub fn segments(&self) -> Vec<(SegmentId, Vec<PackId>)> {
        let state = self.state();
        let packs = |packs: &RoaringBitmap| {
            packs.iter().map(|number| state.packs[number as usize].id).collect()
        };
        (state.manifest.segments.iter()).map(|(id, merged)| (*id, packs(&merged.packs))).collect()
    }

    /// Of these segments, those that are not merged in yet.
    pub fn missing<'a>(&self, listed: impl IntoIterator<Item = &'a SegmentId>) -> Vec<SegmentId> {
        let state = self.state();
        let missing = |id: &&SegmentId| !state.manifest.segments.contains_key(*id);
        listed.into_iter().filter(missing).copied().collect()
    }

    /// Whether the segments merged in are these, no more and no less, and nothing is torn.
    pub fn is_current(&self, listed: &HashSet<SegmentId>) -> bool {
        let state = self.state();
        !self.torn.load(Relaxed)
            && state.manifest.segments.len() == listed.len()
            && state.manifest.segments.keys().all(|id| listed.contains(id))
    }

    /// Every row, in the order of ids within each of a few tables. Rows of packs that the index
    /// does not name any more may be among them.
    pub fn scan(&self, each: &mut dyn FnMut(Scanned)) -> io::Result<()> {
        // The tables are immutable: nobody waits while they are gone over.
        let tables: Vec<Named> = self.state().places.clone();
        for named in tables {
            let mut reader = named.table.reader();
            while let Some(row) = reader.next()? {
                let place = entry::decode_place(row).ok_or(io::ErrorKind::InvalidData)?;
                each(place.scanned(*row.first_chunk().expect("a row begins with a prefix")));
            }
        }
        Ok(())
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.state().places.iter().map(|named| named.table.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl State {
    fn load(shelf: Shelf, lineage: [u8; 16]) -> io::Result<State> {
        // Another process may replace the manifest, and unlink tables, between our two steps.
        for _ in 0..4 {
            match State::read(&shelf) {
                Ok(Some(manifest)) => match State::open_all(&shelf, manifest) {
                    Ok(parts) => return Ok(State::new(shelf, parts)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => break,
                    Err(error) => return Err(error),
                },
                Ok(None) => break,
                Err(error) => return Err(error),
            }
        }
        let manifest = Manifest { lineage, ..Manifest::default() };
        Ok(State::new(shelf, Parts { manifest, ..Parts::default() }))
    }

    /// `None`: there is nothing, or nothing whole.
    fn read(shelf: &Shelf) -> io::Result<Option<Manifest>> {
        match shelf.read_manifest() {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn open_all(shelf: &Shelf, manifest: Manifest) -> io::Result<Parts> {
        let open = |names: &[String], width| -> io::Result<Vec<Named>> {
            let open = |name: &String| {
                let table = Arc::new(Table::open(&shelf.table(name), width)?);
                Ok(Named { name: name.clone(), table })
            };
            names.iter().map(open).collect()
        };
        let places = open(&manifest.places, PLACE_BYTES)?;
        let deltas = open(&manifest.deltas, DELTA_BYTES)?;
        let packs = if manifest.packs == 0 {
            Vec::new()
        } else {
            shelf.read_packs(&manifest.lineage, 0, manifest.packs)?
        };
        Ok(Parts { manifest, places, deltas, packs })
    }

    fn new(shelf: Shelf, parts: Parts) -> State {
        let Parts { manifest, places, deltas, packs } = parts;
        let numbers = (0..).zip(&packs).map(|(number, pack)| (pack.id, number)).collect();
        let live = live(&manifest);
        State { shelf, manifest, places, deltas, packs, numbers, live }
    }
}

#[derive(Default)]
struct Parts {
    manifest: Manifest,
    places: Vec<Named>,
    deltas: Vec<Named>,
    packs: Vec<PackInfo>,
}

/// The packs of all segments but those that another one stands for.
fn live(manifest: &Manifest) -> RoaringBitmap {
    let superseded: HashSet<&SegmentId> =
        manifest.segments.values().flat_map(|merged| &merged.supersedes).collect();
    let current = manifest.segments.iter().filter(|(id, _)| !superseded.contains(id));
    current.fold(RoaringBitmap::new(), |live, (_, merged)| live | &merged.packs)
}

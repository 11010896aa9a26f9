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
    torn: AtomicBool,
}

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
    /// What the cache directory holds, whatever its state; nothing if it can't be used. `None`: a
    /// directory of its own that goes with it. `lineage`: fresh random bytes.
    pub fn open(dir: Option<&Path>, lineage: [u8; 16]) -> io::Result<Catalog> {
        let shelf = match dir.map(Shelf::shared) {
            Some(Ok(shelf)) => shelf,
            None | Some(Err(_)) => Shelf::temporary()?,
        };
        let state = State::load(shelf, lineage)?;
        Ok(Catalog {
            state: RwLock::new(state),
            turn: Mutex::new(()),
            torn: AtomicBool::new(false),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::{index::Segment, pack::PackTable},
        seal::{Codec, PackSalt},
    };

    fn id(number: u32) -> BlobId {
        BlobId::new(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    /// A pack that holds the blobs `numbers`, every third one as a delta of the one before.
    fn pack(name: u8, numbers: std::ops::Range<u32>) -> PackTable {
        let mut offset = 42;
        let rows: Vec<Row> = numbers
            .map(|number| {
                let codec = match number % 3 {
                    0 => Codec::Delta { base: id(number.wrapping_sub(1)), generation: 7 },
                    1 => Codec::Raw,
                    _ => Codec::Zstd,
                };
                let stored_len = 116;
                let kind = BlobKind::Node;
                let row = Row { id: id(number), kind, codec, offset, stored_len, raw_len: 100 };
                offset += stored_len;
                row
            })
            .collect();
        let tables: usize = rows
            .iter()
            .map(|row| match row.codec {
                Codec::Delta { .. } => 75,
                _ => 41,
            })
            .sum();
        let size_bytes = u64::from(offset) + tables as u64 + 4 + 16 + 12;
        PackTable { id: PackId::new([name; 32]), salt: PackSalt([name; 32]), size_bytes, rows }
    }

    fn segment(name: u8) -> SegmentId {
        SegmentId::new([name; 32])
    }

    fn add(catalog: &Catalog, name: u8, packs: Vec<PackTable>, supersedes: &[u8]) {
        let supersedes = supersedes.iter().map(|name| segment(*name)).collect();
        let plain = Segment { packs, supersedes }.encode();
        let mut update = catalog.update().unwrap();
        update.segment(segment(name), &plain).unwrap();
        update.finish(None).unwrap();
    }

    fn open(dir: &Path) -> Catalog {
        Catalog::open(Some(dir), [1; 16]).unwrap()
    }

    fn has(catalog: &Catalog, table: &PackTable) -> bool {
        table.rows.iter().all(|row| {
            let copies = catalog.copies(&row.id);
            copies.iter().any(|copy| copy.pack.id == table.id && copy.row == *row)
        })
    }

    #[test]
    fn what_was_merged_is_found_now_and_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let packs: Vec<PackTable> = (0..40u8)
            .map(|n| {
                let start = u32::from(n) * 500;
                pack(n, start..start + 500)
            })
            .collect();
        let catalog = open(dir.path());
        for (name, packs) in packs.chunks(8).enumerate() {
            add(&catalog, name as u8, packs.to_vec(), &[]);
        }
        for catalog in [&catalog, &open(dir.path())] {
            assert_eq!(catalog.len(), 20_000);
            assert!(packs.iter().all(|pack| has(catalog, pack)));
            assert_eq!(catalog.locate(&id(99_999)), None);
            assert!(catalog.is_current(&(0..5).map(segment).collect()));
            assert_eq!(catalog.missing(&[segment(4), segment(5)]), [segment(5)]);
            let mut seen = 0;
            catalog.scan(&mut |_| seen += 1).unwrap();
            assert_eq!(seen, 20_000);
        }
    }

    #[test]
    fn live_packs_come_first_and_forgotten_segments_count_no_more() {
        let catalog = Catalog::open(None, [1; 16]).unwrap();
        add(&catalog, 1, vec![pack(1, 0..10), pack(2, 5..15)], &[]);
        add(&catalog, 2, vec![pack(2, 5..15)], &[1]);
        assert_eq!(catalog.copies(&id(7)).len(), 2);
        assert_eq!(catalog.locate(&id(7)).unwrap().pack.id, PackId::new([2; 32]));
        assert!(!catalog.is_live(&PackId::new([1; 32])));
        assert_eq!(catalog.live_packs().len(), 1);
        let update = catalog.update().unwrap();
        update.finish(Some(&HashSet::from_iter([segment(2)]))).unwrap();
        assert_eq!(catalog.segments(), [(segment(2), vec![PackId::new([2; 32])])]);
        // A pack that comes back is what it was.
        add(&catalog, 3, vec![pack(1, 0..10)], &[]);
        assert!(has(&catalog, &pack(1, 0..10)));
    }

    #[test]
    fn rows_of_dead_packs_are_dropped_and_may_come_back() {
        let catalog = Catalog::open(None, [1; 16]).unwrap();
        let packs: Vec<PackTable> =
            (0..200u8).map(|n| pack(n, u32::from(n) * 3..u32::from(n) * 3 + 3)).collect();
        add(&catalog, 1, packs.clone(), &[]);
        add(&catalog, 2, packs[..50].to_vec(), &[1]);
        assert_eq!(catalog.len(), 150);
        assert!(packs[..50].iter().all(|pack| has(&catalog, pack)));
        assert!(!has(&catalog, &packs[50]));
        add(&catalog, 3, packs[50..60].to_vec(), &[]);
        assert!(packs[..60].iter().all(|pack| has(&catalog, pack)));
    }

    #[test]
    fn a_directory_is_shared() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (open(dir.path()), open(dir.path()));
        add(&one, 1, vec![pack(1, 0..10)], &[]);
        add(&other, 2, vec![pack(2, 10..20)], &[]);
        assert!(has(&other, &pack(1, 0..10)), "it took in what the first had written");
        add(&one, 3, vec![pack(3, 20..30)], &[]);
        assert!([pack(1, 0..10), pack(2, 10..20), pack(3, 20..30)].iter().all(|p| has(&one, p)));
        // While one is at it, the other goes on alone.
        let update = one.update().unwrap();
        add(&other, 4, vec![pack(4, 30..40)], &[]);
        update.finish(None).unwrap();
        assert!(has(&other, &pack(4, 30..40)) && has(&other, &pack(1, 0..10)));
        assert!(!has(&open(dir.path()), &pack(4, 30..40)));
        assert_eq!(open(dir.path()).len(), 30);
    }

    #[test]
    fn a_torn_cache_is_begun_again() {
        let all = [pack(1, 0..3000), pack(2, 3000..6000)];
        let damage: [&dyn Fn(&Path); 4] = [
            &|path| std::fs::write(path, b"garbage").unwrap(),
            &|path| std::fs::write(path, b"").unwrap(),
            &|path| std::fs::remove_file(path).unwrap(),
            &|path| {
                let mut bytes = std::fs::read(path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle..].fill(0);
                std::fs::write(path, bytes).unwrap();
            },
        ];
        for hurt in damage {
            for victim in ["manifest", "p-", "t-"] {
                let dir = tempfile::tempdir().unwrap();
                add(&open(dir.path()), 1, all.to_vec(), &[]);
                for entry in std::fs::read_dir(dir.path()).unwrap() {
                    let path = entry.unwrap().path();
                    if path.file_name().unwrap().to_str().unwrap().starts_with(victim) {
                        hurt(&path);
                    }
                }
                let catalog = open(dir.path());
                assert!(!catalog.is_current(&HashSet::from_iter([segment(1)])), "{victim}");
                add(&catalog, 1, all.to_vec(), &[]);
                assert!(all.iter().all(|pack| has(&catalog, pack)), "{victim}");
                assert!(all.iter().all(|pack| has(&open(dir.path()), pack)), "{victim}");
            }
        }
    }

    #[test]
    fn a_torn_row_is_noticed_and_the_tables_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let all = vec![pack(1, 0..300)];
        add(&open(dir.path()), 1, all.clone(), &[]);
        let path = dir.path().join("t-0");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[PLACE_BYTES * 10 + 26] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let catalog = open(dir.path());
        assert!(catalog.is_current(&HashSet::from_iter([segment(1)])));
        assert!(!has(&catalog, &all[0]));
        assert!(!catalog.is_current(&HashSet::from_iter([segment(1)])));
        add(&catalog, 1, all.clone(), &[]);
        assert!(has(&catalog, &all[0]));
        assert!(has(&open(dir.path()), &all[0]));
    }
}

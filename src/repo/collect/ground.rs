//! What a collector stands on: the store, its sealed records, and the catalog kept up with them.

use std::{collections::BTreeMap, io::ErrorKind, time::Duration};

use bytes::Bytes;
use hashbrown::HashSet;
use jiff::Timestamp;

use super::Error;
use crate::{
    ambient::Ambient,
    format::{
        self, Record,
        gc::{CondemnedSet, SetId, Tombstone},
        index::{self, Segment},
        pack::{self, PackTable, Tail},
        slot::Slot,
        snapshot::Snapshot,
    },
    id::{BlobId, BlobKind, PackId, SegmentId, Sid},
    limits::{CONTROL_MAX_BYTES, INDEX_SEGMENT_AIM_BYTES, PACK_MAX_BYTES, PACK_TAIL_GUESS_BYTES},
    repo::{
        KnownDamage, Repository,
        catalog::{Catalog, SegmentError},
        layout,
        nodes::NodeCache,
        objects::{Object, at_fault, get_segment, get_small},
    },
    seal::{self, Codec, Keys},
    store::{self, Listed, Name, Put, Store},
};

/// An object that can't be what its name says. Named, and left alone.
#[derive(Debug)]
pub struct Strange {
    pub object: String,
    pub error: format::Error,
}

/// A snapshot that is committed, with its tombstone if it is forgotten.
#[derive(Debug, Clone)]
pub(super) struct Committed {
    pub snapshot: Snapshot,
    pub forgotten: Option<Timestamp>,
}

/// All commit slots.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub commits: BTreeMap<Sid, Committed>,
    /// Aborted ones, with the time of the fence.
    pub aborts: BTreeMap<Sid, Timestamp>,
    pub tombstones: Vec<(Name, Tombstone)>,
}

/// A segment has room for so many ids of others (`format::index::SEGMENT_MAX_BYTES`).
const SUPERSEDES_MAX: usize = 900;

/// Borrowed from the repository for one run.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    pub store: &'a dyn Store,
    pub keys: &'a Keys,
    pub ambient: &'a Ambient,
    pub catalog: &'a Catalog,
    pub(super) nodes: &'a NodeCache,
    /// How long an object may be missing from listings.
    pub visibility_delay: Duration,
    /// Whether a session without progress can be given up safely: an object is made only if it
    /// is absent.
    pub may_fence: bool,
}

impl<'a> Ground<'a> {
    pub fn of(repo: &'a Repository) -> Self {
        Ground {
            store: &**repo.store(),
            keys: repo.keys(),
            ambient: repo.ambient(),
            catalog: repo.catalog(),
            nodes: &repo.inner.nodes,
            visibility_delay: repo.visibility_delay(),
            may_fence: repo.config().abilities.create_if_absent
                && repo.store().creates_atomically(),
        }
    }

    pub(super) fn put<R: Record>(&self, name: &Name, record: &R) -> Result<Put, Error> {
        let salt = self.ambient.random();
        let object = format::seal_record(self.keys, name.as_str(), salt, record)
            .map_err(|source| Error::Unsealable { what: R::KIND.what(), source })?;
        Ok(self.store.put_new(name, object)?)
    }

    /// `Ok(None)`: the object is gone. The inner error: it is not what its name says.
    pub(super) fn get<R: Record>(
        &self,
        name: &Name,
    ) -> Result<Option<Result<R, format::Error>>, Error> {
        let object = get_small(self.store, name, R::KIND.what(), CONTROL_MAX_BYTES)?;
        let open = |object: Bytes| format::open_record(self.keys, name.as_str(), &object);
        Ok(object.map(|object| object.and_then(open)))
    }

    /// Whether the object is there, asked by its name.
    pub(super) fn has(&self, name: &Name) -> Result<bool, Error> {
        match self.store.size(name) {
            Ok(_) => Ok(true),
            Err(error) if error.is_of_object() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn list(&self, directory: &str) -> Result<Vec<Listed>, Error> {
        Ok(store::list_all(self.store, directory)?)
    }

    /// Waits until what was put before is in every listing begun from now on.
    pub(super) fn wait_for_visibility(&self) {
        if !self.visibility_delay.is_zero() {
            self.ambient.clock.sleep(self.visibility_delay);
        }
    }

    /// All condemned sets. One that can't be read is an error: nobody knows what it condemns.
    pub(super) fn sets(&self) -> Result<BTreeMap<SetId, CondemnedSet>, Error> {
        let mut sets = BTreeMap::new();
        for listed in self.list(layout::CONDEMNED)? {
            let Some(id) = layout::id::<SetId>(&listed) else { continue };
            match self.get(&listed.name)? {
                None => {}
                Some(Ok(set)) => drop(sets.insert(id, set)),
                Some(Err(source)) => return Err(Error::unreadable(&listed.name, source)),
            }
        }
        Ok(sets)
    }

    /// The packs that are there, with their sizes.
    pub(super) fn packs(&self) -> Result<BTreeMap<PackId, u64>, Error> {
        let mut packs = BTreeMap::new();
        self.store.list(layout::PACKS, &mut |listed| {
            if let Some(id) = layout::id::<PackId>(&listed)
                && layout::pack(&id) == listed.name
            {
                packs.insert(id, listed.size_bytes);
            }
            Ok(())
        })?;
        Ok(packs)
    }

    /// All decided slots with their tombstones. A slot that can't be read is an error: nobody
    /// knows what it needs. A tombstone that can't be read counts as none.
    pub(super) fn slots(&self, strange: &mut Vec<Strange>) -> Result<Slots, Error> {
        self.slots_or(strange, |name, source, _| Err(Error::unreadable(name, source)))
    }

    /// As `slots`, for who deletes nothing: one that can't be read is told among the strange.
    pub(super) fn readable_slots(&self, strange: &mut Vec<Strange>) -> Result<Slots, Error> {
        self.slots_or(strange, |name, error, strange| {
            strange.push(Strange { object: name.to_string(), error });
            Ok(())
        })
    }

    fn slots_or(
        &self,
        strange: &mut Vec<Strange>,
        unreadable: impl Fn(&Name, format::Error, &mut Vec<Strange>) -> Result<(), Error>,
    ) -> Result<Slots, Error> {
        let mut slots = Slots::default();
        let mut forgotten: BTreeMap<Sid, Timestamp> = BTreeMap::new();
        for listed in self.list(layout::TOMBSTONES)? {
            let Some(sid) = layout::tombstoned(&listed) else { continue };
            match self.get::<Tombstone>(&listed.name)? {
                Some(Ok(tombstone)) if tombstone.snapshot == sid => {
                    let time = forgotten.entry(sid).or_insert(tombstone.time);
                    *time = (*time).min(tombstone.time);
                    slots.tombstones.push((listed.name, tombstone));
                }
                Some(Err(error)) => {
                    strange.push(Strange { object: listed.name.to_string(), error });
                }
                _ => {}
            }
        }
        for listed in self.list(layout::SNAPSHOTS)? {
            let Some(sid) = layout::id::<Sid>(&listed) else { continue };
            match self.get(&listed.name)? {
                None => {}
                Some(Err(source)) => unreadable(&listed.name, source, strange)?,
                Some(Ok(Slot::Abort { time, .. })) => drop(slots.aborts.insert(sid, time)),
                Some(Ok(Slot::Commit { snapshot, .. })) => {
                    let forgotten = forgotten.get(&sid).copied();
                    slots.commits.insert(sid, Committed { snapshot: *snapshot, forgotten });
                }
            }
        }
        Ok(slots)
    }

    /// What earlier checks found bad. Records that can't be read are named.
    pub(super) fn known_damage(&self, strange: &mut Vec<Strange>) -> Result<KnownDamage, Error> {
        let mut known = KnownDamage::default();
        for listed in self.list(layout::DAMAGED)? {
            match self.get(&listed.name)? {
                None => {}
                Some(Ok(record)) => known.add(listed.name, record),
                Some(Err(error)) => {
                    strange.push(Strange { object: listed.name.to_string(), error });
                }
            }
        }
        Ok(known)
    }

    /// Brings the catalog up to the index as it is now. Segments that can't be read are named:
    /// what they spoke of is found in the packs' own tables.
    pub(super) fn load_index(&self, strange: &mut Vec<Strange>) -> Result<(), Error> {
        let before = strange.len();
        match self.load_once(strange) {
            // A table of the cache that was to be merged is torn: now all are made again.
            Err(Error::Cache(error)) if error.kind() == ErrorKind::InvalidData => {
                strange.truncate(before);
                self.load_once(strange)
            }
            loaded => loaded,
        }
    }

    /// Does `work`, and once more with tables made anew when those of the cache are torn.
    pub(super) fn with_whole_cache<T>(
        &self,
        mut work: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        match work() {
            Err(Error::TornCache) => {
                self.load_index(&mut Vec::new())?;
                work()
            }
            done => done,
        }
    }

    fn load_once(&self, strange: &mut Vec<Strange>) -> Result<(), Error> {
        let list = || -> Result<HashSet<SegmentId>, Error> {
            Ok(self.list(layout::INDEX)?.iter().filter_map(layout::id).collect())
        };
        if self.catalog.is_current(&list()?) {
            return Ok(());
        }
        let mut update = self.catalog.update()?;
        // Listed again, now that no one else in this process adds to the catalog.
        let listed = list()?;
        for id in self.catalog.missing(&listed) {
            let Some(object) = get_segment(self.store, &id)? else { continue };
            let read = object.and_then(|object| index::open_plain(self.keys, &id, &object));
            match read.map_err(SegmentError::from).and_then(|plain| update.segment(id, &plain)) {
                Ok(()) => {}
                Err(SegmentError::Io(error)) => return Err(error.into()),
                Err(SegmentError::Format(error)) => {
                    let object = layout::segment(&id).to_string();
                    strange.push(Strange { object, error });
                }
            }
        }
        Ok(update.finish(Some(&listed))?)
    }

    /// A pack's own table, read from its end. The inner error: it is no pack, or a damaged one.
    /// `Ok(None)`: it is gone.
    pub(super) fn table_of(
        &self,
        id: &PackId,
        size_bytes: u64,
    ) -> Result<Option<Result<PackTable, format::Error>>, Error> {
        let name = layout::pack(id);
        let size_bytes = size_bytes.min(PACK_MAX_BYTES as u64 + 1);
        let get = |range| -> Result<Object, Error> {
            match self.store.get(&name, range) {
                Ok(bytes) => Ok(Some(Ok(bytes))),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Ok(Some(Err(at_fault("a pack", error)?))),
            }
        };
        let head = (pack::HEADER_BYTES as u64).min(size_bytes);
        let mut tail = (PACK_TAIL_GUESS_BYTES as u64).min(size_bytes);
        let Some(header) = get(0..head)? else { return Ok(None) };
        let salt = match header.and_then(|header| pack::read_header(&header)) {
            Ok(salt) => salt,
            Err(error) => return Ok(Some(Err(error))),
        };
        loop {
            let Some(bytes) = get(size_bytes - tail..size_bytes)? else { return Ok(None) };
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) => return Ok(Some(Err(error))),
            };
            match pack::read_table(self.keys, *id, salt, size_bytes, &bytes) {
                Ok(Tail::Table(table)) => return Ok(Some(Ok(table))),
                Ok(Tail::Longer { tail_bytes }) if tail_bytes > tail => tail = tail_bytes,
                Ok(Tail::Longer { .. }) => {
                    let what = "a pack";
                    return Ok(Some(Err(format::Error::Truncated { what })));
                }
                Err(error) => return Ok(Some(Err(error))),
            }
        }
    }

    /// A segment of the index. `Ok(None)`: it is gone. The inner error: it is none, or damaged.
    pub(super) fn segment(
        &self,
        id: &SegmentId,
    ) -> Result<Option<Result<Segment, format::Error>>, Error> {
        let object = get_segment(self.store, id)?;
        Ok(object.map(|object| object.and_then(|object| Segment::open(self.keys, id, &object))))
    }

    /// What the index says is in the pack, for one whose own table can't be read. `None`: no
    /// segment that can be read names it.
    pub(super) fn indexed_table(&self, pack: &PackId) -> Result<Option<PackTable>, Error> {
        for (id, packs) in self.catalog.segments() {
            if !packs.contains(pack) {
                continue;
            }
            let Some(segment) = self.segment(&id)? else { continue };
            let mut tables = segment.unwrap_or_default().packs;
            if let Some(at) = tables.iter().position(|table| table.id == *pack) {
                return Ok(Some(tables.swap_remove(at)));
            }
        }
        Ok(None)
    }

    /// Whether the index says another size of the pack than the listing does.
    pub(super) fn is_resized(&self, pack: &PackId, listed_bytes: u64) -> bool {
        let number = self.catalog.number(pack).filter(|_| self.catalog.is_live(pack));
        let info = number.and_then(|number| self.catalog.pack(number));
        info.is_some_and(|info| info.size_bytes != listed_bytes)
    }

    /// Puts these tables into the index, in as many segments as it takes, and into the catalog.
    /// The last segment says that they stand for `supersedes`.
    pub(super) fn publish(
        &self,
        tables: Vec<PackTable>,
        supersedes: Vec<SegmentId>,
    ) -> Result<(), Error> {
        let mut tables = tables.into_iter().peekable();
        let mut supersedes = supersedes.into_iter().peekable();
        while tables.peek().is_some() || supersedes.peek().is_some() {
            let mut segment = Segment::default();
            let mut bytes = 0;
            while let Some(table) = tables.peek() {
                bytes += index::table_bytes(table);
                if bytes > INDEX_SEGMENT_AIM_BYTES && !segment.packs.is_empty() {
                    break;
                }
                segment.packs.extend(tables.next());
            }
            if tables.peek().is_none() {
                segment.supersedes = supersedes.by_ref().take(SUPERSEDES_MAX).collect();
            }
            self.publish_segment(&segment)?;
        }
        Ok(())
    }

    fn publish_segment(&self, segment: &Segment) -> Result<(), Error> {
        let (id, object) = segment
            .seal(self.keys, self.ambient.random())
            .map_err(|source| Error::Unsealable { what: "an index segment", source })?;
        self.store.put_new(&layout::segment(&id), object)?;
        let mut update = self.catalog.update()?;
        update
            .segment(id, &segment.encode())
            .map_err(|error| Error::OwnSegment { source: error })?;
        Ok(update.finish(None)?)
    }

    /// The plain bytes of a blob, from whichever copy gives them, through so many deltas at most.
    /// `None`: no copy does. Nodes come out of the cache, and go into it.
    pub(super) fn plain(&self, id: &BlobId, hops: u8) -> Result<Option<Bytes>, Error> {
        if let Some(plain) = self.nodes.get(id) {
            return Ok(Some(plain));
        }
        for copy in self.catalog.copies(id) {
            let base = match (copy.row.codec, hops.checked_sub(1)) {
                (Codec::Delta { base, .. }, Some(hops)) => match self.plain(&base, hops)? {
                    Some(base) => Some(base),
                    None => continue,
                },
                (Codec::Delta { .. }, None) => continue,
                _ => None,
            };
            let start = u64::from(copy.row.offset);
            let range = start..start + u64::from(copy.row.stored_len);
            let sealed = match self.store.get(&layout::pack(&copy.pack.id), range) {
                Ok(sealed) => sealed,
                Err(error) if error.is_of_object() => continue,
                Err(error) => return Err(error.into()),
            };
            let salt = &copy.pack.salt;
            let plain = seal::open_blob(self.keys, salt, &copy.row, &sealed, base.as_deref());
            if let Ok(plain) = plain {
                if copy.row.kind == BlobKind::Node {
                    self.nodes.put(*id, plain.clone());
                }
                return Ok(Some(plain));
            }
        }
        Ok(None)
    }

    /// The whole bytes of a pack. `None`: it is gone, or not to be had whole.
    pub(super) fn whole_pack(&self, id: &PackId) -> Result<Option<Bytes>, Error> {
        match store::get_all(self.store, &layout::pack(id), PACK_MAX_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_of_object() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

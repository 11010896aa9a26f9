//! Whether the packs hold what the index and the snapshots say, down to each blob.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rayon::prelude::*;

use super::{
    Error, Reach, Strange,
    ground::Ground,
    marks::{Marks, Present},
    survey::{self, Packs},
};
use crate::{
    format::{
        self,
        gc::Damaged,
        pack::{self, Codec, Row, Tail},
    },
    id::{BlobId, PackId, Sid},
    limits::{CHECK_PACKS_AT_ONCE, DELTA_HOPS_MAX},
    progress::{Progress, Trouble},
    repo::layout,
    seal,
};

/// Which packs to read whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReadData {
    None,
    All,
    /// The `part`-th of `of` parts, counted from 1; the parts together are all packs.
    Part {
        part: u32,
        of: u32,
    },
    /// A random share.
    Percent(f64),
    /// Random packs up to this sum of sizes.
    Bytes(u64),
}

/// What is wrong with a pack.
#[derive(Debug)]
pub enum Fault {
    /// The index names it, and it is not there.
    Missing,
    /// The index says another size.
    Size { listed_bytes: u64, indexed_bytes: u64 },
    /// The bytes are not those it is named for.
    Hash,
    /// It is no pack, or its table can't be read.
    Table(format::Error),
    /// Blobs that can't be opened, or are not those that they should be.
    Blobs(BTreeSet<BlobId>),
}

#[derive(Debug)]
pub struct DamagedPack {
    pub pack: PackId,
    pub fault: Fault,
}

/// What was found. Packs named here may hold nothing that a snapshot needs.
#[derive(Debug, Default)]
pub struct Checked {
    pub snapshots: u64,
    pub packs: u64,
    pub packs_read: u64,
    pub bytes_read: u64,
    pub blobs_read: u64,
    /// Packs that no index names: whole ones are no fault, the next backup or prune takes them in.
    pub unindexed: u64,
    pub damaged: Vec<DamagedPack>,
    /// Needed by a snapshot (the first that was met is named), and to be had from no copy that is
    /// there and not known to be bad.
    pub lost: Vec<(Sid, BlobId)>,
    /// Snapshots whose trees could not be walked to the end.
    pub unwalked: Vec<(Sid, Box<dyn std::error::Error + Send + Sync>)>,
    pub strange: Vec<Strange>,
}

impl Checked {
    pub fn is_good(&self) -> bool {
        self.damaged.is_empty()
            && self.lost.is_empty()
            && self.unwalked.is_empty()
            && self.strange.is_empty()
    }

    /// The blobs that were found bad, in any copy.
    pub fn bad_blobs(&self) -> BTreeSet<BlobId> {
        let of = |damaged: &DamagedPack| match &damaged.fault {
            Fault::Blobs(blobs) => blobs.clone(),
            _ => BTreeSet::new(),
        };
        let found = self.damaged.iter().flat_map(of);
        found.chain(self.lost.iter().map(|(_, blob)| *blob)).collect()
    }
}

/// Checks packs against the index, then their bytes as far as `read_data` says, then that every
/// snapshot can have every blob it needs.
pub fn check(
    ground: &Ground,
    reach: &dyn Reach,
    read_data: ReadData,
    progress: &Progress,
) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    progress.phase("checking packs");
    ground.load_index(&mut checked.strange)?;
    let sizes = ground.packs()?;
    checked.packs = sizes.len() as u64;
    let mut bad_packs = compare_with_index(ground, &sizes, &mut checked)?;
    let chosen = choose(ground, &sizes, read_data);
    let total = chosen.iter().map(|id| sizes[id]).sum();
    progress.phase("reading packs");
    progress.expect(chosen.len() as u64, total);
    for some in chosen.chunks(CHECK_PACKS_AT_ONCE) {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let read: Vec<_> = some
            .par_iter()
            .map(|id| Ok((*id, read_pack(ground, id)?)))
            .collect::<Result<_, Error>>()?;
        for (id, read) in read {
            let Some(read) = read else { continue };
            checked.packs_read += 1;
            checked.bytes_read += read.bytes;
            checked.blobs_read += read.blobs;
            progress.done(1, read.bytes);
            if let Some(fault) = read.fault {
                let item = layout::pack(&id).to_string();
                let error = "damaged".to_owned();
                progress.trouble(Trouble { item, during: "check", error });
                if !matches!(fault, Fault::Blobs(_)) {
                    bad_packs.insert(id);
                }
                checked.damaged.push(DamagedPack { pack: id, fault });
            }
        }
    }
    progress.phase("checking snapshots");
    check_snapshots(ground, reach, &bad_packs, sizes, &mut checked)?;
    Ok(checked)
}

/// Gives the packs of which nothing can be used.
fn compare_with_index(
    ground: &Ground,
    sizes: &BTreeMap<PackId, u64>,
    checked: &mut Checked,
) -> Result<BTreeSet<PackId>, Error> {
    let sets = ground.sets()?;
    let condemned: BTreeSet<&PackId> = sets.values().flat_map(|set| &set.packs).collect();
    let mut bad = BTreeSet::new();
    for (_, info) in ground.catalog.live_packs() {
        let fault = match sizes.get(&info.id) {
            Some(listed) if *listed == info.size_bytes => continue,
            Some(listed) => Fault::Size { listed_bytes: *listed, indexed_bytes: info.size_bytes },
            // A collector at work deletes packs before it is done with the index of its set.
            None if condemned.contains(&info.id) => continue,
            None => Fault::Missing,
        };
        bad.insert(info.id);
        checked.damaged.push(DamagedPack { pack: info.id, fault });
    }
    for (id, size_bytes) in sizes.iter().filter(|(id, _)| !ground.catalog.is_live(id)) {
        checked.unindexed += 1;
        if let Some(Err(error)) = ground.table_of(id, *size_bytes)? {
            bad.insert(*id);
            checked.damaged.push(DamagedPack { pack: *id, fault: Fault::Table(error) });
        }
    }
    survey::adopt_packs(ground, sizes, false, &mut Vec::new())?;
    Ok(bad)
}

fn choose(ground: &Ground, sizes: &BTreeMap<PackId, u64>, read_data: ReadData) -> Vec<PackId> {
    let random = |id: &PackId| *blake3::keyed_hash(&ground.ambient.random(), id.bytes()).as_bytes();
    let mut shuffled: Vec<PackId> = sizes.keys().copied().collect();
    match read_data {
        ReadData::None => Vec::new(),
        ReadData::All => shuffled,
        ReadData::Part { part, of } => {
            let word = |id: &PackId| {
                u32::from_le_bytes(id.bytes()[..4].try_into().expect("an id is longer"))
            };
            shuffled.retain(|id| word(id) % of.max(1) == part.wrapping_sub(1) % of.max(1));
            shuffled
        }
        ReadData::Percent(percent) => {
            shuffled.sort_by_cached_key(random);
            let share = percent.clamp(0.0, 100.0) / 100.0;
            shuffled.truncate((shuffled.len() as f64 * share).ceil() as usize);
            shuffled
        }
        ReadData::Bytes(bytes) => {
            shuffled.sort_by_cached_key(random);
            let mut left = bytes;
            shuffled.retain(|id| match left.checked_sub(sizes[id]) {
                Some(rest) => {
                    left = rest;
                    true
                }
                None => false,
            });
            shuffled
        }
    }
}

/// One pack, read whole.
struct ReadPack {
    bytes: u64,
    blobs: u64,
    fault: Option<Fault>,
}

/// `None`: the pack is gone, as packs of condemned sets go.
fn read_pack(ground: &Ground, id: &PackId) -> Result<Option<ReadPack>, Error> {
    let Some(bytes) = ground.whole_pack(id)? else { return Ok(None) };
    let size_bytes = bytes.len() as u64;
    let whole = pack::pack_id(&bytes) == *id;
    let table = pack::read_header(&bytes)
        .and_then(|salt| pack::read_table(ground.keys, *id, salt, size_bytes, &bytes));
    let mut read = ReadPack { bytes: size_bytes, blobs: 0, fault: None };
    let table = match table {
        Ok(Tail::Table(table)) => table,
        Ok(Tail::Longer { .. }) => {
            read.fault = Some(Fault::Table(format::Error::Truncated { what: "a pack" }));
            return Ok(Some(read));
        }
        Err(error) => {
            read.fault = Some(Fault::Table(error));
            return Ok(Some(read));
        }
    };
    let (mut bad, mut plain) = (BTreeSet::new(), Vec::new());
    for row in &table.rows {
        read.blobs += 1;
        if !opens(ground, &table.salt, row, &bytes, &mut plain)? {
            bad.insert(row.id);
        }
    }
    read.fault = match (bad.is_empty(), whole) {
        (false, _) => Some(Fault::Blobs(bad)),
        // The damage is in no blob: between them, or in what is only read by people.
        (true, false) => Some(Fault::Hash),
        (true, true) => None,
    };
    Ok(Some(read))
}

/// Whether the blob opens to the bytes that its id says. A delta whose base can't be had counts by
/// its own seal: the base is named where it lies.
fn opens(
    ground: &Ground,
    salt: &seal::PackSalt,
    row: &Row,
    pack: &Bytes,
    plain: &mut Vec<u8>,
) -> Result<bool, Error> {
    let start = row.offset as usize;
    let Some(sealed) = pack.get(start..start + row.stored_len as usize) else { return Ok(false) };
    let base = match row.codec {
        Codec::Delta { base, .. } => match ground.plain(&base, DELTA_HOPS_MAX - 1)? {
            Some(base) => Some(base),
            None => return Ok(seal::verify_blob(ground.keys, salt, row, sealed).is_ok()),
        },
        _ => None,
    };
    Ok(seal::open_blob_into(ground.keys, salt, row, sealed, base.as_deref(), plain).is_ok())
}

fn check_snapshots(
    ground: &Ground,
    reach: &dyn Reach,
    bad_packs: &BTreeSet<PackId>,
    mut sizes: BTreeMap<PackId, u64>,
    checked: &mut Checked,
) -> Result<(), Error> {
    let slots = ground.slots(&mut checked.strange)?;
    let mut damage = ground.known_damage(&mut checked.strange)?;
    for damaged in &checked.damaged {
        if let Fault::Blobs(blobs) = &damaged.fault {
            damage.add_found(damaged.pack, blobs);
        }
    }
    sizes.retain(|id, _| !bad_packs.contains(id));
    let packs = Packs::new(ground, sizes, &BTreeMap::new());
    let present = Present { packs: &packs.present, damage: &damage };
    let live = slots.commits.iter().filter(|(_, committed)| committed.forgotten.is_none());
    let roots: Vec<_> = live.map(|(sid, committed)| (*sid, &committed.snapshot)).collect();
    checked.snapshots = roots.len() as u64;
    let marks = Marks::of(ground, reach, &roots, &present, &packs.present)?;
    (checked.lost, checked.unwalked) = (marks.missing, marks.unwalked);
    Ok(())
}

/// Writes down what was found bad, so that no writer counts on it and the next backup of the same
/// content puts it again.
pub fn record_damage(ground: &Ground, checked: &Checked) -> Result<u64, Error> {
    let time = ground.ambient.clock.now();
    let mut records = Vec::new();
    let mut whole = Vec::new();
    for DamagedPack { pack, fault } in &checked.damaged {
        match fault {
            Fault::Blobs(blobs) => {
                let (packs, blobs) = (vec![*pack], blobs.iter().copied().collect());
                records.push(Damaged { packs, blobs, time });
            }
            // A hash that differs though every blob opens: nothing is lost with it.
            Fault::Hash => {}
            _ => whole.push(*pack),
        }
    }
    if !whole.is_empty() {
        records.push(Damaged { packs: whole, blobs: Vec::new(), time });
    }
    for record in &records {
        ground.put(&layout::damaged(ground.ambient.random()), record)?;
    }
    Ok(records.len() as u64)
}

//! Packs read from end to end, several at a time, each in steps: no pack is in memory whole.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use bytes::Bytes;
use crossbeam_channel::{Sender, bounded};

use super::{Error, check::Fault, ground::Ground};
use crate::{
    format::pack::{Codec, PackTable, Row},
    id::{BlobId, PackId},
    limits::{CHECK_PACKS_AT_ONCE, CHECK_STEP_BYTES, DELTA_HOPS_MAX},
    repo::{layout, objects::at_fault},
    seal,
    store::{self, Name},
};

/// One pack, read from end to end.
pub(super) struct ReadPack {
    pub id: PackId,
    pub bytes: u64,
    pub blobs: u64,
    pub fault: Option<Fault>,
}

/// Reads these packs (id and size) and tells of each as it ends, in any order; a pack that is
/// gone, as packs of condemned sets go, is not told of. Ends early when `told` says false.
pub(super) fn read_packs(
    ground: &Ground,
    packs: &[(PackId, u64)],
    mut told: impl FnMut(ReadPack) -> bool,
) -> Result<(), Error> {
    let (next, stop, failure) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    // Threads go on reading while one of them is told of, and no faster than that.
    let (give, read) = bounded(CHECK_PACKS_AT_ONCE);
    let work = |give: Sender<ReadPack>| {
        while !stop.load(Relaxed)
            && let Some((id, size_bytes)) = packs.get(next.fetch_add(1, Relaxed))
        {
            match read_pack(ground, id, *size_bytes) {
                Ok(None) => {}
                Ok(Some(pack)) => {
                    if give.send(pack).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    stop.store(true, Relaxed);
                    failure.lock().expect("no code panics holding it").get_or_insert(error);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..CHECK_PACKS_AT_ONCE.min(packs.len()) {
            let (work, give) = (&work, give.clone());
            scope.spawn(move || work(give));
        }
        drop(give);
        for pack in read {
            if !told(pack) {
                stop.store(true, Relaxed);
            }
        }
    });
    match failure.into_inner().expect("no code panics holding it") {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// `None`: the pack is gone.
fn read_pack(ground: &Ground, id: &PackId, size_bytes: u64) -> Result<Option<ReadPack>, Error> {
    let mut read = ReadPack { id: *id, bytes: size_bytes, blobs: 0, fault: None };
    match scan(ground, id, size_bytes, &mut read) {
        Ok(Some(fault)) => read.fault = fault,
        Ok(None) => return Ok(None),
        Err(Error::Store(error)) if error.is_not_found() => return Ok(None),
        Err(Error::Store(error)) => read.fault = Some(Fault::Table(at_fault("a pack", error)?)),
        Err(error) => return Err(error),
    }
    Ok(Some(read))
}

/// What is wrong with the pack; the outer `None`: it is gone.
fn scan(
    ground: &Ground,
    id: &PackId,
    size_bytes: u64,
    read: &mut ReadPack,
) -> Result<Option<Option<Fault>>, Error> {
    let Some(own) = ground.table_of(id, size_bytes)? else { return Ok(None) };
    let is_resized = ground.is_resized(id, size_bytes);
    let (mut table, own_error) = match own {
        Ok(table) if !is_resized => (table, None),
        own => match (ground.indexed_table(id)?, own) {
            (Some(table), own) => (table, own.err()),
            (None, Ok(table)) => (table, None),
            (None, Err(error)) => return Ok(Some(Some(Fault::Table(error)))),
        },
    };
    let indexed_bytes = table.size_bytes;
    let mut bad = cut(&mut table, size_bytes);
    read.bytes = table.size_bytes;
    let (mut plain, mut hash) = (Vec::new(), blake3::Hasher::new());
    let name = layout::pack(id);
    for (rows, range) in steps(&table) {
        let start = range.start;
        let bytes = match ground.store.get(&name, range) {
            Err(error) if error.kind == store::ErrorKind::Unreadable => None,
            bytes => Some(bytes?),
        };
        if let Some(bytes) = &bytes {
            hash.update(bytes);
        }
        for row in &table.rows[rows] {
            read.blobs += 1;
            let at = (u64::from(row.offset) - start) as usize;
            let sealed = match &bytes {
                Some(bytes) => Some(bytes.slice(at..at + row.stored_len as usize)),
                // Perhaps only the sector of another one is bad.
                None => readable(ground, &name, row)?,
            };
            let is_good = match sealed {
                Some(sealed) => opens(ground, &table.salt, row, &sealed, &mut plain)?,
                None => false,
            };
            if !is_good {
                bad.insert(row.id);
            }
        }
    }
    if indexed_bytes != size_bytes {
        let listed_bytes = size_bytes;
        return Ok(Some(Some(Fault::Size { listed_bytes, indexed_bytes, bad })));
    }
    let whole = PackId::new(*hash.finalize().as_bytes()) == *id;
    Ok(Some(match (bad.is_empty(), own_error) {
        (false, _) => Some(Fault::Blobs(bad)),
        (true, Some(error)) => Some(Fault::OwnTable(error)),
        // The damage is in no blob: between them, or in what is only read by people.
        (true, None) => (!whole).then_some(Fault::Hash),
    }))
}

/// One blob's bytes. `None`: they can't be read where they lie.
fn readable(ground: &Ground, name: &Name, row: &Row) -> Result<Option<Bytes>, Error> {
    let start = u64::from(row.offset);
    match ground.store.get(name, start..start + u64::from(row.stored_len)) {
        Err(error) if error.kind == store::ErrorKind::Unreadable => Ok(None),
        bytes => Ok(Some(bytes?)),
    }
}

/// Takes out of the table what lies beyond the end of a pack that is shorter than it says, and
/// gives those blobs. What is left ends with the pack at the latest.
pub(super) fn cut(table: &mut PackTable, size_bytes: u64) -> BTreeSet<BlobId> {
    let is_there = |row: &Row| u64::from(row.offset) + u64::from(row.stored_len) <= size_bytes;
    let there = table.rows.partition_point(is_there);
    table.size_bytes = table.size_bytes.min(size_bytes);
    table.rows.drain(there..).map(|row| row.id).collect()
}

/// The pack's bytes in order, cut between blobs, with the rows of each step.
fn steps(table: &PackTable) -> Vec<(Range<usize>, Range<u64>)> {
    let (mut steps, mut row, mut start) = (Vec::new(), 0, 0);
    for (at, next) in table.rows.iter().enumerate() {
        let end = u64::from(next.offset) + u64::from(next.stored_len);
        if end - start > CHECK_STEP_BYTES && at > row {
            steps.push((row..at, start..next.offset.into()));
            (row, start) = (at, next.offset.into());
        }
    }
    steps.push((row..table.rows.len(), start..table.size_bytes));
    steps
}

/// Whether the blob opens to the bytes that its id says. A delta whose base can't be had counts by
/// its own seal: the base is named where it lies.
fn opens(
    ground: &Ground,
    salt: &seal::PackSalt,
    row: &Row,
    sealed: &Bytes,
    plain: &mut Vec<u8>,
) -> Result<bool, Error> {
    let base = match row.codec {
        Codec::Delta { base, .. } => match ground.plain(&base, DELTA_HOPS_MAX - 1)? {
            Some(base) => Some(base),
            None => return Ok(seal::verify_blob(ground.keys, salt, row, sealed).is_ok()),
        },
        _ => None,
    };
    Ok(seal::open_blob_into(ground.keys, salt, row, sealed, base.as_deref(), plain).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{format, id::BlobKind, seal::PackSalt};

    #[test]
    fn steps_are_the_whole_pack_and_cut_no_blob() {
        for lens in [vec![], vec![10], vec![5 << 20], vec![1 << 20; 9], vec![7 << 20, 3, 7 << 20]] {
            let (mut rows, mut offset) = (Vec::new(), format::pack::HEADER_BYTES as u32);
            for len in lens {
                let (id, kind, codec) = (BlobId::new([0; 32]), BlobKind::Chunk, Codec::Raw);
                rows.push(Row { id, kind, codec, offset, stored_len: len, raw_len: len });
                offset += len;
            }
            let (id, salt) = (PackId::new([1; 32]), PackSalt([2; 32]));
            let size_bytes = u64::from(offset) + 100;
            let table = PackTable { id, salt, size_bytes, rows };
            let (mut row, mut byte) = (0, 0);
            for (rows, bytes) in steps(&table) {
                assert_eq!((rows.start, bytes.start), (row, byte));
                (row, byte) = (rows.end, bytes.end);
                let inside = |row: &Row| {
                    let end = u64::from(row.offset + row.stored_len);
                    u64::from(row.offset) >= bytes.start && end <= bytes.end
                };
                assert!(table.rows[rows.clone()].iter().all(inside));
                let is_small = bytes.end - bytes.start <= CHECK_STEP_BYTES + 100;
                assert!(is_small || rows.len() == 1);
            }
            assert_eq!((row, byte), (table.rows.len(), size_bytes));
        }
    }
}

//! Packs that no segment names, as an interrupted session leaves them: their own tables are read.

use std::sync::{Mutex, atomic::Ordering::Relaxed};

use super::Shared;
use crate::{
    format::pack::{self, PackTable, Tail},
    id::PackId,
    repo::{Error, Repository, catalog::PackNumber, layout, objects::at_fault},
};

/// So many tables are in memory at once.
const AT_ONCE: usize = 64;
/// Most tables are shorter than this: one read gets them.
const TAIL_BYTES: u64 = 256 << 10;

impl Shared {
    /// Reads the tables of these packs (id and size), names them in the index, and gives their
    /// numbers. A pack that can't be read is left alone: nothing rests on it.
    pub(super) fn adopt(&self, orphans: &[(PackId, u64)]) -> Result<Vec<PackNumber>, Error> {
        let mut numbers = Vec::new();
        for group in orphans.chunks(AT_ONCE) {
            let tables = Mutex::new(Vec::new());
            self.repo.each_at_once(group, |(id, size_bytes)| {
                match self.repo.read_pack_table(id, *size_bytes) {
                    Ok(table) => tables.lock().expect("no code panics holding it").push(table),
                    Err(Error::Store(error)) if !error.is_not_found() => return Err(error.into()),
                    Err(_) => {}
                }
                Ok(())
            })?;
            let mut tables = tables.into_inner().expect("no code panics holding it");
            tables.sort_by_key(|table| table.id);
            numbers.extend(self.put_segments(&tables)?);
            self.counters.packs_adopted.fetch_add(tables.len() as u64, Relaxed);
        }
        Ok(numbers)
    }
}

impl Repository {
    /// A pack's own table, read from the pack: two or three small reads.
    pub fn read_pack_table(&self, id: &PackId, size_bytes: u64) -> Result<PackTable, Error> {
        let damaged = |source| Error::PackDamaged { pack: *id, source };
        let name = layout::pack(id);
        let get = |range| {
            let read = self.store().get(&name, range);
            read.map_err(|error| at_fault("a pack", error).map_or_else(Error::from, damaged))
        };
        let header = get(0..size_bytes.min(pack::HEADER_BYTES as u64))?;
        let salt = pack::read_header(&header).map_err(damaged)?;
        let mut tail_bytes = size_bytes.min(TAIL_BYTES);
        loop {
            let tail = get(size_bytes - tail_bytes..size_bytes)?;
            match pack::read_table(self.keys(), *id, salt, size_bytes, &tail).map_err(damaged)? {
                Tail::Table(table) => return Ok(table),
                Tail::Longer { tail_bytes: all } => tail_bytes = all,
            }
        }
    }
}

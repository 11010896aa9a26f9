//! The index made again from the packs.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{Error, Strange, ground::Ground};
use crate::{
    format::{self, pack::PackTable},
    id::{PackId, SegmentId},
    limits::INDEX_FLUSH_PACKS,
    progress::Progress,
    repo::layout,
};

#[derive(Debug, Default)]
pub struct Repaired {
    pub packs: u64,
    pub blobs: u64,
    /// Segments that stood there before.
    pub segments_replaced: u64,
    /// Packs whose own tables can't be read, and of which the old index says what is in them: so
    /// does the new one.
    pub remembered: Vec<Strange>,
    /// Packs whose own tables can't be read, and that no index knows.
    pub strange: Vec<Strange>,
}

/// Reads the table of every pack and puts a new index, then removes what stood there before. What
/// only the old index knows of packs that are there is in the new one. After an error the old
/// index is still there.
pub fn repair_index(ground: &Ground, progress: &Progress) -> Result<Repaired, Error> {
    let mut repaired = Repaired::default();
    progress.phase("reading packs");
    let old: Vec<SegmentId> = ground.list(layout::INDEX)?.iter().filter_map(layout::id).collect();
    let packs: Vec<_> = ground.packs()?.into_iter().collect();
    progress.expect(packs.len() as u64, 0);
    let mut illegible = BTreeMap::new();
    for some in packs.chunks(INDEX_FLUSH_PACKS) {
        if progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let read: Vec<_> = some
            .par_iter()
            .map(|(id, size_bytes)| Ok((*id, ground.table_of(id, *size_bytes)?)))
            .collect::<Result<_, Error>>()?;
        let mut tables: Vec<PackTable> = Vec::new();
        for (id, table) in read {
            progress.done(1, 0);
            match table {
                None => {}
                Some(Ok(table)) => {
                    repaired.packs += 1;
                    repaired.blobs += table.rows.len() as u64;
                    tables.push(table);
                }
                Some(Err(error)) => drop(illegible.insert(id, error)),
            }
        }
        ground.publish(tables, Vec::new())?;
    }
    remember(ground, &old, illegible, &mut repaired)?;
    progress.phase("removing the old index");
    for id in &old {
        ground.store.remove(&layout::segment(id))?;
    }
    repaired.segments_replaced = old.len() as u64;
    ground.load_index(&mut repaired.strange)?;
    Ok(repaired)
}

/// Publishes the tables that the old segments have of these packs.
fn remember(
    ground: &Ground,
    old: &[SegmentId],
    mut illegible: BTreeMap<PackId, format::Error>,
    repaired: &mut Repaired,
) -> Result<(), Error> {
    let strange = |id: &PackId, error| Strange { object: layout::pack(id).to_string(), error };
    for id in old {
        if illegible.is_empty() {
            break;
        }
        let Some(segment) = ground.segment(id)? else { continue };
        if let Err(source @ format::Error::Unreadable { .. }) = segment {
            return Err(Error::unreadable(&layout::segment(id), source));
        }
        // One that is damaged says nothing.
        let mut tables = segment.unwrap_or_default().packs;
        tables.retain(|table| match illegible.remove(&table.id) {
            Some(error) => {
                repaired.remembered.push(strange(&table.id, error));
                true
            }
            None => false,
        });
        ground.publish(tables, Vec::new())?;
    }
    repaired.strange.extend(illegible.into_iter().map(|(id, error)| strange(&id, error)));
    Ok(())
}

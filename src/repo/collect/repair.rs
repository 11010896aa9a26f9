//! The index made again from the packs alone.

use super::{Error, Strange, ground::Ground};
use crate::{
    format::pack::PackTable, id::SegmentId, limits::INDEX_FLUSH_PACKS, progress::Progress,
    repo::layout,
};

use rayon::prelude::*;

#[derive(Debug, Default)]
pub struct Repaired {
    pub packs: u64,
    pub blobs: u64,
    /// Segments that stood there before.
    pub segments_replaced: u64,
    /// Packs whose own tables can't be read.
    pub strange: Vec<Strange>,
}

/// Reads the table of every pack and puts a new index, then removes what stood there before. After
/// an error the old index is still there.
pub fn repair_index(ground: &Ground, progress: &Progress) -> Result<Repaired, Error> {
    let mut repaired = Repaired::default();
    progress.phase("reading packs");
    let old: Vec<SegmentId> = ground.list(layout::INDEX)?.iter().filter_map(layout::id).collect();
    let packs: Vec<_> = ground.packs()?.into_iter().collect();
    progress.expect(packs.len() as u64, 0);
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
                Some(Err(error)) => {
                    let object = layout::pack(&id).to_string();
                    repaired.strange.push(Strange { object, error });
                }
            }
        }
        ground.publish(tables, Vec::new())?;
    }
    progress.phase("removing the old index");
    for id in &old {
        ground.store.remove(&layout::segment(id))?;
    }
    repaired.segments_replaced = old.len() as u64;
    ground.load_index(&mut repaired.strange)?;
    Ok(repaired)
}

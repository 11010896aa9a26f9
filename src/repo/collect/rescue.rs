//! What is needed of condemned packs and lies nowhere else moves to new packs (C7).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hashbrown::HashMap;
use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::{
    BadPack, Error, Options,
    ground::Ground,
    marks::{self, Marks, Present},
    survey::Packs,
};
use crate::{
    format::pack::{self, PackTable, PackWriter, Row},
    id::{BlobId, BlobKind, PackId},
    limits::{
        DELTA_HOPS_MAX, INDEX_FLUSH_PACKS, LOOK_PACKS_AT_ONCE, PACK_BLOBS_AIM,
        RESCUE_PACKS_AT_ONCE, RESCUE_ROWS_MAX,
    },
    progress::Progress,
    repo::KnownDamage,
    repo::layout,
    seal::{self, Codec, Compression, PackSalt, with_squeezer},
};

/// Of one condemned pack, the rows that must move.
pub(super) struct Needed {
    pack: PackId,
    salt: PackSalt,
    size_bytes: u64,
    rows: Vec<Row>,
}

/// What a look at the condemned packs found.
#[derive(Default)]
pub(super) struct Look {
    pub needed: Vec<Needed>,
    /// There may be more, in packs that were not looked at yet.
    pub is_cut_short: bool,
    /// Packs whose own table can't be read, and that no index knows: they stay.
    pub illegible: BTreeSet<PackId>,
}

/// Reads the own table of each of `doomed` (where it is damaged, what the index has of it), and
/// says what of it is reached and not to be had from packs that nobody has condemned.
pub(super) fn look(
    ground: &Ground,
    marks: &Marks,
    packs: &Packs,
    damage: &KnownDamage,
    doomed: &BTreeSet<PackId>,
) -> Result<Look, Error> {
    let outside = &packs.present - &packs.condemned;
    let (outside, anywhere) =
        (Present { packs: &outside, damage }, Present { packs: &packs.present, damage });
    // In the order in which they were met first, so that what was put together stays together.
    let mut order: Vec<(&PackId, u64)> =
        doomed.iter().filter_map(|id| Some((id, *packs.sizes.get(id)?))).collect();
    order.sort_by_key(|(id, _)| ground.catalog.number(id));
    let mut look = Look::default();
    let (mut taken, mut rows) = (RoaringBitmap::new(), 0);
    for some in order.chunks(LOOK_PACKS_AT_ONCE) {
        let tables: Vec<_> = some
            .par_iter()
            .map(|(id, size_bytes)| Ok((*id, ground.table_of(id, *size_bytes)?)))
            .collect::<Result<_, Error>>()?;
        for (id, table) in tables {
            let table = match table {
                // Everything that anyone may need of it came from its table, here or there.
                Some(Err(error)) => Some(ground.indexed_table(id)?.ok_or(error)),
                table => table,
            };
            match table {
                None => {}
                Some(Ok(table)) => {
                    let needed = needed(ground, marks, (&outside, &anywhere), table, &mut taken)?;
                    rows += needed.rows.len();
                    look.needed.push(needed);
                }
                Some(Err(_)) => drop(look.illegible.insert(*id)),
            }
        }
        look.needed.retain(|needed| !needed.rows.is_empty());
        if rows > RESCUE_ROWS_MAX {
            look.is_cut_short = true;
            break;
        }
    }
    Ok(look)
}

/// The rows of one pack that must move and are not among those `taken` already: without the
/// condemned packs the blob could not be read, or through more deltas than now.
fn needed(
    ground: &Ground,
    marks: &Marks,
    (outside, anywhere): (&Present, &Present),
    table: PackTable,
    taken: &mut RoaringBitmap,
) -> Result<Needed, Error> {
    let PackTable { id: pack, salt, size_bytes, rows: all } = table;
    let mut rows = Vec::new();
    for row in all {
        let Some(place) = marks.reached_row(&row.id)? else { continue };
        let may_go = match marks::depth(ground.catalog, outside, &row.id) {
            None => false,
            Some(0) => true,
            Some(later) => marks::depth(ground.catalog, anywhere, &row.id) >= Some(later),
        };
        if !may_go && taken.insert(place) {
            rows.push(row);
        }
    }
    Ok(Needed { pack, salt, size_bytes, rows })
}

/// A blob on its way from one pack to another.
struct Moving {
    row: Row,
    codec: Codec,
    squeezed: Bytes,
}

/// What moving has done.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub packs: u64,
    pub pack_bytes: u64,
    pub blobs: u64,
    /// Packs that hold something needed that no copy gives any more.
    pub bad: BTreeMap<PackId, BadPack>,
}

/// Fills new packs and publishes them.
pub(super) struct Mover<'a, 'g> {
    ground: &'a Ground<'g>,
    aim_bytes: usize,
    outside: RoaringBitmap,
    anywhere: RoaringBitmap,
    damage: &'a KnownDamage,
    writer: Option<PackWriter>,
    unpublished: Vec<PackTable>,
    /// Nodes that were moved and are in no index yet, with the number of deltas below them.
    fresh: HashMap<BlobId, u8>,
    moved: Moved,
}

impl<'a, 'g> Mover<'a, 'g> {
    pub fn new(
        ground: &'a Ground<'g>,
        options: &Options,
        packs: &Packs,
        damage: &'a KnownDamage,
    ) -> Self {
        Mover {
            ground,
            aim_bytes: options.pack_aim_bytes,
            outside: &packs.present - &packs.condemned,
            anywhere: packs.present.clone(),
            damage,
            writer: None,
            unpublished: Vec::new(),
            fresh: HashMap::new(),
            moved: Moved::default(),
        }
    }

    /// Moves all of it. What can't be read is in the answer, with the pack that must stay for it.
    pub fn run(mut self, needed: &[Needed], progress: &Progress) -> Result<Moved, Error> {
        for batch in needed.chunks(RESCUE_PACKS_AT_ONCE) {
            if progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let opened: Vec<_> =
                batch.par_iter().map(|needed| self.open(needed)).collect::<Result<_, Error>>()?;
            for (needed, moving) in batch.iter().zip(opened) {
                for (row, moving) in needed.rows.iter().zip(moving) {
                    self.take(&needed.pack, row, moving)?;
                }
                let bytes = needed.rows.iter().map(|row| u64::from(row.stored_len)).sum();
                progress.done(1, bytes);
            }
        }
        self.close_pack()?;
        self.publish()?;
        Ok(self.moved)
    }

    /// Reads and unseals the rows of one pack. A row that fails is `None`.
    fn open(&self, needed: &Needed) -> Result<Vec<Option<Moving>>, Error> {
        let Needed { pack: id, salt, size_bytes, rows } = needed;
        let wanted: u64 = rows.iter().map(|row| u64::from(row.stored_len)).sum();
        let whole = if wanted * 2 > *size_bytes { self.ground.whole_pack(id)? } else { None };
        let mut moving = Vec::with_capacity(rows.len());
        for row in rows {
            let range = row.offset as usize..row.offset as usize + row.stored_len as usize;
            let sealed = match &whole {
                Some(bytes) if range.end <= bytes.len() => bytes.slice(range),
                _ => {
                    let range = range.start as u64..range.end as u64;
                    match self.ground.store.get(&layout::pack(id), range) {
                        Ok(sealed) => sealed,
                        Err(error) if error.is_of_object() => Bytes::new(),
                        Err(error) => return Err(error.into()),
                    }
                }
            };
            moving.push(self.unseal(row, salt, &sealed));
        }
        Ok(moving)
    }

    fn unseal(&self, row: &Row, salt: &PackSalt, sealed: &[u8]) -> Option<Moving> {
        let mut squeezed = Vec::new();
        seal::unseal_blob(self.ground.keys, salt, row, sealed, &mut squeezed).ok()?;
        Some(Moving { row: *row, codec: row.codec, squeezed: Bytes::from(squeezed) })
    }

    fn take(&mut self, pack: &PackId, row: &Row, moving: Option<Moving>) -> Result<(), Error> {
        let as_it_is = moving.and_then(|moving| {
            let depth = self.depth_there(&moving.row)?;
            Some((moving, depth))
        });
        let moving = match as_it_is {
            Some(moving) => Some(moving),
            None => self.whole(row)?.map(|moving| (moving, 0)),
        };
        let Some((Moving { row, codec, squeezed }, depth)) = moving else {
            let bad = self.moved.bad.entry(*pack);
            let bad = bad.or_insert_with(|| BadPack { pack: *pack, blobs: Vec::new() });
            bad.blobs.push(row.id);
            return Ok(());
        };
        let ground = self.ground;
        let writer = self.writer.get_or_insert_with(|| {
            PackWriter::new(ground.keys.pack_salt(ground.ambient.random()), self.aim_bytes)
        });
        writer
            .push(ground.keys, &row.id, row.kind, codec, row.raw_len, &squeezed)
            .map_err(|source| Error::Unsealable { what: "a pack", source })?;
        self.moved.blobs += 1;
        if row.kind == BlobKind::Node {
            self.fresh.insert(row.id, depth);
        }
        if writer.size_bytes() >= self.aim_bytes || writer.rows().len() >= PACK_BLOBS_AIM {
            self.close_pack()?;
        }
        Ok(())
    }

    /// How many deltas lie below the blob where it is going: in packs that nobody has condemned,
    /// and those that this run has just written. `None`: it can't go as it is, because a base of
    /// it would be gone, or be further away than now.
    fn depth_there(&self, row: &Row) -> Option<u8> {
        let Codec::Delta { base, .. } = &row.codec else { return Some(0) };
        let catalog = self.ground.catalog;
        let present = |packs| Present { packs, damage: self.damage };
        let fresh = self.fresh.get(base).copied();
        let outside = marks::depth(catalog, &present(&self.outside), base);
        let there = fresh.into_iter().chain(outside).min()? + 1;
        let now = marks::depth(catalog, &present(&self.anywhere), &row.id)?;
        (there <= now).then_some(there)
    }

    /// The blob made whole again, from whichever copy can be read.
    fn whole(&self, row: &Row) -> Result<Option<Moving>, Error> {
        let Some(plain) = self.ground.plain(&row.id, DELTA_HOPS_MAX)? else { return Ok(None) };
        let moving = with_squeezer(|squeezer| {
            let compression = match row.kind {
                BlobKind::Chunk => Compression::default(),
                BlobKind::Node => Compression::default().of_nodes(),
            };
            let (codec, squeezed) = squeezer.squeeze(&plain, compression);
            Moving { row: *row, codec, squeezed: Bytes::copy_from_slice(squeezed) }
        });
        Ok(Some(moving))
    }

    fn close_pack(&mut self) -> Result<(), Error> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let (table, bytes) = writer.finish(self.ground.keys);
        pack::open_pack_checked(self.ground.keys, table.id, &bytes, &mut |_| None)
            .map_err(|source| Error::Unsealable { what: "a pack", source })?;
        self.ground.store.put_new(&layout::pack(&table.id), bytes)?;
        self.moved.packs += 1;
        self.moved.pack_bytes += table.size_bytes;
        self.unpublished.push(table);
        if self.unpublished.len() >= INDEX_FLUSH_PACKS {
            self.publish()?;
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Error> {
        let tables = std::mem::take(&mut self.unpublished);
        let numbers: Vec<PackId> = tables.iter().map(|table| table.id).collect();
        self.ground.publish(tables, Vec::new())?;
        self.outside.extend(numbers.iter().filter_map(|id| self.ground.catalog.number(id)));
        if self.writer.is_none() {
            self.fresh.clear();
        }
        Ok(())
    }
}

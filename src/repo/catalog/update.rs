//! New segments on their way into the tables.

use std::{io, path::PathBuf, sync::Arc, sync::MutexGuard, sync::atomic::Ordering::Relaxed};

use hashbrown::{HashMap, HashSet};
use roaring::RoaringBitmap;

use super::{
    Catalog, Named, PackInfo, PackNumber, State,
    entry::{self, DELTA_BYTES, PLACE_BYTES},
    live,
    runs::{self, Runs},
    shelf::{Lock, Manifest, Merged, Shelf},
    table::Table,
};
use crate::{
    format::{
        self,
        index::{PackHead, Part},
        pack::PackTable,
    },
    id::{PackId, SegmentId},
    seal::Row,
};

/// Above this share of packs that the index names no more, their rows are dropped.
const DEAD_MAX_PERCENT: u64 = 25;
const DEAD_MIN_PACKS: u64 = 64;

/// Takes segments, one after the other; `finish` makes them all findable, or an error none.
pub struct Update<'a> {
    catalog: &'a Catalog,
    _turn: MutexGuard<'a, ()>,
    /// Held while the directory is shared.
    _lock: Option<Lock>,
    incoming: Incoming,
}

/// What was taken so far.
struct Incoming {
    files: NewFiles,
    places: Runs<PLACE_BYTES>,
    deltas: Runs<DELTA_BYTES>,
    known: HashMap<PackId, PackNumber>,
    filled: RoaringBitmap,
    /// Numbers of new packs begin here.
    packs_before: PackNumber,
    packs: Vec<PackInfo>,
    merged: Vec<(SegmentId, Merged)>,
}

/// Names for new tables.
struct NewFiles {
    shelf_paths: Box<dyn Fn(&str) -> PathBuf + Send>,
    next: u64,
}

impl NewFiles {
    fn name(&mut self) -> (String, PathBuf) {
        let name = Shelf::table_name(self.next);
        self.next += 1;
        let path = (self.shelf_paths)(&name);
        // A crashed run may have left a table of this number, which nobody counts.
        let _ = std::fs::remove_file(&path);
        (name, path)
    }
}

impl Catalog {
    /// One at a time in a process; when another process is at it, this one goes on in a directory
    /// of its own.
    pub fn update(&self) -> io::Result<Update<'_>> {
        let turn = self.turn.lock().expect("nobody panics while updating");
        let mut state = self.state.write().expect("nobody panics while changing the state");
        let lock = state.take_lock()?;
        if self.torn.swap(false, Relaxed) {
            state.drop_tables();
        }
        let dir = state.shelf.table("");
        let incoming = Incoming {
            files: NewFiles {
                shelf_paths: Box::new(move |name| dir.join(name)),
                next: state.manifest.next_table,
            },
            places: Runs::new(),
            deltas: Runs::new(),
            known: state.numbers.clone(),
            filled: state.manifest.filled.clone(),
            packs_before: state.packs.len() as PackNumber,
            packs: Vec::new(),
            merged: Vec::new(),
        };
        drop(state);
        Ok(Update { catalog: self, _turn: turn, _lock: lock, incoming })
    }

    /// After `error`: goes on in a directory of its own, and says so. False when it was in one
    /// already: then the error stands.
    pub fn leave_shared(&self, error: &io::Error) -> io::Result<bool> {
        let _turn = self.turn.lock().expect("nobody panics while updating");
        let mut state = self.state.write().expect("nobody panics while changing the state");
        if !state.shelf.is_shared() {
            return Ok(false);
        }
        state.go_private()?;
        self.on_private.iter().for_each(|tell| tell(error));
        Ok(true)
    }

    /// Takes in packs that stand in the segment `id`, wherever there is room for that.
    pub fn take_in(&self, id: SegmentId, tables: &[PackTable]) -> io::Result<()> {
        let take_in = || {
            let mut update = self.update()?;
            update.tables(id, tables)?;
            update.finish(None)
        };
        match take_in() {
            Err(error) if self.leave_shared(&error)? => take_in(),
            taken => taken,
        }
    }
}

impl State {
    /// Locks the shared directory and takes in what others wrote there; goes private when it is
    /// being written, or when it holds another counting of packs than this process uses.
    fn take_lock(&mut self) -> io::Result<Option<Lock>> {
        if !self.shelf.is_shared() {
            return Ok(None);
        }
        let Some(lock) = self.shelf.lock()? else {
            self.go_private()?;
            return Ok(None);
        };
        let unused = self.packs.is_empty();
        match State::read(&self.shelf)? {
            None if unused => {}
            Some(manifest) if unused || self.is_older_than(&manifest) => {
                if manifest.next_table != self.manifest.next_table || unused {
                    match State::open_all(&self.shelf, manifest) {
                        Ok(parts) => self.replace(parts),
                        Err(_) if unused => {}
                        Err(_) => return self.go_private().map(|()| None),
                    }
                }
            }
            _ => return self.go_private().map(|()| None),
        }
        Ok(Some(lock))
    }

    fn is_older_than(&self, manifest: &Manifest) -> bool {
        manifest.lineage == self.manifest.lineage && manifest.packs as usize >= self.packs.len()
    }

    fn replace(&mut self, parts: super::Parts) {
        let super::Parts { manifest, places, deltas, packs } = parts;
        self.live = live(&manifest);
        self.numbers = (0..).zip(&packs).map(|(number, pack)| (pack.id, number)).collect();
        (self.manifest, self.places, self.deltas, self.packs) = (manifest, places, deltas, packs);
    }

    fn go_private(&mut self) -> io::Result<()> {
        self.shelf = Shelf::temporary()?;
        Ok(())
    }

    /// The tables are not to be trusted: all segments are to be merged in again. Numbers stay.
    fn drop_tables(&mut self) {
        self.places.clear();
        self.deltas.clear();
        self.manifest.segments.clear();
        self.manifest.filled.clear();
    }
}

impl Update<'_> {
    /// Takes a segment: the plain bytes of an index object. A segment that can't be read is
    /// refused whole.
    pub fn segment(&mut self, id: SegmentId, plain: &[u8]) -> Result<(), SegmentError> {
        format::index::walk(plain, &mut |_| {})?;
        let mut merged = Merged::default();
        let (mut number, mut skip) = (0, false);
        let mut result = Ok(());
        let incoming = &mut self.incoming;
        format::index::walk(plain, &mut |part| match part {
            Part::Supersedes(old) => merged.supersedes.push(old),
            Part::Pack(PackHead { id, salt, size_bytes, .. }) => {
                (number, skip) = incoming.pack(PackInfo { id, salt, size_bytes });
                merged.packs.insert(number);
            }
            Part::Row(row) if !skip && result.is_ok() => result = incoming.row(&row, number),
            Part::Row(_) => {}
        })?;
        result?;
        incoming.merged.push((id, merged));
        Ok(())
    }

    /// Takes packs that stand in the segment `id`, whose plain bytes the caller does not have any
    /// more.
    pub fn tables(&mut self, id: SegmentId, tables: &[PackTable]) -> io::Result<()> {
        let mut merged = Merged::default();
        for table in tables {
            let PackTable { id, salt, size_bytes, .. } = *table;
            let (number, skip) = self.incoming.pack(PackInfo { id, salt, size_bytes });
            merged.packs.insert(number);
            if !skip {
                table.rows.iter().try_for_each(|row| self.incoming.row(row, number))?;
            }
        }
        self.incoming.merged.push((id, merged));
        Ok(())
    }

    /// Makes it all findable. `listed`: the segments there are now; others are forgotten.
    pub fn finish(self, listed: Option<&HashSet<SegmentId>>) -> io::Result<()> {
        let catalog = self.catalog;
        let finished = self.put_in_place(listed);
        if finished.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            // A table that was to be merged is torn.
            catalog.torn.store(true, Relaxed);
        }
        finished
    }

    fn put_in_place(self, listed: Option<&HashSet<SegmentId>>) -> io::Result<()> {
        let mut files = self.incoming.files;
        let place_runs = self.incoming.places.finish(|| files.name().1)?;
        let delta_runs = self.incoming.deltas.finish(|| files.name().1)?;

        let state = self.catalog.state();
        let mut manifest = state.manifest.clone();
        manifest.segments.extend(self.incoming.merged);
        if let Some(listed) = listed {
            manifest.segments.retain(|id, _| listed.contains(id));
        }
        manifest.filled = self.incoming.filled;
        let live = live(&manifest);
        let mut places = state.places.clone();
        let mut deltas = state.deltas.clone();
        drop(state);

        add::<PLACE_BYTES>(&mut places, place_runs)?;
        add::<DELTA_BYTES>(&mut deltas, delta_runs)?;
        let dead = &manifest.filled - &live;
        if dead.len() >= DEAD_MIN_PACKS
            && dead.len() * 100 > manifest.filled.len() * DEAD_MAX_PERCENT
        {
            merge_all::<PLACE_BYTES>(&mut places, &dead, &mut files)?;
            merge_all::<DELTA_BYTES>(&mut deltas, &dead, &mut files)?;
            manifest.filled -= dead;
        } else {
            merge_some::<PLACE_BYTES>(&mut places, &mut files)?;
            merge_some::<DELTA_BYTES>(&mut deltas, &mut files)?;
        }
        let names = |tables: &[Named]| tables.iter().map(|named| named.name.clone()).collect();
        (manifest.places, manifest.deltas) = (names(&places), names(&deltas));
        manifest.next_table = files.next;
        manifest.packs = self.incoming.packs_before + self.incoming.packs.len() as PackNumber;

        let mut state = self.catalog.state.write().expect("nobody panics while changing it");
        if state.shelf.is_shared() {
            let lineage = manifest.lineage;
            let (before, packs) = (self.incoming.packs_before, &self.incoming.packs);
            state.shelf.append_packs(&lineage, before, packs)?;
            state.shelf.write_manifest(&mut manifest)?;
            // What can't be removed now, the next one removes.
            let _ = state.shelf.sweep(&manifest);
        }
        state.packs.extend(self.incoming.packs);
        state.numbers = self.incoming.known;
        (state.manifest, state.live) = (manifest, live);
        (state.places, state.deltas) = (places, deltas);
        Ok(())
    }
}

/// Why a segment was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    #[error(transparent)]
    Format(#[from] format::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Incoming {
    /// The pack's number, and whether its rows are in the tables already.
    fn pack(&mut self, pack: PackInfo) -> (PackNumber, bool) {
        let next = self.packs_before + self.packs.len() as PackNumber;
        let number = *self.known.entry(pack.id).or_insert(next);
        if number == next {
            self.packs.push(pack);
        }
        (number, !self.filled.insert(number))
    }

    fn row(&mut self, row: &Row, number: PackNumber) -> io::Result<()> {
        let files = &mut self.files;
        self.places.push(entry::encode_place(row, number), || files.name().1)?;
        if let Some(delta) = entry::encode_delta(row, number) {
            self.deltas.push(delta, || files.name().1)?;
        }
        Ok(())
    }
}

fn add<const W: usize>(tables: &mut Vec<Named>, paths: Vec<PathBuf>) -> io::Result<()> {
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("a table has the name that we gave it").to_owned();
        tables.push(Named { name, table: Arc::new(Table::open(&path, W)?) });
    }
    Ok(())
}

fn merge_some<const W: usize>(tables: &mut Vec<Named>, files: &mut NewFiles) -> io::Result<()> {
    let sizes: Vec<usize> = tables.iter().map(|named| named.table.len()).collect();
    let mut chosen = runs::choose(&sizes);
    if chosen.is_empty() {
        return Ok(());
    }
    chosen.sort_unstable();
    let taken = chosen.iter().rev().map(|at| tables.remove(*at)).collect();
    merge::<W>(tables, taken, None, files)
}

fn merge_all<const W: usize>(
    tables: &mut Vec<Named>,
    without: &RoaringBitmap,
    files: &mut NewFiles,
) -> io::Result<()> {
    let taken = std::mem::take(tables);
    merge::<W>(tables, taken, Some(without), files)
}

fn merge<const W: usize>(
    tables: &mut Vec<Named>,
    taken: Vec<Named>,
    without: Option<&RoaringBitmap>,
    files: &mut NewFiles,
) -> io::Result<()> {
    let (name, path) = files.name();
    let sources: Vec<&Table> = taken.iter().map(|named| &*named.table).collect();
    runs::merge::<W>(&sources, without, &path)?;
    tables.push(Named { name, table: Arc::new(Table::open(&path, W)?) });
    Ok(())
}

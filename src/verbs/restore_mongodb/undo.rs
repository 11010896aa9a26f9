//! Undo: what a restore recorded before it wrote comes back, and what it wrote goes.
//!
//! Nothing else is touched: a document that somebody changed after the restore is a conflict, and
//! stays, unless it is said that it shall not.

use std::path::PathBuf;

use bytes::Bytes;

use super::{
    Error, authority,
    job::{kind_name, kind_of, place_of},
    known::{Found, Known, Side},
    live::{self, Spill},
    record::{Before, OldVersions, UNDO_ROOT, UndoRecord},
    tally::{Sample, sample},
    touched::Touched,
};
use crate::{
    document::namespace::Namespace,
    format::catalogue::{CollectionKind, DocumentKeys},
    limits::RESTORE_LOOKUP_DOCUMENTS,
    mongo::Link,
    progress::Progress,
    repo::{Kept, Reader, Repository, collect},
    sink::mongo::{self as sink, Existing, Op, Order, Writers},
    tree::{self, KeyRange, Pieces, Root},
    verbs::deployment::{self, Collection, catalogue_root, content, root_named},
};

pub use super::which::{is_into, newest};

/// How to undo.
pub struct Options {
    /// What was changed since the restore goes as well.
    pub force: bool,
    /// Find out, and write nothing.
    pub dry_run: bool,
    pub threads: usize,
    pub spill_dir: PathBuf,
}

/// What an undo does, or would do, to one collection.
#[derive(Debug, Clone)]
pub struct CollectionUndo {
    pub namespace: Namespace,
    /// It was made by the restore, and goes.
    pub drops: bool,
    /// It was dropped by the restore, and comes back.
    pub brings_back: bool,
    /// Old versions that come back.
    pub restored: u64,
    /// Documents of the restore that go.
    pub removed: u64,
    /// As they were before the restore already.
    pub already: u64,
    /// Changed by others since.
    pub conflicts: u64,
    /// Something else has its name that `force` does not take away either.
    pub stuck: bool,
    pub samples: Vec<Sample>,
    /// Names of indexes that go.
    pub indexes: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What an undo did, or would do.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub collections: Vec<CollectionUndo>,
    /// The record was forgotten: it is done with.
    pub forgotten: bool,
}

impl Outcome {
    pub fn conflicts(&self) -> u64 {
        self.collections.iter().map(|collection| collection.conflicts).sum()
    }
}

/// Brings back what `kept`, a restore's record, holds.
pub fn undo(
    repo: &Repository,
    link: &Link,
    kept: &Kept,
    options: &Options,
    progress: &Progress,
) -> Result<Outcome, Error> {
    let reader = repo.reader()?;
    let root = root_named(&kept.snapshot, UNDO_ROOT).ok_or(Error::NoUndo)?;
    let old = catalogue_root(&kept.snapshot).ok_or(Error::NoUndo)?;
    let old = deployment::collections(&reader, &old, None).collect::<Result<Vec<_>, _>>()?;
    progress.phase("undo");
    let spill = Spill { dir: &options.spill_dir, ambient: repo.ambient() };
    let mut outcome = Outcome::default();
    let named = tree::iter(&reader, &root, KeyRange::all()).map(|entry| {
        let (key, value) = entry?;
        Ok((Namespace::from_key(&key).ok_or(Error::NoUndo)?, value))
    });
    let mut named = named.collect::<Result<Vec<_>, Error>>()?;
    named.sort_by_key(|(namespace, _)| authority::turn(namespace));
    for (namespace, value) in named {
        super::go_on(progress)?;
        let record = UndoRecord::decode(&value.head).ok_or(Error::NoUndo)?;
        let written = match value.pieces {
            Pieces::Map(root) => Some(root),
            _ => None,
        };
        let old = old.iter().find(|old| old.namespace == namespace);
        let place = place_of(kind_of(&record.kind), &namespace);
        progress.at(|| namespace.to_string());
        let one = One {
            link,
            reader: &reader,
            options,
            spill: &spill,
            progress,
            place,
            record,
            written,
            old,
            undo: CollectionUndo {
                namespace,
                drops: false,
                brings_back: false,
                restored: 0,
                removed: 0,
                already: 0,
                conflicts: 0,
                stuck: false,
                samples: Vec::new(),
                indexes: Vec::new(),
                notes: Vec::new(),
            },
        };
        outcome.collections.push(one.go()?);
    }
    if !options.dry_run && outcome.conflicts() == 0 {
        let ground = collect::Ground::of(repo);
        outcome.forgotten = collect::forget(&ground, &[kept.sid], "it was undone").is_ok();
    }
    Ok(outcome)
}

/// One collection's undoing.
struct One<'a> {
    link: &'a Link,
    reader: &'a Reader,
    options: &'a Options,
    spill: &'a Spill<'a>,
    progress: &'a Progress,
    place: Namespace,
    record: UndoRecord,
    written: Option<Root>,
    old: Option<&'a Collection>,
    undo: CollectionUndo,
}

impl One<'_> {
    fn go(mut self) -> Result<CollectionUndo, Error> {
        let namespace = self.undo.namespace.clone();
        let there = sink::collections(self.link, &namespace.db)?;
        let there = there.into_iter().find(|one| one.name == namespace.collection);
        match (self.record.before, there) {
            (Before::Dropped, there) => self.dropped(there.as_ref())?,
            (Before::Kept, None) => self.undo.already = self.written.map_or(0, |root| root.entries),
            (Before::Nothing, None) => {}
            (Before::Nothing, Some(there)) if self.options.force && !self.wrote(&there) => {
                self.goes()?;
            }
            (_, Some(there)) if !self.wrote(&there) => self.another(&there),
            (Before::Kept, Some(_)) => self.kept()?,
            (Before::Nothing, Some(_)) => self.made()?,
        }
        Ok(self.undo)
    }

    /// Whether it is of the kind that the restore wrote to, and if it is a view, that view.
    fn wrote(&self, there: &Existing) -> bool {
        let is_that = |options: &Vec<u8>| *options == there.options();
        there.kind == self.record.kind && self.record.options.as_ref().is_none_or(is_that)
    }

    /// Something else took the name after the restore.
    fn another(&mut self, there: &Existing) {
        self.undo.conflicts += 1;
        self.undo.stuck = self.record.before == Before::Kept;
        self.undo.notes.push(format!("another {} is there now, and stays", there.kind));
    }

    fn conflict(&mut self, document: &[u8], why: &str) -> Result<(), Error> {
        self.undo.conflicts += 1;
        let (id, why) = (live::id_of(document)?.into(), Some(why.to_owned()));
        sample(&mut self.undo.samples, Sample { what: "conflict", id, why });
        Ok(())
    }

    fn writers(&self, order: Order) -> Option<Writers> {
        let start = || Writers::start(self.link, &self.place, order, self.options.threads);
        (!self.options.dry_run).then(start)
    }

    fn finish(&mut self, writers: Option<Writers>) -> Result<(), Error> {
        let Some(writers) = writers else { return Ok(()) };
        let report = writers.finish()?;
        for failure in report.failures {
            match failure.op {
                Op::Remove { .. } => self.undo.removed -= 1,
                _ => self.undo.restored -= 1,
            }
            self.conflict(failure.op.document(), &failure.why)?;
        }
        Ok(())
    }

    /// The collection was there and stayed: document by document.
    fn kept(&mut self) -> Result<(), Error> {
        let Some(written) = self.written else { return self.drop_indexes() };
        let reader = self.reader;
        let old = self.old.and_then(|old| old.root);
        let mut old = old.map(|root| OldVersions::new(reader, &root));
        let are_roles = authority::are_roles(&self.place);
        let mut writers = self.writers(Order::Any).filter(|_| !are_roles);
        let (mut back, mut gone) = (Vec::new(), Vec::new());
        let mut entries = tree::iter(reader, &written, KeyRange::all());
        loop {
            super::go_on(self.progress)?;
            let mut batch = Vec::new();
            for entry in entries.by_ref().take(RESTORE_LOOKUP_DOCUMENTS) {
                let (key, value) = entry?;
                let touched = Touched::decode(&value.head).ok_or(Error::NoUndo)?;
                let was = match &mut old {
                    Some(old) => old.under(&key)?,
                    None => None,
                };
                batch.push((key, touched, was));
            }
            if batch.is_empty() {
                break;
            }
            let ids: Vec<(Bytes, Bytes)> =
                batch.iter().map(|(key, touched, _)| (key.clone(), touched.id.clone())).collect();
            let found = live::looked_up(self.link, &self.place, &ids)?;
            for (key, touched, was) in batch {
                let op = self.document(&touched, was, found.get(&key[..]).cloned())?;
                match (op, &mut writers) {
                    (Some(op), Some(writers)) => writers.push(op)?,
                    (Some(Op::Remove { was }), None) => gone.push(was),
                    (Some(Op::Insert { document } | Op::Replace { document, .. }), None) => {
                        back.push(document);
                    }
                    (None, _) => {}
                }
            }
        }
        if are_roles && !self.options.dry_run {
            authority::take_back_roles(self.link, back, &gone)?;
        }
        self.finish(writers)?;
        self.drop_indexes()
    }

    fn document(
        &mut self,
        touched: &Touched,
        was: Option<Bytes>,
        live: Option<Bytes>,
    ) -> Result<Option<Op>, Error> {
        self.progress.done(1, 0);
        let force = self.options.force;
        let is_ours = |live: &Bytes| *blake3::hash(live).as_bytes() == touched.written;
        match (was, live) {
            // What it would have changed was gone before it was recorded: it changed nothing.
            (None, _) if touched.action.changes() => self.undo.already += 1,
            (None, None) => self.undo.already += 1,
            (Some(was), Some(live)) if was == live => self.undo.already += 1,
            (None, Some(live)) if force || is_ours(&live) => {
                self.undo.removed += 1;
                return Ok(Some(Op::Remove { was: live }));
            }
            (Some(document), Some(live)) if force || is_ours(&live) => {
                self.undo.restored += 1;
                return Ok(Some(Op::Replace { document, was: live }));
            }
            (Some(document), None) if force => {
                self.undo.restored += 1;
                return Ok(Some(Op::Insert { document }));
            }
            (_, Some(_)) => self.conflict(&touched.id, "it was changed after the restore")?,
            (_, None) => self.conflict(&touched.id, "it was removed after the restore")?,
        }
        Ok(None)
    }

    fn drop_indexes(&mut self) -> Result<(), Error> {
        self.undo.indexes = self.record.indexes.clone();
        if self.options.dry_run {
            return Ok(());
        }
        let mut names = self.record.indexes.iter();
        names.try_for_each(|name| Ok(sink::drop_index(self.link, &self.undo.namespace, name)?))
    }

    /// The restore made the collection: it goes, or its documents do.
    fn made(&mut self) -> Result<(), Error> {
        if self.record.kind == "view" {
            return self.goes();
        }
        let found = self.compare(&mut |_, _| Ok(()))?;
        let is_fixed = sink::is_fixed(&self.undo.namespace);
        if (found.foreign == 0 || self.options.force) && !is_fixed {
            self.undo.removed = found.all;
            return self.goes();
        }
        let mut writers = self.writers(Order::Any);
        let mut removed = 0;
        let mut foreign = Vec::new();
        self.compare(&mut |live, is_ours| {
            match (&mut writers, is_ours) {
                (_, false) => foreign.push(live::id_of(live)?),
                (None, true) => removed += 1,
                (Some(writers), true) => {
                    removed += 1;
                    writers.push(Op::Remove { was: Bytes::copy_from_slice(live) })?;
                }
            }
            foreign.truncate(8);
            Ok(())
        })?;
        self.undo.removed = removed;
        for id in &foreign {
            self.conflict(id, "it came, or was changed, after the restore")?;
        }
        self.undo.conflicts = found.foreign;
        self.finish(writers)
    }

    fn goes(&mut self) -> Result<(), Error> {
        self.undo.drops = true;
        match self.options.dry_run {
            true => Ok(()),
            false => Ok(sink::drop(self.link, &self.undo.namespace)?),
        }
    }

    /// What is there where the restore dropped a collection. Where it was stopped before that,
    /// the old one still is.
    fn in_its_place(&mut self, there: &Existing, old: &Collection) -> Result<Found, Error> {
        let is_old_kind = there.kind == kind_name(old.record.kind);
        let is_view = there.kind == "view";
        let is_old = is_old_kind && (!is_view || there.options() == old.record.options);
        if !is_old && !self.wrote(there) {
            self.undo.notes.push(format!("another {} is there now", there.kind));
            return Ok(Found { all: 1, foreign: 1, ..Found::default() });
        }
        if is_view {
            return Ok(Found::default());
        }
        self.place = place_of(kind_of(&there.kind), &self.undo.namespace);
        self.compare(&mut |_, _| Ok(()))
    }

    /// Whether the old collection is there, as it was.
    fn is_as_before(
        &self,
        there: &Existing,
        old: &Collection,
        found: Found,
    ) -> Result<bool, Error> {
        let Collection { record, root, .. } = old;
        let count = root.map_or(0, |root| root.entries);
        if there.kind != kind_name(record.kind)
            || there.options() != record.options
            || (found.all, found.old) != (count, count)
        {
            return Ok(false);
        }
        let is_view = record.kind == CollectionKind::View;
        Ok(is_view || sink::indexes(self.link, &self.undo.namespace)? == record.indexes)
    }

    /// The restore dropped the collection and made it anew: it goes, and the old one comes back.
    fn dropped(&mut self, there: Option<&Existing>) -> Result<(), Error> {
        let Some(old) = self.old else { return Err(Error::NoUndo) };
        let Collection { record, root, .. } = old;
        if let Some(there) = there {
            let found = self.in_its_place(there, old)?;
            if found.foreign > 0 && !self.options.force {
                self.undo.conflicts = found.foreign;
                return Ok(());
            }
            if found.foreign == 0 && self.is_as_before(there, old, found)? {
                self.undo.already = found.old;
                return Ok(());
            }
            self.undo.removed = found.all;
        }
        self.undo.brings_back = true;
        self.undo.restored = root.map_or(0, |root| root.entries);
        if self.options.dry_run {
            return Ok(());
        }
        let namespace = self.undo.namespace.clone();
        sink::drop(self.link, &namespace)?;
        let id_index = record.id_index.as_deref();
        let created = sink::create(self.link, &namespace, &record.options, id_index)?;
        self.place = place_of(record.kind, &namespace);
        if let Some(root) = root {
            let order = match record.keys {
                DocumentKeys::Ordinal => Order::Kept,
                DocumentKeys::Id => Order::Any,
            };
            let mut writers = self.writers(order).expect("this is no dry run");
            for entry in tree::iter(self.reader, root, KeyRange::all()) {
                super::go_on(self.progress)?;
                writers.push(Op::Insert { document: content(self.reader, &entry?.1)? })?;
            }
            self.finish(Some(writers))?;
        }
        let specs = sink::wanted(&record.indexes, &record.options);
        sink::build(self.link, &namespace, &specs)?;
        if created.expires {
            sink::expire_after(self.link, &namespace, &record.options)?;
        }
        Ok(())
    }

    /// Holds a collection that the restore made against what the restore wrote and what was there
    /// before. `take` gets each live document, and whether the restore wrote it.
    fn compare(
        &self,
        take: &mut dyn FnMut(&[u8], bool) -> Result<(), Error>,
    ) -> Result<Found, Error> {
        let mut known = Known::new(self.spill);
        if let Some(written) = self.written.filter(|_| self.record.holds_documents) {
            known.documents(self.reader, &written, Side::Written, self.progress)?;
        } else if let Some(written) = self.written {
            for entry in tree::iter(self.reader, &written, KeyRange::all()) {
                super::go_on(self.progress)?;
                let touched = Touched::decode(&entry?.1.head).ok_or(Error::NoUndo)?;
                known.hash(&touched.written, Side::Written)?;
            }
        }
        if let Some(root) = self.old.and_then(|old| old.root) {
            known.documents(self.reader, &root, Side::Old, self.progress)?;
        }
        known.meet((self.link, &self.place), self.progress, take)
    }
}

//! One collection's part of an undo.

use bytes::Bytes;

use super::{CollectionUndo, Options};
use crate::{
    document::{get, namespace::Namespace},
    format::catalogue::{CollectionKind, DocumentKeys},
    mongo::Link,
    progress::Progress,
    repo::Reader,
    sink::mongo::{self as sink, Existing, Op, Order, Writers},
    tree::{self, KeyRange, Root},
    verbs::{
        deployment::{Collection, content},
        restore_mongodb::{
            Error, authority, go_on,
            job::{kind_name, kind_of, place_of},
            known::{Found, Known, Side},
            live::{self, Spill},
            record::{Before, OldVersions, UndoRecord},
            tally::{Sample, sample},
            touched::Touched,
        },
    },
};

/// What is known of it.
pub(super) struct One<'a> {
    pub link: &'a Link,
    pub reader: &'a Reader,
    pub options: &'a Options,
    pub spill: &'a Spill<'a>,
    pub progress: &'a Progress,
    pub place: Namespace,
    pub record: UndoRecord,
    pub written: Option<Root>,
    pub old: Option<&'a Collection>,
    pub undo: CollectionUndo,
}

impl One<'_> {
    pub fn go(mut self) -> Result<CollectionUndo, Error> {
        let namespace = self.undo.namespace.clone();
        let there = sink::collections(self.link, &namespace.db)?;
        let there = there.into_iter().find(|one| one.name == namespace.collection);
        match (self.record.before, there) {
            (Before::Dropped, there) => self.dropped(there.as_ref())?,
            (Before::Kept, None) => self.is_gone()?,
            (Before::Nothing, None) => {}
            (Before::Nothing, Some(there)) if self.is_another_view(&there) => self.goes()?,
            (_, Some(there)) if !self.wrote(&there) => self.another(&there),
            (_, Some(there)) if self.is_other(&there) && !self.is_forced_on_other() => {}
            (Before::Kept, Some(there)) => self.kept(&there)?,
            (Before::Nothing, Some(_)) => self.made()?,
        }
        Ok(self.undo)
    }

    /// Whether it is of the kind that the restore wrote to, and if it is a view, that view.
    fn wrote(&self, there: &Existing) -> bool {
        let is_that = |options: &Vec<u8>| *options == there.options();
        there.kind == self.record.kind && self.record.options.as_ref().is_none_or(is_that)
    }

    fn uuid(&self, there: &Existing) -> Option<[u8; 16]> {
        match kind_of(&there.kind) {
            CollectionKind::TimeSeries => {
                sink::uuid_at(self.link, &sink::buckets_of(&self.undo.namespace)).ok()?
            }
            _ => there.uuid(),
        }
    }

    /// Whether the collection that the restore made or wrote to is gone, and this one made since,
    /// as far as that can be told.
    fn is_other(&self, there: &Existing) -> bool {
        let Some(recorded) = self.record.uuid else { return false };
        self.uuid(there).is_some_and(|uuid| uuid != recorded)
    }

    /// Tells of another collection, also one that has the same documents: somebody put them
    /// there. Whether it is to be taken for the restore's all the same.
    fn is_forced_on_other(&mut self) -> bool {
        self.undo.notes.push("another collection of that name stands there now".into());
        self.undo.conflicts += u64::from(!self.options.force);
        self.options.force
    }

    /// Whether it was said that another view of the name goes, too. A view holds nothing.
    fn is_another_view(&self, there: &Existing) -> bool {
        let are_views = there.kind == "view" && self.record.kind == there.kind;
        self.options.force && are_views && !self.wrote(there)
    }

    /// Something else took the name after the restore. What it holds nobody recorded, so that it
    /// stays whatever is said; but for a view in the place of a view.
    fn another(&mut self, there: &Existing) {
        self.undo.conflicts += 1;
        let was = self.old.map(|old| kind_name(old.record.kind));
        let met_views = self.record.kind == "view" || was == Some("view");
        self.undo.stuck = there.kind != "view" || !met_views;
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
        let failures = writers.finish()?.failures;
        self.undo.removed -= failures.removes;
        self.undo.restored -= failures.inserts + failures.replaces;
        self.undo.conflicts += failures.untold();
        failures.told.iter().try_for_each(|failure| self.conflict(&failure.id, &failure.why))
    }

    /// The collection was there and stayed, and is gone by now.
    fn is_gone(&mut self) -> Result<(), Error> {
        let written = self.written.map_or(0, |root| root.entries);
        let changed = self.old.and_then(|old| Some((old, old.root?)));
        let Some((old, root)) = changed.filter(|(_, root)| root.entries > 0) else {
            self.undo.already = written;
            return Ok(());
        };
        self.undo.already = written.saturating_sub(root.entries);
        if self.options.force {
            return self.comes_back(old);
        }
        self.undo.conflicts = root.entries;
        self.undo.notes.push("the collection was removed after the restore".into());
        Ok(())
    }

    /// The collection was there and stayed: document by document. Indexes that came go first: a
    /// unique one may refuse old versions, and one with a time to live may take them away.
    fn kept(&mut self, there: &Existing) -> Result<(), Error> {
        self.drop_indexes(there)?;
        let Some(written) = self.written else { return Ok(()) };
        let reader = self.reader;
        let old = self.old.and_then(|old| old.root);
        let mut old = old.map(|root| OldVersions::new(reader, &root));
        let are_roles = authority::are_roles(&self.place);
        let mut writers = self.writers(Order::Any).filter(|_| !are_roles);
        let (mut back, mut gone) = (Vec::new(), Vec::new());
        let mut entries = tree::iter(reader, &written, KeyRange::all());
        loop {
            go_on(self.progress)?;
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while !live::is_full(batch.len(), bytes)
                && let Some(entry) = entries.next()
            {
                let (key, value) = entry?;
                let touched = Touched::read(reader, &value)?;
                let was = match &mut old {
                    Some(old) => old.under(&key)?,
                    None => None,
                };
                bytes += touched.id.len() + was.as_ref().map_or(0, Bytes::len);
                batch.push((key, touched, was));
            }
            if batch.is_empty() {
                break;
            }
            let ids: Vec<(Bytes, Bytes)> =
                batch.iter().map(|(key, touched, _)| (key.clone(), touched.id.clone())).collect();
            let found = live::looked_up(self.link, &self.place, &ids)?;
            for (key, touched, was) in batch {
                let live = found.get(&key[..]).map(|live| live.whole(self.link, &self.place));
                let op = self.document(&touched, was, live.transpose()?.flatten())?;
                match (op, &mut writers) {
                    (Some(op), Some(writers)) => writers.push(op)?,
                    // Of a dry run nothing is kept; and of roles there are few.
                    (Some(op), None) if are_roles => match op {
                        Op::Remove { was } => gone.push(was),
                        Op::Insert { document } | Op::Replace { document, .. } => {
                            back.push(document);
                        }
                    },
                    (Some(_), None) | (None, _) => {}
                }
            }
        }
        if are_roles && !self.options.dry_run {
            authority::take_back_roles(self.link, back, &gone)?;
        }
        self.finish(writers)
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

    /// Drops the indexes that the restore built. What took the name of one since stays.
    fn drop_indexes(&mut self, there: &Existing) -> Result<(), Error> {
        if self.record.indexes.is_empty() {
            return Ok(());
        }
        let live = sink::indexes(self.link, &self.undo.namespace)?;
        for live in sink::wanted(&live, &there.options()) {
            let name = sink::name_of(&live);
            let is_it = |spec: &&Vec<u8>| sink::name_of(spec) == name;
            let Some(recorded) = self.record.indexes.iter().find(is_it) else { continue };
            if *recorded != live && matches!(get(recorded, b"key"), Ok(Some(_))) {
                self.undo.notes.push(format!("another index {name} is there now, and stays"));
                continue;
            }
            if !self.options.dry_run {
                sink::drop_index(self.link, &self.undo.namespace, &name)?;
            }
            self.undo.indexes.push(name);
        }
        Ok(())
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
    /// the old one still is. `None`: it is neither.
    fn in_its_place(&mut self, there: &Existing, old: &Collection) -> Result<Option<Found>, Error> {
        let is_of_old_kind = there.kind == kind_name(old.record.kind);
        if !is_of_old_kind && there.kind != self.record.kind {
            return Ok(None);
        }
        if there.kind == "view" {
            let is_old = is_of_old_kind && there.options() == old.record.options;
            let may_go = is_old || self.wrote(there) || self.options.force;
            return Ok(may_go.then(Found::default));
        }
        self.place = place_of(kind_of(&there.kind), &self.undo.namespace);
        self.compare(&mut |_, _| Ok(())).map(Some)
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

    /// Whether the old collection was never dropped: nothing in it is the restore's.
    fn was_left_alone(&self, there: &Existing, old: &Collection) -> bool {
        old.record.uuid.is_some() && self.uuid(there) == old.record.uuid
    }

    /// Whether another collection than the restore made holds nothing that the old one, which
    /// comes back, has not: an undo that was stopped made it.
    fn may_go(there: &Existing, old: &Collection, found: Found) -> bool {
        found.all == found.old && there.options() == old.record.options
    }

    /// The restore dropped the collection and made it anew: it goes, and the old one comes back.
    fn dropped(&mut self, there: Option<&Existing>) -> Result<(), Error> {
        let Some(old) = self.old else { return Err(Error::NoUndo) };
        if let Some(there) = there {
            let Some(found) = self.in_its_place(there, old)? else {
                self.another(there);
                return Ok(());
            };
            if self.was_left_alone(there, old) {
                self.undo.already = found.old;
                return Ok(());
            }
            if self.is_other(there)
                && !Self::may_go(there, old, found)
                && !self.is_forced_on_other()
            {
                return Ok(());
            }
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
        self.comes_back(old)
    }

    /// Makes the old collection anew, as it was, with what is recorded of it; another one of its
    /// name goes. What the server does not take of options and indexes is told.
    fn comes_back(&mut self, old: &Collection) -> Result<(), Error> {
        let Collection { record, root, .. } = old;
        self.undo.brings_back = true;
        self.undo.restored = root.map_or(0, |root| root.entries);
        if self.options.dry_run {
            return Ok(());
        }
        let namespace = self.undo.namespace.clone();
        sink::drop(self.link, &namespace)?;
        let id_index = record.id_index.as_deref();
        let created = sink::create(self.link, &namespace, &record.options, id_index)?;
        for option in &created.options_left_out {
            self.trouble(format!("the server does not know the option {option}: it was left out"));
        }
        self.place = place_of(record.kind, &namespace);
        if let Some(root) = root {
            let order = match record.keys {
                DocumentKeys::Ordinal => Order::Kept,
                DocumentKeys::Id => Order::Any,
            };
            let mut writers = self.writers(order).expect("this is no dry run");
            for entry in tree::iter(self.reader, root, KeyRange::all()) {
                go_on(self.progress)?;
                writers.push(Op::Insert { document: content(self.reader, &entry?.1)? })?;
            }
            self.finish(Some(writers))?;
        }
        let specs = sink::wanted(&record.indexes, &record.options);
        let built = sink::build(self.link, &namespace, &specs)?;
        for (name, why) in &built.failed {
            self.trouble(format!("the index {name} was not built: {why}"));
        }
        if built.options_left_out {
            let what = "the server does not know an option of an index: it was left out";
            self.trouble(what.into());
        }
        if created.expires {
            sink::expire_after(self.link, &namespace, &record.options)?;
        }
        Ok(())
    }

    fn trouble(&mut self, what: String) {
        self.undo.troubles.push(what);
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
                go_on(self.progress)?;
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

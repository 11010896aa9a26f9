//! One collection's part of a restore: what was found out, and is to be carried out.

use std::sync::{Mutex, MutexGuard};

use super::{
    choose::Chosen,
    documents::{Documents, Matches, Told},
    losses::Losses,
    record::{Before, Recorded, RecordedCollection, UndoRecord},
    tally::{CollectionPlan, Digest, Fate},
};
use crate::{
    document::namespace::Namespace,
    format::catalogue::{CollectionKind, CollectionRecord, DocumentKeys},
    progress::Progress,
    repo::{self, ReadBlobs},
    sink::mongo as sink,
    tree::{KeyRange, Root},
};

pub(super) struct Job {
    /// Its place among all.
    pub number: u32,
    pub plan: CollectionPlan,
    pub chosen: Chosen,
    /// Where its documents go: not the series, but its buckets.
    pub place: Namespace,
    pub range: KeyRange,
    /// Documents of the snapshot that can't be read.
    pub losses: Losses,
    /// Of a collection in natural order, so many documents are there already.
    pub there: u64,
    /// Index specifications.
    pub build: Vec<Vec<u8>>,
    /// What is written beside other documents, and what it was.
    pub recorded: Option<Recorded>,
    /// Of a collection that is made: its documents, or their hashes.
    pub written: Option<Written>,
    /// A collection that is dropped, and its documents as they were recorded.
    pub dropped: Option<(CollectionRecord, Option<(Root, Digest)>)>,
    /// A collection that is kept, as it is now.
    pub kept: Option<CollectionRecord>,
    pub done: Mutex<Done>,
}

/// What became of it, as far as the record is to know.
#[derive(Default)]
pub(super) struct Done {
    /// The UUID of the collection that was made, once it is.
    pub made: Option<[u8; 16]>,
    /// It was left as it stands there, or there is none.
    pub stays: bool,
    /// The indexes that were built, as they stand there.
    pub built: Option<Vec<Vec<u8>>>,
}

#[derive(Clone, Copy)]
pub(super) struct Written {
    pub root: Root,
    pub holds_documents: bool,
}

impl Job {
    /// Its documents that can be read and are wanted.
    pub fn documents<'a, R: ReadBlobs<Error = repo::Error>>(
        &'a self,
        (reader, root): (&'a R, &Root),
        matches: Option<&'a Matches>,
        progress: &'a Progress,
    ) -> Documents<'a, R> {
        let told = Told { namespace: &self.chosen.from, losses: &self.losses, progress };
        Documents::new((reader, root), self.range.clone(), matches, told)
    }

    pub fn is_view(&self) -> bool {
        self.chosen.record.kind == CollectionKind::View
    }

    /// Its documents must come to stand in the order they were in.
    pub fn in_order(&self) -> bool {
        self.chosen.record.keys == DocumentKeys::Ordinal
    }

    pub fn makes_it(&self) -> bool {
        matches!(self.plan.fate, Fate::Create | Fate::Replace)
    }

    /// Of the collection that is written to.
    pub fn options_there(&self) -> &[u8] {
        self.kept.as_ref().map_or(&self.chosen.record.options, |kept| &kept.options)
    }

    /// Whether documents expire by an index; those are built last.
    pub fn has_ttl(&self) -> bool {
        self.build.iter().any(|spec| sink::is_ttl(spec))
    }

    pub fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().expect("no code panics holding it")
    }

    /// Whether the record that was made before says something else than what was done.
    pub fn is_otherwise(&self) -> bool {
        let done = self.done();
        let other_indexes = done.built.as_ref().is_some_and(|built| *built != self.build);
        done.made.is_some() || done.stays || other_indexes
    }

    /// Of the collection that is written to, as far as it is known.
    pub fn uuid(&self) -> Option<[u8; 16]> {
        self.done().made.or(self.kept.as_ref().and_then(|kept| kept.uuid))
    }

    /// Its part of the record that undoes the restore: of what was left alone none.
    pub fn recorded(&self) -> Option<RecordedCollection> {
        let indexes = self.done().built.clone().unwrap_or_else(|| self.build.clone());
        let before = match self.plan.fate {
            _ if self.done().stays => return None,
            Fate::Create => Before::Nothing,
            Fate::Replace => Before::Dropped,
            Fate::Keep if self.plan.counts.writing() > 0 || !indexes.is_empty() => Before::Kept,
            _ => return None,
        };
        let undo = UndoRecord {
            before,
            kind: self.plan.kind.to_owned(),
            indexes,
            options: self.is_view().then(|| self.chosen.record.options.clone()),
            holds_documents: self.written.is_some_and(|written| written.holds_documents),
            deployment: None,
            uuid: self.uuid(),
        };
        let touched = self.recorded.as_ref().map(|recorded| recorded.touched);
        let old = match (&self.dropped, &self.kept, &self.recorded) {
            (Some((record, whole)), ..) => Some((record.clone(), whole.map(|(root, _)| root))),
            (None, Some(kept), Some(recorded)) if recorded.old.entries > 0 => {
                let count = recorded.old.entries;
                let record = CollectionRecord { count, bytes: recorded.old_bytes, ..kept.clone() };
                Some((record, Some(recorded.old)))
            }
            _ => None,
        };
        Some(RecordedCollection {
            namespace: self.plan.to.clone(),
            undo,
            written: self.written.map(|written| written.root).or(touched),
            old,
        })
    }
}

/// Where the documents of a collection lie: those of a time series in its buckets.
pub(super) fn place_of(kind: CollectionKind, namespace: &Namespace) -> Namespace {
    match kind {
        CollectionKind::TimeSeries => sink::buckets_of(namespace),
        _ => namespace.clone(),
    }
}

pub(super) fn kind_of(name: &str) -> CollectionKind {
    match name {
        "view" => CollectionKind::View,
        "timeseries" => CollectionKind::TimeSeries,
        _ => CollectionKind::Collection,
    }
}

pub(super) fn kind_name(kind: CollectionKind) -> &'static str {
    match kind {
        CollectionKind::Collection => "collection",
        CollectionKind::View => "view",
        CollectionKind::TimeSeries => "timeseries",
    }
}

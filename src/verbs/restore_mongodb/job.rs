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
    /// The UUID of the collection that was made, once it is.
    pub made: Mutex<Option<[u8; 16]>>,
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

    /// Whether documents expire by an index; those are built last.
    pub fn has_ttl(&self) -> bool {
        self.build.iter().any(|spec| sink::is_ttl(spec))
    }

    pub fn made(&self) -> MutexGuard<'_, Option<[u8; 16]>> {
        self.made.lock().expect("no code panics holding it")
    }

    /// Of the collection that is written to, as far as it is known.
    pub fn uuid(&self) -> Option<[u8; 16]> {
        self.made().or(self.kept.as_ref().and_then(|kept| kept.uuid))
    }

    /// Its part of the record that undoes the restore.
    pub fn recorded(&self) -> Option<RecordedCollection> {
        let before = match self.plan.fate {
            Fate::Create => Before::Nothing,
            Fate::Replace => Before::Dropped,
            Fate::Keep if self.plan.counts.writing() > 0 || !self.build.is_empty() => Before::Kept,
            _ => return None,
        };
        let undo = UndoRecord {
            before,
            kind: self.plan.kind.to_owned(),
            indexes: self.plan.indexes.clone(),
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

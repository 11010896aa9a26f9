//! Undo: what a restore recorded before it wrote comes back, and what it wrote goes.
//!
//! Nothing else is touched: a document that somebody changed after the restore is a conflict, and
//! stays, unless it is said that it shall not.

mod one;

use std::path::PathBuf;

use bytes::Bytes;

use self::one::One;
use super::{
    Error, authority,
    job::{kind_of, place_of},
    live::Spill,
    record::{UNDO_ROOT, UndoRecord},
    tally::Sample,
    which,
};
use crate::{
    document::namespace::Namespace,
    mongo::Link,
    progress::Progress,
    repo::{self, Kept, Reader, Repository, collect},
    sink::mongo::{self as sink, Existing},
    tree::{self, KeyRange, Pieces, Root, Value},
    verbs::deployment::{self, catalogue_root, root_named},
};

pub use super::which::{is_into, newest, unnamed};

/// Why a record is forgotten whose restore was taken back.
pub(super) const UNDONE: &str = "it was undone";

/// How to undo.
pub struct Options {
    /// What was changed since the restore goes as well.
    pub force: bool,
    /// Also where another deployment answers than at the restore.
    pub any_deployment: bool,
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
    /// Options and indexes that did not come back.
    pub troubles: Vec<String>,
}

impl CollectionUndo {
    fn of(namespace: Namespace) -> Self {
        CollectionUndo {
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
            troubles: Vec::new(),
        }
    }
}

/// What an undo did, or would do.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub collections: Vec<CollectionUndo>,
    /// The record was forgotten: it is done with.
    pub forgotten: bool,
    /// Nobody knows whether a majority of the set has it all.
    pub unconfirmed: Option<String>,
}

impl Outcome {
    pub fn conflicts(&self) -> u64 {
        self.collections.iter().map(|collection| collection.conflicts).sum()
    }

    pub fn troubles(&self) -> usize {
        let of_all = self.collections.iter().map(|collection| collection.troubles.len());
        of_all.sum::<usize>() + usize::from(self.unconfirmed.is_some())
    }
}

/// Brings back what `kept`, a restore's record, holds. It is forgotten only when all of it is
/// back: what is left in it nobody else has.
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
    let parts = parts(&reader, &root)?;
    let deployment = parts.iter().find_map(|part| part.record.deployment.as_deref());
    let is_the_same = which::answers(link, &kept.snapshot, deployment)?;
    if !options.any_deployment && !is_the_same {
        return Err(Error::AnotherDeployment { record: kept.sid });
    }
    let process = link.process()?;
    let mut outcome = Outcome::default();
    for Part { namespace, mut record, written } in parts {
        // In a copy of the deployment collections have other UUIDs.
        record.uuid = record.uuid.filter(|_| is_the_same);
        super::go_on(progress)?;
        let old = old.iter().find(|old| old.namespace == namespace);
        let place = place_of(kind_of(&record.kind), &namespace);
        progress.at(|| namespace.to_string());
        let undo = CollectionUndo::of(namespace);
        let (reader, spill) = (&reader, &spill);
        let one = One { link, reader, options, spill, progress, place, record, written, old, undo };
        outcome.collections.push(one.go()?);
    }
    if options.dry_run {
        return Ok(outcome);
    }
    outcome.unconfirmed = unconfirmed(link, &outcome)?;
    if link.process()? != process {
        let what = "another process answers than at the beginning, or the same was elected again: \
                    what was taken may be lost";
        outcome.unconfirmed = Some(what.into());
    }
    if outcome.conflicts() == 0 && outcome.troubles() == 0 {
        let forgotten = collect::forget(&collect::Ground::of(repo), &[kept.sid], UNDONE);
        forgotten.map_err(|source| Error::Unforgotten { record: kept.sid, source })?;
        outcome.forgotten = true;
    }
    Ok(outcome)
}

/// A collection's part of the record.
struct Part {
    namespace: Namespace,
    record: UndoRecord,
    written: Option<Root>,
}

/// In the order in which they are undone.
fn parts(reader: &Reader, root: &Root) -> Result<Vec<Part>, Error> {
    let part = |entry: Result<(Bytes, Value), tree::Error<repo::Error>>| {
        let (key, value) = entry?;
        let namespace = Namespace::from_key(&key).ok_or(Error::NoUndo)?;
        let record = UndoRecord::decode(&value.head).ok_or(Error::NoUndo)?;
        let written = match value.pieces {
            Pieces::Map(root) => Some(root),
            _ => None,
        };
        Ok(Part { namespace, record, written })
    };
    let parts = tree::iter(reader, root, KeyRange::all()).map(part);
    let mut parts = parts.collect::<Result<Vec<Part>, Error>>()?;
    parts.sort_by_key(|part| authority::turn(&part.namespace));
    Ok(parts)
}

/// Waits for a majority; why nobody knows whether it has everything.
fn unconfirmed(link: &Link, outcome: &Outcome) -> Result<Option<String>, Error> {
    let Some(first) = outcome.collections.first() else { return Ok(None) };
    let mut to_ask = None;
    for one in &outcome.collections {
        let there = sink::collections(link, &one.namespace.db)?;
        let is_it =
            |there: &Existing| there.name == one.namespace.collection && there.kind == "collection";
        if there.iter().any(is_it) {
            to_ask = Some(&one.namespace);
            break;
        }
    }
    let waited = match to_ask {
        Some(place) => sink::wait_for_majority(link, place),
        None => sink::wait_for_majority_of(link, &first.namespace.db),
    };
    Ok(waited.err().map(|error| format!("{error}: {}", error.cause())))
}

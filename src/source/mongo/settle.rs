//! Reading the oplog from the beginning of a capture to the moment of its snapshot.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use super::{
    Collection, Error, Namespace, Options, Uuid,
    changes::Gathering,
    entry::{Entry, Meaning},
    listing, moment, oplog,
};
use crate::{document, format::snapshot::ClusterTime, limits, mongo::Link, progress::Progress};

/// `applyOps` within `applyOps`: no server writes more.
const NESTED_MAX: u32 = 4;

/// A moment and the catalogue that the member has at it, exactly: nothing was done to the
/// catalogue between the reading of it and the moment.
pub(super) fn catalogue_of_now(
    link: &Link,
    options: &Options,
) -> Result<(ClusterTime, Vec<Collection>), Error> {
    for round in 0..limits::CATALOGUE_TRIES {
        let before = moment::now(link)?;
        let catalogue = listing::read(link, options)?;
        let until = moment::now(link)?;
        // A member writes to its oplog first; so what it has half done is seen here as well.
        if !is_catalogue_changed(link, before, options)? {
            return Ok((until, catalogue));
        }
        link.sleep(Duration::from_millis(20 << round));
    }
    let member = link.facts().member.clone();
    Err(Error::Restless { member, tries: limits::CATALOGUE_TRIES })
}

fn is_catalogue_changed(link: &Link, since: ClusterTime, options: &Options) -> Result<bool, Error> {
    let mut entries = oplog::Entries::new(link, since, None);
    while let Some(batch) = entries.next_batch()? {
        for entry in batch.documents() {
            if changes_catalogue(&oplog::read(entry)?, options, 0)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether it is about anything that the options want.
fn changes_catalogue(entry: &Entry, options: &Options, depth: u32) -> Result<bool, Error> {
    match entry.meaning().map_err(oplog::malformed)? {
        Meaning::Catalogue { .. } => {
            let subjects = entry.subjects().map_err(oplog::malformed)?;
            Ok(subjects.is_none_or(|subjects| {
                subjects.iter().any(|subject| listing::is_wanted(subject, options))
            }))
        }
        Meaning::Unknown { .. } => Ok(true),
        Meaning::Together { operations } | Meaning::Pending { operations } => {
            for operation in document::elements(operations) {
                let operation = operation.map_err(oplog::malformed)?;
                let inner = oplog::read(operation.as_doc().unwrap_or_default())?;
                if depth >= NESTED_MAX || changes_catalogue(&inner, options, depth + 1)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Meaning::Document { id, .. } => Ok(entry.is_of_views() && is_wanted_view(&id, options)),
        Meaning::Commit | Meaning::Nothing => Ok(false),
    }
}

/// A view is a document of its database's `system.views`, and its namespace is the `_id`.
fn is_wanted_view(id: &document::Element, options: &Options) -> bool {
    let name = id.as_str().and_then(|name| std::str::from_utf8(name).ok());
    let view = name.and_then(Namespace::parse);
    view.is_none_or(|view| listing::is_wanted(&view, options))
}

/// What the oplog says of the collections that a gathering wants.
pub(super) struct Reader<'a> {
    link: &'a Link,
    gathering: Gathering,
    /// From where on each collection's operations count, if not from the beginning.
    since_of: &'a HashMap<Uuid, ClusterTime>,
    progress: &'a Progress,
    /// The time of the entry at hand.
    time: ClusterTime,
    /// Collections whose whole life is in what was read.
    pub created: HashSet<Uuid>,
    /// Collections of which the oplog does not tell all: something happened that this version does
    /// not know, or they were dropped and made anew.
    pub unknown: BTreeSet<Uuid>,
    id_key: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub fn new(
        link: &'a Link,
        gathering: Gathering,
        since_of: &'a HashMap<Uuid, ClusterTime>,
        progress: &'a Progress,
    ) -> Reader<'a> {
        Reader {
            link,
            gathering,
            since_of,
            progress,
            time: ClusterTime::default(),
            created: HashSet::new(),
            unknown: BTreeSet::new(),
            id_key: Vec::new(),
        }
    }

    /// Takes all entries after `since`, up to and with `until`.
    pub fn read(&mut self, since: ClusterTime, until: ClusterTime) -> Result<(), Error> {
        let mut entries = oplog::Entries::new(self.link, since, Some(until));
        while let Some(batch) = entries.next_batch()? {
            if self.progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            for entry in batch.documents() {
                self.entry(entry)?;
            }
        }
        Ok(())
    }

    pub fn gathered(self) -> Gathering {
        self.gathering
    }

    fn entry(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let entry = oplog::read(bytes)?;
        self.time = entry.time;
        let meaning = entry.meaning().map_err(oplog::malformed)?;
        if matches!(meaning, Meaning::Together { .. } | Meaning::Commit) {
            self.pending_before(entry.previous)?;
        }
        self.take(meaning, 0)
    }

    /// The parts of a large or prepared transaction, which count from its last entry on. They
    /// are read again rather than kept: a transaction may be larger than memory.
    fn pending_before(&mut self, last: Option<ClusterTime>) -> Result<(), Error> {
        let mut parts = Vec::new();
        let mut next = last;
        while let Some(time) = next {
            let Some(bytes) = oplog::at(self.link, time)? else {
                return Err(oplog::rolled_over(self.link, time)?);
            };
            let entry = oplog::read(&bytes)?;
            // Writes that may be repeated are chained, too, and count by themselves.
            if !matches!(entry.meaning().map_err(oplog::malformed)?, Meaning::Pending { .. }) {
                break;
            }
            parts.push(time);
            next = entry.previous;
        }
        for time in parts.into_iter().rev() {
            let Some(bytes) = oplog::at(self.link, time)? else {
                return Err(oplog::rolled_over(self.link, time)?);
            };
            let entry = oplog::read(&bytes)?;
            if let Meaning::Pending { operations } = entry.meaning().map_err(oplog::malformed)? {
                self.operations(operations, 0)?;
            }
        }
        Ok(())
    }

    fn operations(&mut self, operations: &[u8], depth: u32) -> Result<(), Error> {
        if depth > NESTED_MAX {
            return Err(oplog::malformed("operations lie in one another too deep"));
        }
        for operation in document::elements(operations) {
            let operation = operation.map_err(oplog::malformed)?;
            let entry = oplog::read(operation.as_doc().unwrap_or_default())?;
            self.take(entry.meaning().map_err(oplog::malformed)?, depth)?;
        }
        Ok(())
    }

    fn take(&mut self, meaning: Meaning, depth: u32) -> Result<(), Error> {
        match meaning {
            Meaning::Document { uuid: Some(uuid), id, op, is_insert } => {
                if self.counts(&uuid) {
                    self.id_key.clear();
                    document::id_key_into(&mut self.id_key, &id).map_err(oplog::malformed)?;
                    self.gathering.push(&uuid, &self.id_key, &op, is_insert)?;
                }
            }
            Meaning::Together { operations } => self.operations(operations, depth + 1)?,
            Meaning::Catalogue { created, dropped } => {
                self.created.extend(created);
                // At the moment it is there: another one has its UUID, as mongorestore
                // --preserveUUID makes them.
                self.unknown.extend(dropped.filter(|uuid| self.counts(uuid)));
            }
            Meaning::Unknown { uuid: Some(uuid), .. } => {
                if self.counts(&uuid) {
                    self.unknown.insert(uuid);
                }
            }
            Meaning::Document { uuid: None, .. } => {
                return Err(Error::UnknownOperation { what: "a change without UUID".to_owned() });
            }
            Meaning::Unknown { what, uuid: None } => {
                let what = String::from_utf8_lossy(&what).into_owned();
                return Err(Error::UnknownOperation { what });
            }
            Meaning::Pending { .. } | Meaning::Commit | Meaning::Nothing => {}
        }
        Ok(())
    }

    fn counts(&self, uuid: &Uuid) -> bool {
        let since = self.since_of.get(uuid);
        self.gathering.wants(uuid) && since.is_none_or(|since| *since < self.time)
    }
}

//! A capture from its beginning, where the moment is chosen, to its end, where it is made exact.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Changes, Collection, Error, Keys, Options, Point, Scan, Settled, Uuid, Wanted, as_of,
    changes::Gathering,
    listing,
    moment::{fuzzy, now, rollback_id, rolled_back, snapshot, term_at, whichever_fits},
    oplog,
    positions::Positions,
    settle,
    shared::{Mode, Shared},
};
use crate::{
    document::Element,
    format::snapshot::{ClusterTime, Consistency},
    mongo::Link,
    progress::Progress,
};

/// A deployment that is being read. Scan all of [`Capture::collections`], in any order and at the
/// same time if wanted, then [`Capture::settle`].
pub struct Capture {
    shared: Arc<Shared>,
    options: Options,
    catalogue: Vec<Collection>,
    scanned: HashSet<Uuid>,
    /// Collections that were scanned again, and since when.
    since_of: HashMap<Uuid, ClusterTime>,
    /// The member's count of rollbacks at the beginning, if it could be asked.
    rollback_id: Option<i32>,
}

impl Capture {
    /// Chooses the moment, or the beginning of the stretch that leads to it, and reads the
    /// catalogue.
    pub fn begin(link: &Link, options: Options, progress: &Progress) -> Result<Capture, Error> {
        progress.at(|| format!("the catalogue of {}", link.facts().member));
        let facts = link.facts();
        if facts.is_mongos {
            return Err(Error::Sharded { uri: facts.uri.clone() });
        }
        let rollback_id = facts.is_replica_set().then(|| rollback_id(link)).flatten();
        let (mode, has_oplog, catalogue) = match options.consistency {
            Wanted::Plain => (Mode::Plain, false, listing::read(link, &options)?),
            Wanted::Auto if !facts.is_replica_set() => {
                (Mode::Plain, false, listing::read(link, &options)?)
            }
            wanted if !facts.is_replica_set() => {
                let asked = if wanted == Wanted::Oplog { "oplog" } else { "history" };
                return Err(Error::Standalone { member: facts.member.clone(), asked });
            }
            Wanted::Oplog => {
                // Asked for, so that what is missing is named now.
                oplog::first(link)?;
                let (mode, catalogue) = fuzzy(link, &options)?;
                (mode, true, catalogue)
            }
            Wanted::Snapshot => {
                let (mode, catalogue) = snapshot(link, &options)?;
                (mode, false, catalogue)
            }
            Wanted::Auto => {
                let has_oplog = oplog::may_be_read(link)?;
                let (mode, catalogue) = whichever_fits(link, &options, has_oplog)?;
                (mode, has_oplog, catalogue)
            }
        };
        let capped = catalogue.iter().find(|collection| collection.keys == Keys::Ordinal);
        if let (Some(capped), Mode::Snapshot { .. }) = (capped, mode) {
            return Err(Error::Capped { namespace: capped.namespace.to_string() });
        }
        let positions = matches!(mode, Mode::Fuzzy { .. }).then(|| options.sorter(4));
        let scanned = catalogue.iter().filter_map(|collection| collection.uuid).collect();
        let shared = Shared::new(link, has_oplog, mode, positions.map(Positions::new));
        let shared = Arc::new(shared);
        let since_of = HashMap::new();
        Ok(Capture { shared, options, catalogue, scanned, since_of, rollback_id })
    }

    /// All that was found: collections, views, time series.
    pub fn catalogue(&self) -> &[Collection] {
        &self.catalogue
    }

    /// The collections that have documents to be scanned.
    pub fn collections(&self) -> impl Iterator<Item = &Collection> {
        self.catalogue.iter().filter(|collection| collection.has_documents())
    }

    /// How many documents and bytes a collection has, about; 0 if the server won't say.
    pub fn size_of(&self, collection: &Collection) -> (u64, u64) {
        if !collection.has_documents() {
            return (0, 0);
        }
        listing::size(&self.shared.link, collection).unwrap_or((0, 0))
    }

    /// All documents of `collection`. A document may come twice, so when the connection was lost
    /// or documents moved meanwhile: the later one counts.
    pub fn scan(&self, collection: &Collection) -> Scan {
        let again_since = collection.uuid.and_then(|uuid| self.since_of.get(&uuid)).copied();
        Scan::new(Arc::clone(&self.shared), collection, again_since)
    }

    /// After all scans: fixes the moment and says what has to be changed to get there. After
    /// [`Error::ScanAgain`] it may be called again, once that was done.
    ///
    /// # Errors
    /// [`Error::Cancelled`] between two batches of the oplog once `progress` is cancelled.
    pub fn settle(&mut self, progress: &Progress) -> Result<Settled, Error> {
        progress.at(|| format!("the oplog of {}", self.shared.link.facts().member));
        let link = self.shared.link.clone();
        let rollback_id = link.facts().set_name.as_ref().and_then(|_| rollback_id(&link));
        let point =
            Point { consistency: Consistency::None, cluster_time: None, term: None, rollback_id };
        match self.shared.mode() {
            Mode::Plain => {
                let vanished = std::mem::take(&mut self.shared.known().vanished);
                let mut catalogue = self.catalogue.clone();
                catalogue.retain(|one| !one.uuid.is_some_and(|uuid| vanished.contains(&uuid)));
                Ok(Settled { point, catalogue, changes: Changes::none() })
            }
            Mode::Snapshot { at } => {
                let term = self.term_of(at, rollback_id)?;
                let consistency = Consistency::Snapshot;
                let point = Point { consistency, cluster_time: Some(at), term, ..point };
                Ok(Settled { point, catalogue: self.catalogue.clone(), changes: Changes::none() })
            }
            Mode::Fuzzy { since } => {
                let (until, term, catalogue, gathered) = self.read_oplog(since, progress)?;
                let positions = self.shared.known().positions.take();
                let positions = positions.unwrap_or_else(|| Positions::new(self.options.sorter(4)));
                let changes = gathered.finish(positions)?;
                let consistency = Consistency::Oplog;
                let point = Point { consistency, cluster_time: Some(until), term, ..point };
                Ok(Settled { point, catalogue, changes })
            }
        }
    }

    /// After [`Capture::settle`], for a change that can't be made from what the oplog has of it:
    /// the document of that `_id` as of the moment `at`, which all its changes have led to; `None`
    /// if there was none. `collection` is as the catalogue of that moment has it.
    ///
    /// # Errors
    /// [`Error::NotAsOf`] if the server can't read it as of then (any more).
    pub fn document_at(
        &self,
        collection: &Collection,
        id: &Element<'_>,
        at: ClusterTime,
    ) -> Result<Option<Vec<u8>>, Error> {
        as_of::document_at(&self.shared.link, collection, id, at)
    }

    /// Of the moment that all was read as of. Documents are read as a majority has them; but the
    /// catalogue is what the member had, and that may be rolled back by now.
    fn term_of(&self, at: ClusterTime, rollback_id: Option<i32>) -> Result<Option<i64>, Error> {
        let link = &self.shared.link;
        if !self.shared.has_oplog {
            let ids = self.rollback_id.zip(rollback_id);
            let is_same = ids.is_none_or(|(before, now)| before == now);
            return if is_same { Ok(None) } else { Err(rolled_back(link)) };
        }
        oplog::await_majority(link, at)?;
        match term_at(link, at) {
            // It was not needed so far back.
            Err(Error::OplogRolledOver { .. }) => Ok(None),
            term => term,
        }
    }

    fn read_oplog(&mut self, since: ClusterTime, progress: &Progress) -> Result<Gathered, Error> {
        let link = &self.shared.link;
        let (until, catalogue) = settle::catalogue_of_now(link, &self.options)?;
        for collection in &catalogue {
            let gone = collection.uuid.filter(|uuid| self.shared.known().vanished.contains(uuid));
            if gone.is_some() {
                let why = format!("{} was gone and is there again", collection.namespace);
                return Err(Error::StartAgain { why });
            }
        }
        let sorters = (self.options.sorter(1), self.options.sorter(4));
        let gathering = Gathering::new(&catalogue, sorters.0, sorters.1);
        oplog::await_majority(link, until)?;
        let mut reader = settle::Reader::new(link, gathering, &self.since_of, progress);
        reader.read(since, until)?;
        let is_missing = |uuid: &Uuid| {
            reader.unknown.contains(uuid)
                || !(self.scanned.contains(uuid) || reader.created.contains(uuid))
        };
        let again: Vec<Collection> = catalogue
            .iter()
            .filter(|collection| collection.uuid.as_ref().is_some_and(is_missing))
            .cloned()
            .collect();
        term_at(link, since)?;
        let term = term_at(link, until)?;
        let gathering = reader.gathered();
        if !again.is_empty() {
            return Err(self.scan_again(again)?);
        }
        Ok((until, term, catalogue, gathering))
    }

    /// From now on their operations count from now, and what was done before is in what is read.
    fn scan_again(&mut self, collections: Vec<Collection>) -> Result<Error, Error> {
        let since = now(&self.shared.link)?;
        oplog::await_majority(&self.shared.link, since)?;
        for collection in &collections {
            if collection.keys == Keys::Ordinal {
                let why = format!("{} would have to be read again", collection.namespace);
                return Ok(Error::StartAgain { why });
            }
            if let Some(uuid) = collection.uuid {
                self.scanned.insert(uuid);
                self.since_of.insert(uuid, since);
            }
        }
        Ok(Error::ScanAgain { collections })
    }
}

type Gathered = (ClusterTime, Option<i64>, Vec<Collection>, Gathering);

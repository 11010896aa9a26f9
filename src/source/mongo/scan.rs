//! The documents of one collection in natural order, through lost connections and renames.

use std::sync::Arc;

use bson::{Binary, RawDocument, RawDocumentBuf, Timestamp, rawdoc, spec::BinarySubtype};

use super::{
    Batch, Collection, Error, Uuid, listing, oplog,
    shared::{Mode, Shared},
};
use crate::{
    document,
    format::snapshot::ClusterTime,
    limits,
    mongo::{self, Cursor, Link},
};

/// NamespaceNotFound, QueryPlanKilled, CollectionUUIDMismatch: dropped or renamed.
pub(super) const GONE: &[i32] = &[26, 175, 361];
/// InvalidOptions, SnapshotUnavailable: not as of that moment, for the catalogue has changed.
pub(super) const NOT_AT_THAT_TIME: &[i32] = &[72, 246];
/// SnapshotTooOld.
pub(super) const OUT_OF_WINDOW: i32 = 239;
/// KeyNotFound, CappedPositionLost: the document to go on after was deleted.
const PLACE_LOST: &[i32] = &[211, 136];

/// A scan in batches. Blocks; the next batch is being fetched meanwhile. It goes on where it was
/// when the connection is lost, or the collection renamed. After an error it is at its end.
pub struct Scan {
    shared: Arc<Shared>,
    collection: Option<Target>,
    cursor: Option<Cursor>,
    /// How the cursor reads, or the one that was lost: another scan may have changed the capture's
    /// since.
    mode: Mode,
    /// Where to go on.
    token: Option<Vec<u8>>,
    /// The member's life that the token belongs to.
    life: Vec<u8>,
    failures: u32,
    /// How many documents came, where that is their key.
    position: u64,
}

struct Target {
    db: String,
    name: String,
    uuid: Option<Uuid>,
    ordinal: bool,
    /// Of one that is scanned again: nothing older than this is read.
    again_since: Option<ClusterTime>,
}

impl Scan {
    pub(super) fn new(
        shared: Arc<Shared>,
        collection: &Collection,
        again_since: Option<ClusterTime>,
    ) -> Scan {
        let target = collection.has_documents().then(|| Target {
            db: collection.namespace.db.clone(),
            name: collection.stored_in(),
            uuid: collection.uuid,
            ordinal: collection.keys == super::Keys::Ordinal,
            again_since,
        });
        Scan {
            mode: shared.mode(),
            shared,
            collection: target,
            cursor: None,
            token: None,
            life: Vec::new(),
            failures: 0,
            position: 0,
        }
    }

    fn step(&mut self, target: &mut Target) -> Result<Option<Batch>, Error> {
        loop {
            let first = self.cursor.is_none();
            let cursor = match &mut self.cursor {
                Some(cursor) => cursor,
                empty => {
                    if self.token.is_none() {
                        self.life = life_of(&self.shared.link)?;
                    }
                    self.mode = self.shared.mode();
                    let command = question(&self.shared, self.mode, target, self.token.as_deref());
                    let many = limits::SCAN_BATCH_DOCUMENTS;
                    empty.insert(self.shared.link.cursor(&target.db, &command, many)?)
                }
            };
            match cursor.next() {
                Some(Ok(batch)) => {
                    if first && self.token.is_some() && life_of(&self.shared.link)? != self.life {
                        self.cursor = None;
                        self.begin_again(target)?;
                        continue;
                    }
                    if first && !self.is_still_itself(target)? {
                        self.cursor = None;
                        if !self.goes_on_elsewhere(target)? {
                            return Ok(None);
                        }
                        continue;
                    }
                    self.failures = 0;
                    self.note_positions(target, &batch)?;
                    self.token = batch.resume_token().or(self.token.take());
                    return Ok(Some(batch));
                }
                Some(Err(error)) => {
                    self.cursor = None;
                    if !self.recover(target, error)? {
                        return Ok(None);
                    }
                }
                None => return Ok(None),
            }
        }
    }

    /// Documents in natural order are found again by where they were.
    fn note_positions(&mut self, target: &Target, batch: &Batch) -> Result<(), Error> {
        let Some(uuid) = target.uuid.filter(|_| target.ordinal) else { return Ok(()) };
        for document in batch.documents() {
            if let Ok(Some(id)) = document::get(document, b"_id")
                && let Ok(key) = document::id_key(&id)
            {
                self.shared.seen_at(&uuid, &key, self.position)?;
            }
            self.position += 1;
        }
        Ok(())
    }

    /// Older servers answer for any collection of that name: so it is looked at once the cursor
    /// is open, which holds fast to the collection it began with.
    fn is_still_itself(&self, target: &Target) -> Result<bool, Error> {
        let link = &self.shared.link;
        match &target.uuid {
            Some(uuid) if !link.facts().checks_collection_uuid() => {
                Ok(listing::name_of(link, &target.db, uuid)?.as_ref() == Some(&target.name))
            }
            _ => Ok(true),
        }
    }

    /// Whether the scan goes on after `error`; false if there is nothing left to be scanned.
    fn recover(&mut self, target: &mut Target, error: mongo::Error) -> Result<bool, Error> {
        if error.is_passing() {
            self.failures += 1;
            if self.failures > limits::SCAN_FAILURES_MAX {
                return Err(error.into());
            }
            self.shared.link.pause_after(self.failures);
            return Ok(true);
        }
        let code = error.code().unwrap_or(0);
        if GONE.contains(&code) {
            return self.goes_on_elsewhere(target);
        }
        if PLACE_LOST.contains(&code) && !matches!(self.mode, Mode::Snapshot { .. }) {
            self.begin_again(target)?;
            return Ok(true);
        }
        let is_too_late = code == OUT_OF_WINDOW || NOT_AT_THAT_TIME.contains(&code);
        match self.mode {
            Mode::Snapshot { .. } if is_too_late && self.shared.fall_back() => Ok(true),
            Mode::Snapshot { at } if NOT_AT_THAT_TIME.contains(&code) => Err(Error::StartAgain {
                why: format!("{}.{} can't be read as of {at}", target.db, target.name),
            }),
            Mode::Snapshot { at } if code == OUT_OF_WINDOW => {
                let facts = self.shared.link.facts();
                Err(Error::WindowPassed {
                    member: facts.member.clone(),
                    at: at.to_string(),
                    window: facts.history_window.unwrap_or_default(),
                })
            }
            _ => Err(error.into()),
        }
    }

    /// From the first document; those that came before come once more.
    fn begin_again(&mut self, target: &Target) -> Result<(), Error> {
        if target.ordinal {
            let why = format!("{}.{} lost what was being read", target.db, target.name);
            return Err(Error::StartAgain { why });
        }
        self.token = None;
        Ok(())
    }

    /// After it was dropped or renamed: whether it is to be read on, by another name. Where it
    /// stood at the moment of a snapshot nobody can tell any more but with the oplog's help.
    fn goes_on_elsewhere(&mut self, target: &mut Target) -> Result<bool, Error> {
        if matches!(self.shared.mode(), Mode::Snapshot { .. }) && !self.shared.fall_back() {
            let why = format!("{}.{} was dropped or renamed meanwhile", target.db, target.name);
            return Err(Error::StartAgain { why });
        }
        self.find_again(target)
    }

    /// Whether the collection still exists, under whatever name.
    fn find_again(&mut self, target: &mut Target) -> Result<bool, Error> {
        let Some(uuid) = target.uuid else { return Ok(false) };
        match listing::name_of(&self.shared.link, &target.db, &uuid)? {
            Some(name) => {
                target.name = name;
                Ok(true)
            }
            None => {
                self.shared.vanished(uuid);
                Ok(false)
            }
        }
    }
}

impl Iterator for Scan {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut target = self.collection.take()?;
        let batch = self.step(&mut target).transpose()?;
        if batch.is_ok() {
            self.collection = Some(target);
        }
        Some(batch)
    }
}

/// What is another after the member was restarted, or came into another state: documents that it
/// had to recover, or to fetch anew after a rollback, may lie in other places than before.
fn life_of(link: &Link) -> Result<Vec<u8>, Error> {
    let reply = link.ask("admin", rawdoc! { "isMaster": 1 }.as_bytes())?;
    let version = document::get(&reply, b"topologyVersion").map_err(oplog::malformed)?;
    Ok(version.map(|version| version.value.to_vec()).unwrap_or_default())
}

fn question(shared: &Shared, mode: Mode, target: &Target, token: Option<&[u8]>) -> Vec<u8> {
    let mut command = rawdoc! {
        "find": target.name.as_str(),
        "hint": { "$natural": 1 },
        "batchSize": limits::SCAN_BATCH_DOCUMENTS as i32,
        "$_requestResumeToken": true,
    };
    if let Some(token) = token.and_then(|token| RawDocument::from_bytes(token).ok()) {
        command.append(bson::cstr!("$_resumeAfter"), token);
    }
    if shared.link.facts().checks_collection_uuid()
        && let Some(uuid) = &target.uuid
    {
        let uuid = Binary { subtype: BinarySubtype::Uuid, bytes: uuid.to_vec() };
        command.append(bson::cstr!("collectionUUID"), uuid);
    }
    if let Some(concern) = read_concern(mode, target.again_since) {
        command.append(bson::cstr!("readConcern"), concern);
    }
    command.into_bytes()
}

fn read_concern(mode: Mode, again_since: Option<ClusterTime>) -> Option<RawDocumentBuf> {
    match mode {
        Mode::Plain => None,
        Mode::Snapshot { at } => {
            let at = Timestamp::from(at);
            Some(rawdoc! { "level": "snapshot", "atClusterTime": at })
        }
        Mode::Fuzzy { since } => {
            let since = Timestamp::from(again_since.unwrap_or(since));
            Some(rawdoc! { "level": "majority", "afterClusterTime": since })
        }
    }
}

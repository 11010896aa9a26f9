//! The record that undoes a restore: what stood where it writes, and what it wrote.
//!
//! It is a snapshot of its own, tagged `undo`. Its tree `mongodb` is a catalogue as any other, and
//! holds the old versions of what is overwritten or dropped, so that it can be listed and
//! restored like any snapshot. Its tree `undo` says for each collection what the restore does:
//! the documents it writes, by hash, and the indexes it builds.

use std::iter::Peekable;

use bytes::Bytes;

use super::{
    Error,
    documents::value_of,
    live,
    pairs::Ground,
    strategy::Strategy,
    tally::Digest,
    touched::{Action, Touched},
    weigh::Step,
};
use crate::{
    chunk::Cutter,
    document::{ArrayWriter, Element, Writer, elements, get, id_key, kind, namespace::Namespace},
    format::{
        catalogue::{CollectionRecord, MONGODB_ROOT},
        snapshot::{NamedRoot, Snapshot},
    },
    id::Sid,
    repo::{self, ReadBlobs, Session},
    tree::{self, KeyRange, Merger, Pieces, Root, Splitter, Value},
    verbs::deployment::content,
};

pub const UNDO_TAG: &str = "undo";
pub const UNDO_ROOT: &str = "undo";

/// What a restore does to a collection as a whole, for who undoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// There was none.
    Nothing,
    /// There was one, and it is dropped: all of it is recorded.
    Dropped,
    /// There was one, and it stays.
    Kept,
}

/// Of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UndoRecord {
    pub before: Before,
    /// `collection`, `view`, `timeseries`.
    pub kind: String,
    /// Specifications of the indexes it builds: as they are to be, then as they came to stand.
    pub indexes: Vec<Vec<u8>>,
    /// Of a view: what it is, to tell it from another one of that name.
    pub options: Option<Vec<u8>>,
    /// The tree holds the documents themselves, not `Touched`: it is one of the snapshot's.
    pub holds_documents: bool,
    /// Which deployment it was, as `sink::deployment_id` tells it.
    pub deployment: Option<Vec<u8>>,
    /// Of the collection that it makes or writes to (of a time series, its buckets'): another one
    /// may take the name. What is made has none before it is.
    pub uuid: Option<[u8; 16]>,
}

impl UndoRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut indexes = ArrayWriter::new();
        self.indexes.iter().for_each(|spec| indexes.push_doc(spec));
        let mut writer = Writer::new();
        writer.push_str(
            b"before",
            match self.before {
                Before::Nothing => "nothing",
                Before::Dropped => "dropped",
                Before::Kept => "kept",
            },
        );
        writer.push_str(b"type", &self.kind);
        writer.push_array(b"indexes", &indexes.finish());
        writer.push_bool(b"documents", self.holds_documents);
        if let Some(options) = &self.options {
            writer.push_doc(b"options", options);
        }
        if let Some(deployment) = &self.deployment {
            writer.push_binary(b"deployment", 0, deployment);
        }
        if let Some(uuid) = &self.uuid {
            writer.push_binary(b"uuid", 4, uuid);
        }
        writer.finish()
    }

    /// `None`: nothing that `encode` made.
    pub fn decode(bytes: &[u8]) -> Option<UndoRecord> {
        let text = |element: Element<'_>| {
            element.as_str().map(|text| String::from_utf8_lossy(text).into_owned())
        };
        let field = |name: &[u8]| get(bytes, name).ok().flatten();
        let before = match text(field(b"before")?)?.as_str() {
            "nothing" => Before::Nothing,
            "dropped" => Before::Dropped,
            "kept" => Before::Kept,
            _ => return None,
        };
        let list = field(b"indexes").filter(|list| list.kind == kind::ARRAY)?;
        let specs = elements(list.value).map(|spec| spec_of(&spec.ok()?));
        let indexes = specs.collect::<Option<Vec<_>>>()?;
        let holds_documents = field(b"documents")?.as_bool()?;
        let options = field(b"options").and_then(|options| options.as_doc()).map(<[u8]>::to_vec);
        let kind = text(field(b"type")?)?;
        let deployment = field(b"deployment").and_then(|id| Some(id.as_binary()?.1.to_vec()));
        let uuid = field(b"uuid").and_then(|uuid| uuid.as_binary()?.1.try_into().ok());
        Some(UndoRecord { before, kind, indexes, options, holds_documents, deployment, uuid })
    }
}

/// An index specification. Older records have its name alone.
fn spec_of(element: &Element<'_>) -> Option<Vec<u8>> {
    match element.as_str() {
        Some(name) => Some(named(&String::from_utf8_lossy(name))),
        None => element.as_doc().map(<[u8]>::to_vec),
    }
}

fn named(name: &str) -> Vec<u8> {
    let mut spec = Writer::new();
    spec.push_str(b"name", name);
    spec.finish()
}

/// Builds the trees of one collection's record, in a session.
pub(super) struct Recorder<'a> {
    pub session: &'a Session,
    pub cutter: &'a Cutter,
    pub splitter: &'a Splitter,
}

/// What is written, and the old versions of it; both under the live `_id`s' keys. What could not
/// be had any more has no old version: it is not written.
pub(super) struct Recorded {
    pub touched: Root,
    pub old: Root,
    pub old_bytes: u64,
}

/// Takes steps and makes the trees.
pub(super) struct Recording<'a> {
    recorder: &'a Recorder<'a>,
    ground: &'a Ground<'a>,
    touched: Merger<'a, Session>,
    old: Merger<'a, Session>,
    old_bytes: u64,
}

impl<'a> Recorder<'a> {
    pub fn merger(&self) -> Merger<'a, Session> {
        Merger::new(self.session, *self.splitter, None)
    }

    pub fn begin(&'a self, ground: &'a Ground<'a>) -> Recording<'a> {
        let (touched, old) = (self.merger(), self.merger());
        Recording { recorder: self, ground, touched, old, old_bytes: 0 }
    }

    /// A document as an entry's value.
    pub fn value(&self, document: &Bytes) -> Result<Value, Error> {
        value_of(self.session, (self.cutter, self.splitter), document, live::id_of(document)?)
    }

    /// All of a live collection, as a snapshot would hold it.
    pub fn whole(&self, ground: &Ground<'_>, in_order: bool) -> Result<(Root, Digest), Error> {
        let mut tree = self.merger();
        let mut digest = Digest::default();
        if in_order {
            let mut number = 0u64;
            live::each(ground.link, ground.place, ground.progress, &mut |document| {
                let document = Bytes::copy_from_slice(document);
                digest.add(&document);
                tree.put(&number.to_be_bytes(), &self.value(&document)?)?;
                number += 1;
                Ok(())
            })?;
            return Ok((tree.finish()?, digest));
        }
        let by_id = Strategy::default();
        let Ground { link, place, spill, progress, .. } = *ground;
        for entry in live::sorted(link, place, &by_id, spill, progress)? {
            let (key, live) = entry?;
            let Some(document) = live.whole(link, place)? else { continue };
            digest.add(&document);
            tree.put(&key, &self.value(&document)?)?;
        }
        Ok((tree.finish()?, digest))
    }
}

impl Recording<'_> {
    /// Steps come in the order of the live `_id`s' keys.
    pub fn step(&mut self, key: &[u8], step: &Step) -> Result<(), Error> {
        let Recorder { session, cutter, splitter } = *self.recorder;
        self.touched.put(key, &step.touched.value(session, (cutter, splitter))?)?;
        let Some(live) = &step.was else { return Ok(()) };
        let was = live.whole(self.ground.link, self.ground.place)?;
        // Gone or changed in this moment: a conflict, when it is to be written.
        if let Some(was) = was.filter(|was| live.is(was)) {
            self.old_bytes += was.len() as u64;
            self.old.put(key, &self.recorder.value(&was)?)?;
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Recorded, Error> {
        let (touched, old) = (self.touched.finish()?, self.old.finish()?);
        Ok(Recorded { touched, old, old_bytes: self.old_bytes })
    }
}

/// A record's old versions, walked beside its entries.
pub(super) struct OldVersions<'a, R: ReadBlobs<Error = repo::Error>> {
    reader: &'a R,
    entries: Peekable<tree::Iter<'a, R>>,
}

impl<'a, R: ReadBlobs<Error = repo::Error>> OldVersions<'a, R> {
    pub fn new(reader: &'a R, root: &Root) -> Self {
        let entries = tree::iter(reader, root, KeyRange::all()).peekable();
        OldVersions { reader, entries }
    }

    /// The one under `key`, which lies above those asked for before.
    pub fn under(&mut self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let is_below = |entry: &Result<(Bytes, Value), _>| matches!(entry, Ok((k, _)) if k < key);
        while self.entries.next_if(is_below).is_some() {}
        let is_it = |entry: &Result<(Bytes, Value), _>| !matches!(entry, Ok((k, _)) if k != key);
        let Some(entry) = self.entries.next_if(is_it) else { return Ok(None) };
        Ok(Some(content(self.reader, &entry?.1)?))
    }
}

/// The key of the live `_id` of a step.
pub(super) fn key_of(touched: &Touched) -> Result<Vec<u8>, Error> {
    match get(&touched.id, b"_id").map_err(Error::Malformed)? {
        Some(id) => id_key(&id).map_err(Error::Malformed),
        None => Ok(Vec::new()),
    }
}

/// One collection in the record.
pub(super) struct RecordedCollection {
    pub namespace: Namespace,
    pub undo: UndoRecord,
    /// Of `Touched`, or of documents.
    pub written: Option<Root>,
    /// What is overwritten or dropped.
    pub old: Option<(CollectionRecord, Option<Root>)>,
}

/// Commits the record, of a restore into `deployment`; `snapshot` says all but the trees, and gets
/// those.
pub(super) fn commit(
    session: Session,
    splitter: &Splitter,
    deployment: Option<&[u8]>,
    mut collections: Vec<RecordedCollection>,
    snapshot: &mut Snapshot,
) -> Result<Sid, Error> {
    collections.sort_by_key(|one| one.namespace.key());
    let mut undo = Merger::new(&session, *splitter, None);
    let mut old = Merger::new(&session, *splitter, None);
    for one in &mut collections {
        one.undo.deployment = deployment.map(<[u8]>::to_vec);
        let key = one.namespace.key();
        let pieces = one.written.map_or(Pieces::None, Pieces::Map);
        undo.put(&key, &Value { head: one.undo.encode().into(), pieces })?;
        if let Some((record, root)) = &one.old {
            let pieces = root.map_or(Pieces::None, Pieces::Map);
            old.put(&key, &Value { head: record.encode().into(), pieces })?;
        }
    }
    let named = |name: &str, root: Root| {
        let Root { id, level, entries, bytes } = root;
        NamedRoot { name: name.into(), id, level, entries, bytes }
    };
    let (old, undo) = (old.finish()?, undo.finish()?);
    snapshot.roots = vec![named(MONGODB_ROOT, old), named(UNDO_ROOT, undo)];
    Ok(session.commit(snapshot.clone())?)
}

/// Whether an action is about a document that was there.
impl Action {
    pub fn changes(self) -> bool {
        self != Action::Insert
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for before in [Before::Nothing, Before::Dropped, Before::Kept] {
            let indexes = ["a_1", "b"].map(named).to_vec();
            let record = UndoRecord {
                before,
                kind: "timeseries".into(),
                indexes,
                options: (before == Before::Kept).then(|| Writer::new().finish()),
                holds_documents: before == Before::Nothing,
                deployment: (before != Before::Kept).then(|| vec![7; 16]),
                uuid: (before != Before::Nothing).then_some([8; 16]),
            };
            let bytes = record.encode();
            assert_eq!(UndoRecord::decode(&bytes), Some(record));
            assert_eq!(UndoRecord::decode(&bytes[..bytes.len() - 9]), None);
        }
    }

    #[test]
    fn older_records_have_names_of_indexes() {
        let mut indexes = ArrayWriter::new();
        indexes.push_str("a_1");
        let mut older = Writer::new();
        older.push_str(b"before", "kept");
        older.push_str(b"type", "collection");
        older.push_array(b"indexes", &indexes.finish());
        older.push_bool(b"documents", false);
        let record = UndoRecord::decode(&older.finish()).unwrap();
        assert_eq!(record.indexes, [named("a_1")]);
    }
}

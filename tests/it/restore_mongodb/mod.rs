//! Collections of a snapshot brought back into real servers: all kinds, conflicts, undo, kills.

mod command;
mod conflicts;
mod damaged;
pub mod everything;
mod in_between;
mod undo;
mod undo_in_part;

use std::{collections::BTreeMap, sync::Arc};

use icecore::{
    ambient::{Ambient, testing::FixedClock},
    chunk::{self, Cutter},
    document::{
        Writer, get, id_key,
        namespace::{Namespace, Patterns, Renames},
    },
    format::{
        catalogue::{CollectionKind, CollectionRecord, DocumentKeys, MONGODB_ROOT},
        config::Sizes,
        snapshot::{NamedRoot, Snapshot, Summary},
    },
    mongo::{Connect, Link, Purpose},
    progress::Progress,
    repo::{InitOptions, Kept, OpenOptions, Repository, Session, SessionOptions},
    seal::SlotParams,
    sink::mongo as sink,
    store::{Abilities, Store, memory::MemoryStore},
    tree::{Aims, Bounds, Merger, Pieces, Root, Splitter, Value, content::ContentWriter},
    verbs::restore_mongodb::{
        self as verb, Conflict, Fate, Options, Outcome, Plan, Prepared, Scope, Strategy,
        undo::{self as undo_verb},
    },
};
use mongodb::bson::{Bson, Document, doc};
use secrecy::SecretString;

use crate::mongod::Deployment;

const INLINE_MAX_BYTES: usize = 256 << 10;

/// A repository, and a place to sort in.
struct Scene {
    repo: Repository,
    spill: tempfile::TempDir,
    _clock: Arc<FixedClock>,
}

impl Scene {
    fn new() -> Scene {
        Scene::on(Arc::new(MemoryStore::new()))
    }

    fn on(store: Arc<dyn Store>) -> Scene {
        let (ambient, clock) = Ambient::fixed(7);
        let init = InitOptions {
            params: SlotParams::worthless(),
            label: "first".into(),
            abilities: Abilities { create_if_absent: true, visibility_delay_seconds: 0 },
        };
        let (password, open) = (SecretString::from("correct horse"), OpenOptions::default());
        let repo = Repository::init(store, &password, &init, open, ambient).unwrap();
        Scene { repo, spill: tempfile::tempdir().unwrap(), _clock: clock }
    }

    fn options(&self) -> Options {
        Options {
            scope: Scope::default(),
            include: Patterns::parse([]),
            exclude: Patterns::parse([]),
            renames: Renames::parse(&[], &[]).unwrap(),
            into_database: None,
            matches: None,
            strategy: Strategy::default(),
            drop: false,
            users_and_roles: false,
            undo: true,
            dry_run: false,
            threads: 4,
            spill_dir: self.spill.path().to_owned(),
        }
    }

    fn with(&self, conflict: Conflict) -> Options {
        let strategy = Strategy { conflict, ..Strategy::default() };
        Options { strategy, ..self.options() }
    }

    fn prepare<'a>(&'a self, link: &'a Link, kept: &Kept, options: Options) -> Prepared<'a> {
        verb::prepare(&self.repo, link, kept, options, &Progress::silent()).unwrap()
    }

    fn restore(&self, link: &Link, kept: &Kept, options: Options) -> (Plan, Outcome) {
        let prepared = self.prepare(link, kept, options);
        let plan = prepared.plan();
        (plan, prepared.carry_out(&Progress::silent()).unwrap())
    }

    fn kept(&self, sid: icecore::id::Sid) -> Kept {
        self.repo.snapshots().unwrap().into_iter().find(|kept| kept.sid == sid).unwrap()
    }

    fn undo(&self, link: &Link, outcome: &Outcome, force: bool) -> undo_verb::Outcome {
        let kept = self.kept(outcome.undo.expect("it was recorded"));
        let options = self.to_undo(force);
        undo_verb::undo(&self.repo, link, &kept, &options, &Progress::silent()).unwrap()
    }

    fn to_undo(&self, force: bool) -> undo_verb::Options {
        undo_verb::Options {
            force,
            any_deployment: false,
            dry_run: false,
            threads: 4,
            spill_dir: self.spill.path().to_owned(),
        }
    }

    /// The databases as they stand, read as simply as can be.
    fn capture(&self, link: &Link, databases: &[&str]) -> Kept {
        self.capture_as(link, databases, |_, _| ())
    }

    /// The same, but with what `alter` makes of each collection's record.
    fn capture_as(
        &self,
        link: &Link,
        databases: &[&str],
        alter: impl Fn(&str, &mut CollectionRecord),
    ) -> Kept {
        let (session, cutter, splitter) = self.session();
        let mut catalogue = BTreeMap::new();
        for db in databases {
            let all = collections(&session, &cutter, splitter, link, db);
            for (namespace, mut record, root) in all {
                alter(&namespace.collection, &mut record);
                catalogue.insert(namespace.key(), (record, root));
            }
        }
        self.commit(session, splitter, &catalogue)
    }

    fn session(&self) -> (Session, Cutter, Splitter) {
        let session = self.repo.begin(SessionOptions::default()).unwrap();
        let bounds = |sizes: Sizes| Bounds {
            min: sizes.min_bytes as usize,
            aim: sizes.aim_bytes as usize,
            max: sizes.max_bytes as usize,
        };
        let config = self.repo.config();
        let aims = Aims { leaf: bounds(config.leaves), inner: bounds(config.inner) };
        let splitter = Splitter::new(self.repo.keys().splitter_secret(), aims.check().unwrap());
        let sizes = bounds(config.chunks);
        let sizes = chunk::Sizes { min: sizes.min, aim: sizes.aim, max: sizes.max };
        let cutter = Cutter::new(self.repo.keys().chunker_secret(), sizes).unwrap();
        (session, cutter, splitter)
    }

    fn commit(&self, session: Session, splitter: Splitter, catalogue: &Catalogue) -> Kept {
        let mut tree = Merger::new(&session, splitter, None);
        for (key, (record, root)) in catalogue {
            let pieces = root.map_or(Pieces::None, Pieces::Map);
            tree.put(key, &Value { head: record.encode().into(), pieces }).unwrap();
        }
        let root = tree.finish().unwrap();
        let sid = session.commit(snapshot(root)).unwrap();
        self.kept(sid)
    }
}

/// Collections by their keys.
type Catalogue = BTreeMap<Vec<u8>, (CollectionRecord, Option<Root>)>;

fn snapshot(root: Root) -> Snapshot {
    let Root { id, level, entries, bytes } = root;
    let time = "2026-01-02T03:04:05Z".parse().unwrap();
    Snapshot {
        time,
        host: "desk".into(),
        user: "u".into(),
        uid: 0,
        gid: 0,
        tags: Vec::new(),
        paths: Vec::new(),
        roots: vec![NamedRoot { name: MONGODB_ROOT.into(), id, level, entries, bytes }],
        parent: None,
        original: None,
        program: "test".into(),
        excludes: Vec::new(),
        troubles: 0,
        summary: Summary { backup_start: time, backup_end: time, ..Summary::default() },
        mongodb: None,
    }
}

fn collections(
    session: &Session,
    cutter: &Cutter,
    splitter: Splitter,
    link: &Link,
    db: &str,
) -> Vec<(Namespace, CollectionRecord, Option<Root>)> {
    let all = sink::collections(link, db).unwrap();
    let systems = ["system.buckets.", "system.views", "system.keys", "system.version"];
    let is_systems = |name: &str| systems.iter().any(|system| name.starts_with(system));
    let wanted = all.iter().filter(|one| !is_systems(&one.name));
    let each = wanted.map(|one| {
        let namespace = Namespace::new(db, &one.name);
        let (kind, place) = match one.kind.as_str() {
            "view" => (CollectionKind::View, namespace.clone()),
            "timeseries" => (CollectionKind::TimeSeries, sink::buckets_of(&namespace)),
            _ => (CollectionKind::Collection, namespace.clone()),
        };
        let options = one.options();
        let capped = sink::is_capped(&options);
        let is_view = kind == CollectionKind::View;
        let indexes = if is_view { Vec::new() } else { sink::indexes(link, &namespace).unwrap() };
        let id_index = get(&one.record, b"idIndex").unwrap();
        let id_index = id_index.and_then(|index| index.as_doc()).map(<[u8]>::to_vec);
        let mut documents = BTreeMap::new();
        if !is_view {
            for batch in sink::scan(link, &place).unwrap() {
                for document in batch.unwrap().documents() {
                    let number = documents.len() as u64;
                    let id = get(document, b"_id").unwrap().unwrap();
                    let key = match capped {
                        true => number.to_be_bytes().to_vec(),
                        false => id_key(&id).unwrap(),
                    };
                    documents.insert(key, document.to_vec());
                }
            }
        }
        let (count, bytes) =
            (documents.len() as u64, documents.values().map(|one| one.len() as u64).sum());
        let mut tree = Merger::new(session, splitter, None);
        for (key, document) in &documents {
            let value = value(session, cutter, splitter, document);
            tree.put(key, &value).unwrap();
        }
        let root = tree.finish().unwrap();
        let keys = if capped { DocumentKeys::Ordinal } else { DocumentKeys::Id };
        let uuid = None;
        let record =
            CollectionRecord { kind, uuid, options, id_index, indexes, keys, count, bytes };
        (namespace, record, (!is_view).then_some(root))
    });
    each.collect()
}

fn value(session: &Session, cutter: &Cutter, splitter: Splitter, document: &[u8]) -> Value {
    if document.len() <= INLINE_MAX_BYTES {
        return Value { head: document.to_vec().into(), pieces: Pieces::None };
    }
    let mut id = Writer::new();
    id.push(&get(document, b"_id").unwrap().unwrap());
    let mut content = ContentWriter::new(session, cutter, splitter);
    content.write(document).unwrap();
    // The longest are in the content alone.
    let id = if id.len() <= icecore::limits::VALUE_HEAD_MAX_BYTES { id } else { Writer::new() };
    Value { head: id.finish().into(), pieces: content.finish().unwrap() }
}

fn link(deployment: &Deployment) -> Link {
    Link::connect(&deployment.uri(), &Connect::to(Purpose::Write)).unwrap()
}

fn insert(deployment: &Deployment, db: &str, collection: &str, documents: Vec<Document>) {
    deployment.command(db, doc! { "insert": collection, "documents": documents });
}

/// All documents of a collection by their `_id`s.
fn all(deployment: &Deployment, db: &str, collection: &str) -> Vec<Document> {
    let find = doc! { "find": collection, "sort": { "_id": 1 }, "batchSize": 10_000 };
    let reply = deployment.command(db, find);
    let batch = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    batch.iter().map(|one| one.as_document().unwrap().clone()).collect()
}

/// What a database holds: the hash of each collection, what it is, and its indexes.
pub fn described(deployment: &Deployment, db: &str) -> BTreeMap<String, Bson> {
    let mut all = BTreeMap::new();
    let list = |command| {
        let reply = deployment.command(db, command);
        let cursor = reply.get_document("cursor").unwrap();
        assert_eq!(cursor.get_i64("id").unwrap(), 0);
        cursor.get_array("firstBatch").unwrap().clone()
    };
    for record in list(doc! { "listCollections": 1, "cursor": { "batchSize": 10_000 } }) {
        let mut record = record.as_document().unwrap().clone();
        let name = record.get_str("name").unwrap().to_owned();
        let is_view = record.get_str("type").unwrap() == "view";
        record.get_document_mut("info").unwrap().remove("uuid");
        all.insert(format!("{name}: record"), record.into());
        if !is_view {
            let indexes = list(doc! { "listIndexes": &name });
            all.insert(format!("{name}: indexes"), indexes.into());
        }
    }
    let hashes = deployment.command(db, doc! { "dbHash": 1 });
    for (name, hash) in hashes.get_document("collections").unwrap() {
        all.insert(format!("{name}: hash"), hash.clone());
    }
    all
}

#[track_caller]
fn assert_same(one: &BTreeMap<String, Bson>, other: &BTreeMap<String, Bson>) {
    let names: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    for name in names {
        assert_eq!(one.get(name), other.get(name), "{name}");
    }
}

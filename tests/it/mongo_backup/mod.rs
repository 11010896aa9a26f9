//! Real deployments into a repository: what lies there afterwards is what stood in the server.

mod again;
mod canonical;
mod command;
mod everything;
mod killed;
mod meanwhile;
mod moment;
mod stopped;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use icecore::{
    ambient::Ambient,
    format::{
        catalogue::{CollectionRecord, MONGODB_ROOT},
        snapshot::{NamedRoot, Snapshot},
    },
    id::BlobKind,
    mongo::{Connect, Link, Purpose},
    progress::Progress,
    repo::{self, InitOptions, OpenOptions, ReadBlobs, Repository},
    seal::SlotParams,
    source::mongo,
    store::{
        Abilities, Store,
        faulty::Faulty,
        memory::MemoryStore,
        recorded::{Recorded, Verb},
    },
    tree::{self, KeyRange, Pieces, Root, content},
    verbs::backup::{self, Outcome, Sources, backup},
};
use mongodb::bson::{Document, RawDocumentBuf, doc};

use crate::mongod::Deployment;

/// A repository whose writes are counted, and may be made to fail.
pub struct World {
    pub repo: Repository,
    pub calls: Arc<Recorded>,
    pub faults: Arc<Faulty>,
}

/// A collection as a snapshot holds it.
pub struct Kept {
    pub record: CollectionRecord,
    pub root: Option<Root>,
    /// In the order of their keys.
    pub documents: Vec<Vec<u8>>,
}

type Error = backup::Error<repo::Error>;

impl World {
    pub fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let faults = Faulty::new(store);
        let calls = Recorded::new(faults.clone());
        let password = secrecy::SecretString::from("correct horse");
        let init = InitOptions {
            params: SlotParams::worthless(),
            label: "first".into(),
            abilities: Abilities { create_if_absent: true, visibility_delay_seconds: 0 },
        };
        let (store, ambient) = (calls.clone(), Ambient::real("host", "user"));
        let repo =
            Repository::init(store, &password, &init, OpenOptions::default(), ambient).unwrap();
        World { repo, calls, faults }
    }

    pub fn back_up(&self, uri: &str) -> Outcome {
        let outcome = self.try_back_up(uri, |_| {}).unwrap();
        assert_eq!(outcome.troubles, 0);
        outcome
    }

    pub fn try_back_up(
        &self,
        uri: &str,
        change: impl FnOnce(&mut mongo::Options),
    ) -> Result<Outcome, Error> {
        self.back_up_sources(sources(uri, change), false)
    }

    pub fn back_up_sources(&self, sources: Sources, skip: bool) -> Result<Outcome, Error> {
        self.back_up_as("host", sources, skip)
    }

    pub fn back_up_as(&self, host: &str, sources: Sources, skip: bool) -> Result<Outcome, Error> {
        let options = backup::Options {
            tags: Vec::new(),
            excludes: Vec::new(),
            host: host.into(),
            time: None,
            force: false,
            skip_if_unchanged: skip,
        };
        backup(&self.repo, sources, options, &Progress::silent())
    }

    pub fn latest(&self) -> Snapshot {
        self.repo.snapshots().unwrap().pop().unwrap().snapshot
    }

    /// The collections of the latest snapshot.
    pub fn kept(&self) -> BTreeMap<String, Kept> {
        let reader = self.repo.reader().unwrap();
        let latest = self.latest();
        let named = latest.roots.iter().find(|root| root.name == MONGODB_ROOT).unwrap();
        let NamedRoot { id, level, entries, bytes, .. } = *named;
        let root = Root { id, level, entries, bytes };
        let mut all = BTreeMap::new();
        for entry in tree::iter(&reader, &root, KeyRange::all()) {
            let (key, value) = entry.unwrap();
            let name = String::from_utf8(key.to_vec()).unwrap().replacen('\0', ".", 1);
            let record = CollectionRecord::decode(&value.head).unwrap();
            let (root, documents) = match value.pieces {
                Pieces::Map(root) => (Some(root), documents(&reader, &root)),
                _ => (None, Vec::new()),
            };
            assert_eq!(record.count, documents.len() as u64, "{name}");
            let bytes: usize = documents.iter().map(Vec::len).sum();
            assert_eq!(record.bytes, bytes as u64, "{name}");
            all.insert(name, Kept { record, root, documents });
        }
        all
    }

    pub fn packs_put(&self) -> usize {
        self.calls.count(Verb::Put, "packs/")
    }
}

pub fn sources(uri: &str, change: impl FnOnce(&mut mongo::Options)) -> Sources {
    let link = Link::connect(uri, &Connect::to(Purpose::Read)).unwrap();
    let ambient = Ambient::real("host", "user");
    let mut options = mongo::Options::all(ambient, 1 << 20, std::env::temp_dir());
    options.db = link.facts().database.clone();
    change(&mut options);
    backup::Deployment { link, options }.into()
}

/// Calls `act` each time the capture has read the catalogue of `shop`, with how often it had
/// before. What `act` does to the catalogue is not in what was read. It goes by a collection that
/// is looked at last and left out.
pub fn after_readings(
    set: &Deployment,
    options: &mut mongo::Options,
    act: impl Fn(u32) + Send + Sync + 'static,
) {
    // It is there already when there are more backups than one.
    let _ = set.try_command("shop", doc! { "create": "zz" });
    let readings = AtomicU32::new(0);
    let wanted = options.wanted.clone();
    options.wanted = Arc::new(move |namespace| {
        if namespace.collection != "zz" {
            return wanted(namespace);
        }
        act(readings.fetch_add(1, Relaxed));
        false
    });
}

/// All documents of a collection's tree, byte for byte.
fn documents<R: ReadBlobs>(reader: &R, root: &Root) -> Vec<Vec<u8>> {
    let read = |entry| {
        let (_, value): (_, tree::Value) = Result::<_, tree::Error<R::Error>>::unwrap(entry);
        if value.pieces == Pieces::None {
            return value.head.to_vec();
        }
        let length = content::length(&value.pieces).unwrap();
        let pieces = content::pieces(reader, &value.pieces, 0..length);
        let chunk = |piece: Result<(u64, tree::Piece), _>| {
            let id = Result::<_, tree::Error<R::Error>>::unwrap(piece).1.id.unwrap();
            reader.read(BlobKind::Chunk, &id).unwrap().to_vec()
        };
        pieces.flat_map(chunk).collect()
    };
    tree::iter(reader, root, KeyRange::all()).map(read).collect()
}

/// All documents of a collection as the server has them now, by their bytes.
pub fn live(deployment: &Deployment, db: &str, collection: &str) -> Vec<Vec<u8>> {
    let client = deployment.client();
    let collection = client.database(db).collection::<RawDocumentBuf>(collection);
    deployment.block(async {
        let mut cursor = collection.find(doc! {}).await.unwrap();
        let mut all = Vec::new();
        while cursor.advance().await.unwrap() {
            all.push(cursor.current().as_bytes().to_vec());
        }
        all
    })
}

pub fn sorted(mut documents: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    documents.sort();
    documents
}

/// Puts raw documents into `db.collection`, whatever is in them.
pub fn insert_raw(deployment: &Deployment, db: &str, collection: &str, documents: &[Vec<u8>]) {
    // One by one: a reply or a command holds little more than the largest document.
    for document in documents {
        let mut array = icecore::document::ArrayWriter::new();
        array.push_doc(document);
        let mut command = icecore::document::Writer::new();
        command.push_str(b"insert", collection);
        command.push_array(b"documents", &array.finish());
        let command = RawDocumentBuf::from_bytes(command.finish()).unwrap();
        let database = deployment.client().database(db);
        let reply = deployment.block(database.run_raw_command(command)).unwrap();
        assert!(reply.get("writeErrors").is_none(), "{reply:?}");
    }
}

/// `count` documents of about 150 bytes in `shop.<collection>`, put there in the order of `ids`.
pub fn fill(deployment: &Deployment, collection: &str, ids: impl IntoIterator<Item = i32>) {
    let ids: Vec<i32> = ids.into_iter().collect();
    for ids in ids.chunks(5000) {
        let text = |id: &i32| blake3::hash(&id.to_le_bytes()).to_hex().to_string();
        let documents: Vec<Document> =
            ids.iter().map(|id| doc! { "_id": *id, "n": 0, "text": text(id) }).collect();
        deployment.command("shop", doc! { "insert": collection, "documents": documents });
    }
}

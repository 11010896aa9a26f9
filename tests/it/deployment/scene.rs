//! Deployments made by hand: collections and documents, and the snapshots of them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use icecore::{
    ambient::Ambient,
    chunk::{Cutter, Sizes},
    document::{Writer, extjson, get, id_key},
    format::{
        catalogue::{CollectionKind, CollectionRecord, DocumentKeys, MONGODB_ROOT},
        snapshot::{NamedRoot, Snapshot, Summary},
    },
    id::Sid,
    repo::{OpenOptions, Repository, SessionOptions, WriteBlobs},
    store::local::LocalStore,
    tree::{Aims, Merger, Pieces, Root, Splitter, Value, content::ContentWriter},
};
use secrecy::SecretString;

/// Above this a document's bytes lie in chunks.
const INLINE_MAX_BYTES: usize = 256 << 10;

#[derive(Clone)]
pub struct Made {
    pub kind: CollectionKind,
    pub keys: DocumentKeys,
    pub options: String,
    pub indexes: Vec<String>,
    pub documents: Vec<Vec<u8>>,
}

/// Collections by `db` and name.
#[derive(Clone, Default)]
pub struct Scene(pub BTreeMap<(String, String), Made>);

pub fn parsed(text: &str) -> Vec<u8> {
    extjson::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn splitter() -> Splitter {
    Splitter::new([7; 32], Aims::default())
}

impl Scene {
    /// A collection with the index that every collection has.
    pub fn collection(&mut self, db: &str, name: &str, documents: &[&str]) -> &mut Made {
        let documents = documents.iter().map(|text| parsed(text)).collect();
        let made = Made {
            kind: CollectionKind::Collection,
            keys: DocumentKeys::Id,
            options: "{}".into(),
            indexes: vec![r#"{"v":2,"key":{"_id":1},"name":"_id_"}"#.into()],
            documents,
        };
        self.0.insert((db.into(), name.into()), made);
        self.made(db, name)
    }

    pub fn made(&mut self, db: &str, name: &str) -> &mut Made {
        self.0.get_mut(&(db.to_owned(), name.to_owned())).unwrap()
    }

    pub fn write<W: WriteBlobs>(&self, blobs: &W) -> Root {
        let mut catalogue = Merger::new(blobs, splitter(), None);
        for ((db, name), made) in &self.0 {
            let root = (made.kind != CollectionKind::View).then(|| made.write(blobs));
            let record = CollectionRecord {
                kind: made.kind,
                uuid: root.is_some().then_some(*b"0123456789abcdef"),
                options: parsed(&made.options),
                id_index: made.indexes.first().map(|index| parsed(index)),
                indexes: made.indexes.iter().map(|index| parsed(index)).collect(),
                keys: made.keys,
                count: made.documents.len() as u64,
                bytes: made.documents.iter().map(|doc| doc.len() as u64).sum(),
            };
            let pieces = root.map_or(Pieces::None, Pieces::Map);
            let key = [db.as_bytes(), &[0], name.as_bytes()].concat();
            catalogue.put(&key, &Value { head: record.encode().into(), pieces }).unwrap();
        }
        catalogue.finish().unwrap()
    }
}

impl Made {
    fn write<W: WriteBlobs>(&self, blobs: &W) -> Root {
        let keyed: BTreeMap<Vec<u8>, &Vec<u8>> = self
            .documents
            .iter()
            .enumerate()
            .map(|(place, doc)| match self.keys {
                DocumentKeys::Ordinal => ((place as u64).to_be_bytes().to_vec(), doc),
                DocumentKeys::Id => (id_key(&get(doc, b"_id").unwrap().unwrap()).unwrap(), doc),
            })
            .collect();
        let mut tree = Merger::new(blobs, splitter(), None);
        for (key, doc) in keyed {
            tree.put(&key, &value(blobs, doc)).unwrap();
        }
        tree.finish().unwrap()
    }
}

fn value<W: WriteBlobs>(blobs: &W, doc: &[u8]) -> Value {
    if doc.len() <= INLINE_MAX_BYTES {
        return Value { head: doc.to_vec().into(), pieces: Pieces::None };
    }
    let mut head = Writer::new();
    head.push(&get(doc, b"_id").unwrap().unwrap());
    let cutter = Cutter::new(&[3; 32], Sizes::default()).unwrap();
    let mut content = ContentWriter::new(blobs, &cutter, splitter());
    content.write(doc).unwrap();
    Value { head: head.finish().into(), pieces: content.finish().unwrap() }
}

/// Commits the scene as a snapshot of the repository in `directory`.
pub fn commit(directory: &Path, password: &str, scene: &Scene) -> Sid {
    let store = Arc::new(LocalStore::open(directory).unwrap());
    let password = SecretString::from(password.to_owned());
    let ambient = Ambient::real("desk", "me");
    let repo = Repository::open(store, &password, OpenOptions::default(), ambient).unwrap();
    let session = repo.begin(SessionOptions::default()).unwrap();
    let Root { id, level, entries, bytes } = scene.write(&session);
    let snapshot = Snapshot {
        time: repo.ambient().clock.now(),
        host: "desk".into(),
        user: "me".into(),
        uid: 0,
        gid: 0,
        tags: Vec::new(),
        paths: vec!["mongodb://host".into()],
        roots: vec![NamedRoot { name: MONGODB_ROOT.into(), id, level, entries, bytes }],
        parent: None,
        original: None,
        program: "test".into(),
        excludes: Vec::new(),
        troubles: 0,
        summary: Summary::default(),
        mongodb: None,
    };
    session.commit(snapshot).unwrap()
}

//! A whole repository in a directory, as the second reader sees it: slots, packs, snapshots, trees.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::{SealedBlob, SecondReader, open_slot};

/// Everything below a directory, by its name in the store.
pub struct Store(BTreeMap<String, Vec<u8>>);

impl Store {
    pub fn read(top: &Path) -> Store {
        let mut all = BTreeMap::new();
        collect(top, top, &mut all);
        Store(all)
    }

    fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let named = self.0.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        named.filter(move |(name, _)| name.starts_with(folder))
    }
}

fn collect(top: &Path, dir: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
    for child in fs::read_dir(dir).unwrap() {
        let path = child.unwrap().path();
        if path.is_dir() {
            collect(top, &path, all);
        } else {
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            all.insert(name, fs::read(path).unwrap());
        }
    }
}

#[derive(Deserialize)]
enum Slot {
    Commit { snapshot: Snapshot },
    Abort {},
}

#[derive(Deserialize)]
pub struct Snapshot {
    pub time: String,
    pub host: String,
    pub roots: Vec<Root>,
}

#[derive(Deserialize)]
pub struct Root {
    pub name: String,
    id: ByteBuf,
    level: u8,
    pub entries: u64,
}

/// Takes a key, a head and the content.
type Each<'e> = dyn FnMut(&[u8], &[u8], Vec<u8>) + 'e;

/// An entry's head and its content.
pub type Entry = (Vec<u8>, Vec<u8>);

pub struct Repository<'a> {
    reader: SecondReader,
    store: &'a Store,
    blobs: HashMap<[u8; 32], SealedBlob<'a>>,
}

impl<'a> Repository<'a> {
    pub fn open(store: &'a Store, password: &[u8]) -> Self {
        let (_, slot) = store.below("keys/").next().expect("a key");
        let reader = open_slot(password, slot);
        let config = reader.object(1, "config", &store.0["config"]);
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["repo_id"], hex::encode(reader.repo_id));
        assert_eq!(store.0["config"], store.0["config-2"]);
        let mut blobs = HashMap::new();
        for (name, pack) in store.below("packs/") {
            let hex = blake3::hash(pack).to_hex().to_string();
            assert_eq!(name, format!("packs/{}/{hex}", &hex[..2]));
            blobs.extend(reader.rows(pack).into_iter().map(|blob| (blob.id(), blob)));
        }
        let repository = Repository { reader, store, blobs };
        repository.check_index();
        repository
    }

    pub fn deltas(&self) -> usize {
        self.blobs.values().filter(|blob| blob.base().is_some()).count()
    }

    /// Segments have the names they should, and together the rows that the packs have.
    fn check_index(&self) {
        let mut rows = 0;
        for (name, object) in self.store.below("index/") {
            assert_eq!(name, format!("index/{}", blake3::hash(object).to_hex()));
            let plain = self.reader.object(8, "index", object);
            let mut left = plain.as_slice();
            let superseded = number(&mut left, 4);
            take(&mut left, 32 * superseded);
            for _ in 0..number(&mut left, 4) {
                let (id, _salt) = (take(&mut left, 32), take(&mut left, 32));
                let id = hex::encode(id);
                let pack = &self.store.0[&format!("packs/{}/{id}", &id[..2])];
                assert_eq!(number(&mut left, 8), pack.len());
                for _ in 0..number(&mut left, 4) {
                    let known = &self.blobs[&left[..32]];
                    assert_eq!(take(&mut left, known.row.len()), known.row);
                    rows += 1;
                }
            }
            assert!(left.is_empty());
        }
        assert_eq!(rows, self.blobs.len());
    }

    /// In the order of their times.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let mut snapshots: Vec<_> = self
            .store
            .below("snapshots/")
            .filter_map(|(name, object)| {
                let plain = self.reader.object(4, name, object);
                match rmp_serde::from_slice(&plain).unwrap() {
                    Slot::Commit { snapshot } => Some(snapshot),
                    Slot::Abort {} => None,
                }
            })
            .collect();
        snapshots.sort_by(|a, b| a.time.cmp(&b.time));
        snapshots
    }

    pub fn tree(&self, root: &Root) -> BTreeMap<Vec<u8>, Entry> {
        let mut entries = BTreeMap::new();
        self.node(root.id.as_slice(), root.level, &mut |key, head, content| {
            assert!(entries.insert(key.to_vec(), (head.to_vec(), content)).is_none());
        });
        entries
    }

    fn node(&self, id: &[u8], level: u8, each: &mut Each) {
        let node = self.plain(id.try_into().unwrap());
        let mut left = node.as_slice();
        assert_eq!(take(&mut left, 2), [1, level]);
        for _ in 0..leb(&mut left) {
            let length = leb(&mut left);
            let key = take(&mut left, length);
            if level > 0 {
                let child = take(&mut left, 32);
                let (_entries, _bytes) = (leb(&mut left), leb(&mut left));
                self.node(child, level - 1, each);
            } else {
                let length = leb(&mut left);
                let head = take(&mut left, length);
                let content = self.content(&mut left);
                each(key, head, content);
            }
        }
        assert!(left.is_empty());
    }

    fn content(&self, left: &mut &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        match number(left, 1) {
            0 => {}
            1 => {
                for _ in 0..leb(left) {
                    let piece = leb(left);
                    if piece & 1 == 0 {
                        content.resize(content.len() + piece / 2, 0);
                        continue;
                    }
                    let chunk = self.plain(take(left, 32).try_into().unwrap());
                    assert_eq!(chunk.len(), piece / 2);
                    content.extend_from_slice(&chunk);
                }
            }
            2 => {
                let (id, level) = (take(left, 32), number(left, 1) as u8);
                let (_entries, _bytes) = (leb(left), leb(left));
                self.node(id, level, &mut |offset, _, piece| {
                    assert_eq!(offset, (content.len() as u64).to_be_bytes());
                    content.extend_from_slice(&piece);
                });
            }
            other => panic!("content {other}"),
        }
        content
    }

    fn plain(&self, id: [u8; 32]) -> Vec<u8> {
        let found = &self.blobs[&id];
        let base = found.base().map(|base| self.plain(base));
        self.reader.blob(found, base.as_deref())
    }
}

fn take<'a>(left: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, after) = left.split_at(length);
    *left = after;
    taken
}

fn number(left: &mut &[u8], bytes: usize) -> usize {
    take(left, bytes).iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn leb(left: &mut &[u8]) -> usize {
    let byte = number(left, 1);
    if byte < 0x80 { byte } else { byte & 0x7f | leb(left) << 7 }
}

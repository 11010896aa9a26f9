//! A repository that the library wrote, read whole by the second reader.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use icecore::{
    ambient::Ambient,
    chunk::{Cutter, Sizes},
    format::{
        entry as files,
        snapshot::{NamedRoot, Snapshot, Summary},
    },
    repo::{InitOptions, OpenOptions, Repository, Session, SessionOptions},
    seal::SlotParams,
    store::{Abilities, local::LocalStore},
    tree::{Aims, Bounds, Merger, Pieces, Root, Splitter, Value, content::ContentWriter},
};
use secrecy::SecretString;

use super::repository::{self, Entry, Store};

/// So that few entries make a tree of several levels.
const SMALL_NODES: Aims = Aims {
    leaf: Bounds { min: 4 << 10, aim: 32 << 10, max: 128 << 10 },
    inner: Bounds { min: 2 << 10, aim: 16 << 10, max: 64 << 10 },
};

pub const PASSWORD: &str = "correct horse";
pub type Map = BTreeMap<Vec<u8>, Entry>;

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Small chunks, so that a list of them grows long.
const SIZES: Sizes = Sizes { min: 256, aim: 1024, max: 4096 };
const HOLE: u64 = 5000;
const ENTRIES: u64 = 1500;

/// The entry of a file of `n`'s, `bytes` long.
fn head(n: u64, bytes: usize) -> Vec<u8> {
    let entry = files::Entry {
        size: bytes as u64,
        mode: 0o644,
        uid: 1000,
        gid: 100,
        user: "someone".into(),
        group: "users".into(),
        mtime: files::Time { seconds: 1_767_225_600 + n as i64, nanos: 123_456_789 },
        ctime: files::Time { seconds: 1_767_225_600, nanos: 0 },
        inode: 1_000_000 + n,
        ..files::Entry::default()
    };
    entry.encode().unwrap()
}

/// So many entries that the tree has a level above its leaves; one with a few pieces and a hole,
/// one with pieces enough for a tree of their own.
fn entries() -> Map {
    let named = |n: u64| format!("srv\0{n:05}").into_bytes();
    let mut map: Map = (0..ENTRIES).map(|n| (named(n), (head(n, 0), Vec::new()))).collect();
    let dir = files::Entry { kind: files::Kind::Dir, mode: 0o755, ..files::Entry::default() };
    let link = files::Kind::Symlink { target: b"app\xff".to_vec() };
    let link = files::Entry { kind: link, size: 4, ..files::Entry::default() };
    for (key, entry) in [("", &dir), ("srv", &dir), ("srv\0link", &link)] {
        map.insert(key.into(), (entry.encode().unwrap(), Vec::new()));
    }
    let content = [noise(1, 9000), vec![0; HOLE as usize], noise(2, 7000)].concat();
    map.insert(b"srv\0few".to_vec(), (head(1, content.len()), content));
    map.insert(b"srv\0many".to_vec(), (head(2, 100_000), noise(3, 100_000)));
    map
}

fn value(session: &Session, splitter: Splitter, cutter: &Cutter, entry: &Entry) -> Value {
    let (head, content) = entry;
    let head = Bytes::copy_from_slice(head);
    if content.is_empty() {
        return Value { head, pieces: Pieces::None };
    }
    let mut writer = ContentWriter::new(session, cutter, splitter);
    if content.len() < 30_000 {
        writer.write(&content[..9000]).unwrap();
        writer.hole(HOLE).unwrap();
        writer.write(&content[9000 + HOLE as usize..]).unwrap();
    } else {
        writer.write(content).unwrap();
    }
    Value { head, pieces: writer.finish().unwrap() }
}

/// Commits the tree that comes of `old` by these changes.
fn commit(repo: &Repository, old: Option<Root>, changes: &Map) -> Root {
    let keys = repo.keys();
    let splitter = Splitter::new(keys.splitter_secret(), SMALL_NODES);
    let cutter = Cutter::new(keys.chunker_secret(), SIZES).unwrap();
    let session = repo.begin(SessionOptions::default()).unwrap();
    let mut merger = Merger::new(&session, splitter, old);
    for (key, entry) in changes {
        merger.put(key, &value(&session, splitter, &cutter, entry)).unwrap();
    }
    let root = merger.finish().unwrap();
    let Root { id, level, entries, bytes } = root;
    let snapshot = Snapshot {
        time: repo.ambient().clock.now(),
        host: "host.example".into(),
        user: "someone".into(),
        uid: 0,
        gid: 0,
        tags: Vec::new(),
        paths: vec!["/srv".into()],
        roots: vec![NamedRoot { name: "files".into(), id, level, entries, bytes }],
        parent: None,
        original: None,
        program: "test".into(),
        excludes: Vec::new(),
        troubles: 0,
        summary: Summary::default(),
        mongodb: None,
    };
    session.commit(snapshot).unwrap();
    root
}

pub fn write_repository(dir: &Path) -> Vec<Map> {
    let (ambient, clock) = Ambient::fixed(1);
    let store = Arc::new(LocalStore::create(dir).unwrap());
    let init = InitOptions {
        params: SlotParams::worthless(),
        label: String::new(),
        abilities: Abilities { create_if_absent: true, visibility_delay_seconds: 0 },
    };
    let password = SecretString::from(PASSWORD);
    let repo = Repository::init(store, &password, &init, OpenOptions::default(), ambient).unwrap();
    let mut map = entries();
    let mut root = commit(&repo, None, &map);
    let mut maps = vec![map.clone()];
    for round in 1..4 {
        clock.advance(Duration::from_secs(60));
        let changed = |n| (format!("srv\0{n:05}").into_bytes(), (head(n + round, 0), Vec::new()));
        let changes: Map = (0..ENTRIES).step_by(100).map(changed).collect();
        root = commit(&repo, Some(root), &changes);
        map.extend(changes);
        maps.push(map.clone());
    }
    maps
}

#[test]
fn a_repository_is_read_by_what_its_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("repository");
    let maps = write_repository(&top);
    let store = Store::read(&top);
    let repository = repository::Repository::open(&store, PASSWORD.as_bytes());
    assert!(repository.deltas() >= 3, "{} deltas", repository.deltas());
    let snapshots = repository.snapshots();
    assert_eq!(snapshots.len(), maps.len());
    for (snapshot, map) in snapshots.iter().zip(&maps) {
        assert_eq!(snapshot.host, "host.example");
        let [root] = &snapshot.roots[..] else { panic!("one tree") };
        assert_eq!((root.name.as_str(), root.entries), ("files", map.len() as u64));
        assert!(repository.tree(root) == *map);
    }
}

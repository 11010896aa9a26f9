//! Repositories and sessions over stores in memory, as PROTOCOL.md wants them.

mod basics;
mod behind;
mod deltas;
mod faults;
mod opening;
mod protocol;

use std::{sync::Arc, time::Duration};

use icecore::{
    ambient::{Ambient, testing::FixedClock},
    format::snapshot::{NamedRoot, Snapshot, Summary},
    id::{BlobId, BlobKind, Sid},
    repo::{
        Error, InitOptions, Like, OpenOptions, ReadBlobs, Reader, Repository, Session,
        SessionOptions, WriteBlobs, Written,
    },
    seal::SlotParams,
    store::{Abilities, Store, memory::MemoryStore},
};
use secrecy::SecretString;

/// A store with a repository, and a clock that stands still.
struct World {
    memory: Arc<MemoryStore>,
    clock: Arc<FixedClock>,
    ambient: Ambient,
}

fn password() -> SecretString {
    SecretString::from("correct horse")
}

fn cheap() -> InitOptions {
    InitOptions {
        params: SlotParams::worthless(),
        label: "first".into(),
        abilities: Abilities { create_if_absent: true, visibility_delay_seconds: 0 },
    }
}

/// Packs of the smallest size, so that few blobs fill several.
fn small_packs() -> OpenOptions {
    OpenOptions { pack_aim_bytes: 64 << 10, ..OpenOptions::default() }
}

impl World {
    fn new(seed: u64) -> World {
        let memory = Arc::new(MemoryStore::new());
        let (ambient, clock) = Ambient::fixed(seed);
        let store: Arc<dyn Store> = memory.clone();
        Repository::init(store, &password(), &cheap(), small_packs(), ambient.clone()).unwrap();
        World { memory, clock, ambient }
    }

    fn open(&self) -> Repository {
        self.open_over(self.memory.clone())
    }

    fn open_over(&self, store: Arc<dyn Store>) -> Repository {
        self.try_open(store, small_packs()).unwrap()
    }

    fn try_open(&self, store: Arc<dyn Store>, options: OpenOptions) -> Result<Repository, Error> {
        Repository::open(store, &password(), options, self.ambient.clone())
    }

    fn names(&self, below: &str) -> Vec<String> {
        let store: &dyn Store = &*self.memory;
        let all = icecore::store::list_all(store, below).unwrap();
        all.into_iter().map(|listed| listed.name.to_string()).collect()
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn begin(repo: &Repository) -> Session {
    repo.begin(SessionOptions::default()).unwrap()
}

/// Bytes that do not shrink, the same for the same `seed`.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn write(session: &Session, seed: u64, length: usize) -> Result<BlobId, Error> {
    Ok(session.write(BlobKind::Chunk, &noise(seed, length), None)?.id)
}

fn snapshot(repo: &Repository, root: BlobId) -> Snapshot {
    let now = repo.ambient().clock.now();
    Snapshot {
        time: now,
        host: "host.example".into(),
        user: "someone".into(),
        uid: 0,
        gid: 0,
        tags: Vec::new(),
        paths: vec!["/srv".into()],
        roots: vec![NamedRoot { name: "files".into(), id: root, level: 0, entries: 1, bytes: 1 }],
        parent: None,
        original: None,
        program: "test".into(),
        excludes: Vec::new(),
        troubles: 0,
        summary: Summary::default(),
        mongodb: None,
    }
}

/// Writes a node, and gives what it takes in its pack, too.
fn write_node(session: &Session, plain: &[u8], like: Option<Like>) -> (Written, u64) {
    session.flush().unwrap();
    let before = session.stats().bytes_added_packed;
    let written = session.write(BlobKind::Node, plain, like).unwrap();
    session.flush().unwrap();
    (written, session.stats().bytes_added_packed - before)
}

/// Writes blobs of these seeds and commits; the root is the first of them.
fn commit(repo: &Repository, seeds: std::ops::Range<u64>) -> Result<Sid, Error> {
    let session = repo.begin(SessionOptions::default())?;
    let mut root = None;
    for seed in seeds {
        let id = write(&session, seed, 9000)?;
        root.get_or_insert(id);
    }
    let root = root.expect("at least one blob");
    session.commit(snapshot(repo, root))
}

fn check(reader: &Reader, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let plain = noise(seed, 9000);
        let id = reader.repo().keys().blob_id(BlobKind::Chunk, &plain);
        assert_eq!(reader.read(BlobKind::Chunk, &id).unwrap(), plain);
    }
}

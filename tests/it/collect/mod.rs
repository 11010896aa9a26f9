//! Forget, prune, check and repair over stores in memory, beside sessions that are stepped by hand.

mod beside_sessions;
mod breakers;
mod crashes;
mod damage;
mod delays;
mod deltas;
mod freeing;
mod meanwhile;
mod over_s3;
mod together;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use icecore::{
    ambient::{Ambient, testing::FixedClock},
    format::snapshot::{NamedRoot, Snapshot, Summary},
    id::{BlobId, BlobKind, Sid},
    progress::Progress,
    repo::{
        InitOptions, OpenOptions, ReadBlobs, Reader, Repository, Session, SessionOptions,
        WriteBlobs,
        collect::{self, Ground, MaxUnused, Options, Outcome, Plan, Reach},
    },
    seal::SlotParams,
    store::{Abilities, Store, memory::MemoryStore},
};
use secrecy::SecretString;

const CHUNK_BYTES: usize = 9000;

/// A repository whose trees are lists of chunks: a node is the ids of what it holds.
struct World {
    memory: Arc<MemoryStore>,
    clock: Arc<FixedClock>,
    ambient: Ambient,
    times: AtomicU64,
}

/// Walks those trees.
struct Lists(Reader);

impl Reach for Lists {
    fn reachable(
        &self,
        root: &NamedRoot,
        visit: &mut dyn FnMut(BlobKind, &BlobId) -> bool,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if visit(BlobKind::Node, &root.id) {
            for id in self.0.read(BlobKind::Node, &root.id)?.chunks_exact(32) {
                visit(BlobKind::Chunk, &BlobId::new(id.try_into()?));
            }
        }
        Ok(())
    }

    fn is_backup(&self, snapshot: &Snapshot) -> bool {
        snapshot.tags != ["record"]
    }
}

fn password() -> SecretString {
    SecretString::from("correct horse")
}

/// Bytes that do not shrink, the same for the same `seed`.
fn noise(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; CHUNK_BYTES];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Frees all that can be freed, at once.
fn greedy() -> Options {
    Options {
        max_unused: MaxUnused::Bytes(0),
        undelete_days: 0,
        last_of_source_may_go: true,
        max_percent: 100,
        pack_aim_bytes: 64 << 10,
        ..Options::default()
    }
}

fn init(store: Arc<dyn Store>, create_if_absent: bool, ambient: &Ambient) {
    let init = InitOptions {
        params: SlotParams::worthless(),
        label: "first".into(),
        abilities: Abilities { create_if_absent, visibility_delay_seconds: 0 },
    };
    let open = OpenOptions::default();
    Repository::init(store, &password(), &init, open, ambient.clone()).unwrap();
}

/// Every snapshot that is not forgotten can be read whole; how many there are.
fn read_all(repo: &Repository) -> usize {
    let reader = repo.reader().unwrap();
    let kept = repo.survey().unwrap().kept;
    let live: Vec<_> = kept.iter().filter(|kept| kept.forgotten.is_none()).collect();
    for kept in &live {
        let list = reader.read(BlobKind::Node, &kept.snapshot.roots[0].id).unwrap();
        for id in list.chunks_exact(32) {
            let id = BlobId::new(id.try_into().unwrap());
            reader.read(BlobKind::Chunk, &id).unwrap();
        }
    }
    live.len()
}

impl World {
    fn new(seed: u64) -> World {
        World::with_abilities(seed, true)
    }

    fn with_abilities(seed: u64, create_if_absent: bool) -> World {
        let memory = Arc::new(MemoryStore::new());
        let (ambient, clock) = Ambient::fixed(seed);
        init(memory.clone(), create_if_absent, &ambient);
        World { memory, clock, ambient, times: AtomicU64::new(0) }
    }

    fn repo(&self) -> Repository {
        self.repo_over(self.memory.clone())
    }

    /// As another process would open it: nothing is remembered.
    fn repo_over(&self, store: Arc<dyn Store>) -> Repository {
        let options = OpenOptions { pack_aim_bytes: 64 << 10, ..OpenOptions::default() };
        Repository::open(store, &password(), options, self.ambient.clone()).unwrap()
    }

    fn begin(&self, parents: &[Sid]) -> Session {
        self.repo().begin(SessionOptions { parents: parents.to_vec() }).unwrap()
    }

    /// Writes chunks of these seeds and the node that lists them. The snapshot is not committed.
    fn fill(&self, session: &Session, seeds: impl IntoIterator<Item = u64>) -> Snapshot {
        let mut list = Vec::new();
        for seed in seeds {
            let written = session.write(BlobKind::Chunk, &noise(seed), None).unwrap();
            list.extend_from_slice(written.id.bytes());
        }
        let root = session.write(BlobKind::Node, &list, None).unwrap().id;
        self.snapshot(root)
    }

    fn snapshot(&self, root: BlobId) -> Snapshot {
        // Each later than the one before, though the clock stands still.
        let order = self.times.fetch_add(1, Ordering::SeqCst);
        Snapshot {
            time: self.ambient.clock.now() + Duration::from_millis(order),
            host: "host.example".into(),
            user: "someone".into(),
            uid: 0,
            gid: 0,
            tags: Vec::new(),
            paths: vec!["/srv".into()],
            roots: vec![NamedRoot {
                name: "list".into(),
                id: root,
                level: 0,
                entries: 1,
                bytes: 1,
            }],
            parent: None,
            original: None,
            program: "test".into(),
            excludes: Vec::new(),
            troubles: 0,
            summary: Summary::default(),
            mongodb: None,
        }
    }

    fn backup(&self, seeds: impl IntoIterator<Item = u64>) -> Sid {
        let session = self.begin(&[]);
        let snapshot = self.fill(&session, seeds);
        session.commit(snapshot).unwrap()
    }

    fn forget(&self, sid: Sid) {
        collect::forget(&Ground::of(&self.repo()), &[sid], "test").unwrap();
    }

    fn plan(&self, repo: &Repository, options: &Options) -> Result<Plan, collect::Error> {
        let reach = Lists(repo.reader()?);
        collect::plan(&Ground::of(repo), &reach, options, &Progress::silent())
    }

    fn carry_out(&self, repo: &Repository, plan: Plan) -> Result<Outcome, collect::Error> {
        let reach = Lists(repo.reader()?);
        collect::carry_out(&Ground::of(repo), &reach, plan, &Progress::silent())
    }

    fn try_prune(&self, repo: &Repository, options: &Options) -> Result<Outcome, collect::Error> {
        let plan = self.plan(repo, options)?;
        self.carry_out(repo, plan)
    }

    fn prune(&self, options: &Options) -> Outcome {
        self.try_prune(&self.repo(), options).unwrap()
    }

    fn check(&self, read_data: collect::ReadData) -> collect::Checked {
        let repo = self.repo();
        let reach = Lists(repo.reader().unwrap());
        collect::check(&Ground::of(&repo), &reach, read_data, &Progress::silent()).unwrap()
    }

    /// Every snapshot that is not forgotten can be read whole by a newcomer.
    fn all_is_well(&self) -> usize {
        read_all(&self.repo())
    }

    fn names(&self, below: &str) -> Vec<String> {
        let all = icecore::store::list_all(&*self.memory, below).unwrap();
        all.into_iter().map(|listed| listed.name.to_string()).collect()
    }

    fn pack_bytes(&self) -> u64 {
        let all = icecore::store::list_all(&*self.memory, "packs").unwrap();
        all.iter().map(|listed| listed.size_bytes).sum()
    }

    fn advance_hours(&self, hours: u64) {
        self.clock.advance(Duration::from_secs(3600 * hours));
    }
}

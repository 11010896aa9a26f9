//! A writer at work, in the order of PROTOCOL.md, "Writer": the order is the safety.

mod adopt;
mod behind;
mod cell;
mod claims;
mod commit;
mod heartbeat;
mod knowledge;
mod place;
mod upload;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use bytes::Bytes;
use hashbrown::HashSet;
use roaring::RoaringBitmap;

use super::{
    Error, Like, PROGRAM, ReadBlobs, Reader, Repository, WriteBlobs, Written,
    catalog::{Located, PackInfo},
    layout,
};
use crate::{
    format::session::Open,
    id::{BlobId, BlobKind, PackId, Sid},
    limits::DELTA_HOPS_MAX,
    seal::Codec,
};
use cell::{PackCell, Sealed};
use claims::{Claim, Claims, Lies};
use knowledge::Knowledge;
use place::Plain;
use upload::Workers;

/// How a session begins.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Snapshots whose trees may be reused without a look at each of their blobs.
    pub parents: Vec<Sid>,
}

/// What a session may do with the trees of its parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Subtrees may be named as they are: collectors count the parents as roots.
    Free,
    /// A prune is under way, something is damaged or missing, or a parent is gone or forgotten:
    /// `depend` must say yes to each blob that is reused.
    Test,
    /// There is no parent.
    No,
}

/// What a session did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionStats {
    pub blobs_new: u64,
    pub blobs_known: u64,
    /// Plain bytes of new blobs.
    pub bytes_added: u64,
    /// The same, as they lie in packs; all of it is counted after a flush.
    pub bytes_added_packed: u64,
    pub packs: u64,
    pub segments: u64,
    /// Packs without an index that were found and taken in.
    pub packs_adopted: u64,
}

/// Takes blobs and, at the end, a snapshot. Shared by reference among threads.
///
/// What was written is durable after `flush`, and reachable after `commit`. A session that is
/// dropped takes back its announcement; its packs are found by the next one.
pub struct Session {
    shared: Arc<Shared>,
    workers: Workers,
}

pub(super) struct Shared {
    repo: Repository,
    reader: Reader,
    /// A fenced session goes on under another name.
    name: Mutex<SessionName>,
    /// As asked for.
    parents: Vec<Sid>,
    reuse: Mutex<Reuse>,
    knowledge: RwLock<Knowledge>,
    /// Packs of others that blobs of this session rest on, by number.
    depends: Mutex<RoaringBitmap>,
    /// Packs that this session put.
    own: Mutex<HashSet<PackId>>,
    claims: Claims,
    behind: behind::Behind,
    open_packs: [Mutex<Option<Arc<PackCell>>>; place::OPEN_PACKS],
    uploads: upload::Uploads,
    /// The first failure: everybody hears of it.
    failure: Mutex<Option<Arc<Error>>>,
    failed: AtomicBool,
    counters: Counters,
}

#[derive(Clone, Copy)]
struct SessionName {
    sid: Sid,
    heartbeats: u64,
    /// A commit was sent and nobody knows whether it will arrive: the announcement must stay.
    undecided: bool,
    ended: bool,
}

#[derive(Default)]
struct Counters {
    blobs_new: AtomicU64,
    blobs_known: AtomicU64,
    bytes_added: AtomicU64,
    bytes_added_packed: AtomicU64,
    packs: AtomicU64,
    segments: AtomicU64,
    packs_adopted: AtomicU64,
}

/// What a blob that may be built on rests on.
#[derive(PartialEq, Eq)]
enum Rests {
    /// This session stores it.
    OnClaim,
    /// Packs that are there, where so many deltas lead to a whole blob.
    OnPacks { deltas: usize },
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} in {:?})", self.sid(), self.shared.repo)
    }
}

impl Session {
    pub(super) fn begin(repo: Repository, options: SessionOptions) -> Result<Session, Error> {
        let sid = announce(&repo, &options.parents)?;
        let shared = Shared {
            reader: Reader::new(repo.clone()),
            name: Mutex::new(SessionName::new(sid)),
            reuse: Mutex::new(Reuse::No),
            parents: options.parents,
            knowledge: RwLock::default(),
            depends: Mutex::default(),
            own: Mutex::default(),
            claims: Claims::new(),
            behind: behind::Behind::default(),
            open_packs: Default::default(),
            uploads: upload::Uploads::new(repo.ambient().clock.monotonic()),
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
            counters: Counters::default(),
            repo,
        };
        let shared = Arc::new(shared);
        // From here on a failure takes the announcement back, through `drop`.
        let workers = Workers::start(&shared);
        let session = Session { shared, workers };
        session.shared.look_around()?;
        Ok(session)
    }

    /// The name that the snapshot will have, if no collector fences the session.
    pub fn sid(&self) -> Sid {
        self.shared.name().sid
    }

    pub fn repo(&self) -> &Repository {
        &self.shared.repo
    }

    /// What may be done with the parents' trees.
    pub fn reuse(&self) -> Reuse {
        *self.shared.reuse.lock().expect("no code panics holding it")
    }

    /// Whether the blob, with all that it is a delta of, lies in packs that may be built on. If
    /// so, the session rests on them from now on.
    pub fn depend(&self, id: &BlobId) -> bool {
        self.shared.depend(id)
    }

    /// Everything written so far is durable, and findable by other sessions, on return.
    pub fn flush(&self) -> Result<(), Error> {
        self.shared.flush()
    }

    pub fn stats(&self) -> SessionStats {
        let Counters {
            blobs_new,
            blobs_known,
            bytes_added,
            bytes_added_packed,
            packs,
            segments,
            packs_adopted,
        } = &self.shared.counters;
        SessionStats {
            blobs_new: blobs_new.load(Relaxed),
            blobs_known: blobs_known.load(Relaxed),
            bytes_added: bytes_added.load(Relaxed),
            bytes_added_packed: bytes_added_packed.load(Relaxed),
            packs: packs.load(Relaxed),
            segments: segments.load(Relaxed),
            packs_adopted: packs_adopted.load(Relaxed),
        }
    }

    /// Gives up. What was uploaded is found by the next session, or collected.
    pub fn abort(self) -> Result<(), Error> {
        self.shared.withdraw()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.workers.stop(&self.shared);
        // Append-only credentials can't, and collectors tidy.
        let _ = self.shared.withdraw();
    }
}

impl SessionName {
    fn new(sid: Sid) -> Self {
        SessionName { sid, heartbeats: 0, undecided: false, ended: false }
    }
}

/// Step 1: the announcement is in the store before anything is listed.
fn announce(repo: &Repository, parents: &[Sid]) -> Result<Sid, Error> {
    let sid = Sid::new(repo.ambient().random());
    let open = Open {
        sid,
        parents: parents.to_vec(),
        host: repo.ambient().host.clone(),
        time: repo.now(),
        program: PROGRAM.to_owned(),
    };
    repo.put_record(&layout::session_open(&sid), &open)?;
    let delay = repo.visibility_delay();
    if delay > Duration::ZERO {
        repo.ambient().clock.sleep(delay);
    }
    Ok(sid)
}

impl Shared {
    fn name(&self) -> MutexGuard<'_, SessionName> {
        self.name.lock().expect("no code panics holding it")
    }

    fn knowledge(&self) -> RwLockReadGuard<'_, Knowledge> {
        self.knowledge.read().expect("no code panics changing it")
    }

    /// Steps 2 to 4: condemned sets, index, packs, and what the parents are good for.
    fn look_around(&self) -> Result<(), Error> {
        // Held to the end: a heartbeat in between would promise that sets were seen which this
        // knowledge lacks, and collectors would delete what the session builds on.
        let mut known = self.knowledge.write().expect("no code panics changing it");
        *known = Knowledge::learn(&self.repo)?;
        self.repo.refresh()?;
        let orphans = known.learn_packs(&self.repo)?;
        let adopted = self.adopt(&orphans)?;
        known.usable.extend(adopted);
        *self.reuse.lock().expect("no code panics holding it") = self.judge(&known)?;
        Ok(())
    }

    fn judge(&self, knowledge: &Knowledge) -> Result<Reuse, Error> {
        if self.parents.is_empty() {
            return Ok(Reuse::No);
        }
        if !knowledge.is_calm(&self.repo) {
            return Ok(Reuse::Test);
        }
        for parent in &self.parents {
            if !knowledge::is_live_root(&self.repo, parent)? {
                return Ok(Reuse::Test);
            }
        }
        Ok(Reuse::Free)
    }

    fn depend(&self, id: &BlobId) -> bool {
        self.rests(id).is_some()
    }

    /// `None`: the blob can't be built on.
    fn rests(&self, id: &BlobId) -> Option<Rests> {
        // Held over both, the decision and its record: a heartbeat must not come between.
        let knowledge = self.knowledge();
        let mut chain = Vec::new();
        if !self.find_usable(&knowledge, id, &mut chain) {
            return None;
        }
        let mut depends = self.depends.lock().expect("no code panics holding it");
        chain.iter().for_each(|copy| {
            depends.insert(copy.number);
        });
        let is_delta = |copy: &&Located| matches!(copy.row.codec, Codec::Delta { .. });
        let deltas = chain.iter().filter(is_delta).count();
        Some(if chain.is_empty() { Rests::OnClaim } else { Rests::OnPacks { deltas } })
    }

    /// The copy of the blob that a delta on it would rest on.
    fn usable_copy(&self, id: &BlobId) -> Option<Located> {
        let mut chain = Vec::new();
        self.find_usable(&self.knowledge(), id, &mut chain);
        (!chain.is_empty()).then(|| chain.swap_remove(0))
    }

    /// The copies that hold the blob and all its bases, in packs that may be used.
    fn find_usable(&self, knowledge: &Knowledge, id: &BlobId, chain: &mut Vec<Located>) -> bool {
        // A base that this session has put anew may be further from a whole blob than it was: an
        // older delta is built on it only if it is whole itself.
        match self.claims.lies(id, 0) {
            Lies::Elsewhere => {}
            _ if chain.is_empty() => return true,
            Lies::Here(row) => return !matches!(row.codec, Codec::Delta { .. }),
            Lies::NotYet => return false,
        }
        if chain.len() > usize::from(DELTA_HOPS_MAX) {
            return false;
        }
        for copy in self.repo.catalog().copies(id) {
            if !knowledge.may_use(copy.number) || knowledge.damage.has(&copy.pack.id, id) {
                continue;
            }
            chain.push(copy);
            let whole = match copy.row.codec {
                Codec::Delta { base, .. } => self.find_usable(knowledge, &base, chain),
                _ => true,
            };
            if whole {
                return true;
            }
            chain.pop();
        }
        false
    }

    /// `hops` deltas lead to this blob already. Bases may be of this session, too.
    fn read_after(&self, kind: BlobKind, id: &BlobId, hops: u8) -> Result<Bytes, Error> {
        if let Some(plain) = self.repo.inner.nodes.get(id) {
            return Ok(plain);
        }
        let bases = |kind, id: &BlobId, hops| self.read_after(kind, id, hops);
        let (cell, row) = match self.claims.claim(id) {
            Some(Claim::Placed(cell, row)) if row.kind == kind => (cell, row),
            Some(Claim::Behind(_, plain)) if kind == BlobKind::Node => return Ok(plain),
            _ => return self.reader.read_after(kind, id, hops, &bases),
        };
        let (pack, sealed) = match cell.sealed(&row) {
            Sealed::Here(salt, sealed) => {
                // A pack that is not stored yet has no name.
                let id = PackId::new([0; 32]);
                (PackInfo { id, salt, size_bytes: 0 }, sealed)
            }
            Sealed::InStore(pack) => (pack, self.reader.sealed(&pack, &row)?),
            Sealed::Lost => return Err(Error::Stopped),
        };
        self.reader.open(&pack, &row, &sealed, hops, &bases)
    }

    fn check_failure(&self) -> Result<(), Error> {
        if !self.failed.load(SeqCst) {
            return Ok(());
        }
        let failure = self.failure.lock().expect("no code panics holding it");
        Err(failure.clone().map_or(Error::Stopped, Error::Before))
    }

    /// Something that was promised to others did not come about: nothing may be committed.
    fn fail(&self, error: Error) {
        let mut failure = self.failure.lock().expect("no code panics holding it");
        failure.get_or_insert_with(|| Arc::new(error));
        self.failed.store(true, SeqCst);
    }
}

impl ReadBlobs for Session {
    type Error = Error;

    fn read(&self, kind: BlobKind, id: &BlobId) -> Result<Bytes, Error> {
        self.shared.read_after(kind, id, 0)
    }

    fn expect(&self, kind: BlobKind, ids: &[BlobId]) {
        self.shared.reader.expect(kind, ids);
    }
}

impl WriteBlobs for Session {
    fn write(&self, kind: BlobKind, plain: &[u8], like: Option<Like>) -> Result<Written, Error> {
        self.shared.write(kind, Plain::Lent(plain), like)
    }

    fn write_given(
        &self,
        kind: BlobKind,
        plain: Bytes,
        like: Option<Like>,
    ) -> Result<Written, Error> {
        self.shared.write(kind, Plain::Given(plain), like)
    }
}

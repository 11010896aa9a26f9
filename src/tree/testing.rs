//! Blobs in memory, stored as a repository stores them, with every read and write counted.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use zstd::zstd_safe::DCtx;

use crate::{
    id::{BlobId, BlobKind},
    repo::{
        Like, ReadBlobs, WriteBlobs, Written,
        delta::{Step, choose_base, is_worth_it},
    },
    seal::{Compression, with_squeezer},
};

const LEVEL: Compression = Compression::Fastest;

/// What a blob takes beside its squeezed bytes: the seal's tag, a row in its pack's table, and the
/// same row in the index. A delta's rows name its base.
const WHOLE_ROW_BYTES: u64 = 16 + 2 * 41;
const DELTA_ROW_BYTES: u64 = 16 + 2 * 75;

/// What was done since the counters were last taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub nodes_read: u64,
    pub chunks_read: u64,
    /// Ranges that a cold reader would ask a store for: one for each blob of a delta's chain.
    pub ranges_read: u64,
    pub nodes_written: u64,
    pub chunks_written: u64,
    /// Writes of blobs that were there.
    pub known: u64,
    pub deltas_written: u64,
    pub plain_bytes_written: u64,
    pub squeezed_bytes_written: u64,
    /// Of these, those of inner nodes.
    pub inner_bytes_written: u64,
    pub row_bytes_written: u64,
}

impl Counts {
    pub fn stored_bytes(&self) -> u64 {
        self.squeezed_bytes_written + self.row_bytes_written
    }
}

/// A store of blobs for tests and benches, with real zstd, real deltas and no seal.
#[derive(Default)]
pub struct RecordingBlobs {
    blobs: Mutex<HashMap<BlobId, Stored>>,
    counts: Mutex<Counts>,
    hops_seen: AtomicU64,
}

#[derive(Clone)]
struct Stored {
    kind: BlobKind,
    squeezed: Bytes,
    plain_bytes: usize,
    base: Option<BlobId>,
    generation: u16,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no {kind:?} {id}")]
pub struct Missing {
    pub kind: BlobKind,
    pub id: BlobId,
}

impl RecordingBlobs {
    /// What happened since this was last called.
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut *self.counts.lock().expect("no panic while counting"))
    }

    /// The longest chain of deltas read so far.
    pub fn hops_seen(&self) -> u64 {
        self.hops_seen.load(Relaxed)
    }

    pub fn is_delta(&self, id: &BlobId) -> bool {
        self.stored().get(id).is_some_and(|stored| stored.base.is_some())
    }

    pub fn len(&self) -> usize {
        self.stored().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts other bytes under an id: a repository that lies.
    pub fn plant(&self, kind: BlobKind, id: BlobId, plain: &[u8]) {
        let squeezed = squeeze(plain);
        let stored = Stored { kind, squeezed, plain_bytes: plain.len(), base: None, generation: 0 };
        self.stored().insert(id, stored);
    }

    fn stored(&self) -> MutexGuard<'_, HashMap<BlobId, Stored>> {
        self.blobs.lock().expect("no panic while storing")
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().expect("no panic while counting"));
    }

    /// The blob and what it is made of, newest first.
    fn chain(&self, id: &BlobId) -> Vec<(BlobId, Stored)> {
        let blobs = self.stored();
        let mut chain = Vec::new();
        let mut next = Some(*id);
        while let Some(id) = next {
            let Some(stored) = blobs.get(&id) else { break };
            next = stored.base;
            chain.push((id, stored.clone()));
        }
        chain
    }

    fn unsqueeze(&self, chain: &[(BlobId, Stored)]) -> Bytes {
        let mut plain = Bytes::new();
        for (_, stored) in chain.iter().rev() {
            let prefix = stored.base.map(|_| &plain[..]);
            plain = unsqueeze(&stored.squeezed, prefix, stored.plain_bytes);
        }
        plain
    }

    fn store(&self, kind: BlobKind, plain: &[u8], like: Option<Like>) -> Stored {
        let plain_bytes = plain.len();
        if let Some(like) = like {
            let chain = self.chain(&like.id);
            let steps: Vec<_> =
                chain.iter().map(|(id, at)| Step { id: *id, generation: at.generation }).collect();
            if let Some(base) = choose_base(&steps, like.max_hops) {
                let from = chain.iter().position(|(id, _)| *id == base.id).expect("of the chain");
                let base_plain = self.unsqueeze(&chain[from..]);
                let whole = &chain.last().expect("it has the base").1;
                if let Some(squeezed) = squeeze_delta(plain, &base_plain)
                    && is_worth_it(squeezed.len(), whole.squeezed.len())
                {
                    let base_id = Some(base.id);
                    let generation = base.generation;
                    return Stored { kind, squeezed, plain_bytes, base: base_id, generation };
                }
            }
        }
        let squeezed = squeeze(plain);
        Stored { kind, squeezed, plain_bytes, base: None, generation: 0 }
    }
}

impl ReadBlobs for RecordingBlobs {
    type Error = Missing;

    fn read(&self, kind: BlobKind, id: &BlobId) -> Result<Bytes, Missing> {
        let chain = self.chain(id);
        if chain.first().is_none_or(|(_, stored)| stored.kind != kind) {
            return Err(Missing { kind, id: *id });
        }
        self.hops_seen.fetch_max(chain.len() as u64 - 1, Relaxed);
        self.count(|counts| {
            match kind {
                BlobKind::Node => counts.nodes_read += 1,
                BlobKind::Chunk => counts.chunks_read += 1,
            }
            counts.ranges_read += chain.len() as u64;
        });
        Ok(self.unsqueeze(&chain))
    }
}

impl WriteBlobs for RecordingBlobs {
    fn write(&self, kind: BlobKind, plain: &[u8], like: Option<Like>) -> Result<Written, Missing> {
        let mut hasher = blake3::Hasher::new_keyed(&[42; 32]);
        hasher.update(&[kind as u8]).update(plain);
        let id = BlobId::new(*hasher.finalize().as_bytes());
        if self.stored().contains_key(&id) {
            self.count(|counts| counts.known += 1);
            return Ok(Written { id, new: false });
        }
        let stored = self.store(kind, plain, like);
        let squeezed_bytes = stored.squeezed.len() as u64;
        let is_delta = stored.base.is_some();
        let row_bytes = if is_delta { DELTA_ROW_BYTES } else { WHOLE_ROW_BYTES };
        self.stored().insert(id, stored);
        self.count(|counts| {
            match kind {
                BlobKind::Node => counts.nodes_written += 1,
                BlobKind::Chunk => counts.chunks_written += 1,
            }
            counts.deltas_written += u64::from(is_delta);
            counts.plain_bytes_written += plain.len() as u64;
            counts.squeezed_bytes_written += squeezed_bytes;
            counts.row_bytes_written += row_bytes;
            // A node's second byte is its level.
            let is_inner = kind == BlobKind::Node && plain.get(1).is_some_and(|&level| level > 0);
            counts.inner_bytes_written += if is_inner { squeezed_bytes } else { 0 };
        });
        Ok(Written { id, new: true })
    }
}

fn squeeze(plain: &[u8]) -> Bytes {
    with_squeezer(|squeezer| Bytes::copy_from_slice(squeezer.squeeze(plain, LEVEL).1))
}

/// `None`: too much differs.
fn squeeze_delta(plain: &[u8], base: &[u8]) -> Option<Bytes> {
    with_squeezer(|squeezer| squeezer.squeeze_delta(plain, base, LEVEL).map(Bytes::copy_from_slice))
}

thread_local! {
    static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

fn unsqueeze(squeezed: &Bytes, base: Option<&[u8]>, plain_bytes: usize) -> Bytes {
    if squeezed.len() == plain_bytes {
        return squeezed.clone();
    }
    let mut out = Vec::with_capacity(plain_bytes);
    CONTEXT.with_borrow_mut(|context| {
        match base {
            None => context.decompress(&mut out, squeezed),
            Some(base) => context.decompress_using_dict(&mut out, squeezed, base),
        }
        .expect("it was squeezed here")
    });
    out.into()
}

//! The blobs that a session has taken upon itself to store, until the index has them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use bytes::Bytes;
use hashbrown::{HashMap, hash_map::Entry};

use super::cell::PackCell;
use crate::{id::BlobId, seal::Row};

const SHARDS: usize = 64;

/// What became of a claimed blob so far.
#[derive(Clone)]
pub(super) enum Claim {
    /// A thread is squeezing it.
    Reserved,
    /// It waits in the line of nodes under this number, or is being squeezed; its plain bytes.
    Behind(u64, Bytes),
    Placed(Arc<PackCell>, Row),
}

/// Where a blob lies that is claimed or not.
pub(super) enum Lies {
    /// The session knows nothing of it.
    Elsewhere,
    /// Claimed, and nobody can say yet how it will be stored.
    NotYet,
    Here(Row),
}

/// Two threads never store one blob twice: the first to claim it does.
pub(super) struct Claims {
    shards: Vec<Shard>,
}

#[derive(Default)]
struct Shard {
    claims: Mutex<HashMap<BlobId, Claim>>,
    changed: Condvar,
}

impl Claims {
    pub fn new() -> Self {
        Claims { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    fn shard(&self, id: &BlobId) -> &Shard {
        &self.shards[usize::from(id.bytes()[31]) % SHARDS]
    }

    /// False: somebody has it already. `claim` is `Reserved` or `Behind`.
    pub fn reserve(&self, id: &BlobId, claim: Claim) -> bool {
        match self.shard(id).lock().entry(*id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(claim);
                true
            }
        }
    }

    pub fn place(&self, cell: &Arc<PackCell>, row: &Row) {
        let shard = self.shard(&row.id);
        shard.lock().insert(row.id, Claim::Placed(cell.clone(), *row));
        shard.changed.notify_all();
    }

    /// The blob is not stored, or the catalog knows it now.
    pub fn release(&self, id: &BlobId) {
        let shard = self.shard(id);
        shard.lock().remove(id);
        shard.changed.notify_all();
    }

    /// Where the blob lies. Waits for one that stands in line before `number`, and for no other:
    /// of two that wait for one another in turn, one has to go first.
    pub fn lies(&self, id: &BlobId, number: u64) -> Lies {
        let shard = self.shard(id);
        let mut claims = shard.lock();
        loop {
            match claims.get(id) {
                None => return Lies::Elsewhere,
                Some(Claim::Placed(_, row)) => return Lies::Here(*row),
                Some(Claim::Behind(before, _)) if *before < number => {
                    claims = shard.changed.wait(claims).expect("no code panics holding it");
                }
                Some(Claim::Reserved | Claim::Behind(..)) => return Lies::NotYet,
            }
        }
    }

    /// The blob's bytes or where they are; waits while a chunk is being squeezed.
    pub fn claim(&self, id: &BlobId) -> Option<Claim> {
        let shard = self.shard(id);
        let mut claims = shard.lock();
        loop {
            match claims.get(id)? {
                Claim::Reserved => {
                    claims = shard.changed.wait(claims).expect("no code panics holding it");
                }
                claim => return Some(claim.clone()),
            }
        }
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, HashMap<BlobId, Claim>> {
        self.claims.lock().expect("no code panics holding it")
    }
}

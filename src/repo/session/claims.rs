//! The blobs that a session has taken upon itself to store, until the index has them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use hashbrown::{HashMap, hash_map::Entry};

use super::cell::PackCell;
use crate::{id::BlobId, seal::Row};

const SHARDS: usize = 64;

/// What became of a claimed blob so far.
#[derive(Clone)]
pub(super) enum Claim {
    /// A thread is squeezing it.
    Reserved,
    Placed(Arc<PackCell>, Row),
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

    pub fn has(&self, id: &BlobId) -> bool {
        self.shard(id).lock().contains_key(id)
    }

    /// False: somebody has it already.
    pub fn reserve(&self, id: &BlobId) -> bool {
        match self.shard(id).lock().entry(*id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(Claim::Reserved);
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

    /// What is known of the blob without waiting.
    pub fn placed_by_now(&self, id: &BlobId) -> Option<Row> {
        match self.shard(id).lock().get(id)? {
            Claim::Placed(_, row) => Some(*row),
            Claim::Reserved => None,
        }
    }

    /// Where the blob is; waits while it is being squeezed.
    pub fn placed(&self, id: &BlobId) -> Option<(Arc<PackCell>, Row)> {
        let shard = self.shard(id);
        let mut claims = shard.lock();
        loop {
            match claims.get(id)? {
                Claim::Placed(cell, row) => return Some((cell.clone(), *row)),
                Claim::Reserved => {
                    claims = shard.changed.wait(claims).expect("no code panics holding it");
                }
            }
        }
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, HashMap<BlobId, Claim>> {
        self.claims.lock().expect("no code panics holding it")
    }
}

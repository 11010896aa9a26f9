//! Nodes that are named and not yet stored: whoever builds a tree goes on while they are squeezed.
//!
//! They stand in one line. Several threads squeeze them, each the next in line; into the pack they
//! go in the order of the line, so that a tree's nodes lie in the order of its keys, and the same
//! writes make the same packs.

use std::{
    collections::VecDeque,
    panic,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::Ordering::{Relaxed, SeqCst},
    },
};

use bytes::Bytes;

use super::{Shared, claims::Claim, place::Blob};
use crate::{
    id::{BlobId, BlobKind},
    limits::BEHIND_MAX_BYTES,
    repo::{Error, Like},
};

pub(super) const SQUEEZERS: usize = 2;

/// The line.
#[derive(Default)]
pub(super) struct Behind {
    line: Mutex<Line>,
    /// Something came into the line, or nothing will any more.
    came: Condvar,
    /// The first in line has left it.
    moved: Condvar,
}

#[derive(Default)]
struct Line {
    /// Those that no thread has taken yet.
    waiting: VecDeque<Job>,
    /// The number of the next one to come.
    next: u64,
    /// All below have left.
    first: u64,
    /// Plain bytes of all that have come and not left.
    bytes: usize,
    closed: bool,
}

pub(super) struct Job {
    number: u64,
    id: BlobId,
    plain: Bytes,
    like: Option<Like>,
    /// For a pack that begins with this blob: drawn by the writer, so that what is drawn when does
    /// not hang on which thread is faster.
    random: [u8; 32],
}

impl Behind {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().expect("no code panics holding it")
    }

    /// Waits until there is room for `bytes` more, if there ever is to be.
    fn wait_for_room(&self, bytes: usize) -> MutexGuard<'_, Line> {
        let full = |line: &mut Line| line.bytes > 0 && line.bytes + bytes > BEHIND_MAX_BYTES;
        self.moved.wait_while(self.lock(), full).expect("no code panics holding it")
    }

    /// The next in line; `None` when there will be no more.
    fn take(&self) -> Option<Job> {
        let idle = |line: &mut Line| line.waiting.is_empty() && !line.closed;
        let mut line = self.came.wait_while(self.lock(), idle).expect("no code panics holding it");
        line.waiting.pop_front()
    }

    /// Returns when all below `number` have left the line.
    pub fn wait_for(&self, number: u64) {
        let early = |line: &mut Line| line.first < number;
        drop(self.moved.wait_while(self.lock(), early).expect("no code panics holding it"));
    }

    fn leave(&self, job: &Job) {
        self.wait_for(job.number);
        let mut line = self.lock();
        line.first += 1;
        line.bytes -= job.plain.len();
        drop(line);
        self.moved.notify_all();
    }

    /// Returns when everything that is in line now has left it.
    pub fn wait_until_placed(&self) {
        let next = self.lock().next;
        self.wait_for(next);
    }

    /// Nothing more comes, and what waits is dropped.
    pub fn close(&self) {
        let mut line = self.lock();
        line.closed = true;
        let dropped = std::mem::take(&mut line.waiting);
        drop(line);
        drop(dropped);
        self.came.notify_all();
    }
}

impl Shared {
    /// Claims a node and puts it in line. False: somebody has claimed it already.
    pub(super) fn write_behind(&self, id: &BlobId, plain: Bytes, like: Option<Like>) -> bool {
        let random = self.repo.ambient().random();
        let mut line = self.behind.wait_for_room(plain.len());
        let number = line.next;
        // Numbered and claimed in one step: a thread never waits for one behind it in line.
        if !self.claims.reserve(id, Claim::Behind(number, plain.clone())) {
            return false;
        }
        line.next += 1;
        line.bytes += plain.len();
        line.waiting.push_back(Job { number, id: *id, plain, like, random });
        drop(line);
        self.behind.came.notify_one();
        true
    }

    /// A squeezing thread's life. After a failure nodes are still taken, and dropped, so that
    /// nobody waits for ever.
    pub(super) fn squeeze_all(&self) {
        while let Some(job) = self.behind.take() {
            let store =
                || if self.failed.load(SeqCst) { Err(Error::Stopped) } else { self.squeeze(&job) };
            // A panic here would leave writers waiting for ever.
            let stored = panic::catch_unwind(panic::AssertUnwindSafe(store));
            if let Err(error) = stored.unwrap_or(Err(Error::Stopped)) {
                self.fail(error);
                self.claims.release(&job.id);
            }
            self.behind.leave(&job);
        }
    }

    fn squeeze(&self, job: &Job) -> Result<(), Error> {
        let Job { number, id, plain, like, random } = job;
        let turn = Some((*number, *random));
        let blob = Blob { kind: BlobKind::Node, id: *id, plain, like: *like, turn };
        let stored_bytes = self.store(&blob)?;
        self.counters.bytes_added_packed.fetch_add(u64::from(stored_bytes), Relaxed);
        Ok(())
    }
}

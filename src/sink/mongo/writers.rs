//! Writing many documents into one collection, by several threads, in batches.

mod batch;
mod crew;
mod report;

use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam_channel::{Sender, bounded};

pub use self::report::{Failure, Failures, Report};
use self::{
    batch::{Batch, Kind},
    crew::Crew,
};
use super::Error;
use crate::{
    document::namespace::Namespace,
    limits::{RESTORE_BATCH_BYTES, RESTORE_BATCH_DOCUMENTS, RESTORE_ROUNDS_MAX},
    mongo::Link,
};

/// One document's way into the collection. Each `_id` occurs once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// It is not there.
    Insert { document: Bytes },
    /// It takes the place of `was`, which must still be there as it was seen.
    Replace { document: Bytes, was: Bytes },
    /// It goes, if it is still there as it was seen.
    Remove { was: Bytes },
}

impl Op {
    /// The document that it is about: the new one, or the one that goes.
    pub fn document(&self) -> &Bytes {
        match self {
            Op::Insert { document } | Op::Replace { document, .. } => document,
            Op::Remove { was } => was,
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Op::Replace { document, was } => document.len() + was.len(),
            other => other.document().len(),
        }
    }

    /// Nothing larger, of which its documents are parts, stays in memory for it.
    fn copied(&self) -> Op {
        let copied = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        match self {
            Op::Insert { document } => Op::Insert { document: copied(document) },
            Op::Replace { document, was } => {
                Op::Replace { document: copied(document), was: copied(was) }
            }
            Op::Remove { was } => Op::Remove { was: copied(was) },
        }
    }
}

/// In what order the documents must come to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they were pushed: one thread, and the first that fails ends it.
    Kept,
    Any,
}

/// Takes operations; `finish` waits for all of them.
pub struct Writers {
    crew: std::sync::Arc<Crew>,
    send: Option<Sender<Batch>>,
    threads: Vec<JoinHandle<()>>,
    /// What waits to be full, by kind.
    pending: [Batch; 3],
}

impl Writers {
    /// `threads` at least 1; an order that is kept needs no more.
    pub fn start(link: &Link, place: &Namespace, order: Order, threads: usize) -> Writers {
        let threads = if order == Order::Kept { 1 } else { threads.max(1) };
        let crew = std::sync::Arc::new(Crew::new(link.clone(), place.clone(), order));
        let (send, batches) = bounded::<Batch>(threads);
        let run = |_| {
            let (crew, batches) = (crew.clone(), batches.clone());
            std::thread::spawn(move || batches.iter().for_each(|batch| crew.write(batch)))
        };
        let threads = (0..threads).map(run).collect();
        let pending = [Kind::Insert, Kind::Replace, Kind::Remove].map(Batch::new);
        Writers { crew, send: Some(send), threads, pending }
    }

    /// Whether one failed in an order that is kept: what follows is counted as failed, too.
    pub fn is_broken(&self) -> bool {
        self.crew.is_broken()
    }

    /// Takes one more. An error is the collection's: nothing more can be written.
    pub fn push(&mut self, op: Op) -> Result<(), Error> {
        if self.crew.is_broken() {
            self.crew.failed(&op, crew::BROKEN);
            return self.crew.result();
        }
        let kind = Kind::of(&op);
        let bytes = op.bytes();
        let batch = &self.pending[kind as usize];
        if !batch.ops.is_empty() && batch.bytes + bytes > RESTORE_BATCH_BYTES {
            self.flush(kind)?;
        }
        let batch = &mut self.pending[kind as usize];
        batch.bytes += bytes;
        batch.ops.push(op);
        if batch.ops.len() >= RESTORE_BATCH_DOCUMENTS {
            self.flush(kind)?;
        }
        Ok(())
    }

    fn flush(&mut self, kind: Kind) -> Result<(), Error> {
        self.crew.result()?;
        let batch = std::mem::replace(&mut self.pending[kind as usize], Batch::new(kind));
        if !batch.ops.is_empty() {
            let send = self.send.as_ref().expect("it is there until the end");
            send.send(batch).expect("threads stay until the sender is gone");
        }
        Ok(())
    }

    /// Everything was tried on return. What failed because another document had the same unique
    /// key is tried again, for that one may have changed meanwhile as well.
    pub fn finish(mut self) -> Result<Report, Error> {
        for kind in [Kind::Remove, Kind::Replace, Kind::Insert] {
            self.flush(kind)?;
        }
        self.join();
        for _ in 0..RESTORE_ROUNDS_MAX {
            self.crew.result()?;
            if !self.crew.try_failed_again() {
                break;
            }
        }
        self.crew.result()?;
        Ok(self.crew.take_report())
    }

    fn join(&mut self) {
        self.send = None;
        for thread in self.threads.drain(..) {
            thread.join().expect("a writer does not panic");
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.crew.give_up();
        self.send = None;
        for thread in self.threads.drain(..) {
            // Whoever drops it has an error to tell already.
            let _ = thread.join();
        }
    }
}

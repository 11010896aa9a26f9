//! Two kinds of work for the same few threads: batches of entries, and the chunks of large files.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select_biased, unbounded};

use crate::{
    buffers::{Buffer, Buffers},
    id::{BlobId, BlobKind},
    limits,
    repo::{WriteBlobs, Written},
};

/// How long a thread waits for a chunk before it asks whether any will come.
const PATIENCE: Duration = Duration::from_millis(5);

/// A chunk of a large file, cut by one thread and stored by whichever is free.
struct ChunkJob<E> {
    number: u64,
    plain: Buffer,
    done: Sender<Done<E>>,
    answered: bool,
}

impl<E> ChunkJob<E> {
    fn answer(&mut self, answer: Option<Result<Written, E>>) {
        self.answered = true;
        // The cutter may have left after an error of another chunk; then nobody wants to know.
        let _ = self.done.send((self.number, answer));
    }
}

/// A thread that panics with a chunk in hand lets it go: its cutter would wait for it for ever.
impl<E> Drop for ChunkJob<E> {
    fn drop(&mut self) {
        if !self.answered {
            self.answer(None);
        }
    }
}

/// Where a thread that cuts a large file leaves its chunks for others.
pub(super) struct Chunks<E> {
    give: Sender<ChunkJob<E>>,
    take: Receiver<ChunkJob<E>>,
    /// Batches handed out and not finished: while there are any, chunks may still come.
    running: AtomicUsize,
    buffers: Buffers,
}

impl<E> Chunks<E> {
    pub(super) fn new() -> Self {
        let (give, take) = bounded(limits::CHUNKS_WAITING_MAX);
        Chunks {
            give,
            take,
            running: AtomicUsize::new(0),
            buffers: Buffers::new(limits::CHUNKS_SPARE_BYTES),
        }
    }

    /// A copy that can be handed over.
    pub(super) fn copy(&self, chunk: &[u8]) -> Buffer {
        let mut copy = self.buffers.take(chunk.len());
        copy.extend_from_slice(chunk);
        copy
    }

    /// To be sent along with a batch to the threads that `work`.
    pub(super) fn announce_batch(&self) -> Announced<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        Announced { running: &self.running }
    }

    /// Runs batches until `batches` is closed and every batch has ended. Chunks come first, so
    /// that a large file does not wait behind small ones.
    pub(super) fn work<W, B>(
        &self,
        writer: &W,
        batches: &Receiver<(B, Announced<'_>)>,
        mut run: impl FnMut(B),
    ) where
        W: WriteBlobs<Error = E>,
    {
        loop {
            select_biased! {
                recv(self.take) -> job => {
                    if let Ok(job) = job {
                        store(writer, job);
                    }
                }
                recv(batches) -> batch => match batch {
                    Ok((batch, _announced)) => run(batch),
                    Err(_) => break,
                }
            }
        }
        self.help(writer);
    }

    /// Stores chunks as long as any announced batch has not ended.
    pub(super) fn help<W: WriteBlobs<Error = E>>(&self, writer: &W) {
        while self.running.load(Ordering::SeqCst) > 0 {
            if let Ok(job) = self.take.recv_timeout(PATIENCE) {
                store(writer, job);
            }
        }
    }
}

/// A batch that has not ended. However it ends, this is dropped: else threads would wait for its
/// chunks for ever.
pub(super) struct Announced<'a> {
    running: &'a AtomicUsize,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn store<W: WriteBlobs>(writer: &W, mut job: ChunkJob<W::Error>) {
    let written = writer.write(BlobKind::Chunk, &job.plain, None);
    job.answer(Some(written));
}

/// A chunk's number, and what became of it; `None`: the thread that had it panicked.
type Done<E> = (u64, Option<Result<Written, E>>);

/// The chunks of one large file on their way: stored in any order, given back in the file's.
pub(super) struct InOrder<'a, W: WriteBlobs> {
    writer: &'a W,
    chunks: &'a Chunks<W::Error>,
    done: (Sender<Done<W::Error>>, Receiver<Done<W::Error>>),
    /// From the oldest chunk that is not given back yet.
    waiting: VecDeque<(u64, Option<BlobId>)>,
    oldest: u64,
}

impl<'a, W: WriteBlobs> InOrder<'a, W> {
    pub(super) fn new(writer: &'a W, chunks: &'a Chunks<W::Error>) -> Self {
        let waiting = VecDeque::with_capacity(limits::CHUNKS_IN_FLIGHT_MAX);
        InOrder { writer, chunks, done: unbounded(), waiting, oldest: 0 }
    }

    /// Hands a chunk over, or stores it here when the others are busy. Returns at once unless too
    /// many are in flight.
    pub(super) fn push(&mut self, plain: Buffer) -> Result<(), W::Error> {
        while self.waiting.len() >= limits::CHUNKS_IN_FLIGHT_MAX && self.waiting[0].1.is_none() {
            self.help_or_wait()?;
        }
        let number = self.oldest + self.waiting.len() as u64;
        self.waiting.push_back((plain.len() as u64, None));
        let job = ChunkJob { number, plain, done: self.done.0.clone(), answered: false };
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
            self.chunks.give.try_send(job)
        {
            store(self.writer, job);
        }
        Ok(())
    }

    /// The oldest chunk's id and length, if it is stored.
    pub(super) fn pop(&mut self) -> Result<Option<(BlobId, u64)>, W::Error> {
        while let Ok(done) = self.done.1.try_recv() {
            self.note(done)?;
        }
        match self.waiting.front() {
            Some(&(len, Some(id))) => {
                self.waiting.pop_front();
                self.oldest += 1;
                Ok(Some((id, len)))
            }
            _ => Ok(None),
        }
    }

    /// The oldest chunk's id and length, waited for; `None` when all are given back.
    pub(super) fn pop_waiting(&mut self) -> Result<Option<(BlobId, u64)>, W::Error> {
        loop {
            if let Some(piece) = self.pop()? {
                return Ok(Some(piece));
            }
            if self.waiting.is_empty() {
                return Ok(None);
            }
            self.help_or_wait()?;
        }
    }

    // Our chunks may lie in the queue while every other thread waits as we do: so take from the
    // queue first. When it is empty, somebody is at work on each of ours.
    fn help_or_wait(&mut self) -> Result<(), W::Error> {
        if let Ok(job) = self.chunks.take.try_recv() {
            store(self.writer, job);
        } else if let Ok(done) = self.done.1.recv() {
            self.note(done)?;
        }
        Ok(())
    }

    fn note(&mut self, (number, written): Done<W::Error>) -> Result<(), W::Error> {
        let written = written.expect("a thread that stores chunks does not panic")?;
        let place = (number - self.oldest) as usize;
        self.waiting[place].1 = Some(written.id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        panic::{AssertUnwindSafe, catch_unwind},
        thread,
    };

    use bytes::Bytes;

    use super::*;
    use crate::repo::{Like, ReadBlobs};

    struct Panics;

    impl ReadBlobs for Panics {
        type Error = Infallible;

        fn read(&self, _: BlobKind, _: &BlobId) -> Result<Bytes, Infallible> {
            panic!("nothing is read")
        }
    }

    impl WriteBlobs for Panics {
        fn write(&self, _: BlobKind, _: &[u8], _: Option<Like>) -> Result<Written, Infallible> {
            panic!("as a defect would");
        }
    }

    #[test]
    fn nobody_waits_for_a_chunk_whose_thread_panicked() {
        let chunks = Chunks::new();
        let mut cut = InOrder::new(&Panics, &chunks);
        cut.push(chunks.copy(b"chunk")).unwrap();
        let job = chunks.take.recv().unwrap();
        let stored = thread::scope(|scope| scope.spawn(|| store(&Panics, job)).join());
        assert!(stored.is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| cut.pop_waiting())).is_err(), "and no wait");
    }
}

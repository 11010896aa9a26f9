//! Files into a tree: the walk beside the previous tree, a few threads that store what is new.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    Counts, Error,
    pool::{Announced, Chunks},
    previous::Previous,
    worker::{Batch, Done, Item, Worker},
};
use crate::{
    chunk::Cutter,
    format::entry::StatKey,
    limits,
    progress::Progress,
    repo::WriteBlobs,
    source::{
        self,
        files::{Found, Names},
    },
    tree::{Merger, Root, Splitter},
};

/// How long the walk waits for a permit before it asks whether the run has failed.
const PATIENCE: Duration = Duration::from_millis(50);

/// What the threads of one run share.
pub(super) struct Run<'a, W: WriteBlobs> {
    pub writer: &'a W,
    pub cutter: &'a Cutter,
    pub splitter: Splitter,
    pub progress: &'a Progress,
    /// Read every file, whatever the previous tree says of it.
    pub force: bool,
    pub names: Names,
    threads: usize,
    /// Set when some thread has failed: the others end what they are at.
    failed: AtomicBool,
    failure: Mutex<Option<Error<W::Error>>>,
}

impl<'a, W: WriteBlobs> Run<'a, W> {
    pub(super) fn new(
        writer: &'a W,
        cutter: &'a Cutter,
        splitter: Splitter,
        progress: &'a Progress,
        force: bool,
    ) -> Self {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        Run {
            writer,
            cutter,
            splitter,
            progress,
            force,
            names: Names::default(),
            threads,
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// The tree of what `walk` finds, made from `old`; memory does not grow with either.
    pub(super) fn merge(
        &self,
        walk: impl Iterator<Item = Result<Found, source::Trouble>>,
        old: Option<Root>,
    ) -> Result<(Root, Counts), Error<W::Error>> {
        let chunks = Chunks::new();
        let (give_batch, batches) = bounded(limits::BATCHES_IN_FLIGHT_MAX);
        let (give_done, done) = bounded::<Done>(limits::BATCHES_IN_FLIGHT_MAX);
        // A permit is taken for a batch and given back when the tree has it.
        let (give_permit, permits) = bounded::<()>(limits::BATCHES_IN_FLIGHT_MAX);
        thread::scope(|scope| {
            for _ in 0..self.threads {
                let (batches, give_done, chunks) = (batches.clone(), give_done.clone(), &chunks);
                scope.spawn(move || self.work(chunks, &batches, &give_done));
            }
            drop((batches, give_done));
            let tree = scope.spawn(move || {
                self.build(old, &done, &permits).map_err(|error| {
                    self.fail(error);
                    Error::Stopped
                })
            });
            let previous = match old {
                Some(old) => Previous::read(scope, self.writer, old),
                None => Previous::none(),
            };
            let mut feeder = Feeder {
                run: self,
                chunks: &chunks,
                give_batch,
                give_permit,
                batch: Batch::default(),
                counts: Counts::default(),
            };
            let fed = feeder.feed(walk, previous);
            let Feeder { counts, give_batch, .. } = feeder;
            if let Err(error) = fed {
                self.fail(error);
            }
            drop(give_batch);
            let built = tree.join().expect("the tree's thread does not panic");
            match self.failure.lock().expect("no thread panics while it holds this").take() {
                Some(error) => Err(error),
                None => built.map(|(root, stored)| (root, counts + stored)),
            }
        })
    }

    fn work(
        &self,
        chunks: &Chunks<W::Error>,
        batches: &Receiver<(Batch, Announced<'_>)>,
        done: &Sender<Done>,
    ) {
        let _fails = FailsOnPanic(&self.failed);
        let mut worker = Worker::new(self, chunks);
        chunks.work(self.writer, batches, |batch| {
            if self.has_failed() {
                return;
            }
            match worker.store(batch) {
                // The tree's thread ends early only when the run has failed.
                Ok(ready) => drop(done.send(ready)),
                Err(error) => self.fail(error),
            }
        });
    }

    /// Batches end in any order; the tree takes them in the order of their keys.
    fn build(
        &self,
        old: Option<Root>,
        done: &Receiver<Done>,
        permits: &Receiver<()>,
    ) -> Result<(Root, Counts), Error<W::Error>> {
        let mut merger = Merger::new(self.writer, self.splitter, old);
        let (mut early, mut next, mut counts) = (BTreeMap::new(), 0, Counts::default());
        for batch in done {
            early.insert(batch.number, batch);
            while let Some(batch) = early.remove(&next) {
                for (key, value) in &batch.changes {
                    let merged = match value {
                        Some(value) => merger.put(key, value),
                        None => merger.delete(key),
                    };
                    merged?;
                }
                counts = counts + batch.counts;
                next += 1;
                let _ = permits.try_recv();
            }
        }
        if self.has_failed() {
            return Err(Error::Stopped);
        }
        Ok((merger.finish()?, counts))
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// The first error is the one that is told.
    fn fail(&self, error: Error<W::Error>) {
        self.failed.store(true, Relaxed);
        self.failure.lock().expect("no thread panics while it holds this").get_or_insert(error);
    }
}

/// A thread that panics tells the others to stop, or they would wait for its batch.
struct FailsOnPanic<'r>(&'r AtomicBool);

impl Drop for FailsOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Relaxed);
        }
    }
}

/// Compares and hands out; runs on the caller's thread.
struct Feeder<'r, 'a, W: WriteBlobs> {
    run: &'r Run<'a, W>,
    chunks: &'r Chunks<W::Error>,
    give_batch: Sender<(Batch, Announced<'r>)>,
    give_permit: Sender<()>,
    batch: Batch,
    counts: Counts,
}

impl<W: WriteBlobs> Feeder<'_, '_, W> {
    fn feed(
        &mut self,
        walk: impl Iterator<Item = Result<Found, source::Trouble>>,
        mut previous: Previous<W::Error>,
    ) -> Result<(), Error<W::Error>> {
        for found in walk {
            let found = match found {
                Ok(found) => found,
                Err(trouble) => {
                    self.run.progress.trouble(trouble.into());
                    continue;
                }
            };
            if self.run.has_failed() {
                return Ok(());
            }
            if self.run.progress.is_cancelled() {
                return Err(Error::Cancelled);
            }
            while let Some(key) = previous.next_below(Some(&found.key))? {
                self.add(Item::Gone(key), 0)?;
            }
            let was = previous.at(&found.key)?;
            self.judge(found, was)?;
        }
        while let Some(key) = previous.next_below(None)? {
            self.add(Item::Gone(key), 0)?;
        }
        self.send()
    }

    fn judge(&mut self, found: Found, was: Option<StatKey>) -> Result<(), Error<W::Error>> {
        let bytes = if found.is_file() { found.stat.size } else { 0 };
        // The times of a directory above the roots move with what nobody asked for.
        let now = StatKey::of(&found.stat);
        let is_same = |was: &StatKey| match found.passage {
            true => was.is_same_but_for_content(&now),
            false => *was == now,
        };
        if !self.run.force && was.as_ref().is_some_and(is_same) {
            self.counts.unmodified(found.stat.file_type, bytes);
            self.run.progress.done(1, bytes);
            return Ok(());
        }
        self.add(Item::Fresh { found: Box::new(found), is_known: was.is_some() }, bytes)
    }

    fn add(&mut self, item: Item, bytes: u64) -> Result<(), Error<W::Error>> {
        let full = self.batch.items.len() >= limits::BATCH_ENTRIES_MAX
            || self.batch.bytes + bytes > limits::BATCH_BYTES_MAX;
        if full && !self.batch.items.is_empty() {
            self.send()?;
        }
        self.batch.items.push(item);
        self.batch.bytes += bytes;
        Ok(())
    }

    fn send(&mut self) -> Result<(), Error<W::Error>> {
        let number = self.batch.number;
        let batch = std::mem::replace(&mut self.batch, Batch::numbered(number + 1));
        // A batch that failed never reaches the tree, so its permit is never given back.
        while let Err(error) = self.give_permit.send_timeout((), PATIENCE) {
            if error.is_disconnected() || self.run.has_failed() {
                return Err(Error::Stopped);
            }
        }
        let announced = self.chunks.announce_batch();
        self.give_batch.send((batch, announced)).map_err(|_| Error::Stopped)
    }
}

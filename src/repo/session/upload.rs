//! Full packs on their way into the store, and the index segments that name them.

use std::{
    panic,
    sync::{
        Arc, Condvar, Mutex,
        atomic::Ordering::{Relaxed, SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};

use super::{Shared, behind::SQUEEZERS, cell::PackCell};
use crate::{
    format::{
        index::{self, Segment},
        pack::{self, PackTable},
    },
    id::BlobKind,
    limits::{INDEX_FLUSH_PACKS, INDEX_FLUSH_ROWS, INDEX_FLUSH_SECONDS, PACKS_HELD_MAX},
    repo::{
        Error,
        catalog::{PackInfo, PackNumber},
        layout,
    },
};

const UPLOADERS: usize = 2;

/// What is between the open packs and the index.
pub(super) struct Uploads {
    sender: Mutex<Option<Sender<Arc<PackCell>>>>,
    receiver: Receiver<Arc<PackCell>>,
    progress: Mutex<Progress>,
    changed: Condvar,
    /// One writes the index at a time.
    indexing: Mutex<()>,
    /// Of packs that are stored: fresh ones cost a fault for every page.
    buffers: Mutex<Vec<Vec<u8>>>,
}

struct Progress {
    /// Packs that were begun and are not stored yet; and those of them that were handed over.
    held: usize,
    in_upload: usize,
    /// Stored, and in no segment yet.
    stored: Vec<PackTable>,
    rows: usize,
    last_index: Duration,
}

impl Uploads {
    pub fn new(now: Duration) -> Self {
        // No room in the channel: a pack waits where it was filled.
        let (sender, receiver) = crossbeam_channel::bounded(0);
        let (held, in_upload, stored, rows) = Default::default();
        let progress = Progress { held, in_upload, stored, rows, last_index: now };
        Uploads {
            sender: Mutex::new(Some(sender)),
            receiver,
            progress: Mutex::new(progress),
            changed: Condvar::new(),
            indexing: Mutex::new(()),
            buffers: Mutex::default(),
        }
    }

    pub fn send(&self, cell: Arc<PackCell>) {
        let sender = self.sender.lock().expect("no code panics holding it").clone();
        self.progress().in_upload += 1;
        if sender.is_none_or(|sender| sender.send(cell.clone()).is_err()) {
            cell.lost();
            self.ended();
        }
    }

    /// A pack that was handed over is stored, or lost.
    fn ended(&self) {
        let mut progress = self.progress();
        progress.held -= 1;
        progress.in_upload -= 1;
        drop(progress);
        self.changed.notify_all();
    }

    /// A pack's buffer, if nobody reads from it any more.
    fn keep_buffer(&self, bytes: Bytes) {
        let Ok(buffer) = bytes.try_into_mut() else { return };
        let mut buffers = self.buffers.lock().expect("no code panics holding it");
        if buffers.len() < UPLOADERS {
            buffers.push(Vec::from(buffer));
        }
    }

    pub fn used_buffer(&self) -> Option<Vec<u8>> {
        self.buffers.lock().expect("no code panics holding it").pop()
    }

    /// Counts one more pack; waits until there may be one.
    pub fn hold_one_more(&self) {
        let mut progress = self.progress();
        // Fewer are ever open, so that one is in upload and ends.
        while progress.held >= PACKS_HELD_MAX {
            progress = self.changed.wait(progress).expect("no code panics holding it");
        }
        progress.held += 1;
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().expect("no code panics holding it")
    }

    fn wait_until_stored(&self) {
        let mut progress = self.progress();
        while progress.in_upload > 0 {
            progress = self.changed.wait(progress).expect("no code panics holding it");
        }
    }
}

/// The threads of a session.
pub(super) struct Workers {
    squeezers: Vec<JoinHandle<()>>,
    threads: Vec<JoinHandle<()>>,
    /// Closed to stop the heartbeat.
    heart: Option<Sender<()>>,
}

impl Workers {
    pub fn start(shared: &Arc<Shared>) -> Workers {
        let (heart, stopped) = crossbeam_channel::bounded(0);
        let mut threads: Vec<_> = (0..UPLOADERS)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || shared.upload_all())
            })
            .collect();
        let squeezers = (0..SQUEEZERS).map(|_| {
            let shared = shared.clone();
            thread::spawn(move || shared.squeeze_all())
        });
        let squeezers = squeezers.collect();
        let shared = shared.clone();
        threads.push(thread::spawn(move || shared.beat_until(&stopped)));
        Workers { squeezers, threads, heart: Some(heart) }
    }

    /// Returns when all threads have ended; packs that are still open are dropped.
    pub fn stop(&mut self, shared: &Shared) {
        self.heart = None;
        // They may be about to hand a pack over, so uploaders stop after them.
        shared.behind.close();
        self.squeezers.drain(..).for_each(|thread| drop(thread.join()));
        *shared.uploads.sender.lock().expect("no code panics holding it") = None;
        for thread in self.threads.drain(..) {
            // A panic there has been told by its own message.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// An uploader's life. After a failure packs are still taken, and dropped, so that nobody
    /// waits for ever to hand one over.
    fn upload_all(&self) {
        for cell in &self.uploads.receiver {
            // A panic here would leave writers waiting for ever.
            let upload = || if self.failed.load(SeqCst) { Ok(()) } else { self.upload(&cell) };
            let uploaded = panic::catch_unwind(panic::AssertUnwindSafe(upload));
            if let Err(error) = uploaded.unwrap_or(Err(Error::Stopped)) {
                self.fail(error);
            }
            if self.failed.load(SeqCst) {
                cell.lost();
            }
            self.uploads.ended();
        }
    }

    /// Step 5, first half. Each blob is opened and checked before anybody can rest on it.
    fn upload(&self, cell: &PackCell) -> Result<(), Error> {
        let Some((table, bytes)) = cell.close(self.repo.keys()) else { return Ok(()) };
        let mut base = |id: &_| self.read_after(BlobKind::Node, id, 0).ok();
        pack::open_pack_checked(self.repo.keys(), table.id, &bytes, &mut base)
            .map_err(|source| Error::PackDamaged { pack: table.id, source })?;
        // Before anybody can list it: if a collector condemns it at once, the next heartbeat must
        // pin it.
        self.own.lock().expect("no code panics holding it").insert(table.id);
        self.repo.store().put_new(&layout::pack(&table.id), bytes.clone())?;
        let PackTable { id, salt, size_bytes, .. } = table;
        cell.stored(PackInfo { id, salt, size_bytes });
        self.uploads.keep_buffer(bytes);
        self.counters.packs.fetch_add(1, Relaxed);
        {
            let mut progress = self.uploads.progress();
            progress.rows += table.rows.len();
            progress.stored.push(table);
        }
        self.index_if_due()
    }

    /// What is stored becomes findable by others, every so many packs, rows or minutes.
    pub fn index_if_due(&self) -> Result<(), Error> {
        let now = self.repo.ambient().clock.monotonic();
        let due = {
            let progress = self.uploads.progress();
            let waited = now.saturating_sub(progress.last_index).as_secs();
            progress.stored.len() >= INDEX_FLUSH_PACKS
                || progress.rows >= INDEX_FLUSH_ROWS
                || (!progress.stored.is_empty() && waited >= INDEX_FLUSH_SECONDS)
        };
        if due { self.index() } else { Ok(()) }
    }

    /// Step 5, second half: segments for all packs that are stored and not yet named.
    fn index(&self) -> Result<(), Error> {
        let _one = self.uploads.indexing.lock().expect("no code panics holding it");
        let tables = {
            let mut progress = self.uploads.progress();
            progress.last_index = self.repo.ambient().clock.monotonic();
            progress.rows = 0;
            std::mem::take(&mut progress.stored)
        };
        let numbers = match self.put_segments(&tables) {
            Ok(numbers) => numbers,
            Err(error) => {
                // The tables are in no segment, and nobody holds them any more.
                self.fail(error);
                return self.check_failure();
            }
        };
        {
            let mut knowledge = self.knowledge.write().expect("no code panics changing it");
            for number in numbers {
                let pack = self.repo.catalog().pack(number);
                if pack.is_some_and(|pack| !knowledge.condemned.contains(&pack.id)) {
                    knowledge.usable.insert(number);
                }
            }
        }
        tables.iter().flat_map(|table| &table.rows).for_each(|row| self.claims.release(&row.id));
        Ok(())
    }

    /// Puts segments that name these packs, and merges them into the catalog.
    pub fn put_segments(&self, tables: &[PackTable]) -> Result<Vec<PackNumber>, Error> {
        for group in groups(tables) {
            let segment = Segment { packs: group.to_vec(), supersedes: Vec::new() };
            let (id, object) = segment
                .seal(self.repo.keys(), self.repo.ambient().random())
                .map_err(|source| Error::Unsealable { what: "an index segment", source })?;
            self.repo.store().put_new(&layout::segment(&id), object)?;
            self.counters.segments.fetch_add(1, Relaxed);
            self.repo.catalog().take_in(id, group)?;
        }
        let number = |table: &PackTable| self.repo.catalog().number(&table.id);
        Ok(tables.iter().filter_map(number).collect())
    }

    pub fn flush(&self) -> Result<(), Error> {
        self.behind.wait_until_placed();
        self.hand_over_all();
        self.uploads.wait_until_stored();
        self.check_failure()?;
        self.index()?;
        // The heart may have been writing the index, and failed just now.
        self.check_failure()
    }
}

/// Runs of tables that fit into one segment each.
fn groups(tables: &[PackTable]) -> Vec<&[PackTable]> {
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, table) in tables.iter().enumerate() {
        let more = index::table_bytes(table);
        if bytes + more > index::SEGMENT_MAX_BYTES && at > start {
            groups.push(&tables[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += more;
    }
    if start < tables.len() {
        groups.push(&tables[start..]);
    }
    groups
}

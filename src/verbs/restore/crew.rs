//! The workers' side of a restore: files compared, fetched and written.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crossbeam_channel::Receiver;
use rustix::fs::Mode;

use super::{
    Ground,
    compare::Case,
    item::Item,
    judge::{Conflict, Verdict, Wish},
    large::{Large, Look, Run},
    links::Promise,
    tally::{Tally, shown},
};
use crate::{
    format::entry::Time,
    id::{BlobId, BlobKind},
    progress::{Action, Progress},
    repo::ReadBlobs,
    sink::{self, Dir, Draft, Found, Name, Place},
    tree::{self, content},
};

/// A directory that still has work in it.
pub(super) struct Unfinished {
    pub key: Vec<u8>,
    /// Its own metadata, when it has any to be set.
    pub item: Option<Item>,
    /// Else the mode that it gets back, as it was opened only to go into it.
    pub shut: Option<Mode>,
    /// Is held open until this one is settled.
    pub _parent: Option<Hold>,
    /// The walk, each directory and each queued file in it.
    pub waiting: AtomicUsize,
}

/// One of those that `Unfinished::waiting` counts.
pub(super) struct Hold(Arc<Unfinished>);

impl Unfinished {
    pub fn hold(self: &Arc<Self>) -> Hold {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Hold(self.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Release);
    }
}

/// One entry to be restored in `dir`.
pub(super) struct Order<'l> {
    pub key: Vec<u8>,
    pub dir: Dir,
    pub item: Item,
    pub promise: Option<Promise<'l>>,
    /// Dropped, the directory has one thing less to wait for.
    pub _hold: Option<Hold>,
}

impl Order<'_> {
    /// It is there, as the file `identity`: other paths of it may be linked.
    pub fn keep(self, identity: (u64, u64)) {
        if let Some(promise) = self.promise {
            promise.keep(&self.key, identity);
        }
    }

    pub fn name(&self) -> Name<'_> {
        Place::new(&self.key)
            .ok()
            .and_then(Place::split)
            .expect("the walk checked it, and never orders the target itself")
            .1
    }
}

pub(super) enum Job<'l> {
    Small(Vec<Order<'l>>),
    Run(Arc<Large<'l>>, Run),
    Compare(Look),
}

/// What the threads of one restore share.
pub(super) struct Crew<'a, R: ReadBlobs> {
    pub ground: &'a Ground<'a, R>,
    pub conflict: Conflict,
    /// All is going to be read back: what stays there and differs is no less than a conflict.
    pub will_verify: bool,
    /// Read back and compare; write nothing.
    pub only_verify: bool,
    pub tally: &'a Tally,
    pub progress: &'a Progress,
    pub stop: Stop<R::Error>,
}

/// Whether anything is left to do for a file.
pub(super) enum Settled {
    /// Its content is to be written, in place of something else when `replace`.
    No { replace: bool },
    /// It is as it should be: this file.
    Is((u64, u64)),
    /// Another one stays there.
    Left,
}

/// Why one file was not restored.
pub(super) enum Failure<E: std::error::Error + 'static> {
    Target(sink::Error),
    /// A chunk, or the list of them, can't be had.
    Tree(tree::Error<E>),
    /// The repository's own content is not what the entry says.
    Content(Mismatch),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Mismatch {
    #[error("its pieces hold {held_bytes} bytes, not {wanted_bytes}")]
    Length { held_bytes: u64, wanted_bytes: u64 },
    #[error("not on disk as in the snapshot")]
    NotThere,
    #[error("on disk it differs from the snapshot at byte {offset}")]
    Differs { offset: u64 },
}

impl<E: std::error::Error + 'static> From<sink::Error> for Failure<E> {
    fn from(error: sink::Error) -> Self {
        Failure::Target(error)
    }
}

impl<E: std::error::Error + 'static> From<Mismatch> for Failure<E> {
    fn from(mismatch: Mismatch) -> Self {
        Failure::Content(mismatch)
    }
}

impl<E: std::error::Error + 'static> From<tree::Error<E>> for Failure<E> {
    fn from(error: tree::Error<E>) -> Self {
        Failure::Tree(error)
    }
}

/// The first error that ends the run.
pub(super) struct Stop<E: std::error::Error + 'static> {
    raised: AtomicBool,
    why: Mutex<Option<super::Error<E>>>,
}

impl<E: std::error::Error + 'static> Default for Stop<E> {
    fn default() -> Self {
        Stop { raised: AtomicBool::new(false), why: Mutex::new(None) }
    }
}

impl<E: std::error::Error + 'static> Stop<E> {
    pub fn raise(&self, error: super::Error<E>) {
        let mut why = self.why.lock().expect("nothing panics while it holds it");
        why.get_or_insert(error);
        self.raised.store(true, Ordering::Relaxed);
    }

    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// The error, the first time it is asked for.
    pub fn result(&self) -> Result<(), super::Error<E>> {
        match self.why.lock().expect("nothing panics while it holds it").take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Whether a file is what was written here, by its size and time. Some file systems keep times in
/// steps, of two seconds at most.
fn may_be_it(wish: &Wish, found: &Found) -> bool {
    let nanos = |time: Time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let early_nanos = nanos(wish.mtime) - nanos(found.mtime);
    (found.kind, found.size_bytes) == (wish.kind, wish.size_bytes)
        && (0..2_000_000_000).contains(&early_nanos)
}

impl<R: ReadBlobs> Crew<'_, R> {
    /// Works until nobody can send any more. After a stop, jobs are only dropped.
    pub fn work(&self, jobs: &Receiver<Job<'_>>) {
        let mut buffer = Vec::new();
        for job in jobs {
            if self.is_over() {
                continue;
            }
            match job {
                Job::Small(orders) => self.small(orders, &mut buffer),
                Job::Run(large, run) => self.run(large, &run, &mut buffer),
                Job::Compare(look) => self.compare_run(&look, &mut buffer),
            }
        }
    }

    fn small(&self, orders: Vec<Order<'_>>, buffer: &mut Vec<u8>) {
        let mut wanting = Vec::with_capacity(orders.len());
        for order in orders {
            match self.only_verify {
                true => self.end(order, |order| self.verify(order, buffer).map(|()| None)),
                false => match self.look(&order, buffer) {
                    Ok(Settled::No { replace }) => wanting.push((order, replace)),
                    Ok(Settled::Is(identity)) => self.end(order, |_| Ok(Some(identity))),
                    Ok(Settled::Left) => self.end(order, |_| Ok(None)),
                    Err(failure) => self.end(order, |_| Err(failure)),
                },
            }
        }
        let pieces = wanting.iter().flat_map(|(order, _)| order.item.list());
        let ids: Vec<BlobId> = pieces.filter_map(|piece| piece.id).collect();
        if !ids.is_empty() {
            self.ground.reader.expect(BlobKind::Chunk, &ids);
        }
        for (order, replace) in wanting {
            self.end(order, |order| self.write(order, replace).map(Some));
        }
    }

    /// Does the last thing that is to be done for a file: some file has its name now, or not.
    fn end<'l>(
        &self,
        order: Order<'l>,
        last: impl FnOnce(&Order<'l>) -> Result<Option<(u64, u64)>, Failure<R::Error>>,
    ) {
        let bytes = order.item.wish.size_bytes;
        match last(&order) {
            Ok(Some(identity)) => order.keep(identity),
            Ok(None) => {}
            Err(failure) => self.fail(&order.key, failure),
        }
        self.progress.done(1, bytes);
    }

    /// Nothing more is to be begun.
    pub fn is_over(&self) -> bool {
        self.stop.is_raised() || self.progress.is_cancelled()
    }

    /// An error when nothing more is to be begun.
    pub fn go_on(&self) -> Result<(), super::Error<R::Error>> {
        if self.is_over() { Err(super::Error::Cancelled) } else { Ok(()) }
    }

    /// What the target has under the file's name.
    pub fn case<'o>(&self, order: &'o Order<'_>) -> Result<Case<'o>, sink::Error> {
        let Order { dir, item, .. } = order;
        let found = if dir.is_fresh() { None } else { dir.find(order.name())? };
        Ok(Case { dir, name: order.name(), item, found, conflict: self.conflict })
    }

    fn look(&self, order: &Order<'_>, buffer: &mut Vec<u8>) -> Result<Settled, Failure<R::Error>> {
        let case = self.case(order)?;
        let (verdict, was_read) = self.ground.weigh(&case, buffer)?;
        self.settled(order, case.found, verdict, was_read)
    }

    /// Which file now has the name.
    fn write(&self, order: &Order<'_>, replace: bool) -> Result<(u64, u64), Failure<R::Error>> {
        let draft = order.dir.draft(order.name())?;
        self.fill(&draft, &order.item)?;
        let (unset, identity) = draft.finish(&order.item.meta(), replace)?;
        self.tally.unset(self.progress, &order.key, &unset);
        self.tally.files_restored.fetch_add(1, Ordering::Relaxed);
        self.name(Action::Restored, &order.key, order.item.wish.size_bytes);
        Ok(identity)
    }

    pub fn name(&self, action: Action, key: &[u8], size_bytes: u64) {
        self.progress.item(action, size_bytes, || shown(key));
    }

    /// Does what is to be done without writing content. `was_read`: and found as `verdict` says.
    pub fn settled(
        &self,
        order: &Order<'_>,
        found: Option<Found>,
        verdict: Verdict,
        was_read: bool,
    ) -> Result<Settled, Failure<R::Error>> {
        let Some(found) = found else { return Ok(Settled::No { replace: false }) };
        match verdict {
            Verdict::Create | Verdict::Replace => return Ok(Settled::No { replace: true }),
            Verdict::Skip => {
                self.tally.skipped.fetch_add(1, Ordering::Relaxed);
                self.name(Action::Skipped, &order.key, found.size_bytes);
                return Ok(Settled::Left);
            }
            Verdict::Conflict => {
                self.tally.conflict(&order.key);
                return Ok(Settled::Left);
            }
            Verdict::Same => {
                self.tally.files_unchanged.fetch_add(1, Ordering::Relaxed);
                self.name(Action::Unchanged, &order.key, found.size_bytes);
            }
            Verdict::Settle => self.settle(order, &found)?,
        }
        if was_read {
            self.tally.bytes_reused.fetch_add(found.size_bytes, Ordering::Relaxed);
        }
        Ok(Settled::Is((found.dev, found.inode)))
    }

    fn settle(&self, order: &Order<'_>, found: &Found) -> Result<(), Failure<R::Error>> {
        let unset = order.dir.settle_file(order.name(), found, &order.item.meta())?;
        self.tally.unset(self.progress, &order.key, &unset);
        self.tally.files_settled.fetch_add(1, Ordering::Relaxed);
        self.name(Action::Metadata, &order.key, found.size_bytes);
        Ok(())
    }

    fn fill(&self, draft: &Draft, item: &Item) -> Result<(), Failure<R::Error>> {
        let wanted_bytes = item.wish.size_bytes;
        let mut held_bytes = 0;
        draft.write_at(&item.inline, 0)?;
        held_bytes += item.inline.len() as u64;
        let pieces = item.list();
        if pieces.iter().any(|piece| piece.id.is_none()) {
            draft.set_len(wanted_bytes)?;
        }
        for piece in pieces {
            if let Some(id) = &piece.id {
                let chunk = content::read_chunk(self.ground.reader, id, piece.len)?;
                draft.write_at(&chunk, held_bytes)?;
            }
            held_bytes += piece.len;
        }
        if held_bytes != wanted_bytes {
            return Err(Mismatch::Length { held_bytes, wanted_bytes }.into());
        }
        self.tally.bytes_restored.fetch_add(held_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Of what is no file, or of a file's name that something else has: it differs, and stays.
    pub fn skip(&self, key: &[u8]) {
        self.tally.skipped.fetch_add(1, Ordering::Relaxed);
        if self.will_verify && self.conflict == Conflict::Skip {
            self.tally.conflict(key);
        }
    }

    /// Reads the file back. What was left without being read is compared now; what was found to
    /// differ, and was told, is not asked about again.
    fn verify(&self, order: &Order<'_>, buffer: &mut Vec<u8>) -> Result<(), Failure<R::Error>> {
        let found = order.dir.find(order.name())?;
        let wish = &order.item.wish;
        match (self.conflict, &found) {
            (Conflict::Newest, Some(found)) if found.mtime > wish.mtime => return Ok(()),
            (Conflict::Fail, Some(found)) if !may_be_it(wish, found) => return Ok(()),
            _ => {}
        }
        match self.read_back(order, found.as_ref(), buffer) {
            // It was there before: what was written here is right but for a rotten disk.
            Err(Failure::Content(_)) if self.conflict == Conflict::Skip && found.is_some() => {
                self.tally.conflict(&order.key);
                Ok(())
            }
            read => read,
        }
    }

    fn read_back(
        &self,
        order: &Order<'_>,
        found: Option<&Found>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Failure<R::Error>> {
        let wish = &order.item.wish;
        let is_alike =
            |found: &Found| (found.kind, found.size_bytes) == (wish.kind, wish.size_bytes);
        if !found.is_some_and(is_alike) {
            return Err(Mismatch::NotThere.into());
        }
        let file = order.dir.read(order.name())?;
        self.ground.compare(&file, &order.item, buffer)?;
        self.tally.files_verified.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub fn fail(&self, key: &[u8], failure: Failure<R::Error>) {
        match failure {
            Failure::Target(error) if error.is_final() => {
                self.stop.raise(super::Error::Write { path: shown(key), source: error });
            }
            Failure::Target(sink::Error::Appeared) if self.conflict == Conflict::Fail => {
                self.tally.conflict(key);
            }
            Failure::Target(error) => self.tally.trouble(self.progress, key, &error),
            Failure::Tree(error) if self.ground.is_damaged(&error) => {
                self.tally.damage(self.progress, key, &error);
            }
            Failure::Tree(error) => self.stop.raise(error.into()),
            Failure::Content(mismatch) if self.only_verify => {
                self.tally.trouble(self.progress, key, &mismatch);
            }
            Failure::Content(mismatch) => self.tally.damage(self.progress, key, &mismatch),
        }
    }
}

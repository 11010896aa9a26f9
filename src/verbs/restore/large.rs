//! Large files: several workers compare or write one, and go on with what an earlier run left.

use std::{
    convert::Infallible,
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
};

use super::{
    compare::Case,
    crew::{Crew, Failure, Job, Mismatch, Order, Settled},
    item::Item,
    judge::Verdict,
};
use crate::{
    id::{BlobId, BlobKind},
    progress::Action,
    repo::ReadBlobs,
    sink::{Draft, Found, FoundKind},
    tree::{Piece, content},
};

/// So much of a file is one worker's at a time.
const RUN_BYTES: u64 = 8 << 20;

/// Told of a file that was there, in which some pieces could not be written.
#[derive(Debug, thiserror::Error)]
#[error("what is damaged in it is as it was before, and the rest is the snapshot's")]
struct PartlyWritten;

/// A run of a file's pieces with their offsets.
pub(super) type Run = Vec<(u64, Piece)>;

/// A file that several workers write.
pub(super) struct Large<'l> {
    order: Order<'l>,
    draft: Draft,
    /// What has the name until the draft gets it, and may hold content that is right.
    old: Option<File>,
    replace: bool,
    /// Something of it could not be had: it never gets its name.
    broken: AtomicBool,
}

/// What stands under a file's name, while several workers compare it.
pub(super) struct There {
    file: File,
    differs: AtomicBool,
    /// So many were counted as done.
    bytes: AtomicU64,
}

/// A run of it.
pub(super) struct Look {
    there: Arc<There>,
    run: Run,
    /// Dropped with the last run: all was compared.
    _through: mpsc::Sender<Infallible>,
}

impl<R: ReadBlobs> Crew<'_, R> {
    /// The walk's side: opens the file and hands its runs out. Whoever is through with it last
    /// gives it its name.
    pub fn large<'l>(&self, order: Order<'l>, send: &mut dyn FnMut(Job<'l>)) {
        let (key, bytes) = (order.key.clone(), order.item.wish.size_bytes);
        match self.open_large(order, send) {
            Ok(Some(large)) => self.hand_out(Arc::new(large), send),
            Ok(None) => self.progress.done(1, bytes),
            Err(failure) => {
                self.fail(&key, failure);
                self.progress.done(1, bytes);
            }
        }
    }

    fn open_large<'l>(
        &self,
        order: Order<'l>,
        send: &mut dyn FnMut(Job<'l>),
    ) -> Result<Option<Large<'l>>, Failure<R::Error>> {
        let case = self.case(&order)?;
        let (found, mut verdict) = (case.found, case.at_first_sight()?);
        let rests_on_content = verdict.rests_on_content(self.conflict);
        if rests_on_content && !self.is_right(&case, send)? {
            verdict = Verdict::of_other_content(self.conflict);
        }
        if self.is_over() {
            return Ok(None); // and not all may have been compared
        }
        let replace = match self.settled(&order, found, verdict, rests_on_content)? {
            Settled::Is(identity) => {
                order.keep(identity);
                return Ok(None);
            }
            Settled::Left => return Ok(None),
            Settled::No { replace } => replace,
        };
        let name = order.name();
        let taken = match &found {
            Some(found) if found.kind == FoundKind::File => order.dir.take_over(name, found)?,
            _ => None,
        };
        let (draft, old) = match taken {
            Some(draft) => (draft, None),
            None => (order.dir.resume(name)?, self.old_content(&order, found.as_ref())),
        };
        draft.set_len(order.item.wish.size_bytes)?;
        Ok(Some(Large { order, draft, old, replace, broken: AtomicBool::new(false) }))
    }

    fn old_content(&self, order: &Order<'_>, found: Option<&Found>) -> Option<File> {
        match found {
            Some(found) if found.kind == FoundKind::File => order.dir.read(order.name()).ok(),
            _ => None,
        }
    }

    /// Whether the content that stands there is the entry's: the workers compare it, and the walk
    /// waits for them. True, too, when the run is over before all was compared.
    fn is_right<'l>(
        &self,
        case: &Case<'_>,
        send: &mut dyn FnMut(Job<'l>),
    ) -> Result<bool, Failure<R::Error>> {
        let Some(file) = case.open()? else { return Ok(false) };
        let (through, all_through) = mpsc::channel();
        let there = Arc::new(There { file, differs: AtomicBool::new(false), bytes: 0.into() });
        let held_bytes = self.cut(case.item, &there.differs, &mut |run| {
            let (there, _through) = (there.clone(), through.clone());
            send(Job::Compare(Look { there, run, _through }));
        });
        drop(through);
        let Err(mpsc::RecvError) = all_through.recv();
        // What is to be written is counted when it is.
        let bytes = there.bytes.load(Ordering::Relaxed);
        self.progress.bytes_done.fetch_sub(bytes, Ordering::Relaxed);
        let is_whole = held_bytes? == case.item.wish.size_bytes || self.is_over();
        Ok(is_whole && !there.differs.load(Ordering::Relaxed))
    }

    /// A worker's side.
    pub fn compare_run(&self, look: &Look, buffer: &mut Vec<u8>) {
        let There { file, differs, bytes } = &*look.there;
        for (offset, piece) in &look.run {
            if differs.load(Ordering::Relaxed) {
                return;
            }
            if !self.ground.piece_is_at(file, *offset, piece, buffer) {
                differs.store(true, Ordering::Relaxed);
            }
            bytes.fetch_add(piece.len, Ordering::Relaxed);
            self.progress.done(0, piece.len);
        }
    }

    /// Gives the file's pieces away run by run, until `enough`. Where they end.
    fn cut(
        &self,
        item: &Item,
        enough: &AtomicBool,
        give: &mut dyn FnMut(Run),
    ) -> Result<u64, Failure<R::Error>> {
        let (mut run, mut run_bytes, mut held_bytes) = (Run::new(), 0, 0);
        for piece in content::pieces(self.ground.reader, &item.pieces, 0..u64::MAX) {
            if self.is_over() || enough.load(Ordering::Relaxed) {
                break;
            }
            let (offset, piece) = piece?;
            run.push((offset, piece));
            held_bytes = offset + piece.len;
            run_bytes += piece.len;
            if run_bytes >= RUN_BYTES {
                give(std::mem::take(&mut run));
                run_bytes = 0;
            }
        }
        if !run.is_empty() {
            give(run);
        }
        Ok(held_bytes)
    }

    fn hand_out<'l>(&self, large: Arc<Large<'l>>, send: &mut dyn FnMut(Job<'l>)) {
        let item = &large.order.item;
        let held_bytes =
            self.cut(item, &large.broken, &mut |run| send(Job::Run(large.clone(), run)));
        let wanted_bytes = item.wish.size_bytes;
        match held_bytes {
            Err(failure) => self.break_off(&large, failure),
            Ok(held_bytes) if held_bytes != wanted_bytes && !self.is_over() => {
                let mismatch = Mismatch::Length { held_bytes, wanted_bytes };
                self.break_off(&large, mismatch.into());
            }
            Ok(_) => {}
        }
        self.release(large);
    }

    /// A worker's side.
    pub fn run(&self, large: Arc<Large<'_>>, run: &Run, buffer: &mut Vec<u8>) {
        if !large.broken.load(Ordering::Relaxed)
            && let Err(failure) = self.write_run(&large, run, buffer)
        {
            self.break_off(&large, failure);
        }
        self.progress.done(0, run.iter().map(|(_, piece)| piece.len).sum());
        self.release(large);
    }

    fn write_run(
        &self,
        large: &Large<'_>,
        run: &Run,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Failure<R::Error>> {
        let mut missing: Vec<(u64, u64, BlobId)> = Vec::new();
        for (offset, piece) in run {
            match piece.id {
                None => large.draft.hole(*offset, piece.len)?,
                Some(_) if self.have(large, *offset, piece, buffer)? => {
                    self.tally.bytes_reused.fetch_add(piece.len, Ordering::Relaxed);
                }
                Some(id) => missing.push((*offset, piece.len, id)),
            }
        }
        let ids: Vec<BlobId> = missing.iter().map(|(_, _, id)| *id).collect();
        self.ground.reader.expect(BlobKind::Chunk, &ids);
        for (offset, len, id) in missing {
            let chunk = content::read_chunk(self.ground.reader, &id, len)?;
            large.draft.write_at(&chunk, offset)?;
            self.tally.bytes_restored.fetch_add(len, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the draft has the piece, or now has it from what was there before.
    fn have(
        &self,
        large: &Large<'_>,
        offset: u64,
        piece: &Piece,
        buffer: &mut Vec<u8>,
    ) -> Result<bool, Failure<R::Error>> {
        if large.draft.is_reused()
            && self.ground.piece_is_at(large.draft.file(), offset, piece, buffer)
        {
            return Ok(true);
        }
        match &large.old {
            Some(old) if self.ground.piece_is_at(old, offset, piece, buffer) => {
                large.draft.write_at(buffer, offset)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// What an earlier version left may be all that its owner has of it.
    fn give_back(&self, order: &Order<'_>, mut draft: Draft) {
        match draft.give_back() {
            Ok(true) => self.tally.trouble(self.progress, &order.key, &PartlyWritten),
            Ok(false) if draft.is_reused() => {}
            Ok(false) => draft.discard(),
            Err(error) => self.fail(&order.key, error.into()),
        }
    }

    /// Tells it once, however many runs fail.
    fn break_off(&self, large: &Large<'_>, failure: Failure<R::Error>) {
        if !large.broken.swap(true, Ordering::Relaxed) {
            self.fail(&large.order.key, failure);
        }
    }

    fn release(&self, large: Arc<Large<'_>>) {
        let Some(large) = Arc::into_inner(large) else { return };
        let Large { order, draft, replace, broken, .. } = large;
        if self.is_over() {
            return; // the next run goes on with the draft
        }
        self.progress.done(1, 0);
        if broken.into_inner() {
            return self.give_back(&order, draft);
        }
        match draft.finish(&order.item.meta(), replace) {
            Ok((unset, identity)) => {
                self.tally.unset(self.progress, &order.key, &unset);
                self.tally.files_restored.fetch_add(1, Ordering::Relaxed);
                self.name(Action::Restored, &order.key, order.item.wish.size_bytes);
                order.keep(identity);
            }
            Err(error) => self.fail(&order.key, error.into()),
        }
    }
}

//! Large files: several workers write one, and go on with what an earlier run left of it.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::crew::{Crew, Failure, Job, Mismatch, Order, Settled};
use crate::{
    id::{BlobId, BlobKind},
    repo::ReadBlobs,
    sink::{Draft, Found, FoundKind},
    tree::{Piece, content},
};

/// So much of a file is one worker's at a time.
const RUN_BYTES: u64 = 8 << 20;

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

impl<R: ReadBlobs> Crew<'_, R> {
    /// The walk's side: opens the file and hands its runs out. Whoever is through with it last
    /// gives it its name.
    pub fn large<'l>(&self, order: Order<'l>, send: &mut dyn FnMut(Job<'l>)) {
        let (key, bytes) = (order.key.clone(), order.item.wish.size_bytes);
        match self.open_large(order) {
            Ok(Some(large)) => self.hand_out(Arc::new(large), send),
            Ok(None) => self.progress.done(1, bytes),
            Err(failure) => {
                self.fail(&key, failure);
                self.progress.done(1, bytes);
            }
        }
    }

    fn open_large<'l>(&self, order: Order<'l>) -> Result<Option<Large<'l>>, Failure<R::Error>> {
        let found = self.find(&order)?;
        match self.settled(&order, found.as_ref())? {
            Settled::Is(identity) => {
                order.keep(identity);
                return Ok(None);
            }
            Settled::Left => return Ok(None),
            Settled::No => {}
        }
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
        let replace = found.is_some();
        Ok(Some(Large { order, draft, old, replace, broken: AtomicBool::new(false) }))
    }

    fn old_content(&self, order: &Order<'_>, found: Option<&Found>) -> Option<File> {
        match found {
            Some(found) if found.kind == FoundKind::File => order.dir.read(order.name()).ok(),
            _ => None,
        }
    }

    fn hand_out<'l>(&self, large: Arc<Large<'l>>, send: &mut dyn FnMut(Job<'l>)) {
        let (mut run, mut run_bytes, mut held_bytes) = (Run::new(), 0, 0);
        let pieces = &large.order.item.pieces;
        let pieces = content::pieces(self.ground.reader, pieces, 0..u64::MAX);
        for piece in pieces {
            if self.is_over() || large.broken.load(Ordering::Relaxed) {
                break;
            }
            let (offset, piece) = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    self.break_off(&large, error.into());
                    break;
                }
            };
            run.push((offset, piece));
            held_bytes = offset + piece.len;
            run_bytes += piece.len;
            if run_bytes >= RUN_BYTES {
                send(Job::Run(large.clone(), std::mem::take(&mut run)));
                run_bytes = 0;
            }
        }
        if !run.is_empty() {
            send(Job::Run(large.clone(), run));
        }
        let wanted_bytes = large.order.item.wish.size_bytes;
        if held_bytes != wanted_bytes && !self.is_over() {
            let mismatch = Mismatch::Length { held_bytes, wanted_bytes };
            self.break_off(&large, mismatch.into());
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
        if large.draft.is_reused() && self.piece_is_at(large.draft.file(), offset, piece, buffer) {
            return Ok(true);
        }
        match &large.old {
            Some(old) if self.piece_is_at(old, offset, piece, buffer) => {
                large.draft.write_at(buffer, offset)?;
                Ok(true)
            }
            _ => Ok(false),
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
        let Large { order, mut draft, replace, broken, .. } = large;
        if self.is_over() {
            return; // the next run goes on with the draft
        }
        self.progress.done(1, 0);
        if broken.into_inner() {
            // What an earlier version left may be all that its owner has of it.
            if !draft.is_reused() {
                draft.discard();
            }
            return;
        }
        match draft.finish(&order.item.meta(), replace) {
            Ok((unset, identity)) => {
                self.tally.unset(self.progress, &order.key, &unset);
                self.tally.files_restored.fetch_add(1, Ordering::Relaxed);
                order.keep(identity);
            }
            Err(error) => self.fail(&order.key, error.into()),
        }
    }
}

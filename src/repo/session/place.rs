//! A blob's way into a pack: name, look up, squeeze, seal.

use std::sync::{
    Arc, MutexGuard, TryLockError,
    atomic::Ordering::{Relaxed, SeqCst},
};

use bytes::Bytes;

use super::{Shared, cell::PackCell};
use crate::{
    format::{self, pack::PackWriter},
    id::{BlobId, BlobKind},
    limits::{BLOB_MAX_BYTES, DELTA_HOPS_MAX, PACK_BLOBS_AIM},
    repo::{
        Error, Like, Written,
        delta::{self, Base, Step},
    },
    seal::{self, Codec},
};

/// Two for content, so that neighbours do not always lie side by side; one for nodes.
pub(super) const OPEN_PACKS: usize = CONTENT_PACKS + 1;
const CONTENT_PACKS: usize = 2;
const NODE_PACK: usize = CONTENT_PACKS;

/// A delta this many times smaller than the plain bytes is taken without a look at what the whole
/// blob would be squeezed to.
const CLEARLY_SMALL: usize = 16;

type OpenPack<'a> = MutexGuard<'a, Option<Arc<PackCell>>>;

impl Shared {
    pub fn write(
        &self,
        kind: BlobKind,
        plain: &[u8],
        like: Option<Like>,
    ) -> Result<Written, Error> {
        self.check_failure()?;
        let id = self.repo.keys().blob_id(kind, plain);
        if self.depend(&id) || !self.claims.reserve(&id) {
            self.counters.blobs_known.fetch_add(1, Relaxed);
            return Ok(Written { id, new: false, stored_bytes: 0 });
        }
        let stored = self.store(kind, &id, plain, like);
        let stored_bytes = stored.inspect_err(|_| {
            // Other threads may have been told that the blob is here.
            self.claims.release(&id);
            self.failed.store(true, SeqCst);
        })?;
        if kind == BlobKind::Node {
            self.repo.inner.nodes.put(id, Bytes::copy_from_slice(plain));
        }
        self.counters.blobs_new.fetch_add(1, Relaxed);
        self.counters.bytes_added.fetch_add(plain.len() as u64, Relaxed);
        self.counters.bytes_added_packed.fetch_add(u64::from(stored_bytes), Relaxed);
        Ok(Written { id, new: true, stored_bytes })
    }

    fn store(
        &self,
        kind: BlobKind,
        id: &BlobId,
        plain: &[u8],
        like: Option<Like>,
    ) -> Result<u32, Error> {
        if plain.len() > BLOB_MAX_BYTES {
            let (bytes, max_bytes) = (plain.len(), BLOB_MAX_BYTES);
            let source = seal::Error::TooLarge { what: "a blob", bytes, max_bytes };
            return Err(Error::Unsealable { what: "a blob", source: source.into() });
        }
        let compression = self.repo.options().compression;
        let base = match like {
            Some(like) if kind == BlobKind::Node => self.base(id, like)?,
            _ => None,
        };
        let delta = base.as_ref().and_then(|(base, bytes)| {
            let codec = Codec::Delta { base: base.id, generation: base.generation };
            let small = |squeezer: &mut seal::Squeezer| {
                Some(squeezer.squeeze_delta(plain, bytes, compression)?.to_vec())
            };
            Some((codec, seal::with_squeezer(small)?))
        });
        if let Some((codec, delta)) = &delta
            && delta.len() * CLEARLY_SMALL <= plain.len()
        {
            return self.place(kind, id, *codec, plain.len(), delta);
        }
        seal::with_squeezer(|squeezer| {
            let (codec, whole) = squeezer.squeeze(plain, compression);
            match &delta {
                Some((codec, delta)) if delta::is_worth_it(delta.len(), whole.len()) => {
                    self.place(kind, id, *codec, plain.len(), delta)
                }
                _ => self.place(kind, id, codec, plain.len(), whole),
            }
        })
    }

    /// The base of a delta for a blob that resembles another, if that may be built on.
    fn base(&self, id: &BlobId, like: Like) -> Result<Option<(Base, Bytes)>, Error> {
        let max_hops = like.max_hops.min(DELTA_HOPS_MAX);
        let mut chain = Vec::new();
        let mut next = like.id;
        // The end of a chain that is too long would not be reached: then there is no base.
        while chain.len() <= usize::from(DELTA_HOPS_MAX) {
            // (What this thread is about to store can't be its own base.)
            let Some(row) = self.row(&next).filter(|_| next != *id) else { return Ok(None) };
            match row.codec {
                Codec::Delta { base, generation } => {
                    chain.push(Step { id: next, generation });
                    next = base;
                }
                _ => {
                    chain.push(Step { id: next, generation: 0 });
                    break;
                }
            }
        }
        if chain.last().is_none_or(|end| end.generation != 0) {
            return Ok(None);
        }
        let Some(base) = delta::choose_base(&chain, max_hops) else { return Ok(None) };
        if !self.depend(&base.id) {
            return Ok(None);
        }
        match self.read_after(BlobKind::Node, &base.id, 0) {
            Ok(plain) => Ok(Some((base, plain))),
            // A base that can't be read is no reason not to write: the blob becomes a whole one.
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Seals the blob at the end of an open pack; a pack that is full goes to the uploaders.
    fn place(
        &self,
        kind: BlobKind,
        id: &BlobId,
        codec: Codec,
        raw_len: usize,
        squeezed: &[u8],
    ) -> Result<u32, Error> {
        // Held until the pack is handed over, so that no more packs are in memory than the open
        // ones and those in upload, however many threads write.
        let mut open = self.open_pack(kind, id);
        loop {
            self.check_failure()?;
            let cell = open.get_or_insert_with(|| Arc::new(self.new_pack()));
            let raw_len = raw_len as u32;
            let filled = cell.fill(|writer| {
                let row = writer.push(self.repo.keys(), id, kind, codec, raw_len, squeezed)?;
                let full = writer.size_bytes() >= self.repo.options().pack_aim_bytes
                    || writer.rows().len() >= PACK_BLOBS_AIM;
                Ok((row, full))
            });
            match filled {
                Some(Ok((row, full))) => {
                    self.claims.place(cell, &row);
                    if full {
                        self.hand_over(&mut open);
                    }
                    return Ok(row.stored_len);
                }
                Some(Err(format::Error::PackFull)) | None => self.hand_over(&mut open),
                Some(Err(source)) => return Err(Error::Unsealable { what: "a blob", source }),
            }
        }
    }

    fn open_pack(&self, kind: BlobKind, id: &BlobId) -> OpenPack<'_> {
        let lock = |at: usize| self.open_packs[at].lock().expect("no code panics holding it");
        if kind == BlobKind::Node {
            return lock(NODE_PACK);
        }
        // Which of the two an id falls to can't be told without the key. When that one is busy,
        // the other is as good.
        let first = usize::from(id.bytes()[0]) % CONTENT_PACKS;
        let others = (0..CONTENT_PACKS).map(|step| (first + step) % CONTENT_PACKS);
        for at in others {
            match self.open_packs[at].try_lock() {
                Ok(open) => return open,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Poisoned(_)) => break,
            }
        }
        lock(first)
    }

    fn new_pack(&self) -> PackCell {
        let salt = self.repo.keys().pack_salt(self.repo.ambient().random());
        PackCell::new(match self.uploads.used_buffer() {
            Some(buffer) => PackWriter::in_buffer(salt, buffer),
            None => {
                let aim = self.repo.options().pack_aim_bytes;
                PackWriter::new(salt, aim + aim / 8)
            }
        })
    }

    /// Gives the pack to the uploaders; waits while they are busy.
    fn hand_over(&self, open: &mut OpenPack) {
        if let Some(cell) = open.take() {
            self.uploads.send(cell);
        }
    }

    /// Hands over every pack that is open.
    pub fn hand_over_all(&self) {
        for open in &self.open_packs {
            self.hand_over(&mut open.lock().expect("no code panics holding it"));
        }
    }
}

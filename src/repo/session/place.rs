//! A blob's way into a pack: name, look up, squeeze, seal.

use std::sync::{Arc, MutexGuard, TryLockError, atomic::Ordering::Relaxed};

use bytes::Bytes;

use super::{
    Rests, Shared,
    cell::PackCell,
    claims::{Claim, Lies},
};
use crate::{
    format::{self, pack::PackWriter},
    id::{BlobId, BlobKind},
    limits::{BLOB_MAX_BYTES, DELTA_HOPS_MAX, PACK_BLOBS_AIM, PACKS_HELD_MAX},
    repo::{
        Error, Like, Written,
        delta::{self, Base, Step},
    },
    seal::{self, Codec},
};

/// Two for content, so that neighbours do not always lie side by side; one for nodes.
pub(super) const OPEN_PACKS: usize = CONTENT_PACKS + 1;
const _: () = assert!(OPEN_PACKS < PACKS_HELD_MAX);
const CONTENT_PACKS: usize = 2;
const NODE_PACK: usize = CONTENT_PACKS;

/// A delta this many times smaller than the plain bytes is taken without a look at what the whole
/// blob would be squeezed to.
const CLEARLY_SMALL: usize = 16;

type OpenPack<'a> = MutexGuard<'a, Option<Arc<PackCell>>>;

/// Plain bytes, and whether they are the session's to keep.
pub(super) enum Plain<'a> {
    Lent(&'a [u8]),
    Given(Bytes),
}

impl Plain<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Plain::Lent(bytes) => bytes,
            Plain::Given(bytes) => bytes,
        }
    }

    fn keep(self) -> Bytes {
        match self {
            Plain::Lent(bytes) => Bytes::copy_from_slice(bytes),
            Plain::Given(bytes) => bytes,
        }
    }
}

/// A blob on its way into a pack.
pub(super) struct Blob<'a> {
    pub kind: BlobKind,
    pub id: BlobId,
    pub plain: &'a [u8],
    pub like: Option<Like>,
    /// Its number in the line of nodes, and random bytes for a pack that begins with it.
    pub turn: Option<(u64, [u8; 32])>,
}

impl Shared {
    /// Chunks are stored by the caller's thread: many threads write them. Nodes come from the one
    /// thread that builds a tree, so others store them behind it.
    pub(super) fn write(
        &self,
        kind: BlobKind,
        plain: Plain<'_>,
        like: Option<Like>,
    ) -> Result<Written, Error> {
        self.check_failure()?;
        let bytes = plain.bytes();
        let plain_len = bytes.len();
        if plain_len > BLOB_MAX_BYTES {
            let (bytes, max_bytes) = (plain_len, BLOB_MAX_BYTES);
            let source = seal::Error::TooLarge { what: "a blob", bytes, max_bytes };
            return Err(Error::Unsealable { what: "a blob", source: source.into() });
        }
        let id = self.repo.keys().blob_id(kind, bytes);
        let new = !self.depend(&id)
            && match kind {
                BlobKind::Node => self.write_node(&id, plain, like),
                BlobKind::Chunk => self.write_chunk(&id, bytes)?,
            };
        if new {
            self.counters.blobs_new.fetch_add(1, Relaxed);
            self.counters.bytes_added.fetch_add(plain_len as u64, Relaxed);
        } else {
            self.counters.blobs_known.fetch_add(1, Relaxed);
        }
        Ok(Written { id, new })
    }

    /// False: somebody has claimed it already.
    fn write_node(&self, id: &BlobId, plain: Plain<'_>, like: Option<Like>) -> bool {
        let plain = plain.keep();
        let new = self.write_behind(id, plain.clone(), like);
        self.repo.inner.nodes.put(*id, plain);
        new
    }

    /// False: somebody has claimed it already.
    fn write_chunk(&self, id: &BlobId, plain: &[u8]) -> Result<bool, Error> {
        if !self.claims.reserve(id, Claim::Reserved) {
            return Ok(false);
        }
        let blob = Blob { kind: BlobKind::Chunk, id: *id, plain, like: None, turn: None };
        let stored = match self.store(&blob) {
            Ok(stored) => stored,
            Err(error) => {
                // Other threads may have been told that the blob is here.
                self.claims.release(id);
                self.fail(error);
                return self.check_failure().map(|()| false);
            }
        };
        self.counters.bytes_added_packed.fetch_add(u64::from(stored), Relaxed);
        Ok(true)
    }

    /// Squeezes the blob and places it; what it takes in its pack.
    pub(super) fn store(&self, blob: &Blob) -> Result<u32, Error> {
        let Blob { plain, .. } = *blob;
        let compression = match blob.kind {
            BlobKind::Chunk => self.repo.options().compression,
            BlobKind::Node => self.repo.options().compression.of_nodes(),
        };
        let base = self.base(blob)?;
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
            return self.place(blob, *codec, delta);
        }
        seal::with_squeezer(|squeezer| {
            let (codec, whole) = squeezer.squeeze(plain, compression);
            match &delta {
                Some((codec, delta)) if delta::is_worth_it(delta.len(), whole.len()) => {
                    self.place(blob, *codec, delta)
                }
                _ => self.place(blob, codec, whole),
            }
        })
    }

    /// The base of a delta for a blob that resembles another, if that may be built on.
    fn base(&self, blob: &Blob) -> Result<Option<(Base, Bytes)>, Error> {
        let (Some(like), Some((number, _))) = (blob.like, blob.turn) else { return Ok(None) };
        let max_hops = like.max_hops.min(DELTA_HOPS_MAX);
        let (mut chain, mut claimed) = (Vec::new(), Vec::new());
        let mut next = like.id;
        // The end of a chain that is too long would not be reached: then there is no base.
        while chain.len() <= usize::from(DELTA_HOPS_MAX) {
            // (What is about to be stored can't be its own base.)
            if next == blob.id {
                return Ok(None);
            }
            let row = match self.claims.lies(&next, number) {
                Lies::Here(row) => Some(row).inspect(|_| claimed.push(next)),
                Lies::Elsewhere => self.usable_copy(&next).map(|copy| copy.row),
                Lies::NotYet => None,
            };
            let Some(row) = row else { return Ok(None) };
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
        match self.rests(&base.id) {
            None => return Ok(None),
            // Claimed since it was looked for in the catalog: put anew, it may be further from a
            // whole blob than it was.
            Some(Rests::OnClaim) if !claimed.contains(&base.id) => return Ok(None),
            // The pack of a shorter way may have been condemned meanwhile.
            Some(Rests::OnPacks { deltas }) if deltas >= usize::from(max_hops) => return Ok(None),
            Some(Rests::OnClaim | Rests::OnPacks { .. }) => {}
        }
        match self.read_after(BlobKind::Node, &base.id, 0) {
            Ok(plain) => Ok(Some((base, plain))),
            // A base that can't be read is no reason not to write: the blob becomes a whole one.
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Seals the blob at the end of an open pack; a pack that is full goes to the uploaders.
    fn place(&self, blob: &Blob, codec: Codec, squeezed: &[u8]) -> Result<u32, Error> {
        let Blob { kind, ref id, plain, turn, .. } = *blob;
        let mut random = None;
        if let Some((number, drawn)) = turn {
            self.behind.wait_for(number);
            random = Some(drawn);
        }
        // Held until the pack is handed over, so that no more packs are in memory than the open
        // ones and those in upload, however many threads write.
        let mut open = self.open_pack(kind, id);
        loop {
            self.check_failure()?;
            if open.is_none() {
                self.uploads.hold_one_more();
            }
            let cell = open.get_or_insert_with(|| Arc::new(self.new_pack(random.take())));
            let filled = cell.fill(|writer| {
                let raw_len = plain.len() as u32;
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

    fn new_pack(&self, random: Option<[u8; 32]>) -> PackCell {
        let random = random.unwrap_or_else(|| self.repo.ambient().random());
        let salt = self.repo.keys().pack_salt(random);
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

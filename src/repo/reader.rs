//! Reading blobs: locate, get, open, check.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use hashbrown::HashSet;

use super::{
    Error, ReadBlobs, Repository,
    ahead::Ahead,
    catalog::{Located, PackInfo},
    layout,
};
use crate::{
    id::{BlobId, BlobKind, PackId},
    limits::{BLOB_MAX_BYTES, DELTA_HOPS_MAX},
    seal::{self, Codec, Row},
    store,
};

/// How the base of a delta is read, when so many deltas lead to it already.
pub(super) type Bases<'a> = &'a dyn Fn(BlobKind, &BlobId, u8) -> Result<Bytes, Error>;

/// Reads blobs of a repository. Clones share what is read ahead.
#[derive(Clone)]
pub struct Reader {
    repo: Repository,
    ahead: Arc<Ahead>,
    reloads: Arc<Mutex<Reloads>>,
}

/// What is known from when the index was loaded again, as a blob could not be read.
#[derive(Default)]
struct Reloads {
    last: Option<Duration>,
    /// Packs whose blobs can't be read although the index names them.
    bad: HashSet<PackId>,
}

/// For blobs that the index does not know it is loaded again no more often.
const RELOAD_AFTER: Duration = Duration::from_secs(5);

impl Reader {
    pub(super) fn new(repo: Repository) -> Self {
        Reader { repo, ahead: Arc::default(), reloads: Arc::default() }
    }

    pub fn repo(&self) -> &Repository {
        &self.repo
    }

    /// `hops` deltas lead to this blob already.
    pub(super) fn read_after(
        &self,
        kind: BlobKind,
        id: &BlobId,
        hops: u8,
        bases: Bases,
    ) -> Result<Bytes, Error> {
        if let Some(plain) = self.repo.inner.nodes.get(id) {
            return Ok(plain);
        }
        if let Some(plain) = self.read_ahead(kind, id, hops, bases) {
            return Ok(self.keep(kind, id, plain));
        }
        let copies = self.copies(kind, id);
        let failed = match self.read_any(id, &copies, hops, bases) {
            Ok(plain) => return Ok(self.keep(kind, id, plain)),
            Err(error @ Error::Store(_)) => return Err(error),
            Err(error) => error,
        };
        let others = self.other_copies(kind, id, &copies)?;
        if others.is_empty() {
            return Err(failed);
        }
        Ok(self.keep(kind, id, self.read_any(id, &others, hops, bases)?))
    }

    /// Copies beside those that were tried: somebody may have repacked, or made a snapshot, since
    /// the index was loaded. Threads that miss blobs of one pack wait for one another.
    fn other_copies(
        &self,
        kind: BlobKind,
        id: &BlobId,
        tried: &[Located],
    ) -> Result<Vec<Located>, Error> {
        let mut reloads = self.reloads.lock().expect("no code panics holding it");
        let mut now = self.copies(kind, id);
        let time = self.repo.ambient().clock.monotonic();
        let is_due = match tried {
            _ if now != tried => false,
            [] => reloads.last.is_none_or(|last| time.saturating_sub(last) >= RELOAD_AFTER),
            tried => !tried.iter().all(|copy| reloads.bad.contains(&copy.pack.id)),
        };
        if is_due {
            self.repo.refresh()?;
            reloads.last = Some(time);
            now = self.copies(kind, id);
            reloads.bad.extend(now.iter().filter(|copy| tried.contains(copy)).map(|c| c.pack.id));
        }
        now.retain(|copy| !tried.contains(copy));
        Ok(now)
    }

    fn copies(&self, kind: BlobKind, id: &BlobId) -> Vec<Located> {
        let mut copies = self.repo.catalog().copies(id);
        copies.retain(|copy| copy.row.kind == kind);
        copies
    }

    /// The first copy that opens. When none does, the error is that of a damaged copy, if there is
    /// one; a pack that is gone has no copy.
    fn read_any(
        &self,
        id: &BlobId,
        copies: &[Located],
        hops: u8,
        bases: Bases,
    ) -> Result<Bytes, Error> {
        let mut failed = Error::BlobMissing { id: *id };
        for copy in copies {
            let sealed = self.sealed(&copy.pack, &copy.row);
            let opened =
                sealed.and_then(|sealed| self.open(&copy.pack, &copy.row, &sealed, hops, bases));
            match opened {
                Ok(plain) => return Ok(plain),
                Err(Error::Store(error)) if error.is_not_found() => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// One copy of a blob, wherever the others lie.
    pub fn read_copy(&self, copy: &Located) -> Result<Bytes, Error> {
        let sealed = self.sealed(&copy.pack, &copy.row)?;
        self.open(&copy.pack, &copy.row, &sealed, 0, &|kind, id, hops| self.follow(kind, id, hops))
    }

    fn follow(&self, kind: BlobKind, id: &BlobId, hops: u8) -> Result<Bytes, Error> {
        self.read_after(kind, id, hops, &|kind, id, hops| self.follow(kind, id, hops))
    }

    /// A blob as it lies in its pack.
    pub fn sealed(&self, pack: &PackInfo, row: &Row) -> Result<Bytes, Error> {
        let start = u64::from(row.offset);
        let range = start..start + u64::from(row.stored_len);
        let sealed = self.repo.store().get(&layout::pack(&pack.id), range);
        sealed.map_err(|error| match error.kind {
            store::ErrorKind::ShortObject => {
                let what = "a blob";
                let source = seal::Error::Truncated { what, bytes: 0 };
                Error::BlobDamaged { id: row.id, pack: pack.id, source }
            }
            store::ErrorKind::Unreadable | store::ErrorKind::NotAFile => {
                Error::BlobUnreadable { id: row.id, pack: pack.id, source: error }
            }
            _ => Error::Store(error),
        })
    }

    /// `hops` deltas lead to this blob already.
    pub(super) fn open(
        &self,
        pack: &PackInfo,
        row: &Row,
        sealed: &[u8],
        hops: u8,
        bases: Bases,
    ) -> Result<Bytes, Error> {
        let base = match row.codec {
            Codec::Delta { .. } if hops >= DELTA_HOPS_MAX => {
                return Err(Error::TooManyHops { id: row.id });
            }
            Codec::Delta { base, .. } => Some(bases(row.kind, &base, hops + 1)?),
            _ => None,
        };
        let damaged = |source| Error::BlobDamaged { id: row.id, pack: pack.id, source };
        let (keys, base) = (self.repo.keys(), base.as_deref());
        if row.kind == BlobKind::Node {
            return seal::open_blob(keys, &pack.salt, row, sealed, base).map_err(damaged);
        }
        let mut plain = self.repo.inner.buffers.take(BLOB_MAX_BYTES.min(row.raw_len as usize));
        seal::open_blob_into(keys, &pack.salt, row, sealed, base, &mut plain).map_err(damaged)?;
        Ok(plain.freeze())
    }

    /// The blob, when it was expected and the read that was to serve it does.
    fn read_ahead(&self, kind: BlobKind, id: &BlobId, hops: u8, bases: Bases) -> Option<Bytes> {
        let (together, row) = self.ahead.take(id)?;
        if row.kind != kind {
            return None;
        }
        let bytes = {
            let mut bytes = together.bytes.lock().ok()?;
            let name = layout::pack(&together.pack);
            let get = || self.repo.store().get(&name, together.range.clone()).ok();
            bytes.get_or_insert_with(get).clone()?
        };
        let start = (u64::from(row.offset) - together.range.start) as usize;
        let sealed = bytes.slice(start..start + row.stored_len as usize);
        let pack = PackInfo { id: together.pack, salt: together.salt, size_bytes: 0 };
        // Whatever is wrong is met again, and told, on the straight way.
        self.open(&pack, &row, &sealed, hops, bases).ok()
    }

    fn keep(&self, kind: BlobKind, id: &BlobId, plain: Bytes) -> Bytes {
        if kind == BlobKind::Node {
            self.repo.inner.nodes.put(*id, plain.clone());
        }
        plain
    }
}

impl ReadBlobs for Reader {
    type Error = Error;

    fn read(&self, kind: BlobKind, id: &BlobId) -> Result<Bytes, Error> {
        self.follow(kind, id, 0)
    }

    /// Blobs that lie near one another are read together when the first of them is read; the
    /// bases of deltas are expected with them.
    fn expect(&self, kind: BlobKind, ids: &[BlobId]) {
        let mut wanted: Vec<(BlobId, u8)> = ids.iter().map(|id| (*id, 0)).collect();
        let mut copies = Vec::with_capacity(wanted.len());
        let mut seen = HashSet::new();
        while let Some((id, hops)) = wanted.pop() {
            if !seen.insert(id) || self.repo.inner.nodes.get(&id).is_some() || self.ahead.has(&id) {
                continue;
            }
            let Some(copy) = self.copies(kind, &id).into_iter().next() else { continue };
            if let Codec::Delta { base, .. } = copy.row.codec
                && hops < DELTA_HOPS_MAX
            {
                wanted.push((base, hops + 1));
            }
            copies.push(copy);
        }
        self.ahead.plan(copies);
    }
}

//! A few chunks kept in plain: the kernel reads a large file in many small pieces.

use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use lru::LruCache;

use crate::{
    id::{BlobId, BlobKind},
    repo::ReadBlobs,
};

const KEPT_BYTES_MAX: usize = 64 << 20;

/// Reads through to `R`, whose own cache is for nodes.
pub(super) struct Chunks<R> {
    reader: R,
    kept: Mutex<Kept>,
}

struct Kept {
    chunks: LruCache<BlobId, Bytes>,
    bytes: usize,
}

impl<R> Chunks<R> {
    pub fn new(reader: R) -> Self {
        Chunks { reader, kept: Mutex::new(Kept { chunks: LruCache::unbounded(), bytes: 0 }) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while it holds them")
    }
}

impl<R: ReadBlobs> ReadBlobs for Chunks<R> {
    type Error = R::Error;

    fn read(&self, kind: BlobKind, id: &BlobId) -> Result<Bytes, R::Error> {
        if kind == BlobKind::Node {
            return self.reader.read(kind, id);
        }
        if let Some(chunk) = self.kept().chunks.get(id) {
            return Ok(chunk.clone());
        }
        let chunk = self.reader.read(kind, id)?;
        let mut kept = self.kept();
        kept.bytes += chunk.len();
        if let Some(same) = kept.chunks.put(*id, chunk.clone()) {
            kept.bytes -= same.len();
        }
        while kept.bytes > KEPT_BYTES_MAX {
            let Some((_, oldest)) = kept.chunks.pop_lru() else { break };
            kept.bytes -= oldest.len();
        }
        Ok(chunk)
    }

    fn expect(&self, kind: BlobKind, ids: &[BlobId]) {
        self.reader.expect(kind, ids);
    }
}

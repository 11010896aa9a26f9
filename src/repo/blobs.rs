//! What a tree needs of a repository: blobs in, blobs out.

use bytes::Bytes;

use crate::id::{BlobId, BlobKind};

/// Gives the plain bytes of blobs, each authenticated, decompressed to its stated bound and
/// checked against its id. Blocking; called from many threads.
pub trait ReadBlobs: Send + Sync {
    type Error: std::error::Error + Send + Sync + 'static;

    fn read(&self, kind: BlobKind, id: &BlobId) -> Result<Bytes, Self::Error>;

    /// Says that these will be read soon, in about this order, so that a store far away may be
    /// asked for them in few large ranges. A hint: it may do nothing.
    fn expect(&self, kind: BlobKind, ids: &[BlobId]) {
        let _ = (kind, ids);
    }
}

/// A blob that the new one will resemble, usually the node it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Like {
    pub id: BlobId,
    /// So many deltas may stand between the new blob and a whole one (at most `DELTA_HOPS_MAX`).
    pub max_hops: u8,
}

/// What became of a blob that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub id: BlobId,
    /// False: the repository had it already.
    pub new: bool,
}

/// Takes plain bytes and stores what is not there yet. Called from many threads; naming is done on
/// the caller's, and for chunks squeezing and sealing too.
pub trait WriteBlobs: ReadBlobs {
    /// The blob can be read through the same value at once, before its pack is stored. It becomes
    /// durable with the session's next flush and reachable with its commit.
    ///
    /// A node may be stored after the call returned: it waits only when too much is under way.
    /// Nodes of one thread are stored in the order of the calls. What goes wrong then is told by a
    /// later write, or at the latest by the flush.
    fn write(
        &self,
        kind: BlobKind,
        plain: &[u8],
        like: Option<Like>,
    ) -> Result<Written, Self::Error>;

    /// The same with bytes that can be kept as they are, where `write` would copy a node.
    fn write_given(
        &self,
        kind: BlobKind,
        plain: Bytes,
        like: Option<Like>,
    ) -> Result<Written, Self::Error> {
        self.write(kind, &plain, like)
    }
}

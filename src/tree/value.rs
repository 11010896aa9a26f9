//! What a tree holds: under each key some bytes of the owner's, and perhaps content in chunks.

use bytes::Bytes;

use crate::id::BlobId;

/// A tree's handle, recorded in snapshots: its root node and what lies below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Root {
    pub id: BlobId,
    /// 0: the root is a leaf.
    pub level: u8,
    pub entries: u64,
    /// The sum over entries of key, head and content lengths.
    pub bytes: u64,
}

/// A run of content: a chunk, or a hole of zeros that is stored nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// `None`: `len` zeros.
    pub id: Option<BlobId>,
    pub len: u64,
}

/// The content of a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pieces {
    #[default]
    None,
    /// At most `PIECES_INLINE_MAX`, in order.
    List(Vec<Piece>),
    /// A longer list: a tree of its own, offset of the piece (u64, big-endian) to one piece.
    Tree(Root),
    /// Not content at all: another map, as a catalogue of maps holds them.
    Map(Root),
}

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Value {
    /// The owner's bytes, opaque here: a file's metadata, a document. At most
    /// `VALUE_HEAD_MAX_BYTES`.
    pub head: Bytes,
    pub pieces: Pieces,
}

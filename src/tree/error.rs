//! What can go wrong with a tree: a blob that can't be had, a node that lies, a caller's slip.

use crate::id::{BlobId, BlobKind};

/// `E` is the repository's error. `Order`, `Key`, `Head`, `List` and `Piece` are the caller's, and
/// nothing was stored that should not be.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    #[error("{kind:?} {id} could not be read")]
    Read { kind: BlobKind, id: BlobId, source: E },
    #[error("a {kind:?} could not be written")]
    Write { kind: BlobKind, source: E },
    #[error("node {id} is damaged")]
    Damaged { id: BlobId, source: Fault },
    #[error("chunk {id} has {found_bytes} bytes where {wanted_bytes} are recorded")]
    ChunkLength { id: BlobId, wanted_bytes: u64, found_bytes: u64 },
    #[error("changes must come in strictly ascending order of their keys")]
    Order,
    #[error("a key of {key_bytes} bytes is too long")]
    Key { key_bytes: usize },
    #[error("a value of {head_bytes} bytes beside its content is too long")]
    Head { head_bytes: usize },
    #[error("a list of {pieces} pieces is too long to stand in a value")]
    List { pieces: usize },
    #[error("the lengths of a value's pieces are none, or too large, or don't add up")]
    Piece,
}

impl<E: std::error::Error> Error<E> {
    /// A blob is damaged or lost, and others may well be had. `of_repository` says it of its own.
    pub fn is_damage(&self, of_repository: impl FnOnce(&E) -> bool) -> bool {
        match self {
            Error::Read { source, .. } => of_repository(source),
            Error::Damaged { .. } | Error::ChunkLength { .. } | Error::Piece => true,
            _ => false,
        }
    }
}

/// How a node's bytes contradict the format, themselves, or the node above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("its format version {found} is unknown")]
    Version { found: u8 },
    #[error("its level is {found} where {wanted} is recorded")]
    Level { wanted: u8, found: u8 },
    #[error("trees are at most {max} levels high", max = crate::limits::TREE_LEVELS_MAX)]
    TooHigh,
    #[error("it ends too early")]
    Truncated,
    #[error("bytes follow its end")]
    Trailing,
    #[error("a number in it is not in its shortest form, or too large")]
    Number,
    #[error("it tells more rows than its bytes can hold")]
    Rows,
    #[error("it has no rows")]
    Empty,
    #[error("row {row} is not above the one before")]
    Order { row: usize },
    #[error("row {row} lies outside of the range that the node above gives it")]
    Range { row: usize },
    #[error("row {row} is longer than allowed")]
    TooLong { row: usize },
    #[error("the content of row {row} is told wrongly")]
    Pieces { row: usize },
    #[error("entries or bytes do not add up to what is recorded")]
    Totals,
}

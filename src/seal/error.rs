//! What can be wrong with sealed bytes.

use crate::id::{BlobId, RepoId};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} is not authentic: sealed under another key, or changed since")]
    NotAuthentic { what: &'static str },
    #[error("{what} ends too early: {bytes} bytes")]
    Truncated { what: &'static str, bytes: usize },
    #[error("{what} has {bytes} bytes, more than the {max_bytes} allowed")]
    TooLarge { what: &'static str, bytes: usize, max_bytes: usize },
    #[error("not {what}: the first bytes are another's")]
    NotOurs { what: &'static str },
    #[error("{what} has format version {found}, this program reads 1")]
    UnknownVersion { what: &'static str, found: u16 },
    #[error("{what} belongs to repository {found}, not to {wanted}")]
    OtherRepository { what: &'static str, wanted: RepoId, found: RepoId },
    #[error("{what} is sealed as an object of kind {found}")]
    OtherKind { what: &'static str, found: u8 },
    #[error("blob {id} does not decompress to its {raw_len} bytes")]
    NotSqueezed { id: BlobId, raw_len: u32 },
    #[error("{what} does not decompress to its {raw_len} bytes")]
    ControlNotSqueezed { what: &'static str, raw_len: u32 },
    #[error("blob {wanted} holds the bytes of blob {found}")]
    WrongId { wanted: BlobId, found: BlobId },
    #[error("blob {id} is a delta, and its base {base} was not given")]
    BaseMissing { id: BlobId, base: BlobId },
    #[error("no key opens it with this password")]
    WrongPassword,
    #[error("a key slot wants {memory_kib} KiB, {passes} passes and {lanes} lanes: out of bounds")]
    SlotParams { memory_kib: u32, passes: u32, lanes: u32 },
    #[error("not enough memory to derive a key: {memory_kib} KiB")]
    SlotMemory { memory_kib: u32 },
    #[error("the header of a key slot can't be read")]
    SlotHeader(#[source] serde_json::Error),
}

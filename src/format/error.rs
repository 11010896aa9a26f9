//! What can be wrong with a record.

use crate::{
    document,
    id::{BlobId, SegmentId},
    seal,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Seal(#[from] seal::Error),
    #[error("{what} ends too early")]
    Truncated { what: &'static str },
    #[error("{what} goes on for {bytes} bytes after its end")]
    Trailing { what: &'static str, bytes: usize },
    #[error("{what}: {field} is {found}, which can't be")]
    Impossible { what: &'static str, field: &'static str, found: u64 },
    #[error("{what} can't be read from where it lies")]
    Unreadable {
        what: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("not a pack: its first or last bytes are another's")]
    NotAPack,
    #[error("a pack has format version {found}, this program reads 1")]
    UnknownVersion { found: u16 },
    #[error("this repository needs {feature}, which this program does not know")]
    UnknownFeature { feature: String },
    #[error("the bytes of index segment {id} are not the ones it is named for")]
    WrongSegment { id: SegmentId },
    #[error("blob {id} is in the pack already")]
    Twice { id: BlobId },
    #[error("the pack is full")]
    PackFull,
    #[error("{what} can't be read")]
    Record {
        what: &'static str,
        #[source]
        source: rmp_serde::decode::Error,
    },
    #[error("{what} can't be written")]
    Unwritable {
        what: &'static str,
        #[source]
        source: rmp_serde::encode::Error,
    },
    #[error("no path has the component {name:?}, or it is not absolute")]
    NotAPath { name: String },
    #[error("the record of a collection is no document")]
    CollectionRecord(#[source] document::Malformed),
    #[error("the record of a collection lacks `{field}`, or it is of another type")]
    CollectionField { field: &'static str },
    #[error("the config is not the JSON that it should be")]
    Config(#[source] serde_json::Error),
}

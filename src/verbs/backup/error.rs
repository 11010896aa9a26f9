//! What ends a backup. What is wrong with one item does not: that is a trouble.

use crate::{
    document::DiffError,
    format,
    source::{self, dump::DumpError, sorter::SortError},
    tree,
};

/// `E` is the repository's error.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    #[error("the repository failed")]
    Repo(#[source] E),
    #[error("the tree can't be built")]
    Tree(#[from] tree::Error<E>),
    #[error("the previous snapshot's entry {path} can't be understood")]
    Entry { path: String, source: format::Error },
    #[error("an entry can't be written")]
    Unwritable(#[source] format::Error),
    #[error("there is nothing to back up: none of the sources is there")]
    NoSource,
    #[error("there is nothing to back up: no collection is there that was asked for")]
    NoCollections,
    #[error("the source failed, so no snapshot is made")]
    Source(#[source] source::Error),
    #[error("the MongoDB deployment can't be captured, so no snapshot is made")]
    Mongodb(#[source] source::mongo::Error),
    #[error("the dump can't be read, so no snapshot is made")]
    Dump(#[from] DumpError),
    #[error("documents can't be sorted")]
    Sort(#[from] SortError),
    #[error("what the oplog has of {namespace} can't be applied")]
    Change { namespace: String, source: DiffError },
    #[error("the previous snapshot's record of {namespace} can't be understood")]
    Record { namespace: String, source: format::Error },
    #[error("the chunk or node sizes of the repository can't be used")]
    Sizes,
    /// Another thread's error ended the run; that one is told.
    #[error("stopped after another failure")]
    Stopped,
    #[error("interrupted")]
    Cancelled,
}

impl<E: std::error::Error + 'static> From<source::mongo::Error> for Error<E> {
    fn from(error: source::mongo::Error) -> Self {
        match error {
            source::mongo::Error::Cancelled => Error::Cancelled,
            other => Error::Mongodb(other),
        }
    }
}

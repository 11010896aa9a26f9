//! What ends a backup. What is wrong with one item does not: that is a trouble.

use crate::{format, source, tree};

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
    #[error("the source failed, so no snapshot is made")]
    Source(#[source] source::Error),
    #[error("the chunk or node sizes of the repository can't be used")]
    Sizes,
    /// Another thread's error ended the run; that one is told.
    #[error("stopped after another failure")]
    Stopped,
    #[error("interrupted")]
    Cancelled,
}

//! What can go wrong with a verb that reads.

use crate::{format, tree};

/// `E` is the repository's error.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    #[error("cannot read the snapshot")]
    Tree(#[from] tree::Error<E>),
    #[error("the snapshot's entry {path} can't be understood")]
    Entry { path: String, source: format::Error },
    #[error("the snapshot has no {path}")]
    NoSuchPath { path: String },
    #[error("{path} is a {kind}, not a file")]
    NotAFile { path: String, kind: &'static str },
    #[error("`{path}` can't be a path in a snapshot")]
    NoPath { path: String },
    #[error("the snapshot holds no files")]
    NoFiles,
}

//! What can go wrong with a verb that reads.

use crate::{document::Malformed, format, tree};

/// `E` is the repository's error.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    #[error("cannot read the snapshot")]
    Tree(#[from] tree::Error<E>),
    /// Others may well be had: an iterator that gives it goes on behind it.
    #[error("{what} can't be read")]
    Lost { what: String, source: tree::Error<E> },
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
    #[error("the snapshot holds no collections")]
    NoCollections,
    #[error("the snapshot has no database {database}")]
    NoSuchDatabase { database: String },
    #[error("the snapshot has no collection {namespace}")]
    NoSuchCollection { namespace: String },
    #[error("{namespace} has no document {id}")]
    NoSuchDocument { namespace: String, id: String },
    #[error("{database} is a database, not a collection")]
    ADatabase { database: String },
    #[error("{namespace} is a view: it has no documents of its own")]
    NoDocuments { namespace: String },
    #[error("the catalogue names a collection {namespace:?}, which can be none")]
    CatalogueKey { namespace: String },
    #[error("the record of the collection {namespace} can't be understood")]
    CollectionRecord { namespace: String, source: format::Error },
    #[error("a document can't be understood")]
    Document { source: Malformed },
    #[error("a document of {bytes} bytes is longer than any server takes")]
    DocumentLength { bytes: u64 },
}

impl<E: std::error::Error> Error<E> {
    /// What was to be read is damaged or lost, and other things may well be had. `of_repository`
    /// says it of its own errors.
    pub fn is_damage(&self, of_repository: impl FnOnce(&E) -> bool) -> bool {
        match self {
            Error::Tree(error) | Error::Lost { source: error, .. } => {
                error.is_damage(of_repository)
            }
            Error::Entry { .. }
            | Error::CatalogueKey { .. }
            | Error::CollectionRecord { .. }
            | Error::Document { .. }
            | Error::DocumentLength { .. } => true,
            _ => false,
        }
    }
}

/// Takes what can't be read, behind which a run could go on; what it gives back ends the run.
pub type Lost<'l, E> = dyn FnMut(Error<E>) -> Result<(), Error<E>> + 'l;

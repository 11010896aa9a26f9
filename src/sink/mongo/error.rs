//! What can go wrong while a server is written to.

use crate::{document::namespace::Namespace, mongo};

/// What ends the writing into a server, or into one collection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("cannot write to {place}")]
    Write { place: Namespace, source: mongo::Error },
    #[error("cannot create {place}")]
    Create { place: Namespace, source: mongo::Error },
    #[error("cannot drop {place}")]
    Drop { place: Namespace, source: mongo::Error },
    #[error("cannot build the indexes of {place}")]
    Indexes { place: Namespace, source: mongo::Error },
    #[error("cannot look at {place}")]
    Look { place: Namespace, source: mongo::Error },
    #[error("cannot list the collections of {db}")]
    List { db: String, source: mongo::Error },
    #[error("cannot write users and roles")]
    Authority { source: mongo::Error },
    #[error("a majority of the replica set has not confirmed what was written")]
    Majority { source: mongo::Error },
}

impl Error {
    /// What the server, or the way to it, said.
    pub fn cause(&self) -> &mongo::Error {
        match self {
            Error::Write { source, .. }
            | Error::Create { source, .. }
            | Error::Drop { source, .. }
            | Error::Indexes { source, .. }
            | Error::Look { source, .. }
            | Error::List { source, .. }
            | Error::Authority { source }
            | Error::Majority { source } => source,
        }
    }
}

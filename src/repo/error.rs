//! What can go wrong with a repository.

use std::{io, sync::Arc};

use crate::{
    format,
    id::{BlobId, PackId, Sid},
    limits::DELTA_HOPS_MAX,
    seal, store,
};

/// Nothing here is about a source or a target: an error of this type ends the run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("there is no repository")]
    NoRepository,
    #[error(
        "the configuration of the repository is gone: there are objects of one, and no `config`"
    )]
    ConfigLost,
    #[error("there is a repository already")]
    AlreadyThere,
    #[error("no key opens it with this password")]
    WrongPassword,
    #[error("there is no key that can be read")]
    NoKeys,
    #[error("it is the last key: without it nobody could open the repository")]
    LastKey,
    #[error("there is no key {key}")]
    NoSuchKey { key: String },
    #[error("{object} is damaged")]
    Damaged {
        object: String,
        #[source]
        source: format::Error,
    },
    #[error("{what} can't be sealed")]
    Unsealable {
        what: &'static str,
        #[source]
        source: format::Error,
    },
    #[error("blob {id} is in no pack")]
    BlobMissing { id: BlobId },
    #[error("blob {id} is damaged in pack {pack}")]
    BlobDamaged {
        id: BlobId,
        pack: PackId,
        #[source]
        source: seal::Error,
    },
    #[error("blob {id} can't be read in pack {pack}")]
    BlobUnreadable {
        id: BlobId,
        pack: PackId,
        #[source]
        source: store::Error,
    },
    #[error("pack {pack} is damaged")]
    PackDamaged {
        pack: PackId,
        #[source]
        source: format::Error,
    },
    #[error("blob {id} is more than {DELTA_HOPS_MAX} deltas away from a whole one")]
    TooManyHops { id: BlobId },
    #[error("the cache can't be used")]
    Cache(#[from] io::Error),
    #[error(
        "the store is used without atomic creation, and others may fence sessions here: \
         a commit could overwrite a fence"
    )]
    NotAtomic,
    #[error("session {sid} was fenced by {by}: {reason}")]
    Fenced { sid: Sid, by: String, reason: String },
    #[error("another session has committed as {sid}")]
    SlotTaken { sid: Sid },
    /// Of a session that has failed before, with what stopped it.
    #[error(transparent)]
    Before(Arc<Error>),
    #[error("the session has stopped after an error")]
    Stopped,
}

impl From<seal::Error> for Error {
    fn from(source: seal::Error) -> Self {
        match source {
            seal::Error::WrongPassword => Error::WrongPassword,
            source => Error::Unsealable { what: "a key", source: source.into() },
        }
    }
}

impl Error {
    /// The repository itself is damaged, as opposed to out of reach or in use wrongly.
    pub fn is_damage(&self) -> bool {
        use Error::*;
        if let Before(error) = self {
            return error.is_damage();
        }
        matches!(
            self,
            Damaged { .. }
                | BlobMissing { .. }
                | BlobDamaged { .. }
                | BlobUnreadable { .. }
                | PackDamaged { .. }
                | TooManyHops { .. }
        )
    }
}

//! Why a restore into a server ended early, or never began.

use jiff::Timestamp;

use crate::{
    document::{
        Malformed,
        namespace::{Namespace, RenameError},
    },
    id::Sid,
    mongo,
    repo::{self, collect},
    sink::mongo as sink,
    source::sorter::SortError,
    tree, verbs,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the repository failed")]
    Repo(#[from] repo::Error),
    #[error("cannot read the snapshot")]
    Snapshot(#[from] tree::Error<repo::Error>),
    #[error("cannot read the snapshot")]
    Reading(#[from] verbs::Error<repo::Error>),
    #[error(transparent)]
    Sink(#[from] sink::Error),
    #[error("the server failed")]
    Server(#[from] mongo::Error),
    #[error("cannot sort the documents")]
    Sort(#[from] SortError),
    #[error("a document can't be understood")]
    Malformed(#[source] Malformed),
    #[error("the snapshot holds no MongoDB collections")]
    NoMongodb,
    #[error("the snapshot has no {what}")]
    NoSuch { what: String },
    #[error("of the snapshot's collections none is chosen")]
    NothingChosen,
    #[error("a query can't be asked of the time series {namespace}: buckets of it are kept")]
    QueryOfBuckets { namespace: Namespace },
    #[error("a part of the snapshot's list of collections can't be read, and the rest has no such")]
    ListDamaged,
    #[error("a collection can't be renamed so")]
    Rename(#[from] RenameError),
    #[error("collections of {first} and of {second} can't all go into the database {database}")]
    TwoDatabases { first: String, second: String, database: String },
    #[error("{first} and {second} would both become {to}")]
    Collide { first: Namespace, second: Namespace, to: Namespace },
    #[error("the chunk or node sizes of the repository can't be used")]
    Sizes,
    #[error("`newest` needs the field that says which document is newer")]
    NoNewestBy,
    #[error("the snapshot holds no users and roles")]
    NoAuthority,
    #[error("the snapshot is no record of a restore")]
    NoUndo,
    #[error(
        "there is no restore {}to take back",
        .server.as_ref().map_or(String::new(), |server| format!("into {server} "))
    )]
    NoRestore { server: Option<String> },
    #[error("the restore {undone} is taken back already, and only older ones are left")]
    OlderRestore {
        undone: Sid,
        /// The newest of those.
        older: Sid,
        time: Timestamp,
    },
    #[error("the restore did not come to its end")]
    Unfinished {
        /// The record of what it was to write.
        undo: Sid,
        source: Box<Error>,
    },
    #[error("the record of the restore can't be completed")]
    Record { source: collect::Error },
    #[error("everything is as it was before the restore, but its record {record} is not forgotten")]
    Unforgotten { record: Sid, source: collect::Error },
    #[error("the restore {record} went into another deployment than the one that answers")]
    AnotherDeployment { record: Sid },
    #[error("interrupted; the same command goes on from here")]
    Cancelled,
}

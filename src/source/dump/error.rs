//! What can be wrong with a dump.

use std::{io, path::PathBuf};

use crate::document::{Malformed, extjson::ParseError};

#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no dump: it has no collection", path.display())]
    NoDump { path: PathBuf },
    #[error("{} is no archive of mongodump", path.display())]
    NoArchive { path: PathBuf },
    #[error("the document at byte {at} of {} is damaged", path.display())]
    Document { path: PathBuf, at: u64, source: Malformed },
    #[error("{} is cut off: its end is missing", path.display())]
    Cut { path: PathBuf },
    #[error("the documents of {namespace} in {} are not those that were written", path.display())]
    Checksum { path: PathBuf, namespace: String },
    #[error("the metadata in {} can't be understood", path.display())]
    Metadata { path: PathBuf, source: ParseError },
    #[error("the metadata in {} has no {field} as it should be", path.display())]
    Field { path: PathBuf, field: &'static str },
    #[error("the documents that go with {} are not there", path.display())]
    NoDocuments { path: PathBuf },
    #[error("{} is no name of a collection", path.display())]
    Name { path: PathBuf },
}

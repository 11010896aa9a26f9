//! What a capture would read, as the server counts it.

use std::cmp::Reverse;

use super::Error;
use crate::{
    mongo::Link,
    progress::Progress,
    repo,
    source::mongo::{Capture, Namespace, Options},
};

/// A collection that would be read, and how large the server says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCollection {
    pub namespace: Namespace,
    pub documents: u64,
    pub bytes: u64,
}

/// The collections with documents that a capture would read, the largest first. Reads no document.
pub fn plan_mongodb(
    link: &Link,
    options: &Options,
    progress: &Progress,
) -> Result<Vec<PlannedCollection>, Error<repo::Error>> {
    progress.phase("plan");
    let capture = Capture::begin(link, options.clone(), progress)?;
    if capture.catalogue().is_empty() {
        return Err(Error::NoCollections);
    }
    let mut planned: Vec<_> = capture
        .collections()
        .map(|collection| {
            let (documents, bytes) = capture.size_of(collection);
            PlannedCollection { namespace: collection.namespace.clone(), documents, bytes }
        })
        .collect();
    planned.sort_by_key(|one| Reverse((one.bytes, one.documents)));
    Ok(planned)
}

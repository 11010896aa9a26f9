//! A collection's documents as they are on the server, in the order of keys.

use std::path::Path;

use bytes::Bytes;
use hashbrown::HashMap;

use super::{Error, strategy::Strategy, tally::Digest};
use crate::{
    ambient::Ambient,
    document::{Writer, get, namespace::Namespace},
    limits::{RESTORE_SORT_BYTES, RESTORE_SORTED_MAX_BYTES},
    mongo::Link,
    progress::Progress,
    sink::mongo as sink,
    source::sorter::{Sorted, Sorter, SorterOptions},
};

/// Where what does not fit into memory is sorted, sealed.
pub(crate) struct Spill<'a> {
    pub dir: &'a Path,
    pub ambient: &'a Ambient,
}

impl Spill<'_> {
    pub fn sorter(&self) -> Sorter {
        Sorter::new(SorterOptions {
            memory_bytes: RESTORE_SORT_BYTES,
            spill_dir: self.dir.to_owned(),
            key: self.ambient.random(),
        })
    }
}

/// A live document, or where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Live {
    Whole(Bytes),
    /// Too long to be sorted: known by its hash, and fetched when it is needed.
    Long {
        hash: [u8; 32],
        id: Bytes,
    },
}

const WHOLE: u8 = 0;
const LONG: u8 = 1;

impl Live {
    pub fn of(document: &[u8]) -> Result<Live, Error> {
        if document.len() <= RESTORE_SORTED_MAX_BYTES {
            return Ok(Live::Whole(Bytes::copy_from_slice(document)));
        }
        Ok(Live::Long { hash: *blake3::hash(document).as_bytes(), id: id_of(document)?.into() })
    }

    /// What a sorter takes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Live::Whole(document) => [&[WHOLE], &document[..]].concat(),
            Live::Long { hash, id } => [&[LONG], &hash[..], id].concat(),
        }
    }

    pub fn decode(bytes: &Bytes) -> Live {
        if bytes.first() == Some(&LONG) {
            let hash = bytes[1..33].try_into().expect("it was written so");
            return Live::Long { hash, id: bytes.slice(33..) };
        }
        Live::Whole(bytes.slice(1..))
    }

    /// Whether it is this document, as far as is known without asking.
    pub fn is(&self, document: &[u8]) -> bool {
        match self {
            Live::Whole(live) => live[..] == *document,
            Live::Long { hash, .. } => blake3::hash(document) == *hash,
        }
    }

    /// The document; `None` if it is gone meanwhile.
    pub fn whole(&self, link: &Link, place: &Namespace) -> Result<Option<Bytes>, Error> {
        match self {
            Live::Whole(document) => Ok(Some(document.clone())),
            Live::Long { id, .. } => Ok(sink::by_ids(link, place, [&id[..]])?.pop()),
        }
    }
}

/// The `_id` of a document, as a document of that field alone.
pub(crate) fn id_of(document: &[u8]) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::new();
    if let Some(id) = get(document, b"_id").map_err(Error::Malformed)? {
        writer.push(&id);
    }
    Ok(writer.finish())
}

/// Reads a whole collection as it lies and sorts it by the strategy's key.
pub(crate) fn sorted(
    link: &Link,
    place: &Namespace,
    strategy: &Strategy,
    spill: &Spill<'_>,
    progress: &Progress,
) -> Result<SortedLive, Error> {
    let mut sorter = spill.sorter();
    each(link, place, progress, &mut |document| {
        let key = strategy.key(document).map_err(Error::Malformed)?;
        sorter.push(&key, &Live::of(document)?.encode())?;
        Ok(())
    })?;
    Ok(SortedLive(sorter.finish()?))
}

pub(crate) struct SortedLive(Sorted);

impl Iterator for SortedLive {
    type Item = Result<(Bytes, Live), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.0.next()?;
        Some(entry.map(|(key, live)| (key, Live::decode(&live))).map_err(Error::Sort))
    }
}

/// Calls `take` with each document of a collection, in natural order.
pub(crate) fn each(
    link: &Link,
    place: &Namespace,
    progress: &Progress,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    for batch in sink::scan(link, place)? {
        super::go_on(progress)?;
        let batch = batch.map_err(|source| sink::Error::Look { place: place.clone(), source })?;
        for document in batch.documents() {
            take(document)?;
        }
    }
    Ok(())
}

/// Counts and hashes a collection.
pub(crate) fn digest(link: &Link, place: &Namespace, progress: &Progress) -> Result<Digest, Error> {
    let mut digest = Digest::default();
    each(link, place, progress, &mut |document| {
        digest.add(document);
        progress.done(1, document.len() as u64);
        Ok(())
    })?;
    Ok(digest)
}

/// The live documents that have the `_id`s of these, by key.
pub(super) fn looked_up(
    link: &Link,
    place: &Namespace,
    documents: &[(Bytes, Bytes)],
) -> Result<HashMap<Vec<u8>, Bytes>, Error> {
    let by_id = Strategy::default();
    let found = sink::by_ids(link, place, documents.iter().map(|(_, document)| &document[..]))?;
    let key = |live: Bytes| {
        let key = by_id.key(&live).map_err(Error::Malformed)?;
        Ok((key, live))
    };
    found.into_iter().map(key).collect()
}

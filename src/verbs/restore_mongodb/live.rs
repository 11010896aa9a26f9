//! A collection's documents as they are on the server, in the order of keys.

use std::{iter::Peekable, path::Path};

use bytes::Bytes;
use hashbrown::HashMap;

use super::{Error, strategy::Strategy, tally::Digest};
use crate::{
    ambient::Ambient,
    document::{Writer, get, namespace::Namespace},
    limits::{
        RESTORE_BATCH_BYTES, RESTORE_LOOKUP_DOCUMENTS, RESTORE_SORT_BYTES, RESTORE_SORTED_MAX_BYTES,
    },
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
    /// Too long to be kept: known by its hash, and fetched when it is needed.
    Long {
        hash: [u8; 32],
        id: Bytes,
    },
}

const WHOLE: u8 = 0;
const LONG: u8 = 1;

impl Live {
    pub fn of(document: &[u8]) -> Result<Live, Error> {
        match document.len() <= RESTORE_SORTED_MAX_BYTES {
            true => Ok(Live::Whole(Bytes::copy_from_slice(document))),
            false => Live::long(document),
        }
    }

    fn long(document: &[u8]) -> Result<Live, Error> {
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

    /// Its `_id`, as a document of that field alone.
    pub fn id(&self) -> Result<Bytes, Error> {
        match self {
            Live::Whole(document) => Ok(id_of(document)?.into()),
            Live::Long { id, .. } => Ok(id.clone()),
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

/// Reads a whole collection as it lies and sorts it by the strategy's key; by `_id`, each once.
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
    Ok(SortedLive::new(sorter.finish()?, strategy.match_on.is_empty()))
}

pub(crate) struct SortedLive {
    entries: Peekable<Sorted>,
    by_id: bool,
}

impl SortedLive {
    pub fn new(sorted: Sorted, by_id: bool) -> Self {
        SortedLive { entries: sorted.peekable(), by_id }
    }
}

impl Iterator for SortedLive {
    type Item = Result<(Bytes, Live), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut entry = self.entries.next()?;
        // Removed behind the scan and inserted again before it, a document is read twice. The
        // later reading is the document, and a sort keeps their order.
        while self.by_id
            && let Ok((key, _)) = &entry
            && let Some(later) =
                self.entries.next_if(|next| matches!(next, Ok((other, _)) if other == key))
        {
            entry = later;
        }
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

/// Whether so many documents, of so many bytes, are enough to be looked up at once.
pub(super) fn is_full(documents: usize, bytes: usize) -> bool {
    documents >= RESTORE_LOOKUP_DOCUMENTS || bytes >= RESTORE_BATCH_BYTES
}

/// The live documents that have the `_id`s of these, by key; whole as far as they are no more
/// than a command's worth.
pub(super) fn looked_up(
    link: &Link,
    place: &Namespace,
    documents: &[(Bytes, Bytes)],
) -> Result<HashMap<Vec<u8>, Live>, Error> {
    let by_id = Strategy::default();
    let keep = |live: &[u8], before: usize| {
        let key = by_id.key(live).map_err(Error::Malformed)?;
        let fits = before + live.len() <= RESTORE_BATCH_BYTES;
        Ok((key, if fits { Live::of(live) } else { Live::long(live) }?))
    };
    let ids = documents.iter().map(|(_, document)| &document[..]);
    sink::by_ids_as(link, place, ids, keep)?.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(pairs: &[(&[u8], &str)], by_id: bool) -> Vec<(Bytes, Live)> {
        let dir = tempfile::tempdir().unwrap();
        let (ambient, _) = Ambient::fixed(1);
        let mut sorter = Spill { dir: dir.path(), ambient: &ambient }.sorter();
        for (key, text) in pairs {
            let live = Live::Whole(Bytes::copy_from_slice(text.as_bytes()));
            sorter.push(key, &live.encode()).unwrap();
        }
        SortedLive::new(sorter.finish().unwrap(), by_id).map(Result::unwrap).collect()
    }

    #[test]
    fn of_a_document_that_a_scan_met_twice_the_later_reading_counts() {
        let pairs: [(&[u8], &str); 4] =
            [(b"b", "first"), (b"a", "a"), (b"b", "later"), (b"c", "c")];
        let texts = |by_id| -> Vec<Live> {
            sorted(&pairs, by_id).into_iter().map(|(_, live)| live).collect()
        };
        let live = |text: &'static str| Live::Whole(Bytes::from_static(text.as_bytes()));
        assert_eq!(texts(true), [live("a"), live("later"), live("c")]);
        assert_eq!(texts(false).len(), 4, "by other fields, these may be two documents");
    }
}

//! Looking at what is there, before and after.

use std::{cell::Cell, iter};

use bytes::Bytes;

use super::{Error, command};
use crate::{
    document::{Element, Writer, get, namespace::Namespace},
    limits::{RESTORE_BATCH_BYTES, SCAN_BATCH_DOCUMENTS},
    mongo::{Cursor, Link},
};

/// All documents of a collection, as they lie.
pub fn scan(link: &Link, place: &Namespace) -> Result<Cursor, Error> {
    let mut natural = Writer::new();
    natural.push_i32(b"$natural", 1);
    let mut command = command::on("find", place);
    command.push_doc(b"hint", &natural.finish());
    command.push_bool(b"noCursorTimeout", true);
    let cursor = link.cursor(&place.db, &command.finish(), SCAN_BATCH_DOCUMENTS);
    cursor.map_err(|source| Error::Look { place: place.clone(), source })
}

/// The documents that have the `_id`s of these, in any order.
pub fn by_ids<'a>(
    link: &Link,
    place: &Namespace,
    documents: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Bytes>, Error> {
    by_ids_as(link, place, documents, |document, _| Bytes::copy_from_slice(document))
}

/// What `keep` makes of each of them, told also how many bytes came before it.
pub fn by_ids_as<'a, T>(
    link: &Link,
    place: &Namespace,
    documents: impl IntoIterator<Item = &'a [u8]>,
    keep: impl Fn(&[u8], usize) -> T,
) -> Result<Vec<T>, Error> {
    let ids = documents.into_iter().filter_map(|document| get(document, b"_id").ok().flatten());
    let mut ids = ids.peekable();
    let (mut found, came) = (Vec::new(), Cell::new(0));
    let keep = |document: &[u8], _| {
        let before = came.get();
        came.set(before + document.len());
        keep(document, before)
    };
    while let Some(first) = ids.next() {
        // They may be as long as documents, and are to fit into a command.
        let mut bytes = first.value.len();
        let mut fits = |id: &Element<'_>| {
            bytes += id.value.len();
            bytes <= RESTORE_BATCH_BYTES
        };
        let mut few = vec![first];
        few.extend(iter::from_fn(|| ids.next_if(&mut fits)));
        let some = link.list_as(&place.db, &command::find_ids(place, few), keep);
        found.extend(some.map_err(|source| Error::Look { place: place.clone(), source })?);
    }
    Ok(found)
}

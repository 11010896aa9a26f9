//! One document as of a moment of the past, where the oplog alone can't tell it.

use bson::{Timestamp, rawdoc};

use super::{
    Collection, Error, Keys, listing,
    scan::{GONE, NOT_AT_THAT_TIME, OUT_OF_WINDOW},
};
use crate::{
    document::{self, Element, Writer},
    format::snapshot::ClusterTime,
    mongo::Link,
};

/// The document of that `_id` (by the rule of equal keys) that `collection` had at `at`; `None`
/// if it had none.
///
/// # Errors
/// [`Error::StartAgain`] if the collection was dropped or renamed since. [`Error::NotAsOf`] if
/// the server can't look back to then, or never could.
pub(super) fn document_at(
    link: &Link,
    collection: &Collection,
    id: &Element<'_>,
    at: ClusterTime,
) -> Result<Option<Vec<u8>>, Error> {
    let namespace = collection.namespace.to_string();
    let not = |why: String| Error::NotAsOf { namespace: namespace.clone(), at, why };
    if collection.keys == Keys::Ordinal {
        return Err(not("it is capped".to_owned()));
    }
    if !link.facts().reads_as_of_a_moment() {
        return Err(not("servers can from 5.0 on".to_owned()));
    }
    let command = question(link, collection, id, at);
    let found = match link.list(&collection.namespace.db, &command) {
        Ok(found) => found,
        Err(error) => {
            let code = error.code().unwrap_or(0);
            return Err(match code {
                _ if GONE.contains(&code) || NOT_AT_THAT_TIME.contains(&code) => moved(collection),
                OUT_OF_WINDOW => not(error.to_string()),
                _ => error.into(),
            });
        }
    };
    if !is_still_itself(link, collection)? {
        return Err(moved(collection));
    }
    let key = document::id_key(id).ok();
    // A collation of the collection may take other ids for equal.
    let is_meant = |document: &Vec<u8>| {
        let id = document::get(document, b"_id").ok().flatten();
        id.and_then(|id| document::id_key(&id).ok()) == key
    };
    Ok(found.into_iter().find(is_meant))
}

fn question(link: &Link, collection: &Collection, id: &Element<'_>, at: ClusterTime) -> Vec<u8> {
    let mut equals = Writer::new();
    equals.push_raw(id.kind, b"$eq", id.value);
    let mut filter = Writer::new();
    filter.push_doc(b"_id", &equals.finish());
    let mut command = Writer::new();
    command.push_str(b"find", collection.stored_in());
    command.push_doc(b"filter", &filter.finish());
    let at = Timestamp::from(at);
    let concern = rawdoc! { "level": "snapshot", "atClusterTime": at };
    command.push_doc(b"readConcern", concern.as_bytes());
    if let Some(uuid) = collection.uuid.filter(|_| link.facts().checks_collection_uuid()) {
        command.push_binary(b"collectionUUID", 4, &uuid);
    }
    command.finish()
}

/// Older servers answer for any collection of that name.
fn is_still_itself(link: &Link, collection: &Collection) -> Result<bool, Error> {
    match &collection.uuid {
        Some(uuid) if !link.facts().checks_collection_uuid() => {
            let name = listing::name_of(link, &collection.namespace.db, uuid)?;
            Ok(name == Some(collection.stored_in()))
        }
        _ => Ok(true),
    }
}

fn moved(collection: &Collection) -> Error {
    let why = format!("{} was dropped or renamed meanwhile", collection.namespace);
    Error::StartAgain { why }
}

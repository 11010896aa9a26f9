//! The documents of a collection: one by its `_id`, a stretch of them, or all.

use std::{cmp::Ordering, ops::Bound};

use bytes::Bytes;

use super::{Collection, Found};
use crate::{
    document::{
        self, Element, OwnedValue,
        extjson::{Flavour, value_to_text},
        namespace::Namespace,
        typed_id,
    },
    format::catalogue::DocumentKeys,
    limits::DOCUMENT_MAX_BYTES,
    repo::ReadBlobs,
    tree::{
        self, KeyRange, Pieces, Root, Value,
        content::{length, read_range},
    },
    verbs::Error,
};

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub key: Bytes,
    /// As the server gave it.
    pub bytes: Bytes,
}

impl Document {
    pub fn id(&self) -> Option<Element<'_>> {
        document::get(&self.bytes, b"_id").ok().flatten()
    }
}

/// The `_id` of a document, or of the head of a long one, for people: Extended JSON that can be
/// typed. Without one, as in some system collections: its place in natural order.
pub fn id_text(head: &[u8], key: &[u8]) -> String {
    let id = document::get(head, b"_id").ok().flatten();
    let text = id.and_then(|id| value_to_text(&id, Flavour::Relaxed).ok());
    text.unwrap_or_else(|| match key.try_into() {
        Ok(place) => format!("#{}", u64::from_be_bytes(place)),
        Err(_) => format!("#{}", hex::encode(key)),
    })
}

/// The bytes of the document that a value stands for.
pub fn content<R: ReadBlobs>(reader: &R, value: &Value) -> Result<Bytes, Error<R::Error>> {
    if value.pieces == Pieces::None {
        return Ok(value.head.clone());
    }
    let expected = length(&value.pieces).unwrap_or(u64::MAX);
    if expected > DOCUMENT_MAX_BYTES as u64 {
        return Err(Error::DocumentLength { bytes: expected });
    }
    let mut bytes = Vec::with_capacity(expected as usize);
    let mut take = |some: &[u8]| bytes.extend_from_slice(some);
    read_range(reader, &value.pieces, 0..DOCUMENT_MAX_BYTES as u64, &mut take)?;
    Ok(bytes.into())
}

/// How long the document is, without reading it.
pub fn document_bytes(value: &Value) -> u64 {
    match value.pieces {
        Pieces::None => value.head.len() as u64,
        _ => length(&value.pieces).unwrap_or_default(),
    }
}

/// The collection that was found, if a database alone is not what was asked for.
pub fn needed_collection<E: std::error::Error>(
    found: Found,
) -> Result<(Collection, Option<String>), Error<E>> {
    match found {
        Found::Database(database) => Err(Error::ADatabase { database }),
        Found::Collection(collection) => Ok((*collection, None)),
        Found::Document(collection, id) => Ok((*collection, Some(id))),
    }
}

/// The document whose `_id` a person typed: the first of the readings that is there. Reads one
/// node a level for each; where documents stand in natural order, all of them up to it.
pub fn by_id<R: ReadBlobs>(
    reader: &R,
    collection: &Collection,
    typed: &str,
) -> Result<Document, Error<R::Error>> {
    let root = root_of(collection)?;
    for id in typed_id::readings(typed) {
        let found = match collection.record.keys {
            DocumentKeys::Id => {
                let key = key_of(&id)?;
                tree::get(reader, &root, &key)?.map(|value| (Bytes::from(key), value))
            }
            DocumentKeys::Ordinal => by_scan(reader, &root, &id)?,
        };
        if let Some((key, value)) = found {
            return Ok(Document { key, bytes: content(reader, &value)? });
        }
    }
    let namespace = collection.namespace.to_string();
    Err(Error::NoSuchDocument { namespace, id: typed.to_owned() })
}

fn by_scan<R: ReadBlobs>(
    reader: &R,
    root: &Root,
    id: &OwnedValue,
) -> Result<Option<(Bytes, Value)>, Error<R::Error>> {
    for found in tree::iter(reader, root, KeyRange::all()) {
        let (key, value) = found?;
        if order(&holding_id(reader, &value)?, id) == Some(Ordering::Equal) {
            return Ok(Some((key, value)));
        }
    }
    Ok(None)
}

/// What has the document's `_id`: of a long one, the head has it if it is not very long.
pub(crate) fn holding_id<R: ReadBlobs>(
    reader: &R,
    value: &Value,
) -> Result<Bytes, Error<R::Error>> {
    match document::elements(&value.head).next() {
        None => content(reader, value),
        Some(_) => Ok(value.head.clone()),
    }
}

/// How the `_id` of what stands under a value compares with another.
fn order(head: &[u8], id: &OwnedValue) -> Option<Ordering> {
    let own = document::get(head, b"_id").ok().flatten()?;
    Some(document::compare(&own, &id.element()))
}

fn key_of<E: std::error::Error>(id: &OwnedValue) -> Result<Vec<u8>, Error<E>> {
    document::id_key(&id.element()).map_err(|source| Error::Document { source })
}

fn root_of<E: std::error::Error>(collection: &Collection) -> Result<Root, Error<E>> {
    let namespace = || collection.namespace.to_string();
    collection.root.ok_or_else(|| Error::NoDocuments { namespace: namespace() })
}

/// From which `_id` up to which, both included, as a person typed them: the first way to read a
/// text counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    pub from: Option<String>,
    pub to: Option<String>,
}

impl Bounds {
    /// Whether `from` stands behind `to`, in the server's order: then nothing is within.
    pub fn are_reversed(&self) -> Result<bool, document::Malformed> {
        let (Some(from), Some(to)) = (&self.from, &self.to) else { return Ok(false) };
        let first = |typed: &String| typed_id::readings(typed).swap_remove(0);
        let key = |typed| document::id_key(&first(typed).element());
        Ok(key(from)? > key(to)?)
    }
}

/// The documents within the bounds, in the order of the tree.
pub fn documents<'a, R: ReadBlobs>(
    reader: &'a R,
    collection: &Collection,
    bounds: &Bounds,
) -> Result<Documents<'a, R>, Error<R::Error>> {
    let root = root_of(collection)?;
    let first = |typed: &Option<String>| {
        typed.as_ref().map(|typed| typed_id::readings(typed).swap_remove(0))
    };
    let (from, to) = (first(&bounds.from), first(&bounds.to));
    if collection.record.keys == DocumentKeys::Ordinal {
        return Ok(Documents::new(reader, collection, &root, KeyRange::all(), (from, to)));
    }
    let keys = [from.as_ref().map(key_of).transpose()?, to.as_ref().map(key_of).transpose()?];
    let bound = |key: &'_ Option<Vec<u8>>| key.clone().map_or(Bound::Unbounded, Bound::Included);
    let (from, to) = (bound(&keys[0]), bound(&keys[1]));
    let range = KeyRange::new(from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
    Ok(Documents::new(reader, collection, &root, range, (None, None)))
}

/// See `documents`. What can't be read is an error, and what can be read behind it follows.
pub struct Documents<'a, R> {
    reader: &'a R,
    namespace: Namespace,
    iter: tree::Iter<'a, R>,
    /// The head and the key of the last one that was read.
    last: Option<(Bytes, Bytes)>,
    /// Where keys say nothing about ids.
    from: Option<OwnedValue>,
    to: Option<OwnedValue>,
}

impl<'a, R: ReadBlobs> Documents<'a, R> {
    fn new(
        reader: &'a R,
        collection: &Collection,
        root: &Root,
        range: KeyRange,
        (from, to): (Option<OwnedValue>, Option<OwnedValue>),
    ) -> Self {
        let namespace = collection.namespace.clone();
        let iter = tree::iter(reader, root, range).going_on();
        Documents { reader, namespace, iter, last: None, from, to }
    }

    /// The next one's key and value, without the bytes of a long document.
    pub fn next_value(&mut self) -> Result<Option<(Bytes, Value)>, Error<R::Error>> {
        while let Some(found) = self.iter.next() {
            let (key, value) = found.map_err(|error| self.lost(error))?;
            self.last = Some((value.head.clone(), key.clone()));
            let is_bounded = self.from.is_some() || self.to.is_some();
            let head = match is_bounded {
                true => holding_id(self.reader, &value)?,
                false => value.head.clone(),
            };
            let compared = |bound: &OwnedValue| order(&head, bound);
            let is_below =
                self.from.as_ref().is_some_and(|b| compared(b).is_none_or(Ordering::is_lt));
            let is_above =
                self.to.as_ref().is_some_and(|b| compared(b).is_none_or(Ordering::is_gt));
            if !is_below && !is_above {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }

    fn step(&mut self) -> Result<Option<Document>, Error<R::Error>> {
        let Some((key, value)) = self.next_value()? else { return Ok(None) };
        match content(self.reader, &value) {
            Ok(bytes) => Ok(Some(Document { key, bytes })),
            Err(Error::Tree(source)) => {
                let what = format!("{}/{}", self.namespace, id_text(&value.head, &key));
                Err(Error::Lost { what, source })
            }
            Err(error) => Err(error),
        }
    }

    /// Nobody knows how many documents are in a node that can't be read.
    fn lost(&self, source: tree::Error<R::Error>) -> Error<R::Error> {
        let namespace = &self.namespace;
        let what = match &self.last {
            Some((head, key)) => format!("what follows {namespace}/{}", id_text(head, key)),
            None => format!("the beginning of {namespace}"),
        };
        Error::Lost { what, source }
    }
}

impl<R: ReadBlobs> Iterator for Documents<'_, R> {
    type Item = Result<Document, Error<R::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

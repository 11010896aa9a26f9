//! The databases and collections of a snapshot.

use std::ops::Bound;

use bytes::Bytes;

use crate::{
    document::namespace::Namespace,
    format::{
        catalogue::{CollectionKind, CollectionRecord, MONGODB_ROOT},
        snapshot::Snapshot,
    },
    repo::ReadBlobs,
    tree::{self, KeyRange, Pieces, Root, Value},
    verbs::{Error, address::Address},
};

/// The tree of the snapshot's collections.
pub fn catalogue_root(snapshot: &Snapshot) -> Option<Root> {
    root_named(snapshot, MONGODB_ROOT)
}

/// A tree of a snapshot, by its name.
pub(crate) fn root_named(snapshot: &Snapshot, name: &str) -> Option<Root> {
    let named = snapshot.roots.iter().find(|root| root.name == name)?;
    Some(Root { id: named.id, level: named.level, entries: named.entries, bytes: named.bytes })
}

/// A collection, a view or a time series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    pub namespace: Namespace,
    pub record: CollectionRecord,
    /// The tree of its documents; a view has none.
    pub root: Option<Root>,
}

impl Collection {
    pub(crate) fn of<E: std::error::Error>(key: &[u8], value: &Value) -> Result<Self, Error<E>> {
        let shown = || String::from_utf8_lossy(key).replacen('\0', ".", 1);
        let namespace = Namespace::from_key(key);
        let namespace = namespace.ok_or_else(|| Error::CatalogueKey { namespace: shown() })?;
        let record = CollectionRecord::decode(&value.head)
            .map_err(|source| Error::CollectionRecord { namespace: shown(), source })?;
        let root = match &value.pieces {
            Pieces::Map(root) => Some(*root),
            _ => None,
        };
        Ok(Collection { namespace, record, root })
    }

    /// What a person would call it.
    pub fn kind_name(&self) -> &'static str {
        match self.record.kind {
            CollectionKind::Collection => "collection",
            CollectionKind::View => "view",
            CollectionKind::TimeSeries => "timeseries",
        }
    }
}

/// All collections, or those of one database, in the order of their names. What can't be read is an
/// error, and what can be read behind it follows.
pub fn collections<'a, R: ReadBlobs>(
    reader: &'a R,
    root: &Root,
    database: Option<&str>,
) -> impl Iterator<Item = Result<Collection, Error<R::Error>>> + use<'a, R> {
    let range = match database {
        Some(database) => KeyRange::with_prefix(&[database.as_bytes(), &[0]].concat()),
        None => KeyRange::all(),
    };
    tree::iter(reader, root, range).going_on().map(|found| {
        let (key, value) = found.map_err(lost)?;
        Collection::of(&key, &value)
    })
}

fn lost<E: std::error::Error>(source: tree::Error<E>) -> Error<E> {
    Error::Lost { what: "a part of the list of collections".to_owned(), source }
}

/// The names of the databases, in order. What can't be read is an error, and what can be read
/// behind it follows.
pub fn databases<'a, R: ReadBlobs>(
    reader: &'a R,
    root: &Root,
) -> impl Iterator<Item = Result<String, Error<R::Error>>> + use<'a, R> {
    let mut iter = tree::iter(reader, root, KeyRange::all()).going_on();
    std::iter::from_fn(move || {
        Some(iter.next()?.map_err(lost).map(|(key, _)| {
            let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
            iter.seek(&[name, &[1]].concat());
            String::from_utf8_lossy(name).into_owned()
        }))
    })
}

/// The collection of that name, if there is one.
pub fn collection<R: ReadBlobs>(
    reader: &R,
    root: &Root,
    namespace: &Namespace,
) -> Result<Option<Collection>, Error<R::Error>> {
    let key = namespace.key();
    let value = tree::get(reader, root, &key)?;
    value.map(|value| Collection::of(&key, &value)).transpose()
}

/// What an address leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Database(String),
    Collection(Box<Collection>),
    /// A document as it was typed; whether it is there was not looked up.
    Document(Box<Collection>, String),
}

/// Of the ways to understand the address, the first whose collection is there.
pub fn resolve<R: ReadBlobs>(
    reader: &R,
    root: &Root,
    address: &Address,
) -> Result<Found, Error<R::Error>> {
    for reading in address.readings() {
        let namespace = Namespace::new(&address.database, reading.collection);
        if let Some(found) = collection(reader, root, &namespace)? {
            let found = Box::new(found);
            return Ok(match reading.id {
                Some(id) => Found::Document(found, id.to_owned()),
                None => Found::Collection(found),
            });
        }
    }
    if address.rest.is_some() {
        return Err(Error::NoSuchCollection { namespace: address.to_string() });
    }
    let prefix = [address.database.as_bytes(), &[0]].concat();
    let range = KeyRange::new(Bound::Included(&prefix), Bound::Unbounded);
    let first: Option<(Bytes, Value)> = tree::iter(reader, root, range).next().transpose()?;
    if first.is_some_and(|(key, _)| key.starts_with(&prefix)) {
        Ok(Found::Database(address.database.clone()))
    } else {
        Err(Error::NoSuchDatabase { database: address.database.clone() })
    }
}

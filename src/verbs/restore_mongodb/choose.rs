//! Which collections of a snapshot go where.

use bytes::Bytes;

use super::{
    Error, Options,
    losses::{Losses, is_damage},
};
use crate::{
    document::{Element, Writer, compare, get, id_key, namespace::Namespace, typed_id},
    format::catalogue::{CollectionKind, CollectionRecord, DocumentKeys},
    progress::Progress,
    repo::{self, Kept, ReadBlobs, Repository},
    tree::{self, KeyRange, Root},
    verbs::{
        address::Address,
        deployment::{self, Collection, Found, catalogue_root},
    },
};

/// A part of the snapshot.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub db: Option<String>,
    pub collection: Option<String>,
    /// One document, by any of these: documents that hold an `_id` alone. The first that is in
    /// the collection is meant.
    pub ids: Vec<Vec<u8>>,
}

impl Scope {
    fn takes(&self, namespace: &Namespace) -> bool {
        self.db.as_ref().is_none_or(|db| *db == namespace.db)
            && self.collection.as_ref().is_none_or(|name| *name == namespace.collection)
    }

    fn is_whole(&self) -> bool {
        self.db.is_none()
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.db.as_deref().unwrap_or("collection"))?;
        match &self.collection {
            Some(collection) => write!(f, ".{collection}"),
            None => Ok(()),
        }
    }
}

/// A collection of the snapshot, and what it is to be called.
pub(super) struct Chosen {
    pub from: Namespace,
    pub to: Namespace,
    pub record: CollectionRecord,
    pub root: Option<Root>,
}

/// The collections that the options want, in the order of their names, views last; and notes of
/// patterns that name none of the snapshot's.
pub(super) fn choose<R: ReadBlobs<Error = repo::Error>>(
    (reader, root): (&R, &Root),
    options: &Options,
    (losses, progress): (&Losses, &Progress),
) -> Result<(Vec<Chosen>, Vec<String>), Error> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let (mut is_there, mut databases, mut all) = (false, Vec::new(), Vec::new());
    for found in deployment::collections(reader, root, None) {
        let Some(found) = losses.pass(found, progress)? else { continue };
        let Collection { namespace: from, record, root } = found;
        if !options.scope.takes(&from) {
            continue;
        }
        is_there = true;
        if is_systems(&from) {
            continue;
        }
        all.push(from.clone());
        if !is_wanted(&from, options) {
            continue;
        }
        let mut to = options.renames.apply(&from)?;
        if let Some(database) = &options.into_database {
            databases.push(to.db.clone());
            to.db.clone_from(database);
        }
        chosen.push(Chosen { from, to, record, root });
    }
    if !is_there && losses.count() > 0 {
        return Err(Error::ListDamaged);
    }
    if !is_there && !options.scope.is_whole() {
        return Err(Error::NoSuch { what: options.scope.to_string() });
    }
    if let (Some(first), Some(database)) = (databases.first(), &options.into_database)
        && let Some(second) = databases.iter().find(|other| *other != first)
    {
        let (first, second, database) = (first.clone(), second.clone(), database.clone());
        return Err(Error::TwoDatabases { first, second, database });
    }
    let is_series = |one: &&Chosen| one.record.kind == CollectionKind::TimeSeries;
    if options.matches.is_some()
        && let Some(series) = chosen.iter().find(is_series)
    {
        return Err(Error::QueryOfBuckets { namespace: series.from.clone() });
    }
    no_two_become_one(&chosen)?;
    chosen.sort_by_key(|one| one.record.kind == CollectionKind::View);
    let in_vain = options.include.in_vain(&all).into_iter();
    let notes = in_vain.map(|pattern| format!("no collection matches {pattern}"));
    Ok((chosen, notes.collect()))
}

fn is_wanted(from: &Namespace, options: &Options) -> bool {
    (options.include.is_empty() || options.include.matches(from)) && !options.exclude.matches(from)
}

/// What a server keeps for itself: users and roles go another way, the rest is not restored.
fn is_systems(namespace: &Namespace) -> bool {
    ["config", "local"].contains(&namespace.db.as_str())
        || (namespace.collection.starts_with("system.") && namespace.collection != "system.js")
}

fn no_two_become_one(chosen: &[Chosen]) -> Result<(), Error> {
    let mut by_target: Vec<&Chosen> = chosen.iter().collect();
    by_target.sort_by(|one, other| one.to.cmp(&other.to));
    match by_target.windows(2).find(|pair| pair[0].to == pair[1].to) {
        None => Ok(()),
        Some(pair) => {
            let (first, second) = (pair[0].from.clone(), pair[1].from.clone());
            Err(Error::Collide { first, second, to: pair[0].to.clone() })
        }
    }
}

/// The stretch of keys that a collection's wanted documents lie in.
pub(super) fn range<R: ReadBlobs<Error = repo::Error>>(
    reader: &R,
    chosen: &Chosen,
    scope: &Scope,
) -> Result<KeyRange, Error> {
    let Some(root) = chosen.root.filter(|_| !scope.ids.is_empty()) else {
        return Ok(KeyRange::all());
    };
    for id in &scope.ids {
        let Some(element) = get(id, b"_id").map_err(Error::Malformed)? else { continue };
        if let Some(key) = key_of(reader, &root, chosen.record.keys, &element)? {
            let only = std::ops::Bound::Included(&key[..]);
            return Ok(KeyRange::new(only, only));
        }
    }
    Err(Error::NoSuch { what: format!("document of that _id in {}", chosen.from) })
}

/// Under which key the document of an `_id` stands, if there is one. In natural order it is found
/// by reading them all.
fn key_of<R: ReadBlobs<Error = repo::Error>>(
    reader: &R,
    root: &Root,
    keys: DocumentKeys,
    id: &Element<'_>,
) -> Result<Option<Bytes>, Error> {
    if keys == DocumentKeys::Id {
        let key = Bytes::from(id_key(id).map_err(Error::Malformed)?);
        return Ok(tree::get(reader, root, &key)?.map(|_| key));
    }
    let mut lost = None;
    for entry in tree::iter(reader, root, KeyRange::all()).going_on() {
        let (key, value) = match entry {
            Ok(entry) => entry,
            Err(error) if is_damage(&error) => {
                lost = lost.or(Some(error));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let head = deployment::holding_id(reader, &value)?;
        let own = get(&head, b"_id").map_err(Error::Malformed)?;
        if own.is_some_and(|own| compare(&own, id).is_eq()) {
            return Ok(Some(key));
        }
    }
    // It may lie where nothing can be read.
    lost.map_or(Ok(None), |error| Err(error.into()))
}

/// The part of a snapshot that an address means.
pub fn scope_of(repo: &Repository, kept: &Kept, address: &Address) -> Result<Scope, Error> {
    let root = catalogue_root(&kept.snapshot).ok_or(Error::NoMongodb)?;
    let (found, typed) = match deployment::resolve(&repo.reader()?, &root, address)? {
        Found::Database(db) => return Ok(Scope { db: Some(db), ..Scope::default() }),
        Found::Collection(found) => (found, None),
        Found::Document(found, id) => (found, Some(id)),
    };
    let ids = typed.as_deref().map(typed_id::readings).unwrap_or_default();
    let ids = ids.iter().map(|id| {
        let mut document = Writer::new();
        document.push_raw(id.kind, b"_id", &id.bytes);
        document.finish()
    });
    let Namespace { db, collection } = found.namespace;
    Ok(Scope { db: Some(db), collection: Some(collection), ids: ids.collect() })
}

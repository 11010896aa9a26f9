//! What makes the collections of one snapshot into those of another.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::ControlFlow,
};

use bytes::Bytes;

use super::{Bounds, Collection, Document, Found, by_id, collections, documents, resolve};
use crate::{
    document::{self, namespace::Namespace},
    format::catalogue::DocumentKeys,
    repo::ReadBlobs,
    tree::{self, Root, Value},
    verbs::{Error, Lost, address::Address},
};

/// What differs.
#[derive(Debug, Clone)]
pub enum Change {
    /// Added, removed, or something about it other than its documents. The documents of one that
    /// was added or removed are not told one by one: its record counts them.
    Collection {
        old: Option<Box<Collection>>,
        new: Option<Box<Collection>>,
        facets: Vec<Facet>,
    },
    Document(Box<DocumentChange>),
}

#[derive(Debug, Clone)]
pub struct DocumentChange {
    pub namespace: Namespace,
    pub key: Bytes,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// What about a collection differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facet {
    Kind,
    /// It was dropped and made again.
    Uuid,
    Options,
    IndexAdded(String),
    IndexRemoved(String),
    IndexChanged(String),
    /// The same ones in another order.
    IndexOrder,
}

/// One side: a snapshot's catalogue, if it has one, and a place in it.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    pub root: Option<Root>,
    pub place: Option<&'a Address>,
}

pub type Take<'t, B> = dyn FnMut(Change) -> ControlFlow<B> + 't;

/// Gives every change to `take`, collection by collection, until it breaks. It costs what
/// changed; equal subtrees are skipped unread. Documents in natural order (capped collections)
/// have no place that stays theirs: of these, each that the other side lacks is told as added or
/// removed, for which both sides are read whole. Of documents that can't be read nothing is told,
/// nor of what the other side has in their places (in natural order: alone); that goes to `lost`.
pub fn diff<R: ReadBlobs, B>(
    reader: &R,
    old: Side<'_>,
    new: Side<'_>,
    take: &mut Take<'_, B>,
    lost: &mut Lost<'_, R::Error>,
) -> Result<ControlFlow<B>, Error<R::Error>> {
    let (old, new) = (Selected::of(reader, old, lost)?, Selected::of(reader, new, lost)?);
    if old.id.is_some() || new.id.is_some() {
        return one_document(reader, &old, &new, take);
    }
    let are_whole = [old.is_whole, new.is_whole];
    let mut pairs: BTreeMap<String, [Option<Collection>; 2]> = BTreeMap::new();
    for (name, collection) in old.collections {
        pairs.entry(name).or_default()[0] = Some(collection);
    }
    for (name, collection) in new.collections {
        pairs.entry(name).or_default()[1] = Some(collection);
    }
    for (_, pair) in pairs {
        // One that can't be read may be of that name.
        if pair.iter().zip(are_whole).any(|(one, is_whole)| one.is_none() && !is_whole) {
            continue;
        }
        if let ControlFlow::Break(broken) = one_pair(reader, pair, take, lost)? {
            return Ok(ControlFlow::Break(broken));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The collections of a side by the names that are compared: of two databases those within, of two
/// collections none.
struct Selected {
    collections: Vec<(String, Collection)>,
    id: Option<String>,
    /// All could be read.
    is_whole: bool,
}

impl Selected {
    fn of<R: ReadBlobs>(
        reader: &R,
        side: Side<'_>,
        lost: &mut Lost<'_, R::Error>,
    ) -> Result<Self, Error<R::Error>> {
        let mut selected = Selected { collections: Vec::new(), id: None, is_whole: true };
        let Some(root) = side.root else {
            return match side.place {
                Some(_) => Err(Error::NoCollections),
                None => Ok(selected),
            };
        };
        let found = side.place.map(|place| resolve(reader, &root, place)).transpose()?;
        let database = match found {
            None => None,
            Some(Found::Database(db)) => Some(db),
            Some(Found::Collection(one)) => {
                selected.collections.push((String::new(), *one));
                return Ok(selected);
            }
            Some(Found::Document(one, id)) => {
                selected.collections.push((one.namespace.to_string(), *one));
                selected.id = Some(id);
                return Ok(selected);
            }
        };
        for found in collections(reader, &root, database.as_deref()) {
            match found {
                Ok(one) => {
                    let name = match &database {
                        Some(_) => one.namespace.collection.clone(),
                        None => one.namespace.to_string(),
                    };
                    selected.collections.push((name, one));
                }
                Err(error) => {
                    lost(error)?;
                    selected.is_whole = false;
                }
            }
        }
        Ok(selected)
    }

    fn document<R: ReadBlobs>(
        &self,
        reader: &R,
    ) -> Result<Option<(Namespace, Bytes, Value)>, Error<R::Error>> {
        let (Some((_, collection)), Some(id)) = (self.collections.first(), &self.id) else {
            return Ok(None);
        };
        match by_id(reader, collection, id) {
            Err(Error::NoSuchDocument { .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(found) => {
                let value = Value { head: found.bytes, ..Value::default() };
                Ok(Some((collection.namespace.clone(), found.key, value)))
            }
        }
    }
}

fn one_document<R: ReadBlobs, B>(
    reader: &R,
    old: &Selected,
    new: &Selected,
    take: &mut Take<'_, B>,
) -> Result<ControlFlow<B>, Error<R::Error>> {
    let (old, new) = (old.document(reader)?, new.document(reader)?);
    let Some((namespace, key, _)) = new.clone().or_else(|| old.clone()) else {
        return Ok(ControlFlow::Continue(()));
    };
    let (old, new) = (old.map(|found| found.2), new.map(|found| found.2));
    if old == new {
        return Ok(ControlFlow::Continue(()));
    }
    Ok(take(Change::Document(Box::new(DocumentChange { namespace, key, old, new }))))
}

fn one_pair<R: ReadBlobs, B>(
    reader: &R,
    [old, new]: [Option<Collection>; 2],
    take: &mut Take<'_, B>,
    lost: &mut Lost<'_, R::Error>,
) -> Result<ControlFlow<B>, Error<R::Error>> {
    let (Some(old), Some(new)) = (&old, &new) else {
        let (old, new) = (old.map(Box::new), new.map(Box::new));
        return Ok(take(Change::Collection { old, new, facets: Vec::new() }));
    };
    let facets = facets(old, new)?;
    if !facets.is_empty() {
        let (old, new) = (Some(Box::new(old.clone())), Some(Box::new(new.clone())));
        let flow = take(Change::Collection { old, new, facets });
        if flow.is_break() {
            return Ok(flow);
        }
    }
    let (Some(old_root), Some(new_root)) = (old.root, new.root) else {
        return Ok(ControlFlow::Continue(()));
    };
    let are_keyed = old.record.keys == DocumentKeys::Id && new.record.keys == DocumentKeys::Id;
    if !are_keyed {
        if old_root.id == new_root.id {
            return Ok(ControlFlow::Continue(()));
        }
        return by_content(reader, [old, new], take, lost);
    }
    for change in tree::diff(reader, &old_root, &new_root).going_on() {
        let tree::Change { key, old: was, new: now } = match change {
            Ok(change) => change,
            Err(source) => {
                lost(Error::Lost { what: format!("documents of {}", new.namespace), source })?;
                continue;
            }
        };
        let whose = if now.is_some() { new } else { old };
        let namespace = whose.namespace.clone();
        let flow =
            take(Change::Document(Box::new(DocumentChange { namespace, key, old: was, new: now })));
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Each document that the other side has not, or not so often. What a side lacks that can't be
/// read whole nobody knows.
fn by_content<R: ReadBlobs, B>(
    reader: &R,
    [old, new]: [&Collection; 2],
    take: &mut Take<'_, B>,
    lost: &mut Lost<'_, R::Error>,
) -> Result<ControlFlow<B>, Error<R::Error>> {
    // Each side is read twice, and named once.
    let mut named = HashSet::new();
    let mut lost = |error: Error<R::Error>| match named.insert(error.to_string()) {
        true => lost(error),
        false => Ok(()),
    };
    for (this, other, is_new) in [(old, new, false), (new, old, true)] {
        let mut known: HashMap<blake3::Hash, u64> = HashMap::new();
        let mut is_whole = true;
        for found in documents(reader, other, &Bounds::default())? {
            match found {
                Ok(found) => *known.entry(blake3::hash(&found.bytes)).or_default() += 1,
                Err(error) => {
                    lost(error)?;
                    is_whole = false;
                }
            }
        }
        if !is_whole {
            continue;
        }
        for found in documents(reader, this, &Bounds::default())? {
            let Document { key, bytes } = match found {
                Ok(found) => found,
                Err(error) => {
                    lost(error)?;
                    continue;
                }
            };
            let count = known.get_mut(&blake3::hash(&bytes)).filter(|count| **count > 0);
            if let Some(count) = count {
                *count -= 1;
                continue;
            }
            let (namespace, value) =
                (this.namespace.clone(), Value { head: bytes, ..Value::default() });
            let (old, new) = if is_new { (None, Some(value)) } else { (Some(value), None) };
            let flow =
                take(Change::Document(Box::new(DocumentChange { namespace, key, old, new })));
            if flow.is_break() {
                return Ok(flow);
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

pub(super) fn facets<E: std::error::Error>(
    old: &Collection,
    new: &Collection,
) -> Result<Vec<Facet>, Error<E>> {
    let (old, new) = (&old.record, &new.record);
    let mut facets = Vec::new();
    if old.kind != new.kind {
        facets.push(Facet::Kind);
    }
    if old.uuid != new.uuid {
        facets.push(Facet::Uuid);
    }
    if old.options != new.options || old.id_index != new.id_index {
        facets.push(Facet::Options);
    }
    let (was, is) = (named(&old.indexes)?, named(&new.indexes)?);
    for (name, spec) in &was {
        match is.iter().find(|(other, _)| other == name) {
            None => facets.push(Facet::IndexRemoved(name.clone())),
            Some((_, now)) if now != spec => facets.push(Facet::IndexChanged(name.clone())),
            Some(_) => {}
        }
    }
    let is_new = |name: &&String| !was.iter().any(|(other, _)| other == *name);
    facets.extend(is.iter().map(|(name, _)| name).filter(is_new).cloned().map(Facet::IndexAdded));
    let kept = |these: &[(String, &Vec<u8>)], those: &[(String, &Vec<u8>)]| -> Vec<String> {
        let names = these.iter().map(|(name, _)| name.clone());
        names.filter(|name| those.iter().any(|(other, _)| other == name)).collect()
    };
    if kept(&was, &is) != kept(&is, &was) {
        facets.push(Facet::IndexOrder);
    }
    Ok(facets)
}

/// Index specifications with their names.
fn named<E: std::error::Error>(indexes: &[Vec<u8>]) -> Result<Vec<(String, &Vec<u8>)>, Error<E>> {
    let name = |spec: &Vec<u8>| -> Result<String, Error<E>> {
        let found = document::get(spec, b"name").map_err(|source| Error::Document { source })?;
        let name = found.and_then(|element| element.as_str()).unwrap_or_default();
        Ok(String::from_utf8_lossy(name).into_owned())
    };
    indexes.iter().map(|spec| Ok((name(spec)?, spec))).collect()
}

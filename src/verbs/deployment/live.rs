//! What makes the collections of a snapshot into those that a server has now.

use std::{collections::BTreeMap, iter::Peekable, ops::ControlFlow};

use bytes::Bytes;

use super::{
    Collection, collections, content,
    diff::{Change, DocumentChange, Take, facets},
    document_bytes,
};
use crate::{
    document,
    format::catalogue::{CollectionKind, CollectionRecord, DocumentKeys},
    mongo::Link,
    progress::Progress,
    repo::ReadBlobs,
    source::{
        mongo::{self, Capture, Keys, Kind, Options},
        sorter::{SortError, Sorted, Sorter, SorterOptions},
    },
    tree::{self, Iter, KeyRange, Root, Value},
    verbs::Error,
};

/// What ends a comparison with a server.
#[derive(Debug, thiserror::Error)]
pub enum LiveError<E: std::error::Error + 'static> {
    #[error(transparent)]
    Read(#[from] Error<E>),
    #[error("the deployment can't be read")]
    Mongodb(#[from] mongo::Error),
    #[error("documents can't be sorted")]
    Sort(#[from] SortError),
    #[error("interrupted")]
    Cancelled,
}

impl<E: std::error::Error + 'static> From<tree::Error<E>> for LiveError<E> {
    fn from(error: tree::Error<E>) -> Self {
        LiveError::Read(error.into())
    }
}

/// Gives every change from the snapshot to the server to `take`, until it breaks. Only what
/// `options` take of the server is compared. Documents are as they are when they come by: what is
/// written meanwhile may show or not.
pub fn diff_live<R: ReadBlobs, B>(
    reader: &R,
    root: Option<Root>,
    (link, options): (&Link, &Options),
    progress: &Progress,
    take: &mut Take<'_, B>,
) -> Result<ControlFlow<B>, LiveError<R::Error>> {
    let capture = Capture::begin(link, options.clone(), progress)?;
    let mut pairs: BTreeMap<String, (Option<Collection>, Option<&mongo::Collection>)> =
        BTreeMap::new();
    if let Some(root) = root {
        for found in collections(reader, &root, options.db.as_deref()) {
            let found = found?;
            if (options.wanted)(&found.namespace) && !is_authority(&found) {
                let name = found.namespace.to_string();
                pairs.entry(name).or_default().0 = Some(found);
            }
        }
    }
    for live in capture.catalogue() {
        pairs.entry(live.namespace.to_string()).or_default().1 = Some(live);
    }
    for (_, (old, live)) in pairs {
        let new = live.map(|live| described(live, capture.size_of(live)));
        let (Some(old), Some(new), Some(live)) = (&old, &new, live) else {
            let (old, new) = (old.map(Box::new), new.map(Box::new));
            let flow = take(Change::Collection { old, new, facets: Vec::new() });
            if flow.is_break() {
                return Ok(flow);
            }
            continue;
        };
        let facets = facets(old, new)?;
        if !facets.is_empty() {
            let (old, new) = (Some(Box::new(old.clone())), Some(Box::new(new.clone())));
            let flow = take(Change::Collection { old, new, facets });
            if flow.is_break() {
                return Ok(flow);
            }
        }
        if let Some(root) = old.root.filter(|_| live.has_documents()) {
            let sorter = || {
                Sorter::new(SorterOptions {
                    memory_bytes: options.memory_bytes / 2,
                    spill_dir: options.spill_dir.clone(),
                    key: options.ambient.random(),
                })
            };
            progress.phase("comparing");
            let side = Compared { reader, old, root, progress };
            let flow = side.documents(capture.scan(live), live.keys, &sorter, take)?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Users and roles: they are captured only when that is asked for.
fn is_authority(collection: &Collection) -> bool {
    collection.namespace.db == "admin" && collection.namespace.collection.starts_with("system.")
}

fn described(live: &mongo::Collection, (count, bytes): (u64, u64)) -> Collection {
    let record = CollectionRecord {
        kind: match live.kind {
            Kind::Collection => CollectionKind::Collection,
            Kind::View => CollectionKind::View,
            Kind::TimeSeries => CollectionKind::TimeSeries,
        },
        uuid: live.uuid,
        options: live.options.clone(),
        id_index: live.id_index.clone(),
        indexes: live.indexes.clone(),
        keys: match live.keys {
            Keys::Id => DocumentKeys::Id,
            Keys::Ordinal => DocumentKeys::Ordinal,
        },
        count,
        bytes,
    };
    Collection { namespace: live.namespace.clone(), record, root: None }
}

/// One collection on both sides.
struct Compared<'a, R> {
    reader: &'a R,
    old: &'a Collection,
    root: Root,
    progress: &'a Progress,
}

impl<R: ReadBlobs> Compared<'_, R> {
    fn documents<B>(
        &self,
        scan: mongo::Scan,
        keys: Keys,
        sorter: &dyn Fn() -> Sorter,
        take: &mut Take<'_, B>,
    ) -> Result<ControlFlow<B>, LiveError<R::Error>> {
        let mut live = sorter();
        for batch in scan {
            if self.progress.is_cancelled() {
                return Err(LiveError::Cancelled);
            }
            let batch = batch?;
            for bytes in batch.documents() {
                live.push(&key_of(bytes)?, bytes)?;
            }
            self.progress.done(batch.len(), batch.bytes());
        }
        let mut live = Live { sorted: live.finish()?.peekable(), keys };
        let mut stored = self.stored(sorter)?;
        let (mut old, mut new) = (stored.next()?, live.next()?);
        loop {
            let order = match (&old, &new) {
                (None, None) => return Ok(ControlFlow::Continue(())),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let was =
                if order.is_le() { std::mem::replace(&mut old, stored.next()?) } else { None };
            let is = if order.is_ge() { std::mem::replace(&mut new, live.next()?) } else { None };
            let flow = self.tell(was, is, take)?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
    }

    fn tell<B>(
        &self,
        was: Option<(Bytes, Value)>,
        is: Option<(Bytes, Bytes)>,
        take: &mut Take<'_, B>,
    ) -> Result<ControlFlow<B>, LiveError<R::Error>> {
        if let (Some((_, value)), Some((_, bytes))) = (&was, &is)
            && document_bytes(value) == bytes.len() as u64
            && content(self.reader, value)? == *bytes
        {
            return Ok(ControlFlow::Continue(()));
        }
        let key = was.as_ref().map(|(key, _)| key).or(is.as_ref().map(|(key, _)| key));
        let key = key.expect("one of the sides has it").clone();
        let namespace = self.old.namespace.clone();
        let new = is.map(|(_, head)| Value { head, ..Value::default() });
        let old = was.map(|(_, value)| value);
        Ok(take(Change::Document(Box::new(DocumentChange { namespace, key, old, new }))))
    }

    /// The snapshot's documents by the keys of their ids.
    fn stored(&self, sorter: &dyn Fn() -> Sorter) -> Result<Stored<'_, R>, LiveError<R::Error>> {
        let iter = tree::iter(self.reader, &self.root, KeyRange::all());
        if self.old.record.keys == DocumentKeys::Id {
            return Ok(Stored::Tree(iter));
        }
        let mut sorted = sorter();
        for found in iter {
            let bytes = content(self.reader, &found?.1)?;
            sorted.push(&key_of(&bytes)?, &bytes)?;
        }
        Ok(Stored::Sorted(sorted.finish()?))
    }
}

fn key_of<E: std::error::Error>(bytes: &[u8]) -> Result<Vec<u8>, Error<E>> {
    let malformed = |source| Error::Document { source };
    match document::get(bytes, b"_id").map_err(malformed)? {
        Some(id) => document::id_key(&id).map_err(malformed),
        None => Ok(blake3::hash(bytes).as_bytes().to_vec()),
    }
}

/// The server's documents by the keys of their ids.
struct Live {
    sorted: Peekable<Sorted>,
    keys: Keys,
}

impl Live {
    /// Of one that came twice, the later. Where ids are no keys none does, and two are two.
    fn next(&mut self) -> Result<Option<(Bytes, Bytes)>, SortError> {
        let Some(mut found) = self.sorted.next().transpose()? else { return Ok(None) };
        let is_again = |key: &Bytes, next: &Result<(Bytes, Bytes), SortError>| {
            next.as_ref().is_ok_and(|(again, _)| again == key)
        };
        while self.keys == Keys::Id
            && let Some(later) = self.sorted.next_if(|next| is_again(&found.0, next))
        {
            found = later?;
        }
        Ok(Some(found))
    }
}

enum Stored<'a, R> {
    Tree(Iter<'a, R>),
    Sorted(Sorted),
}

impl<R: ReadBlobs> Stored<'_, R> {
    fn next(&mut self) -> Result<Option<(Bytes, Value)>, LiveError<R::Error>> {
        Ok(match self {
            Stored::Tree(iter) => iter.next().transpose()?,
            Stored::Sorted(sorted) => {
                let found = sorted.next().transpose()?;
                found.map(|(key, head)| (key, Value { head, ..Value::default() }))
            }
        })
    }
}

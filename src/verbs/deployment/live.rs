//! What makes the collections of a snapshot into those that a server has now.

use std::{collections::BTreeMap, iter::Peekable, ops::ControlFlow};

use bytes::Bytes;

use super::{
    Bounds, Collection, collections, content,
    diff::{Change, DocumentChange, Take, facets},
    document_bytes, documents, id_text,
};
use crate::{
    document::{self, namespace::Namespace},
    format::catalogue::{CollectionKind, CollectionRecord, DocumentKeys},
    mongo::Link,
    progress::Progress,
    repo::ReadBlobs,
    source::{
        mongo::{self, Capture, Keys, Kind, Options},
        sorter::{SortError, Sorted, Sorter, SorterOptions},
    },
    tree::{self, Iter, KeyRange, Root, Value},
    verbs::{Error, Lost},
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
/// written meanwhile may show or not. Of what of the snapshot can't be read nothing is told, nor of
/// what the server has in its place; that goes to `lost`.
pub fn diff_live<R: ReadBlobs, B>(
    reader: &R,
    root: Option<Root>,
    (link, options): (&Link, &Options),
    progress: &Progress,
    take: &mut Take<'_, B>,
    lost: &mut Lost<'_, R::Error>,
) -> Result<ControlFlow<B>, LiveError<R::Error>> {
    let capture = Capture::begin(link, options.clone(), progress)?;
    let mut pairs: BTreeMap<String, (Option<Collection>, Option<&mongo::Collection>)> =
        BTreeMap::new();
    let mut is_whole = true;
    let mut lost_of_list = |error| {
        is_whole = false;
        lost(error)
    };
    let stored = root.map(|root| stored(reader, &root, options, &mut lost_of_list)).transpose()?;
    for old in stored.into_iter().flatten() {
        let name = old.namespace.to_string();
        pairs.entry(name).or_default().0 = Some(old);
    }
    for live in capture.catalogue() {
        pairs.entry(live.namespace.to_string()).or_default().1 = Some(live);
    }
    for (_, (old, live)) in pairs {
        let new = live.map(|live| described(live, capture.size_of(live)));
        let (Some(old), Some(new), Some(live)) = (&old, &new, live) else {
            if old.is_none() && !is_whole {
                continue;
            }
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
            let live = (capture.scan(live), live.keys);
            let flow = side.documents(live, &sorter, take, lost)?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The snapshot's collections that are compared.
fn stored<R: ReadBlobs>(
    reader: &R,
    root: &Root,
    options: &Options,
    lost: &mut Lost<'_, R::Error>,
) -> Result<Vec<Collection>, Error<R::Error>> {
    let mut all = Vec::new();
    for found in collections(reader, root, options.db.as_deref()) {
        match found {
            Ok(found) => all.push(found),
            Err(error) => lost(error)?,
        }
    }
    all.retain(|one| (options.wanted)(&one.namespace) && !is_authority(one));
    Ok(all)
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
        (scan, keys): (mongo::Scan, Keys),
        sorter: &dyn Fn() -> Sorter,
        take: &mut Take<'_, B>,
        lost: &mut Lost<'_, R::Error>,
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
        let mut stored = self.stored(sorter, lost)?;
        let (mut old, mut new) = (stored.next(lost)?, live.next()?);
        loop {
            let order = match (&old, &new) {
                (None, None) => return Ok(ControlFlow::Continue(())),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let was =
                if order.is_le() { std::mem::replace(&mut old, stored.next(lost)?) } else { None };
            let is = if order.is_ge() { std::mem::replace(&mut new, live.next()?) } else { None };
            if was.is_none() && is.as_ref().is_some_and(|(key, _)| stored.may_hold(key)) {
                continue;
            }
            let flow = self.tell(was, is, take, lost)?;
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
        lost: &mut Lost<'_, R::Error>,
    ) -> Result<ControlFlow<B>, LiveError<R::Error>> {
        if let (Some((key, value)), Some((_, bytes))) = (&was, &is)
            && document_bytes(value) == bytes.len() as u64
        {
            let differs = match content(self.reader, value) {
                Ok(content) => content != *bytes,
                Err(error) => {
                    lost(named(error, &self.old.namespace, (&value.head, key)))?;
                    false
                }
            };
            if !differs {
                return Ok(ControlFlow::Continue(()));
            }
        }
        let key = was.as_ref().map(|(key, _)| key).or(is.as_ref().map(|(key, _)| key));
        let key = key.expect("one of the sides has it").clone();
        let namespace = self.old.namespace.clone();
        let new = is.map(|(_, head)| Value { head, ..Value::default() });
        let old = was.map(|(_, value)| value);
        Ok(take(Change::Document(Box::new(DocumentChange { namespace, key, old, new }))))
    }

    /// The snapshot's documents by the keys of their ids.
    fn stored(
        &self,
        sorter: &dyn Fn() -> Sorter,
        lost: &mut Lost<'_, R::Error>,
    ) -> Result<Stored<'_, R>, LiveError<R::Error>> {
        let mut gaps = Vec::new();
        if self.old.record.keys == DocumentKeys::Id {
            let iter = tree::iter(self.reader, &self.root, KeyRange::all()).going_on();
            return Ok(Stored { from: Source::Tree(iter), namespace: &self.old.namespace, gaps });
        }
        let mut sorted = sorter();
        for found in documents(self.reader, self.old, &Bounds::default())? {
            match found {
                Ok(found) => sorted.push(&key_of(&found.bytes)?, &found.bytes)?,
                Err(error) => {
                    lost(error)?;
                    gaps = vec![KeyRange::all()];
                }
            }
        }
        let from = Source::Sorted(sorted.finish()?);
        Ok(Stored { from, namespace: &self.old.namespace, gaps })
    }
}

/// What is lost of one document.
fn named<E: std::error::Error>(
    error: Error<E>,
    namespace: &Namespace,
    (head, key): (&[u8], &[u8]),
) -> Error<E> {
    match error {
        Error::Tree(source) => {
            Error::Lost { what: format!("{namespace}/{}", id_text(head, key)), source }
        }
        other => other,
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

struct Stored<'a, R> {
    from: Source<'a, R>,
    namespace: &'a Namespace,
    /// What can't be read lies there.
    gaps: Vec<KeyRange>,
}

enum Source<'a, R> {
    Tree(Iter<'a, R>),
    Sorted(Sorted),
}

impl<R: ReadBlobs> Stored<'_, R> {
    fn next(
        &mut self,
        lost: &mut Lost<'_, R::Error>,
    ) -> Result<Option<(Bytes, Value)>, LiveError<R::Error>> {
        let iter = match &mut self.from {
            Source::Tree(iter) => iter,
            Source::Sorted(sorted) => {
                let found = sorted.next().transpose()?;
                return Ok(found.map(|(key, head)| (key, Value { head, ..Value::default() })));
            }
        };
        loop {
            match iter.next().transpose() {
                Ok(found) => return Ok(found),
                Err(source) => {
                    let what = format!("documents of {}", self.namespace);
                    lost(Error::Lost { what, source })?;
                    self.gaps.push(iter.lost().cloned().unwrap_or_else(KeyRange::all));
                }
            }
        }
    }

    /// Whether a document that was not found may be among those that can't be read. Keys come in
    /// their order.
    fn may_hold(&mut self, key: &[u8]) -> bool {
        self.gaps.retain(|gap| !gap.ends_before(key));
        self.gaps.iter().any(|gap| gap.holds(key))
    }
}

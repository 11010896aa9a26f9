//! The collections of a capture, a few at a time.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use super::{
    Error, Ground,
    catalogue::{Previous, document_keys, identity},
    plant::Planted,
    scan::{Subject, plant},
};
use crate::{
    limits,
    repo::WriteBlobs,
    source::mongo::{Capture, Collection},
};

/// The trees of these collections, by their identity.
pub(super) fn scan_all<W: WriteBlobs>(
    ground: &Ground<'_, W>,
    capture: &Capture,
    collections: &[&Collection],
    previous: &Previous,
) -> Result<HashMap<Vec<u8>, Planted>, Error<W::Error>> {
    let sized = in_lanes(collections, |collection| {
        if ground.progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok((collection, capture.size_of(collection)))
    })?;
    let total = |of: fn(&(u64, u64)) -> u64| sized.iter().map(|(_, size)| of(size)).sum();
    ground.progress.expect(total(|size| size.0), total(|size| size.1));
    let mut ordered = sized;
    // The largest first: the others find room beside them.
    ordered.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
    let planted = in_lanes(&ordered, |(collection, _)| {
        if ground.progress.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let namespace = collection.namespace.to_string();
        let subject = Subject {
            namespace: &namespace,
            keys: document_keys(collection.keys),
            old: previous.tree_of(collection),
        };
        let planted = plant(ground, subject, capture.scan(collection))?;
        Ok((identity(collection.uuid, &collection.namespace), planted))
    })?;
    Ok(planted.into_iter().collect())
}

/// What `work` makes of each, in any order. The first error ends it all.
fn in_lanes<T: Sync + Copy, R: Send, E: std::error::Error + Send + 'static>(
    items: &[T],
    work: impl Fn(T) -> Result<R, Error<E>> + Sync,
) -> Result<Vec<R>, Error<E>> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Mutex<Result<Vec<R>, Error<E>>> = Mutex::new(Ok(Vec::with_capacity(items.len())));
    thread::scope(|scope| {
        for _ in 0..limits::COLLECTIONS_AT_ONCE.min(items.len()) {
            scope.spawn(|| {
                while !failed.load(Relaxed) {
                    let Some(item) = items.get(next.fetch_add(1, Relaxed)) else { return };
                    let result = work(*item);
                    let mut done = done.lock().expect("no code panics while it holds this");
                    match (&mut *done, result) {
                        (Ok(done), Ok(result)) => done.push(result),
                        (Ok(_), Err(error)) => {
                            failed.store(true, Relaxed);
                            *done = Err(error);
                        }
                        (Err(_), _) => {}
                    }
                }
            });
        }
    });
    done.into_inner().expect("no code panics while it holds this")
}

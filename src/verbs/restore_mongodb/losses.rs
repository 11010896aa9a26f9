//! What of a snapshot can't be read: named once, counted, and passed by.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::Error;
use crate::{
    progress::{Progress, Trouble},
    repo, tree,
    verbs::{self, restore::one_line},
};

/// Of one collection or of the list of them, however often it is read.
#[derive(Default)]
pub(super) struct Losses {
    /// By where it lies.
    named: Mutex<HashSet<Vec<u8>>>,
    count: AtomicU64,
}

impl Losses {
    /// How many documents, or parts of the list.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Names `item`, which holds so many, unless it was named by this `place` before.
    pub fn name(
        &self,
        (place, count): (&[u8], u64),
        item: impl FnOnce() -> String,
        error: &dyn std::error::Error,
        progress: &Progress,
    ) {
        let mut named = self.named.lock().expect("nothing panics while it holds the names");
        if !named.insert(place.to_vec()) {
            return;
        }
        drop(named);
        self.count.fetch_add(count, Relaxed);
        progress.trouble(Trouble { item: item(), during: "read", error: one_line(error) });
    }

    /// What was found in the list of collections; `None`: it can't be read, and was named.
    pub fn pass<T>(
        &self,
        found: Result<T, verbs::Error<repo::Error>>,
        progress: &Progress,
    ) -> Result<Option<T>, Error> {
        let error = match found {
            Ok(found) => return Ok(Some(found)),
            Err(error) if error.is_damage(repo::Error::is_damage) => error,
            Err(error) => return Err(error.into()),
        };
        let (item, error): (&str, &dyn std::error::Error) = match &error {
            verbs::Error::Lost { what, source } => (what, source),
            verbs::Error::CatalogueKey { namespace }
            | verbs::Error::CollectionRecord { namespace, .. } => (namespace, &error),
            _ => ("a collection", &error),
        };
        let place = one_line(error);
        self.name((place.as_bytes(), 1), || item.to_owned(), error, progress);
        Ok(None)
    }
}

/// Whether a tree's error is about what can't be read; others end the run.
pub(super) fn is_damage(error: &tree::Error<repo::Error>) -> bool {
    error.is_damage(repo::Error::is_damage)
}

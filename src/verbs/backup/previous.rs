//! The tree of the snapshot before, read ahead by a thread of its own.

use std::{iter::Peekable, thread::Scope, vec};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Error;
use crate::{
    format::entry::{StatKey, path_of_key},
    limits,
    repo::ReadBlobs,
    tree::{self, KeyRange, Root},
};

type Entry = (Vec<u8>, StatKey);

/// Keys in ascending order, each with what tells whether its entry has changed.
pub(super) struct Previous<E: std::error::Error + 'static> {
    batches: Option<Receiver<Result<Vec<Entry>, Error<E>>>>,
    batch: Peekable<vec::IntoIter<Entry>>,
}

impl<E: std::error::Error + Send + 'static> Previous<E> {
    /// Nothing was there before.
    pub(super) fn none() -> Self {
        Previous { batches: None, batch: Vec::new().into_iter().peekable() }
    }

    pub(super) fn read<'scope, R: ReadBlobs<Error = E>>(
        scope: &'scope Scope<'scope, '_>,
        reader: &'scope R,
        root: Root,
    ) -> Self {
        let (give, batches) = bounded(limits::PREVIOUS_BATCHES_MAX);
        scope.spawn(move || {
            if let Err(error) = send_all(reader, &root, &give) {
                // Nobody listens any more when the backup has failed elsewhere.
                let _ = give.send(Err(error));
            }
        });
        Previous { batches: Some(batches), batch: Vec::new().into_iter().peekable() }
    }

    /// The next key below `key`, taken; `None` when the next one is not below it, or there is
    /// none. Without `key` every entry that is left.
    pub(super) fn next_below(&mut self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, Error<E>> {
        self.fill()?;
        let below = |entry: &Entry| key.is_none_or(|key| entry.0.as_slice() < key);
        Ok(self.batch.next_if(below).map(|(key, _)| key))
    }

    /// What was known of exactly `key`, taken; all below it must have been taken before.
    pub(super) fn at(&mut self, key: &[u8]) -> Result<Option<StatKey>, Error<E>> {
        self.fill()?;
        Ok(self.batch.next_if(|entry| entry.0 == key).map(|(_, stat)| stat))
    }

    fn fill(&mut self) -> Result<(), Error<E>> {
        while self.batch.peek().is_none() {
            let Some(batches) = &self.batches else { return Ok(()) };
            match batches.recv() {
                Ok(batch) => self.batch = batch?.into_iter().peekable(),
                Err(_) => self.batches = None,
            }
        }
        Ok(())
    }
}

fn send_all<R: ReadBlobs>(
    reader: &R,
    root: &Root,
    give: &Sender<Result<Vec<Entry>, Error<R::Error>>>,
) -> Result<(), Error<R::Error>> {
    let mut batch = Vec::with_capacity(limits::PREVIOUS_BATCH_ENTRIES);
    for entry in tree::iter(reader, root, KeyRange::all()) {
        let (key, value) = entry?;
        let key = key.to_vec();
        let stat = StatKey::decode(&value.head)
            .map_err(|source| Error::Entry { path: shown(&key), source })?;
        batch.push((key, stat));
        if batch.len() == limits::PREVIOUS_BATCH_ENTRIES {
            let next = Vec::with_capacity(limits::PREVIOUS_BATCH_ENTRIES);
            let full = std::mem::replace(&mut batch, next);
            if give.send(Ok(full)).is_err() {
                return Ok(());
            }
        }
    }
    let _ = give.send(Ok(batch));
    Ok(())
}

pub(super) fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(&path_of_key(key)).into_owned()
}

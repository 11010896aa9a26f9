//! A store that lives in memory, for tests.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard},
};

use bytes::Bytes;

use super::{Error, ErrorKind, Listed, Name, Put, Store};

/// Objects in a map; keeps every promise of the contract, forgets all when dropped.
#[derive(Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<Name, Bytes>>,
}

impl MemoryStore {
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// Puts `bytes` in the place of what stands there, as rot or an enemy would: no verb does this.
    pub fn tamper(&self, name: &Name, bytes: impl Into<Bytes>) {
        self.lock().insert(name.clone(), bytes.into());
    }

    /// A second store that holds the same objects from now on apart: a state to come back to.
    pub fn snapshot(&self) -> MemoryStore {
        MemoryStore { objects: Mutex::new(self.lock().clone()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Bytes>> {
        self.objects.lock().expect("no code panics while it holds the map")
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryStore({} objects)", self.lock().len())
    }
}

impl Store for MemoryStore {
    fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, Error> {
        let mut objects = self.lock();
        if objects.contains_key(name) {
            return Ok(Put::Exists);
        }
        // A copy of its own, so that a slice of a large buffer does not keep the buffer alive.
        objects.insert(name.clone(), Bytes::copy_from_slice(&bytes));
        Ok(Put::Created)
    }

    fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, Error> {
        let objects = self.lock();
        let error = |kind| Error::new(kind, "get", name.as_str());
        let bytes = objects.get(name).ok_or_else(|| error(ErrorKind::NotFound))?;
        if range.start > range.end || range.end > bytes.len() as u64 {
            return Err(error(ErrorKind::ShortObject));
        }
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    fn size(&self, name: &Name) -> Result<u64, Error> {
        match self.lock().get(name) {
            Some(bytes) => Ok(bytes.len() as u64),
            None => Err(Error::new(ErrorKind::NotFound, "size", name.as_str())),
        }
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        super::name::assert_prefix(prefix);
        let below = |name: &Name| {
            prefix.is_empty()
                || name.as_str().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        };
        // Collected first: `each` may call this store again.
        let all: Vec<Listed> = (self.lock().iter())
            .filter(|(name, _)| below(name))
            .map(|(name, bytes)| Listed { name: name.clone(), size_bytes: bytes.len() as u64 })
            .collect();
        all.into_iter().try_for_each(each)
    }

    fn remove(&self, name: &Name) -> Result<(), Error> {
        self.lock().remove(name);
        Ok(())
    }

    fn creates_atomically(&self) -> bool {
        true
    }

    fn visibility_delay_seconds(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        crate::store::contract::check(&MemoryStore::new());
    }
}

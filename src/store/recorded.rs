//! A store that remembers what was asked of it: work done becomes a fact that tests read.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use super::{Error, Listed, Name, Put, Store};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Put,
    Get,
    Size,
    List,
    Remove,
}

/// One call, as it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub verb: Verb,
    /// The object's name, or the prefix of a listing.
    pub object: String,
    /// Where a `Get` began; 0 for the others.
    pub offset: u64,
    /// Bytes put or got; objects listed.
    pub amount: u64,
    /// Created, found, removed; not an error and not `Put::Exists`.
    pub done: bool,
}

/// Passes everything on and keeps a record, call by call.
pub struct Recorded {
    inner: Arc<dyn Store>,
    calls: Mutex<Vec<Call>>,
}

impl Recorded {
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Recorded { inner, calls: Mutex::default() })
    }

    /// All calls since the last `take`, in the order of their ends.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().expect("nobody panics while he holds the calls"))
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("nobody panics while he holds the calls").clone()
    }

    /// How many calls of this verb, on objects below `prefix` ("" for all).
    pub fn count(&self, verb: Verb, prefix: &str) -> usize {
        self.calls().iter().filter(|call| call.verb == verb && call.is_below(prefix)).count()
    }

    /// Bytes put or got (`Verb::Put`, `Verb::Get`), objects listed, below `prefix` ("" for all).
    pub fn amount(&self, verb: Verb, prefix: &str) -> u64 {
        let calls = self.calls();
        let mine = calls.iter().filter(|call| call.verb == verb && call.is_below(prefix));
        mine.filter(|call| call.done).map(|call| call.amount).sum()
    }

    fn note(&self, verb: Verb, object: &str, offset: u64, amount: u64, done: bool) {
        let call = Call { verb, object: object.to_owned(), offset, amount, done };
        self.calls.lock().expect("nobody panics while he holds the calls").push(call);
    }
}

impl Call {
    fn is_below(&self, prefix: &str) -> bool {
        prefix.is_empty()
            || self.object.strip_prefix(prefix).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
            })
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorded({:?})", self.inner)
    }
}

impl Store for Recorded {
    fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, Error> {
        let length = bytes.len() as u64;
        let result = self.inner.put_new(name, bytes);
        self.note(Verb::Put, name.as_str(), 0, length, matches!(result, Ok(Put::Created)));
        result
    }

    fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, Error> {
        let result = self.inner.get(name, range.clone());
        let length = range.end.saturating_sub(range.start);
        self.note(Verb::Get, name.as_str(), range.start, length, result.is_ok());
        result
    }

    fn size(&self, name: &Name) -> Result<u64, Error> {
        let result = self.inner.size(name);
        self.note(Verb::Size, name.as_str(), 0, 0, result.is_ok());
        result
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut objects = 0;
        let result = self.inner.list(prefix, &mut |listed| {
            objects += 1;
            each(listed)
        });
        self.note(Verb::List, prefix, 0, objects, result.is_ok());
        result
    }

    fn remove(&self, name: &Name) -> Result<(), Error> {
        let result = self.inner.remove(name);
        self.note(Verb::Remove, name.as_str(), 0, 0, result.is_ok());
        result
    }

    fn creates_atomically(&self) -> bool {
        self.inner.creates_atomically()
    }

    fn visibility_delay_seconds(&self) -> u64 {
        self.inner.visibility_delay_seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{contract, memory::MemoryStore};

    #[test]
    fn keeps_the_contract() {
        contract::check(&*Recorded::new(Arc::new(MemoryStore::new())));
    }

    #[test]
    fn counts_what_was_asked() {
        let store = Recorded::new(Arc::new(MemoryStore::new()));
        let name = |text| Name::parse(text).unwrap();
        store.put_new(&name("packs/0a/x"), Bytes::from_static(b"12345")).unwrap();
        store.put_new(&name("packs/0a/x"), Bytes::from_static(b"12345")).unwrap();
        store.put_new(&name("config"), Bytes::from_static(b"1")).unwrap();
        store.get(&name("packs/0a/x"), 1..4).unwrap();
        store.get(&name("packs/0a/x"), 1..40).unwrap_err();
        assert_eq!(store.count(Verb::Put, ""), 3);
        assert_eq!(store.count(Verb::Put, "packs"), 2);
        assert_eq!(store.count(Verb::Put, "pack"), 0);
        assert_eq!(store.amount(Verb::Put, "packs"), 5, "what exists was not put");
        assert_eq!(store.amount(Verb::Get, ""), 3);
        assert_eq!(store.take().len(), 5);
        assert_eq!(store.count(Verb::Put, ""), 0);
    }
}

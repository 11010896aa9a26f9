//! A store that fails as it is told: "crash at write k, for every k" becomes a loop.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;

use super::{Error, ErrorKind, Listed, Name, Put, Store, recorded::Verb};

/// What to do wrong. Calls and writes are counted from 0, from the moment this is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies during its `write`-th put or removal: that call and all later ones fail.
    /// `done`: the dying call had still taken effect (the object stands there, or is gone).
    Crash { write: u64, done: bool },
    /// The `call`-th call fails, once, with this kind. `done`: a put or removal had taken effect,
    /// and only the answer was lost.
    Fail { call: u64, kind: ErrorKind, done: bool },
    /// The `call`-th call of this verb below this prefix fails, once, with this kind.
    FailVerb { verb: Verb, below: &'static str, call: u64, kind: ErrorKind },
    /// Each listing breaks off with an error after so many objects.
    ShortListing { objects: u64 },
    /// No space is left after so many bytes.
    Full { after_bytes: u64 },
    /// Each reading of these bytes, from one offset to another, of objects below this prefix fails.
    BadSectors { below: &'static str, from: u64, to: u64 },
    /// Every call fails, as when the network is gone.
    Down,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    crashed: bool,
    calls: u64,
    writes: u64,
    matching: u64,
    bytes: u64,
}

/// What a call is to do, decided before it.
enum Fate {
    Live,
    /// Fail with this kind, after the work was done or instead of it.
    Die {
        kind: ErrorKind,
        done: bool,
    },
}

/// Passes everything on until the fault that it is armed with.
pub struct Faulty {
    inner: Arc<dyn Store>,
    state: Mutex<State>,
}

impl Faulty {
    /// Without a fault; `writes` and `calls` count from here.
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Faulty { inner, state: Mutex::default() })
    }

    /// Begins to count anew, and fails as told.
    pub fn arm(&self, fault: Fault) {
        *self.lock() = State { fault: Some(fault), ..State::default() };
    }

    /// Healthy again, counting anew.
    pub fn disarm(&self) {
        *self.lock() = State::default();
    }

    /// Puts and removals since the counting began, failed ones included: the number of k to loop.
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Whether the armed `Crash` has struck; when not, the loop over k is at its end.
    pub fn has_crashed(&self) -> bool {
        self.lock().crashed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while he holds the state")
    }

    fn fate(&self, verb: Verb, object: &str, put_bytes: u64) -> Fate {
        let mut state = self.lock();
        let call = state.calls;
        state.calls += 1;
        let write = state.writes;
        let writes = matches!(verb, Verb::Put | Verb::Remove);
        state.writes += u64::from(writes);
        if state.crashed {
            return Fate::Die { kind: ErrorKind::Io, done: false };
        }
        match state.fault {
            Some(Fault::Crash { write: at, done }) if writes && write == at => {
                state.crashed = true;
                Fate::Die { kind: ErrorKind::Io, done }
            }
            Some(Fault::Fail { call: at, kind, done }) if call == at => Fate::Die { kind, done },
            Some(Fault::FailVerb { verb: mine, below, call: at, kind })
                if verb == mine && object.starts_with(below) =>
            {
                state.matching += 1;
                if state.matching == at + 1 { Fate::Die { kind, done: false } } else { Fate::Live }
            }
            Some(Fault::Full { after_bytes }) if verb == Verb::Put => {
                if state.bytes + put_bytes > after_bytes {
                    return Fate::Die { kind: ErrorKind::Full, done: false };
                }
                state.bytes += put_bytes;
                Fate::Live
            }
            Some(Fault::Down) => Fate::Die { kind: ErrorKind::Unavailable, done: false },
            _ => Fate::Live,
        }
    }

    fn answer<T>(
        &self,
        verb: (Verb, &'static str),
        object: &str,
        put_bytes: u64,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.fate(verb.0, object, put_bytes) {
            Fate::Live => work(),
            Fate::Die { kind, done } => {
                if done {
                    work()?;
                }
                Err(Error::new(kind, verb.1, object))
            }
        }
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({:?}, {:?})", self.lock().fault, self.inner)
    }
}

impl Store for Faulty {
    fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, Error> {
        self.answer((Verb::Put, "put"), name.as_str(), bytes.len() as u64, || {
            self.inner.put_new(name, bytes)
        })
    }

    fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, Error> {
        let is_bad = match self.lock().fault {
            Some(Fault::BadSectors { below, from, to }) => {
                name.as_str().starts_with(below) && range.start < to && from < range.end
            }
            _ => false,
        };
        self.answer((Verb::Get, "get"), name.as_str(), 0, || match is_bad {
            true => Err(Error::new(ErrorKind::Unreadable, "get", name.as_str())),
            false => self.inner.get(name, range),
        })
    }

    fn size(&self, name: &Name) -> Result<u64, Error> {
        self.answer((Verb::Size, "size"), name.as_str(), 0, || self.inner.size(name))
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.answer((Verb::List, "list"), prefix, 0, || {
            // Apart from the match, which would hold the lock while `each` calls us again.
            let fault = self.lock().fault;
            let Some(Fault::ShortListing { objects: short }) = fault else {
                return self.inner.list(prefix, each);
            };
            let broken = || Err(Error::new(ErrorKind::Unavailable, "list", prefix));
            let mut listed = 0;
            self.inner.list(prefix, &mut |object| {
                if listed == short {
                    return broken();
                }
                listed += 1;
                each(object)
            })?;
            // A listing that was not long enough to break off breaks off at its end.
            broken()
        })
    }

    fn remove(&self, name: &Name) -> Result<(), Error> {
        self.answer((Verb::Remove, "remove"), name.as_str(), 0, || self.inner.remove(name))
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
    use crate::store::{contract, list_all, memory::MemoryStore};

    fn healthy() -> (Arc<MemoryStore>, Arc<Faulty>) {
        let memory = Arc::new(MemoryStore::new());
        (memory.clone(), Faulty::new(memory))
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn put(store: &dyn Store, object: &str) -> Result<Put, Error> {
        store.put_new(&name(object), Bytes::from_static(b"0123456789"))
    }

    #[test]
    fn keeps_the_contract_while_it_is_healthy() {
        contract::check(&*healthy().1);
    }

    #[test]
    fn a_crash_ends_everything_at_its_write() {
        for done in [false, true] {
            let (memory, store) = healthy();
            store.arm(Fault::Crash { write: 1, done });
            put(&*store, "a").unwrap();
            store.size(&name("a")).unwrap();
            put(&*store, "b").unwrap_err();
            assert!(store.has_crashed());
            put(&*store, "c").unwrap_err();
            store.size(&name("a")).unwrap_err();
            store.list("", &mut |_| Ok(())).unwrap_err();
            let expected: &[&str] = if done { &["a", "b"] } else { &["a"] };
            let there = list_all(&*memory, "").unwrap();
            assert_eq!(there.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), expected);
            store.disarm();
            put(&*store, "c").unwrap();
        }
    }

    #[test]
    fn one_call_fails_and_the_next_does_not() {
        let (_, store) = healthy();
        store.arm(Fault::Fail { call: 1, kind: ErrorKind::Unavailable, done: true });
        put(&*store, "a").unwrap();
        put(&*store, "b").unwrap_err();
        assert_eq!(put(&*store, "b").unwrap(), Put::Exists, "the answer was lost, not the object");
        let kind = ErrorKind::Denied;
        store.arm(Fault::FailVerb { verb: Verb::Get, below: "a", call: 1, kind });
        store.get(&name("a"), 0..1).unwrap();
        store.get(&name("b"), 0..1).unwrap();
        store.get(&name("a"), 0..1).unwrap_err();
        store.get(&name("a"), 0..1).unwrap();
    }

    #[test]
    fn a_short_listing_is_an_error_and_a_full_disk_takes_nothing() {
        let (memory, store) = healthy();
        store.arm(Fault::Full { after_bytes: 25 });
        put(&*store, "a").unwrap();
        put(&*store, "b").unwrap();
        assert!(matches!(put(&*store, "c").unwrap_err().kind, ErrorKind::Full));
        assert_eq!(list_all(&*memory, "").unwrap().len(), 2);
        for objects in 0..4 {
            store.arm(Fault::ShortListing { objects });
            let mut met = 0;
            let ended = store.list("", &mut |_| {
                met += 1;
                Ok(())
            });
            assert!(matches!(ended.unwrap_err().kind, ErrorKind::Unavailable));
            assert_eq!(met, objects.min(2));
        }
    }
}

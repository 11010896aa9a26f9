//! Trying again what a network store could not do just now.

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use backon::{BlockingRetryable, ExponentialBuilder};
use bytes::Bytes;

use super::{Error, ErrorKind, Listed, Name, Put, Store};
use crate::ambient::Ambient;

/// How often, and after how long. Pauses double from `first` to at most `longest`, each with some
/// chance added, so that many hosts do not come back in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// So many attempts after the first one.
    pub retries: usize,
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Patience {
    /// Gives up after about two minutes of pauses.
    fn default() -> Self {
        let (first, longest) = (Duration::from_millis(250), Duration::from_secs(30));
        Patience { retries: 10, first, longest }
    }
}

/// Told of the failure when a store stops answering and is tried again; of the next one only after
/// the store has answered.
pub type OnOutage = Arc<dyn Fn(&Error) + Send + Sync>;

/// Tries again when the store was `Unavailable`, and only then.
///
/// A put whose answer was lost may have taken effect, so `Exists` on a later attempt is compared
/// with what was put: when the bytes are equal, the answer is `Created`. (Two who put equal bytes
/// may thus both be told `Created`; who must know the difference puts a nonce inside, as the
/// protocol's slots do.) Where the object can't be read back the answer stays `Exists`.
pub struct Retry {
    inner: Arc<dyn Store>,
    patience: Patience,
    ambient: Ambient,
    on_outage: Option<OnOutage>,
    is_out: AtomicBool,
}

impl Retry {
    pub fn new(inner: Arc<dyn Store>, patience: Patience, ambient: Ambient) -> Self {
        Retry { inner, patience, ambient, on_outage: None, is_out: AtomicBool::new(false) }
    }

    pub fn telling(self, on_outage: Option<OnOutage>) -> Self {
        Retry { on_outage, ..self }
    }

    fn note<T>(&self, answer: &Result<T, Error>, again: impl Fn(&Error) -> bool) {
        let failed = answer.as_ref().err().filter(|error| again(error));
        let was_out = self.is_out.swap(failed.is_some(), Relaxed);
        if let (Some(error), false, Some(tell)) = (failed, was_out, &self.on_outage)
            && self.patience.retries > 0
        {
            tell(error);
        }
    }

    fn try_until<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Error>,
        again: impl Fn(&Error) -> bool,
    ) -> Result<T, Error> {
        let attempt = || {
            let answer = attempt();
            self.note(&answer, &again);
            answer
        };
        let clock = self.ambient.clock.clone();
        let pauses = ExponentialBuilder::new()
            .with_min_delay(self.patience.first)
            .with_max_delay(self.patience.longest)
            .with_max_times(self.patience.retries)
            .with_jitter()
            .with_jitter_seed(u64::from_le_bytes(self.ambient.random()));
        attempt.retry(pauses).sleep(move |pause| clock.sleep(pause)).when(&again).call()
    }

    fn try_again<T>(&self, attempt: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        self.try_until(attempt, is_passing)
    }

    /// After a lost answer: is what exists our own?
    fn compare(&self, name: &Name, bytes: &Bytes) -> Result<Put, Error> {
        let there = match self.inner.size(name) {
            Ok(size) if size == bytes.len() as u64 => self.inner.get(name, 0..size),
            Ok(_) => return Ok(Put::Exists),
            Err(error) => Err(error),
        };
        match there {
            Ok(there) if there == *bytes => Ok(Put::Created),
            Err(error) if is_passing(&error) => Err(error),
            _ => Ok(Put::Exists),
        }
    }
}

fn is_passing(error: &Error) -> bool {
    error.kind == ErrorKind::Unavailable
}

impl std::fmt::Debug for Retry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Retry({:?})", self.inner)
    }
}

impl Store for Retry {
    fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, Error> {
        let mut answer_lost = false;
        self.try_again(|| match self.inner.put_new(name, bytes.clone()) {
            Ok(Put::Exists) if answer_lost => self.compare(name, &bytes),
            answered => {
                answer_lost |= answered.is_err();
                answered
            }
        })
    }

    fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, Error> {
        self.try_again(|| self.inner.get(name, range.clone()))
    }

    fn size(&self, name: &Name) -> Result<u64, Error> {
        self.try_again(|| self.inner.size(name))
    }

    /// A listing that breaks off is begun again, and what was told already is passed over, as
    /// long as the store lists in ascending order, as S3 does. Else the failure comes out.
    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let told_to: RefCell<Option<Name>> = RefCell::new(None);
        let ascending = Cell::new(true);
        let own_error = Cell::new(false);
        let attempt = || {
            let resumed = told_to.borrow().clone();
            self.inner.list(prefix, &mut |listed| {
                if resumed.as_ref().is_some_and(|resumed| listed.name <= *resumed) {
                    return Ok(());
                }
                if told_to.borrow().as_ref().is_some_and(|last| listed.name <= *last) {
                    ascending.set(false);
                }
                *told_to.borrow_mut() = Some(listed.name.clone());
                each(listed).inspect_err(|_| own_error.set(true))
            })
        };
        let again = |error: &Error| is_passing(error) && ascending.get() && !own_error.get();
        self.try_until(attempt, again)
    }

    fn remove(&self, name: &Name) -> Result<(), Error> {
        self.try_again(|| self.inner.remove(name))
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
    use crate::store::{
        contract,
        faulty::{Fault, Faulty},
        list_all,
        memory::MemoryStore,
        recorded::{Recorded, Verb},
    };

    struct Stand {
        memory: Arc<MemoryStore>,
        faulty: Arc<Faulty>,
        recorded: Arc<Recorded>,
        clock: Arc<crate::ambient::testing::FixedClock>,
        retry: Retry,
    }

    fn stand() -> Stand {
        let memory = Arc::new(MemoryStore::new());
        let faulty = Faulty::new(memory.clone());
        let recorded = Recorded::new(faulty.clone());
        let (ambient, clock) = Ambient::fixed(1);
        let retry = Retry::new(recorded.clone(), Patience::default(), ambient);
        Stand { memory, faulty, recorded, clock, retry }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        contract::check(&stand().retry);
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        use crate::ambient::Clock;
        let it = stand();
        it.faulty.arm(Fault::Down);
        let error = it.retry.size(&name("a")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert_eq!(it.recorded.count(Verb::Size, ""), 11);
        let waited = it.clock.monotonic().as_secs();
        assert!((60..300).contains(&waited), "waited {waited} s of the test's own clock");
        it.recorded.take();
        for kind in [ErrorKind::Denied, ErrorKind::Full, ErrorKind::Io, ErrorKind::NotFound] {
            it.faulty.arm(Fault::Fail { call: 0, kind, done: false });
            assert_eq!(it.retry.size(&name("a")).unwrap_err().kind, kind);
            assert_eq!(it.recorded.take().len(), 1, "{kind:?} is final");
        }
    }

    #[test]
    fn an_outage_is_told_once() {
        let it = stand();
        let told: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
        let tell: OnOutage = {
            let told = told.clone();
            Arc::new(move |error| told.lock().unwrap().push(error.to_string()))
        };
        let retry = it.retry.telling(Some(tell));
        let size = || retry.size(&name("a")).map_err(|error| error.kind);
        for outages in 1..3 {
            assert_eq!(size(), Err(ErrorKind::NotFound), "an answer");
            it.faulty.arm(Fault::Down);
            assert_eq!((size(), size()), (Err(ErrorKind::Unavailable), size()));
            it.faulty.disarm();
            let told = told.lock().unwrap();
            assert_eq!(told.len(), outages, "{told:?}");
            assert!(told[0].contains("can't be reached"), "{told:?}");
        }
    }

    #[test]
    fn a_lost_answer_of_a_put_is_found_out() {
        let lost = Fault::Fail { call: 0, kind: ErrorKind::Unavailable, done: true };
        let it = stand();
        it.faulty.arm(lost);
        let put = |bytes: &'static [u8]| it.retry.put_new(&name("a"), Bytes::from_static(bytes));
        assert_eq!(put(b"mine").unwrap(), Put::Created, "created by the attempt that was lost");
        it.faulty.arm(lost);
        assert_eq!(put(b"more").unwrap(), Put::Exists, "another's, of the same size");
        it.faulty.arm(lost);
        assert_eq!(put(b"longer").unwrap(), Put::Exists, "another's, of another size");
        it.faulty.disarm();
        assert_eq!(put(b"mine").unwrap(), Put::Exists, "no answer was lost, so none is doubted");
    }

    #[test]
    fn a_broken_listing_goes_on_where_it_broke() {
        let it = stand();
        for n in 0..50 {
            it.memory.put_new(&name(&format!("x/{n:02}")), Bytes::new()).unwrap();
        }
        it.faulty.arm(Fault::ShortListing { objects: 20 });
        let mut met = Vec::new();
        let listed = it.retry.list("x", &mut |listed| {
            if met.len() == 10 {
                // The second attempt will not break.
                it.faulty.disarm();
                it.faulty.arm(Fault::ShortListing { objects: 30 });
            }
            met.push(listed.name);
            if met.len() == 25 {
                it.faulty.disarm();
            }
            Ok(())
        });
        // The attempt under way when the fault is lifted still breaks off; the next one ends.
        listed.unwrap();
        let all: Vec<Name> =
            list_all(&*it.memory, "x").unwrap().into_iter().map(|l| l.name).collect();
        assert_eq!(met, all, "each once, none missing");
        assert!(it.recorded.count(Verb::List, "x") > 1, "it had broken");

        it.recorded.take();
        let stop = || Err(Error::new(ErrorKind::Unavailable, "test", "stop"));
        it.retry.list("x", &mut |_| stop()).unwrap_err();
        assert_eq!(it.recorded.take().len(), 1, "the caller's own error is not tried again");
    }
}

//! Finding out what a store really does, before safety rests on it.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;

use super::{Abilities, Error, ErrorKind, Name, Put, Store, get_all, list_all};
use crate::ambient::Ambient;

const PREFIX: &str = "probe";
const RACERS: usize = 4;
/// What a store that does not list at once is taken to need; PROTOCOL.md's figure.
const UNSEEN_DELAY_SECONDS: u64 = 120;

/// Writes two small objects below `probe/`, one of them from several threads at once, lists and
/// removes them. An error when the store can't be used at all: it refuses, or gives back other
/// bytes than it took.
///
/// `create_if_absent` is false when a second put of a name was told `Created` even once: the store
/// ignores the condition, or looks first and writes later; and when it says so itself.
pub fn probe(store: &dyn Store, ambient: &Ambient) -> Result<Abilities, Error> {
    let nonce = hex::encode(ambient.random::<16>());
    let name = |which: &str| {
        Name::parse(&format!("{PREFIX}/{nonce}-{which}")).expect("hex digits and a letter")
    };
    let (plain, raced) = (name("a"), name("b"));
    let found = examine(store, &plain, &raced);
    // Also after an error; a store that can't remove is as unusable as one that can't put.
    let tidied = store.remove(&plain).and(store.remove(&raced));
    let abilities = found?;
    tidied?;
    match store.size(&plain) {
        Err(gone) if gone.is_not_found() => Ok(abilities),
        Err(error) => Err(error),
        Ok(_) => Err(misbehaved("an object that was removed is still there", &plain)),
    }
}

fn examine(store: &dyn Store, plain: &Name, raced: &Name) -> Result<Abilities, Error> {
    let sequential = creates_once(store, plain)?;
    let atomic = creates_once_in_a_race(store, raced)?;
    let listed = list_all(store, PREFIX)?;
    let at_once = [plain, raced].iter().all(|mine| listed.iter().any(|l| l.name == **mine));
    Ok(Abilities {
        create_if_absent: sequential && atomic && store.creates_atomically(),
        visibility_delay_seconds: store.visibility_delay_seconds().max(if at_once {
            0
        } else {
            UNSEEN_DELAY_SECONDS
        }),
    })
}

fn creates_once(store: &dyn Store, name: &Name) -> Result<bool, Error> {
    const FIRST: &[u8] = b"the first";
    const SECOND: &[u8] = b"the second, longer";
    if store.put_new(name, Bytes::from_static(FIRST))? != Put::Created {
        return Err(misbehaved("a name of 128 random bits exists already", name));
    }
    let second = store.put_new(name, Bytes::from_static(SECOND))?;
    let there = get_all(store, name, 1000)?;
    match second {
        Put::Exists if there == FIRST => Ok(true),
        Put::Created if there == SECOND || there == FIRST => Ok(false),
        _ => Err(misbehaved("it gives back other bytes than were put", name)),
    }
}

fn creates_once_in_a_race(store: &dyn Store, name: &Name) -> Result<bool, Error> {
    let start = Barrier::new(RACERS);
    let created = AtomicUsize::new(0);
    thread::scope(|scope| {
        let race = |racer: usize| {
            // Different bytes, or a put whose answer was lost would be taken for another's.
            let bytes = Bytes::from(vec![racer as u8; 100 + racer]);
            start.wait();
            let put = store.put_new(name, bytes)?;
            created.fetch_add(usize::from(put == Put::Created), Ordering::SeqCst);
            Ok(())
        };
        let racers: Vec<_> = (0..RACERS).map(|racer| scope.spawn(move || race(racer))).collect();
        racers.into_iter().try_for_each(|racer| racer.join().expect("a racer does not panic"))
    })?;
    match created.into_inner() {
        0 => Err(misbehaved("nobody created the object, and it did not exist", name)),
        winners => Ok(winners == 1),
    }
}

fn misbehaved(what: &'static str, name: &Name) -> Error {
    Error::new(ErrorKind::Misbehaved { what }, "probe", name.as_str())
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, sync::Arc};

    use super::*;
    use crate::store::{
        Listed,
        faulty::{Fault, Faulty},
        memory::MemoryStore,
        recorded::{Recorded, Verb},
    };

    /// What old S3 servers do: the condition is not seen.
    #[derive(Debug)]
    struct Overwriting(MemoryStore);

    impl Store for Overwriting {
        fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, Error> {
            self.0.tamper(name, bytes);
            Ok(Put::Created)
        }
        fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, Error> {
            self.0.get(name, range)
        }
        fn size(&self, name: &Name) -> Result<u64, Error> {
            self.0.size(name)
        }
        fn list(
            &self,
            _: &str,
            _: &mut dyn FnMut(Listed) -> Result<(), Error>,
        ) -> Result<(), Error> {
            Ok(())
        }
        fn remove(&self, name: &Name) -> Result<(), Error> {
            self.0.remove(name)
        }
        fn creates_atomically(&self) -> bool {
            true
        }
        fn visibility_delay_seconds(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_sound_store_is_found_sound_and_left_clean() {
        let store = Recorded::new(Arc::new(MemoryStore::new()));
        let (ambient, _) = Ambient::fixed(1);
        let abilities = probe(&*store, &ambient).unwrap();
        assert!(abilities.create_if_absent);
        assert_eq!(abilities.visibility_delay_seconds, 0);
        assert_eq!(list_all(&*store, "").unwrap(), []);
        assert!(store.count(Verb::Put, "probe") > 2);
    }

    #[test]
    fn a_store_that_overwrites_and_lists_late_is_found_out() {
        let (ambient, _) = Ambient::fixed(1);
        let abilities = probe(&Overwriting(MemoryStore::new()), &ambient).unwrap();
        assert!(!abilities.create_if_absent);
        assert_eq!(abilities.visibility_delay_seconds, 120, "its listing showed nothing");
    }

    #[test]
    fn any_failure_is_an_error_and_tidied_after() {
        let (ambient, _) = Ambient::fixed(1);
        let mut call = 0;
        loop {
            let memory = Arc::new(MemoryStore::new());
            let store = Faulty::new(memory.clone());
            store.arm(Fault::Fail { call, kind: ErrorKind::Denied, done: false });
            let probed = probe(&*store, &ambient);
            if store.calls() <= call {
                break;
            }
            assert_eq!(probed.expect_err("each call matters").kind, ErrorKind::Denied, "{call}");
            // Only what a removal that failed had to remove.
            assert!(list_all(&*memory, "").unwrap().len() <= 1, "call {call}");
            call += 1;
        }
        assert!(call > 8, "the loop ended after {call} calls");
    }
}

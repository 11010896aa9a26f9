//! What others do in the midst of a verb: before any of its listings.

use std::{ops::Range, sync::Mutex};

use bytes::Bytes;
use icecore::store::{self, Listed, Name, Put};

use super::*;

type Work = Box<dyn FnOnce() + Send>;

/// Has somebody work, once, before a listing.
pub struct Meanwhile {
    inner: Arc<dyn Store>,
    below: &'static str,
    waiting: Mutex<Option<(usize, Work)>>,
}

impl Meanwhile {
    /// `work` is done before the `number`-th listing of `below` from now on, counted from 0.
    pub fn new(
        inner: Arc<dyn Store>,
        below: &'static str,
        number: usize,
        work: impl FnOnce() + Send + 'static,
    ) -> Arc<Meanwhile> {
        let waiting = Mutex::new(Some((number, Box::new(work) as Work)));
        Arc::new(Meanwhile { inner, below, waiting })
    }

    pub fn is_done(&self) -> bool {
        self.waiting.lock().unwrap().is_none()
    }

    fn turn(&self, prefix: &str) -> Option<Work> {
        let mut waiting = self.waiting.lock().unwrap();
        match &mut *waiting {
            Some((0, _)) if prefix == self.below => waiting.take().map(|(_, work)| work),
            Some((number, _)) if prefix == self.below => {
                *number -= 1;
                None
            }
            _ => None,
        }
    }
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Meanwhile({:?})", self.inner)
    }
}

impl Store for Meanwhile {
    fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, store::Error> {
        self.inner.put_new(name, bytes)
    }
    fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, store::Error> {
        self.inner.get(name, range)
    }
    fn size(&self, name: &Name) -> Result<u64, store::Error> {
        self.inner.size(name)
    }
    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> Result<(), store::Error>,
    ) -> Result<(), store::Error> {
        if let Some(work) = self.turn(prefix) {
            work();
        }
        self.inner.list(prefix, each)
    }
    fn remove(&self, name: &Name) -> Result<(), store::Error> {
        self.inner.remove(name)
    }
    fn creates_atomically(&self) -> bool {
        self.inner.creates_atomically()
    }
    fn visibility_delay_seconds(&self) -> u64 {
        self.inner.visibility_delay_seconds()
    }
}

/// Checks while `work` is done before one of its listings of `below`; for each of them in turn.
fn check_beside(below: &'static str, work: fn(&World)) -> usize {
    for number in 0.. {
        let world = Arc::new(World::new(number as u64));
        let old = world.backup(0..40);
        world.backup((0..40).step_by(2));
        world.forget(old);
        let other = world.clone();
        let store = Meanwhile::new(world.memory.clone(), below, number, move || work(&other));
        let repo = world.repo_over(store.clone());
        let (reach, silent) = (Lists(repo.reader().unwrap()), Progress::silent());
        for read_data in [collect::ReadData::None, collect::ReadData::All] {
            let checked = collect::check(&Ground::of(&repo), &reach, read_data, &silent).unwrap();
            assert!(checked.is_good(), "{below} {number} {read_data:?}: {checked:?}");
        }
        if !store.is_done() {
            return number;
        }
    }
    unreachable!("a check lists a bounded number of times")
}

const EVERYTHING: [&str; 6] = ["index", "packs", "gc", "snapshots", "tombstones", "damaged"];

#[test]
fn a_check_beside_a_prune_finds_nothing_missing() {
    for below in EVERYTHING {
        let prune = |world: &World| assert!(world.prune(&greedy()).packs_deleted > 0);
        assert!(check_beside(below, prune) > 0, "{below} is listed");
    }
}

#[test]
fn a_check_beside_a_backup_and_a_forget_finds_nothing_missing() {
    for below in EVERYTHING {
        check_beside(below, |world| {
            world.backup(500..520);
        });
        check_beside(below, |world| {
            let kept = world.repo().survey().unwrap().kept;
            kept.iter().filter(|kept| kept.forgotten.is_none()).for_each(|k| world.forget(k.sid));
            world.backup(500..520);
            assert!(world.prune(&greedy()).packs_deleted > 0);
        });
    }
}

//! What stops a prune before it deletes, and what does not.

use std::{ops::Range, sync::Mutex};

use bytes::Bytes;
use icecore::{
    repo::{
        collect::{Error, Options},
        layout,
    },
    store::{
        self, ErrorKind, Listed, Name, Put,
        faulty::{Fault, Faulty},
        recorded::Verb,
    },
};

use super::*;

/// Leaves an object out of listings of a directory, without an error, as no store may.
#[derive(Debug)]
struct Forgetful {
    inner: Arc<MemoryStore>,
    below: &'static str,
    /// The object left out; the first one if this is none.
    victim: Option<Name>,
    /// So many listings are whole.
    from: usize,
    /// Only one is short, or all from then on.
    once: bool,
    listings: Mutex<usize>,
}

impl Store for Forgetful {
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
        let mut short = false;
        if prefix == self.below {
            let mut listings = self.listings.lock().unwrap();
            *listings += 1;
            short = *listings > self.from && !(self.once && *listings > self.from + 1);
        }
        let mut number = 0;
        self.inner.list(prefix, &mut |listed| {
            number += 1;
            let victim = self.victim.as_ref().map_or(number == 1, |name| listed.name == *name);
            if short && victim { Ok(()) } else { each(listed) }
        })
    }
    fn remove(&self, name: &Name) -> Result<(), store::Error> {
        self.inner.remove(name)
    }
    fn creates_atomically(&self) -> bool {
        true
    }
    fn visibility_delay_seconds(&self) -> u64 {
        0
    }
}

fn world(seed: u64) -> World {
    let world = World::new(seed);
    let old = world.backup(0..40);
    world.backup((0..40).step_by(2));
    world.backup(100..120);
    world.forget(old);
    world
}

/// Prunes over a store whose n-th listings below `below` are short, for every n, until all have
/// been met: each ends well or with an error, and never loses anything.
fn never_loses(below: &'static str, once: bool) -> Vec<Error> {
    let mut errors = Vec::new();
    for from in 0.. {
        let world = world(from as u64);
        let listings = Mutex::new(0);
        let inner = world.memory.clone();
        // Of the packs one that stays: that others go is no wonder.
        let victim = (below == "packs").then(|| pack_that_stays(&world));
        let store = Arc::new(Forgetful { inner, below, victim, from, once, listings });
        let repo = world.repo_over(store.clone());
        errors.extend(world.try_prune(&repo, &greedy()).err());
        assert_eq!(world.all_is_well(), 2, "{below} {from}");
        if *store.listings.lock().unwrap() <= from {
            return errors;
        }
    }
    unreachable!("a prune lists a bounded number of times")
}

/// Holds chunk 100, and nothing that was forgotten.
fn pack_that_stays(world: &World) -> Name {
    let repo = world.repo();
    repo.refresh().unwrap();
    let id = repo.keys().blob_id(BlobKind::Chunk, &noise(100));
    layout::pack(&repo.catalog().locate(&id).unwrap().pack.id)
}

#[test]
fn short_listings_of_packs_are_noticed() {
    let mut errors = never_loses("packs", true);
    errors.extend(never_loses("packs", false));
    assert!(errors.iter().any(|error| matches!(error, Error::ListingsDiffer { .. })));
    assert!(errors.iter().any(|error| matches!(error, Error::BlobMissing { .. })));
}

#[test]
fn short_listings_of_snapshots_are_noticed() {
    // (The first two listings short in the same way are one listing to anybody: a store that lies
    // twice alike is beyond what can be noticed, and `from` begins with the second.)
    for from in 1..3 {
        let world = world(from);
        let inner = world.memory.clone();
        let (below, from, once, listings) = ("snapshots", from as usize, true, Mutex::new(0));
        let store = Arc::new(Forgetful { inner, below, victim: None, from, once, listings });
        let repo = world.repo_over(store.clone());
        match world.try_prune(&repo, &greedy()) {
            Err(Error::SnapshotsShrank { .. }) => {}
            // The forgotten one was left out, or the tidying saw the short one: harmless.
            other => drop(other.unwrap()),
        }
        assert_eq!(world.all_is_well(), 2);
    }
}

#[test]
fn short_listings_of_the_rest_lose_nothing() {
    for below in ["index", "tombstones", "gc", "damaged"] {
        never_loses(below, true);
        never_loses(below, false);
    }
}

#[test]
fn a_listing_that_fails_is_an_error_and_no_empty_set() {
    for below in ["packs", "index", "snapshots", "tombstones", "gc", "sessions", "damaged"] {
        for call in 0.. {
            let world = world(call);
            let faulty = Faulty::new(world.memory.clone());
            let repo = world.repo_over(faulty.clone());
            faulty.arm(Fault::FailVerb { verb: Verb::List, below, call, kind: ErrorKind::Io });
            let failed = world.try_prune(&repo, &greedy()).is_err();
            assert_eq!(world.all_is_well(), 2, "{below} {call}");
            if !failed {
                assert!(call > 0, "{below} is listed");
                break;
            }
        }
    }
}

#[test]
fn much_at_once_must_be_said_to_be_meant() {
    let world = World::new(1);
    let old = world.backup(0..200);
    world.backup(0..10);
    world.forget(old);
    let careful = Options { max_percent: 30, ..greedy() };
    let error = world.try_prune(&world.repo(), &careful).unwrap_err();
    assert!(matches!(error, Error::TooMuch { max_percent: 30, .. }), "{error}");
    assert_eq!(world.names("gc"), [""; 0], "nothing is condemned before the question");
    assert!(world.prune(&greedy()).packs_deleted >= 16);
}

#[test]
fn the_last_snapshot_of_a_source_must_be_said_to_be_meant() {
    let world = World::new(2);
    let only = world.backup(0..20);
    world.forget(only);
    let careful = Options { last_of_source_may_go: false, ..greedy() };
    let error = world.try_prune(&world.repo(), &careful).unwrap_err();
    assert!(matches!(error, Error::LastOfSource { sid, .. } if sid == only), "{error}");
    world.prune(&greedy());
    assert_eq!(world.names("packs"), [""; 0]);
    // Asked once: its data is gone, the slot is only kept.
    world.try_prune(&world.repo(), &careful).unwrap();
}

#[test]
fn a_record_is_no_backup_of_its_source() {
    let careful = Options { last_of_source_may_go: false, ..greedy() };
    let world = World::new(3);
    let only = world.backup(0..20);
    let session = world.begin(&[]);
    let snapshot = Snapshot { tags: vec!["record".into()], ..world.fill(&session, 20..25) };
    let record = session.commit(snapshot).unwrap();
    world.forget(only);
    let error = world.try_prune(&world.repo(), &careful).unwrap_err();
    assert!(matches!(error, Error::LastOfSource { sid, .. } if sid == only), "{error}");
    world.prune(&greedy());
    world.backup(30..40);
    // And nobody is asked before the last record goes.
    world.forget(record);
    assert!(world.try_prune(&world.repo(), &careful).unwrap().packs_deleted > 0);
}

fn remove_all(world: &World, below: &str) {
    for name in world.names(below) {
        world.memory.remove(&Name::parse(&name).unwrap()).unwrap();
    }
}

#[test]
fn packs_without_any_snapshot_go_only_if_it_is_said_to_be_meant() {
    let careful = Options { last_of_source_may_go: false, ..greedy() };
    let world = World::new(5);
    world.backup(0..20);
    let packs = world.names("packs");
    // A disk that is not mounted, a copy that was cut short: no packs of a person who forgot.
    remove_all(&world, "snapshots");
    let error = world.try_prune(&world.repo(), &careful).unwrap_err();
    assert!(matches!(error, Error::NoSnapshots { .. }), "{error}");
    assert_eq!((world.names("gc"), world.names("packs")), (vec![], packs));
    world.prune(&greedy());
    assert_eq!(world.names("packs"), [""; 0]);
    world.try_prune(&world.repo(), &careful).expect("there is nothing left to ask for");
}

#[test]
fn a_set_left_behind_is_not_completed_without_any_snapshot() {
    let careful = Options { last_of_source_may_go: false, ..greedy() };
    let world = world(6);
    let faulty = Faulty::new(world.memory.clone());
    faulty.arm(Fault::Crash { write: 1, done: false });
    world.try_prune(&world.repo_over(faulty), &greedy()).unwrap_err();
    let packs = world.names("packs");
    assert_eq!(world.names("gc").len(), 1, "it names packs that snapshots need");
    remove_all(&world, "snapshots");
    let error = world.try_prune(&world.repo(), &careful).unwrap_err();
    assert!(matches!(error, Error::NoSnapshots { .. }), "{error}");
    assert_eq!(world.names("packs"), packs);
}

#[test]
fn where_all_was_forgotten_nobody_is_asked_twice() {
    let careful = Options { last_of_source_may_go: false, ..greedy() };
    let world = World::new(7);
    let (first, second) = (world.backup(0..20), world.backup(10..30));
    world.forget(first);
    world.forget(second);
    let error = world.try_prune(&world.repo(), &careful).unwrap_err();
    assert!(matches!(error, Error::LastOfSource { .. }), "their slots say so: {error}");
    world.prune(&greedy());
    world.advance_hours(31 * 24);
    world.try_prune(&world.repo(), &careful).unwrap();
    assert_eq!(world.names("snapshots"), [""; 0], "tidied after their time");
    world.try_prune(&world.repo(), &careful).unwrap();
    // A first backup that is at work, or died not long ago, has no packs that go.
    let session = world.begin(&[]);
    world.fill(&session, 0..20);
    session.flush().unwrap();
    world.try_prune(&world.repo(), &careful).unwrap();
    session.abort().unwrap();
}

/// The packs that a snapshot's node and chunks lie in.
fn packs_of(world: &World, sid: Sid) -> Vec<String> {
    let repo = world.repo();
    let reader = repo.reader().unwrap();
    let kept = repo.survey().unwrap().kept.into_iter().find(|kept| kept.sid == sid).unwrap();
    let root = kept.snapshot.roots[0].id;
    let list = reader.read(BlobKind::Node, &root).unwrap();
    let chunks = list.chunks_exact(32).map(|id| BlobId::new(id.try_into().unwrap()));
    let packs = chunks.chain([root]).map(|id| repo.catalog().locate(&id).unwrap().pack.id);
    packs.map(|pack| layout::pack(&pack).to_string()).collect()
}

#[test]
fn a_missing_blob_stops_everything() {
    // The same packs each time; each in turn is the one that is lost.
    let make = || {
        let world = World::new(3);
        let kept = world.backup(0..20);
        let old = world.backup(10..40);
        world.forget(old);
        (world, kept)
    };
    let (world, kept) = make();
    let (needed, all) = (packs_of(&world, kept), world.names("packs"));
    assert!(needed.len() > 20 - 1 && all.iter().any(|pack| !needed.contains(pack)));
    for victim in &all {
        let (world, _) = make();
        world.memory.remove(&Name::parse(victim).unwrap()).unwrap();
        let pruned = world.try_prune(&world.repo(), &greedy());
        if !needed.contains(victim) {
            assert!(pruned.unwrap().packs_deleted > 0);
            continue;
        }
        let error = pruned.expect_err(victim);
        assert!(matches!(error, Error::BlobMissing { .. } | Error::Walk { .. }), "{error}");
        let left: Vec<_> = all.iter().filter(|pack| *pack != victim).cloned().collect();
        assert_eq!(world.names("packs"), left, "nothing was deleted");
    }
}

#[test]
fn strangers_and_garbage_are_named_and_left_alone() {
    let world = world(4);
    let hex = |fill: char, digits: usize| fill.to_string().repeat(digits);
    let pack = format!("packs/aa/{}", hex('a', 64));
    let harmless = [
        pack.clone(),
        "packs/readme".into(),
        "gc/readme".into(),
        "sessions/readme".into(),
        "index/readme".into(),
        format!("index/{}", hex('b', 64)),
        format!("tombstones/{}-00", hex('c', 32)),
        format!("damaged/{}", hex('d', 32)),
    ];
    for name in &harmless {
        world.memory.tamper(&Name::parse(name).unwrap(), &b"garbage"[..]);
    }
    let plan = world.plan(&world.repo(), &greedy()).unwrap();
    let named: Vec<&str> = plan.strange.iter().map(|strange| strange.object.as_str()).collect();
    assert!(named.contains(&pack.as_str()), "{named:?}");
    assert!(named.iter().any(|name| name.starts_with("index/b")), "{named:?}");
    let outcome = world.prune(&greedy());
    assert!(outcome.packs_deleted > 0);
    assert_eq!(world.all_is_well(), 2);
    let names = world.names("");
    assert!(names.contains(&pack) && names.contains(&"gc/readme".to_owned()));
    // What a set or a slot says must be known: one that can't be read stops a prune.
    for name in [format!("gc/{}", hex('e', 64)), format!("snapshots/{}", hex('f', 32))] {
        let name = Name::parse(&name).unwrap();
        world.memory.tamper(&name, &b"garbage"[..]);
        let error = world.try_prune(&world.repo(), &greedy()).unwrap_err();
        let told = matches!(&error, Error::Unreadable { object, .. } if object == name.as_str());
        assert!(told, "{error:?}");
        world.memory.remove(&name).unwrap();
    }
    // A session that can't be read is one that has not seen anything.
    let old = world.backup(300..320);
    world.forget(old);
    let name = Name::parse(&format!("sessions/{}/open", hex('9', 32))).unwrap();
    world.memory.tamper(&name, &b"garbage"[..]);
    let outcome = world.prune(&greedy());
    assert_eq!((outcome.sets_left, outcome.packs_deleted), (1, 0));
}

//! Sessions beside collectors: condemned sets, heartbeats, fences, parents.

use icecore::{
    format::{
        gc::{CondemnedSet, Damaged, SetId, Tombstone},
        session::{Heartbeat, Open},
        slot::Slot,
    },
    id::PackId,
    repo::{Reuse, layout},
    store::{
        self, Name, Put,
        recorded::{Recorded, Verb},
    },
};

use super::*;

fn condemn(repo: &Repository, packs: Vec<PackId>) -> SetId {
    let set = SetId::new(repo.ambient().random());
    let time = repo.ambient().clock.now();
    let record = CondemnedSet { packs, time, host: "gc.example".into() };
    repo.put_record(&layout::condemned(&set), &record).unwrap();
    set
}

fn fence(repo: &Repository, sid: &Sid) {
    let time = repo.ambient().clock.now();
    let abort = Slot::Abort { by: "gc.example".into(), reason: "no progress".into(), time };
    repo.put_record(&layout::slot(sid), &abort).unwrap();
}

fn pack_of(repo: &Repository, seed: u64) -> PackId {
    let id = repo.keys().blob_id(BlobKind::Chunk, &noise(seed, 9000));
    repo.catalog().locate(&id).unwrap().pack.id
}

fn with_parents(repo: &Repository, parents: &[Sid]) -> Session {
    repo.begin(SessionOptions { parents: parents.to_vec() }).unwrap()
}

#[test]
fn a_session_is_announced_before_it_lists_anything() {
    let world = World::new(51);
    let recorded = Recorded::new(world.memory.clone());
    let repo = world.open_over(recorded.clone());
    recorded.take();
    let session = begin(&repo);
    let order: Vec<(Verb, String)> =
        recorded.take().into_iter().map(|call| (call.verb, call.object)).collect();
    let at = |verb, object: &str| {
        order.iter().position(|call| *call == (verb, object.to_owned())).unwrap()
    };
    assert_eq!(at(Verb::Put, &format!("sessions/{}/open", session.sid())), 0);
    assert!(at(Verb::List, "gc") < at(Verb::List, "index"));
    assert!(at(Verb::List, "index") < at(Verb::List, "packs"));
}

#[test]
fn nothing_is_built_on_condemned_or_damaged_packs() {
    let world = World::new(52);
    let repo = world.open();
    commit(&repo, 0..30).unwrap();
    let (condemned, damaged) = (pack_of(&repo, 0), pack_of(&repo, 29));
    assert_ne!(condemned, damaged);
    condemn(&repo, vec![condemned]);
    let blob = repo.keys().blob_id(BlobKind::Chunk, &noise(12, 9000));
    let time = repo.ambient().clock.now();
    for (name, packs, blobs) in [(1, vec![damaged], Vec::new()), (2, Vec::new(), vec![blob])] {
        let record = Damaged { packs, blobs, time };
        repo.put_record(&layout::damaged([name; 16]), &record).unwrap();
    }
    let bad = |seed: u64| {
        let pack = pack_of(&repo, seed);
        pack == condemned || pack == damaged || seed == 12
    };
    let session = begin(&repo);
    for seed in 0..30 {
        let written = session.write(BlobKind::Chunk, &noise(seed, 9000), None).unwrap();
        assert_eq!(written.new, bad(seed), "{seed}");
    }
}

#[test]
fn a_heartbeat_promises_and_pins() {
    let world = World::new(53);
    let repo = world.open();
    let parent = commit(&repo, 0..30).unwrap();
    let (used, unused) = (pack_of(&repo, 0), pack_of(&repo, 29));
    let session = with_parents(&repo, &[parent]);
    let open: Open = repo.get_record(&layout::session_open(&session.sid())).unwrap();
    assert_eq!(open.parents, [parent]);
    let known = write(&session, 0, 9000).unwrap();
    let own = write(&session, 100, 9000).unwrap();
    session.flush().unwrap();
    let own_pack = repo.catalog().locate(&own).unwrap().pack.id;
    let set = condemn(&repo, vec![used, unused, own_pack]);
    session.heartbeat().unwrap();
    let beat: Heartbeat = repo.get_record(&layout::heartbeat(&session.sid(), 0)).unwrap();
    assert_eq!((beat.seen, beat.parents), (vec![set], vec![parent]));
    let mut pins = vec![used, own_pack];
    pins.sort();
    assert_eq!(beat.pins, pins);
    // From now on they are not built on: what they held is stored again.
    assert!(!session.depend(&known) && !session.depend(&own));
    assert!(session.write(BlobKind::Chunk, &noise(29, 9000), None).unwrap().new);
    assert!(session.write(BlobKind::Chunk, &noise(100, 9000), None).unwrap().new);
    session.heartbeat().unwrap();
    assert_eq!(world.names("sessions").len(), 3);
    session.commit(snapshot(&repo, own)).unwrap();
    assert!(world.names("sessions").is_empty());
}

#[test]
fn parents_are_free_to_reuse_only_in_calm_times() {
    let world = World::new(54);
    let repo = world.open();
    let parent = commit(&repo, 0..10).unwrap();
    assert_eq!(begin(&repo).reuse(), Reuse::No);
    assert_eq!(with_parents(&repo, &[parent]).reuse(), Reuse::Free);
    assert_eq!(with_parents(&repo, &[Sid::new([1; 16])]).reuse(), Reuse::Test);
    let set = condemn(&repo, vec![PackId::new([1; 32])]);
    assert_eq!(with_parents(&repo, &[parent]).reuse(), Reuse::Test);
    world.memory.remove(&layout::condemned(&set)).unwrap();
    assert_eq!(with_parents(&repo, &[parent]).reuse(), Reuse::Free);
    // What is missing must be noticed, or it would be missing for ever.
    let pack = layout::pack(&pack_of(&repo, 0));
    let size = world.memory.size(&pack).unwrap();
    let bytes = world.memory.get(&pack, 0..size).unwrap();
    world.memory.remove(&pack).unwrap();
    assert_eq!(with_parents(&repo, &[parent]).reuse(), Reuse::Test);
    world.memory.put_new(&pack, bytes).unwrap();
    let time = repo.ambient().clock.now();
    let stone = Tombstone { snapshot: parent, actor: "a".into(), reason: "b".into(), time };
    repo.put_record(&layout::tombstone(&parent, [1; 8]), &stone).unwrap();
    assert_eq!(with_parents(&repo, &[parent]).reuse(), Reuse::Test);
    let kept = repo.snapshots().unwrap();
    assert_eq!(kept[0].forgotten, Some(stone));
}

#[test]
fn a_fenced_session_begins_again_by_itself_when_it_may() {
    let world = World::new(55);
    let repo = world.open();
    commit(&repo, 0..10).unwrap();
    let session = begin(&repo);
    let first = session.sid();
    let root = write(&session, 0, 9000).unwrap();
    write(&session, 50, 9000).unwrap();
    fence(&repo, &first);
    let sid = session.commit(snapshot(&repo, root)).unwrap();
    assert_ne!(sid, first);
    assert!(world.names("sessions").is_empty());
    let survey = world.open().survey().unwrap();
    assert_eq!(survey.aborted, [first]);
    assert!(survey.kept.iter().any(|kept| kept.sid == sid));
    check(&world.open().reader().unwrap(), 50..51);
}

#[test]
fn a_fenced_session_does_not_commit_on_what_was_condemned_meanwhile() {
    let world = World::new(56);
    let repo = world.open();
    commit(&repo, 0..10).unwrap();
    let session = begin(&repo);
    let root = write(&session, 0, 9000).unwrap();
    condemn(&repo, vec![pack_of(&repo, 0)]);
    fence(&repo, &session.sid());
    let failed = session.commit(snapshot(&repo, root));
    assert!(matches!(failed, Err(Error::Fenced { .. })));
    assert!(world.names("sessions").is_empty());
    assert_eq!(world.open().snapshots().unwrap().len(), 1);
    // Done again, it finds what may be built on and stores the rest anew.
    commit(&repo, 0..10).unwrap();
}

#[test]
fn a_fenced_session_that_reused_a_parent_freely_needs_it_to_be_free_again() {
    let world = World::new(57);
    let repo = world.open();
    let parent = commit(&repo, 0..10).unwrap();
    let session = with_parents(&repo, &[parent]);
    let root = write(&session, 60, 9000).unwrap();
    let unrelated = condemn(&repo, vec![PackId::new([1; 32])]);
    fence(&repo, &session.sid());
    let failed = session.commit(snapshot(&repo, root));
    assert!(matches!(failed, Err(Error::Fenced { .. })));
    world.memory.remove(&layout::condemned(&unrelated)).unwrap();
    let session = with_parents(&repo, &[parent]);
    fence(&repo, &session.sid());
    session.commit(snapshot(&repo, root)).unwrap();
}

#[test]
fn a_delta_is_built_on_only_with_its_whole_chain() {
    let world = World::new(58);
    let repo = world.open();
    let base = begin(&repo);
    let old = noise(1, 20_000);
    let base_id = base.write(BlobKind::Node, &old, None).unwrap().id;
    base.commit(snapshot(&repo, base_id)).unwrap();
    let mut new = old.clone();
    new[50] ^= 1;
    let session = begin(&repo);
    let like = Like { id: base_id, max_hops: 8 };
    let (written, stored_bytes) = write_node(&session, &new, Some(like));
    assert!(stored_bytes < 1000);
    session.commit(snapshot(&repo, written.id)).unwrap();
    let base_pack = repo.catalog().locate(&base_id).unwrap().pack.id;
    assert_ne!(base_pack, repo.catalog().locate(&written.id).unwrap().pack.id);
    assert!(begin(&repo).depend(&written.id));
    condemn(&repo, vec![base_pack]);
    let session = begin(&repo);
    assert!(!session.depend(&written.id));
    let (again, stored_bytes) = write_node(&session, &new, Some(like));
    assert!(again.new && stored_bytes > 20_000, "whole, as its base is condemned");
}

#[test]
fn the_index_is_flushed_when_time_has_passed() {
    let world = World::new(59);
    let repo = world.open();
    let session = begin(&repo);
    let mut seed = 0;
    let fill = |seed: &mut u64| {
        let packs = session.stats().packs;
        while session.stats().packs == packs {
            write(&session, *seed, 9000).unwrap();
            *seed += 1;
            std::thread::yield_now();
        }
    };
    fill(&mut seed);
    assert!(world.names("index").is_empty());
    world.advance(301);
    fill(&mut seed);
    session.flush().unwrap();
    assert!(world.names("index").len() >= 2, "one when time had passed, one by flush");
}

/// Runs `each` when a pack has just been put, before the writer hears that it was.
struct AfterPack<F> {
    inner: Arc<MemoryStore>,
    each: F,
}

impl<F> std::fmt::Debug for AfterPack<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AfterPack")
    }
}

impl<F: Fn(PackId) + Send + Sync> Store for AfterPack<F> {
    fn put_new(&self, name: &Name, bytes: bytes::Bytes) -> Result<Put, store::Error> {
        let put = self.inner.put_new(name, bytes)?;
        if name.as_str().starts_with("packs/") {
            (self.each)(name.last().parse().unwrap());
        }
        Ok(put)
    }
    fn get(&self, name: &Name, range: std::ops::Range<u64>) -> Result<bytes::Bytes, store::Error> {
        self.inner.get(name, range)
    }
    fn size(&self, name: &Name) -> Result<u64, store::Error> {
        self.inner.size(name)
    }
    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(store::Listed) -> Result<(), store::Error>,
    ) -> Result<(), store::Error> {
        self.inner.list(prefix, each)
    }
    fn remove(&self, name: &Name) -> Result<(), store::Error> {
        self.inner.remove(name)
    }
    fn creates_atomically(&self) -> bool {
        self.inner.creates_atomically()
    }
    fn visibility_delay_seconds(&self) -> u64 {
        0
    }
}

#[test]
fn a_pack_condemned_at_the_instant_it_appears_is_pinned() {
    let world = World::new(60);
    let collector = world.open();
    let session = Arc::new(std::sync::Mutex::new(None::<Arc<Session>>));
    let (theirs, running) = (collector.clone(), session.clone());
    let each = move |pack: PackId| {
        condemn(&theirs, vec![pack]);
        let session = running.lock().unwrap().clone().unwrap();
        session.heartbeat().unwrap();
        let beat: Heartbeat = theirs.get_record(&layout::heartbeat(&session.sid(), 0)).unwrap();
        assert_eq!(beat.pins, [pack]);
    };
    let store = Arc::new(AfterPack { inner: world.memory.clone(), each });
    let ours = Arc::new(begin(&world.open_over(store)));
    *session.lock().unwrap() = Some(ours.clone());
    write(&ours, 1, 9000).unwrap();
    ours.flush().unwrap();
    *session.lock().unwrap() = None;
    assert_eq!(world.names("packs").len(), 1);
}

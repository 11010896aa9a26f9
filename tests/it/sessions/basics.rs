//! Written, committed, read; known blobs are not written again.

use icecore::store::{
    local::LocalStore,
    recorded::{Recorded, Verb},
};

use super::*;

#[test]
fn what_was_committed_is_read_by_another_process() {
    let world = World::new(1);
    let sid = commit(&world.open(), 0..40).unwrap();
    let repo = world.open();
    let kept = repo.snapshots().unwrap();
    assert_eq!(kept.iter().map(|kept| kept.sid).collect::<Vec<_>>(), [sid]);
    check(&repo.reader().unwrap(), 0..40);
    assert!(world.names("packs").len() >= 5);
    assert!(world.names("sessions").is_empty());
    assert_eq!(world.names("index").len(), 1);
}

#[test]
fn a_blob_can_be_read_as_soon_as_it_is_written() {
    let world = World::new(2);
    let repo = world.open();
    let session = begin(&repo);
    for seed in 0..60 {
        let kind = if seed % 2 == 0 { BlobKind::Chunk } else { BlobKind::Node };
        let id = session.write(kind, &noise(seed, 9000), None).unwrap().id;
        assert_eq!(session.read(kind, &id).unwrap(), noise(seed, 9000));
    }
    for seed in 0..60 {
        let kind = if seed % 2 == 0 { BlobKind::Chunk } else { BlobKind::Node };
        let id = repo.keys().blob_id(kind, &noise(seed, 9000));
        assert_eq!(session.read(kind, &id).unwrap(), noise(seed, 9000));
    }
}

#[test]
fn sessions_and_threads_never_store_a_blob_twice() {
    let world = World::new(3);
    let repo = world.open();
    let session = begin(&repo);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for seed in 0..50 {
                    write(&session, seed, 9000).unwrap();
                }
            });
        }
    });
    let stats = session.stats();
    assert_eq!((stats.blobs_new, stats.blobs_known), (50, 150));
    assert_eq!(stats.bytes_added, 50 * 9000);
    assert_eq!(stats.bytes_added_packed, 50 * (9000 + 16));
    let root = write(&session, 0, 9000).unwrap();
    session.commit(snapshot(&repo, root)).unwrap();

    let again = begin(&world.open());
    for seed in 0..50 {
        let id = write(&again, seed, 9000).unwrap();
        assert!(again.depend(&id));
    }
    assert_eq!((again.stats().blobs_new, again.stats().blobs_known), (0, 50));
}

#[test]
fn an_unchanged_second_session_writes_a_snapshot_and_nothing_else() {
    let world = World::new(4);
    let cache = tempfile::tempdir().unwrap();
    let options = || OpenOptions { cache_dir: Some(cache.path().to_owned()), ..small_packs() };
    let repo = world.try_open(world.memory.clone(), options()).unwrap();
    commit(&repo, 0..30).unwrap();
    drop(repo);
    let recorded = Recorded::new(world.memory.clone());
    let repo = world.try_open(recorded.clone(), options()).unwrap();
    let sid = commit(&repo, 0..30).unwrap();
    let put =
        |call: icecore::store::recorded::Call| (call.verb == Verb::Put).then_some(call.object);
    let puts: Vec<String> = recorded.calls().into_iter().filter_map(put).collect();
    assert_eq!(puts, [format!("sessions/{sid}/open"), format!("snapshots/{sid}")]);
    assert_eq!(recorded.count(Verb::Get, "index"), 0, "the cache was up to date");
    assert_eq!(recorded.count(Verb::Get, "packs"), 0);
}

#[test]
fn what_is_expected_is_read_together() {
    let world = World::new(5);
    commit(&world.open(), 0..6).unwrap();
    let recorded = Recorded::new(world.memory.clone());
    let repo = world.open_over(recorded.clone());
    let reader = repo.reader().unwrap();
    let id = |seed| repo.keys().blob_id(BlobKind::Chunk, &noise(seed, 9000));
    let ids: Vec<BlobId> = (0..6).map(id).collect();
    recorded.take();
    reader.expect(BlobKind::Chunk, &ids);
    check(&reader, 0..6);
    let packs = world.names("packs").len();
    assert!(recorded.count(Verb::Get, "packs") <= packs, "one read a pack");
    check(&reader, 0..6);
}

#[test]
fn a_session_that_gives_up_leaves_only_packs() {
    let world = World::new(6);
    let repo = world.open();
    let session = begin(&repo);
    write(&session, 1, 9000).unwrap();
    session.heartbeat().unwrap();
    session.flush().unwrap();
    session.abort().unwrap();
    let dropped = begin(&repo);
    write(&dropped, 2, 9000).unwrap();
    drop(dropped);
    assert_eq!((world.names("sessions"), world.names("snapshots")), (vec![], vec![]));
    assert_eq!(world.names("packs").len(), 1);
}

#[test]
fn a_local_disk_holds_a_repository() {
    let dir = tempfile::tempdir().unwrap();
    let (ambient, _) = Ambient::fixed(8);
    let path = dir.path().join("repo");
    let store = Arc::new(LocalStore::create(&path).unwrap());
    let repo =
        Repository::init(store, &password(), &cheap(), small_packs(), ambient.clone()).unwrap();
    commit(&repo, 0..30).unwrap();
    drop(repo);
    let store = Arc::new(LocalStore::open(&path).unwrap());
    let repo = Repository::open(store, &password(), small_packs(), ambient).unwrap();
    check(&repo.reader().unwrap(), 0..30);
    assert_eq!(repo.snapshots().unwrap().len(), 1);
}

#[test]
fn a_reader_finds_what_others_commit_after_it_was_made() {
    let world = World::new(41);
    let reader = world.open().reader().unwrap();
    for first in [0, 3, 6] {
        commit(&world.open(), first..first + 3).unwrap();
        world.advance(10);
        check(&reader, 0..first + 3);
    }
}

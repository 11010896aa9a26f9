//! Crashes, lost answers, damage and stale indexes.

use icecore::{
    id::PackId,
    repo::layout,
    store::{
        ErrorKind, Name,
        faulty::{Fault, Faulty},
        recorded::{Recorded, Verb},
    },
};

use super::*;

#[test]
fn a_crash_at_any_write_harms_nothing_committed() {
    for done in [false, true] {
        for write in 0.. {
            let world = World::new(31);
            commit(&world.open(), 0..10).unwrap();
            let faulty = Faulty::new(world.memory.clone());
            let repo = world.open_over(faulty.clone());
            faulty.arm(Fault::Crash { write, done });
            let committed = commit(&repo, 5..30);
            let crashed = faulty.has_crashed();
            let repo = world.open();
            let kept = repo.snapshots().unwrap();
            if let Ok(sid) = &committed {
                assert!(kept.iter().any(|kept| kept.sid == *sid));
            }
            check(&repo.reader().unwrap(), 0..10);
            if kept.len() == 2 {
                check(&repo.reader().unwrap(), 5..30);
            }
            // And the next run goes on from what is there.
            commit(&repo, 5..30).unwrap();
            check(&world.open().reader().unwrap(), 0..30);
            if !crashed {
                assert!(committed.is_ok());
                break;
            }
        }
    }
}

#[test]
fn a_failure_at_any_call_is_told_or_harmless() {
    for call in 0.. {
        let world = World::new(32);
        commit(&world.open(), 0..10).unwrap();
        let faulty = Faulty::new(world.memory.clone());
        let repo = world.open_over(faulty.clone());
        faulty.arm(Fault::Fail { call, kind: ErrorKind::Unavailable, done: false });
        let committed = commit(&repo, 5..30);
        let calls = faulty.calls();
        let repo = world.open();
        assert_eq!(repo.snapshots().unwrap().len(), if committed.is_ok() { 2 } else { 1 });
        check(&repo.reader().unwrap(), 0..if committed.is_ok() { 30 } else { 10 });
        if calls <= call {
            break;
        }
    }
}

#[test]
fn a_lost_answer_to_the_commit_is_no_failure() {
    let world = World::new(33);
    let faulty = Faulty::new(world.memory.clone());
    let repo = world.open_over(faulty.clone());
    let session = begin(&repo);
    let root = write(&session, 1, 9000).unwrap();
    session.flush().unwrap();
    faulty.arm(Fault::Fail { call: 0, kind: ErrorKind::Unavailable, done: true });
    let sid = session.commit(snapshot(&repo, root)).unwrap();
    let kept = world.open().snapshots().unwrap();
    assert_eq!(kept.iter().map(|kept| kept.sid).collect::<Vec<_>>(), [sid]);
    assert!(world.names("sessions").is_empty());
}

#[test]
fn a_commit_that_may_still_arrive_keeps_its_announcement() {
    let world = World::new(34);
    let faulty = Faulty::new(world.memory.clone());
    let repo = world.open_over(faulty.clone());
    let session = begin(&repo);
    let root = write(&session, 1, 9000).unwrap();
    session.flush().unwrap();
    let sid = session.sid();
    faulty.arm(Fault::Fail { call: 0, kind: ErrorKind::Unavailable, done: false });
    assert!(matches!(session.commit(snapshot(&repo, root)), Err(Error::Store(_))));
    assert_eq!(world.names("sessions"), [format!("sessions/{sid}/open")]);
}

#[test]
fn packs_without_an_index_are_adopted() {
    let world = World::new(35);
    let session = begin(&world.open());
    for seed in 0..30 {
        write(&session, seed, 9000).unwrap();
    }
    // As a process that is killed: packs were put, the index was not.
    drop(session);
    let stored = world.names("packs").len();
    assert!(stored >= 3 && world.names("index").is_empty());
    let recorded = Recorded::new(world.memory.clone());
    let repo = world.open_over(recorded.clone());
    recorded.take();
    let session = begin(&repo);
    assert_eq!(session.stats().packs_adopted, stored as u64);
    assert!(recorded.count(Verb::Get, "packs") <= 2 * stored);
    for seed in 0..30 {
        write(&session, seed, 9000).unwrap();
    }
    assert!(session.stats().blobs_known >= 7 * stored as u64 - 7);
    let root = write(&session, 0, 9000).unwrap();
    session.commit(snapshot(&repo, root)).unwrap();
    check(&world.open().reader().unwrap(), 0..30);
    // Known from now on.
    assert_eq!(begin(&world.open()).stats().packs_adopted, 0);
}

#[test]
fn an_index_flushed_before_the_interruption_is_used() {
    let world = World::new(36);
    let session = begin(&world.open());
    for seed in 0..30 {
        write(&session, seed, 9000).unwrap();
    }
    session.flush().unwrap();
    std::mem::forget(session);
    let repo = world.open();
    let session = begin(&repo);
    for seed in 0..30 {
        write(&session, seed, 9000).unwrap();
    }
    assert_eq!(session.stats().blobs_new, 0);
    assert_eq!(session.stats().packs_adopted, 0);
}

#[test]
fn an_index_that_names_missing_packs_is_only_a_hint() {
    let world = World::new(37);
    commit(&world.open(), 0..30).unwrap();
    let lost = world.names("packs")[0].clone();
    world.memory.remove(&Name::parse(&lost).unwrap()).unwrap();
    let repo = world.open();
    let reader = repo.reader().unwrap();
    let id = |seed| repo.keys().blob_id(BlobKind::Chunk, &noise(seed, 9000));
    let gone: Vec<u64> =
        (0..30).filter(|seed| reader.read(BlobKind::Chunk, &id(*seed)).is_err()).collect();
    assert!(!gone.is_empty() && gone.len() < 30);
    let missing = reader.read(BlobKind::Chunk, &id(gone[0]));
    assert!(matches!(missing, Err(Error::BlobMissing { id: told }) if told == id(gone[0])));
    // A session writes again what is not there, and nothing else.
    let session = begin(&repo);
    for seed in 0..30 {
        write(&session, seed, 9000).unwrap();
    }
    assert_eq!(session.stats().blobs_new, gone.len() as u64);
    session.commit(snapshot(&repo, id(0))).unwrap();
    check(&world.open().reader().unwrap(), 0..30);
    check(&reader, 0..30);
}

#[test]
fn another_copy_serves_when_one_is_damaged() {
    let world = World::new(38);
    // Two sessions that do not see one another's packs store the same blobs.
    let (one, other) = (begin(&world.open()), begin(&world.open()));
    for seed in 0..5 {
        write(&one, seed, 9000).unwrap();
        write(&other, seed, 9000).unwrap();
    }
    let root = write(&one, 0, 9000).unwrap();
    one.commit(snapshot(&world.open(), root)).unwrap();
    other.commit(snapshot(&world.open(), root)).unwrap();
    let repo = world.open();
    check(&repo.reader().unwrap(), 0..5);
    let copies = repo.catalog().copies(&root);
    assert_eq!(copies.len(), 2);
    let rot = |pack: &PackId, offset: u32| {
        let name = layout::pack(pack);
        let size = world.memory.size(&name).unwrap();
        let mut bytes = world.memory.get(&name, 0..size).unwrap().to_vec();
        bytes[offset as usize + 100] ^= 1;
        world.memory.tamper(&name, bytes);
    };
    rot(&copies[0].pack.id, copies[0].row.offset);
    check(&world.open().reader().unwrap(), 0..5);
    rot(&copies[1].pack.id, copies[1].row.offset);
    let read = world.open().reader().unwrap().read(BlobKind::Chunk, &root);
    assert!(matches!(read, Err(Error::BlobDamaged { id, .. }) if id == root));
    assert!(read.unwrap_err().is_damage());
}

#[test]
fn a_damaged_segment_is_told_and_its_packs_are_adopted() {
    let world = World::new(39);
    commit(&world.open(), 0..10).unwrap();
    commit(&world.open(), 10..20).unwrap();
    let name = Name::parse(&world.names("index")[0]).unwrap();
    world.memory.tamper(&name, b"garbage".to_vec());
    let repo = world.open();
    let damage = repo.refresh().unwrap();
    assert_eq!(damage.iter().map(|damage| &damage.object).collect::<Vec<_>>(), [&name]);
    let session = begin(&repo);
    assert!(session.stats().packs_adopted > 0);
    check(&repo.reader().unwrap(), 0..20);
}

#[test]
fn a_full_store_stops_the_session_and_the_next_goes_on() {
    let world = World::new(40);
    let faulty = Faulty::new(world.memory.clone());
    let repo = world.open_over(faulty.clone());
    faulty.arm(Fault::Full { after_bytes: 150_000 });
    let Err(Error::Before(error)) = commit(&repo, 0..60) else { panic!("there was no room") };
    assert!(matches!(&*error, Error::Store(error) if error.kind == ErrorKind::Full), "{error}");
    faulty.disarm();
    let before = world.names("packs").len();
    assert!(before > 0);
    let session = begin(&world.open());
    assert_eq!(session.stats().packs_adopted, before as u64);
}

#[test]
fn a_cache_that_is_lost_or_garbage_is_made_again() {
    let world = World::new(41);
    let cache = tempfile::tempdir().unwrap();
    let open = || {
        let options = OpenOptions { cache_dir: Some(cache.path().to_owned()), ..small_packs() };
        world.try_open(world.memory.clone(), options).unwrap()
    };
    commit(&open(), 0..20).unwrap();
    let below = cache.path().join(open().config().repo_id.to_string());
    let files = || {
        let entries = std::fs::read_dir(&below).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    for at in 0..files().len() {
        let path = files()[at].clone();
        std::fs::write(&path, noise(1, 500)).unwrap();
        check(&open().reader().unwrap(), 0..20);
        commit(&open(), 10..20).unwrap();
    }
    std::fs::remove_dir_all(cache.path()).unwrap();
    check(&open().reader().unwrap(), 0..20);
    assert!(!files().is_empty());
}

//! Nodes that are stored behind the back of whoever writes them.

use icecore::store::{
    ErrorKind,
    faulty::{Fault, Faulty},
    recorded::Verb,
};

use super::*;

/// The `version`-th form of a node.
fn node(version: u64) -> Vec<u8> {
    let mut plain = noise(7, 30_000);
    plain[..40].copy_from_slice(&noise(version, 40));
    plain
}

/// Nodes like one another, others, and chunks between them, in more bytes than may wait in line.
fn write_many(session: &Session) -> Vec<BlobId> {
    let mut ids: Vec<BlobId> = Vec::new();
    for version in 0..300 {
        let like = ids.last().map(|id| Like { id: *id, max_hops: 8 });
        ids.push(session.write(BlobKind::Node, &node(version), like).unwrap().id);
        session.write(BlobKind::Node, &noise(1000 + version, 9000), None).unwrap();
        if version % 3 == 0 {
            write(session, 2000 + version, 9000).unwrap();
        }
    }
    ids
}

#[test]
fn the_same_writes_make_the_same_packs() {
    let packs = |_| {
        let world = World::new(71);
        let repo = world.open();
        let session = begin(&repo);
        let ids = write_many(&session);
        session.flush().unwrap();
        // Each stands in line behind the one it resembles, and is a delta all the same.
        assert!(session.stats().bytes_added_packed < 300 * 9000 * 3 / 2 + 30_000 + 300 * 1000);
        session.commit(snapshot(&repo, ids[0])).unwrap();
        let reader = world.open().reader().unwrap();
        for (version, id) in (0..).zip(&ids) {
            assert_eq!(reader.read(BlobKind::Node, id).unwrap(), node(version));
        }
        world.names("packs")
    };
    let [first, second] = [0, 1].map(packs);
    assert!(first.len() > 30);
    assert_eq!(first, second);
}

#[test]
fn a_node_is_read_and_known_from_the_moment_it_is_written() {
    let world = World::new(72);
    let repo = world.open();
    let session = begin(&repo);
    for version in 0..200 {
        let first = session.write(BlobKind::Node, &node(version), None).unwrap();
        let again = session.write(BlobKind::Node, &node(version), None).unwrap();
        assert!(first.new && !again.new);
        assert_eq!(session.read(BlobKind::Node, &first.id).unwrap(), node(version));
    }
    assert_eq!(session.stats().blobs_new, 200);
}

fn is_of_store(error: Error) -> bool {
    matches!(&error, Error::Before(cause) if matches!(**cause, Error::Store(_)))
}

#[test]
fn an_index_that_cannot_be_put_is_told_with_its_cause() {
    let world = World::new(77);
    let faulty = Faulty::new(world.memory.clone());
    let repo = world.open_over(faulty.clone());
    let session = begin(&repo);
    let (verb, below, kind) = (Verb::Put, "index", ErrorKind::Full);
    faulty.arm(Fault::FailVerb { verb, below, call: 0, kind });
    let node = session.write(BlobKind::Node, &node(0), None).unwrap().id;
    assert!(session.flush().is_err_and(is_of_store));
    assert!(session.commit(snapshot(&repo, node)).is_err_and(is_of_store));
    assert!(world.open().snapshots().unwrap().is_empty());
}

#[test]
fn what_fails_behind_is_told_and_nothing_is_committed() {
    let world = World::new(73);
    let faulty = Faulty::new(world.memory.clone());
    let repo = world.open_over(faulty.clone());
    let session = begin(&repo);
    let root = session.write(BlobKind::Node, &node(0), None).unwrap().id;
    session.flush().unwrap();
    faulty.arm(Fault::Fail { call: 0, kind: ErrorKind::Unavailable, done: false });
    // Sooner or later a pack is put, and that fails.
    let told = (0..1000).find_map(|seed| {
        let plain = noise(seed, 20_000);
        session.write(BlobKind::Node, &plain, None).err()
    });
    assert!(told.is_some_and(is_of_store));
    // Everybody hears why, not only the first.
    assert!(session.write(BlobKind::Node, &node(1), None).is_err_and(is_of_store));
    assert!(session.flush().is_err_and(is_of_store));
    assert!(session.commit(snapshot(&repo, root)).is_err_and(is_of_store));
    assert!(world.open().snapshots().unwrap().is_empty());
}

#[test]
fn the_last_nodes_failing_is_told_by_the_flush() {
    let world = World::new(74);
    let faulty = Faulty::new(world.memory.clone());
    let repo = world.open_over(faulty.clone());
    let session = begin(&repo);
    let node = session.write(BlobKind::Node, &node(0), None).unwrap().id;
    faulty.arm(Fault::Fail { call: 0, kind: ErrorKind::Unavailable, done: false });
    assert!(session.commit(snapshot(&repo, node)).is_err_and(is_of_store));
    assert!(world.open().snapshots().unwrap().is_empty());
}

#[test]
fn a_session_that_is_given_up_with_nodes_in_line_ends() {
    let world = World::new(75);
    for _ in 0..20 {
        let session = begin(&world.open());
        for version in 0..200 {
            session.write(BlobKind::Node, &node(version), None).unwrap();
        }
        drop(session);
    }
    assert!(world.names("sessions").is_empty());
}

#[test]
fn several_trees_are_written_at_once() {
    let world = World::new(76);
    let repo = world.open();
    let session = begin(&repo);
    // Half of what each writes the others write, too.
    let seeds =
        |thread: u64| (0..150).map(move |at| if at % 2 == 0 { at } else { thread << 32 | at });
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let session = &session;
            scope.spawn(move || {
                let mut like = None;
                for seed in seeds(thread) {
                    let written = session.write(BlobKind::Node, &node(seed), like).unwrap();
                    like = Some(Like { id: written.id, max_hops: 4 });
                }
            });
        }
    });
    assert_eq!(session.stats().blobs_new, 75 + 3 * 75);
    let root = session.write(BlobKind::Node, &node(0), None).unwrap().id;
    session.commit(snapshot(&repo, root)).unwrap();
    let reader = world.open().reader().unwrap();
    for seed in (0..3).flat_map(seeds) {
        let id = repo.keys().blob_id(BlobKind::Node, &node(seed));
        assert_eq!(reader.read(BlobKind::Node, &id).unwrap(), node(seed));
    }
}

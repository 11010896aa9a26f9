//! Prune beside sessions that are stepped by hand.

use icecore::repo::collect::Options;

use super::{meanwhile::Meanwhile, *};

/// A snapshot with garbage beside it, older than the last prune: chunks 20..40 are no one's.
fn with_garbage(seed: u64) -> World {
    let world = World::new(seed);
    fill_with_garbage(&world);
    world
}

pub fn fill_with_garbage(world: &World) {
    let old = world.backup(0..40);
    world.backup(0..20);
    assert_eq!(world.prune(&greedy()).packs_deleted, 0);
    world.forget(old);
}

#[test]
fn a_session_that_relies_on_garbage_keeps_it() {
    let world = with_garbage(1);
    let session = world.begin(&[]);
    let snapshot = world.fill(&session, 20..40);
    assert_eq!(session.stats().blobs_known, 20, "all chunks are there");
    // The session has not seen the set: nothing goes.
    let outcome = world.prune(&greedy());
    assert_eq!(outcome.left_for.len(), 1);
    assert_eq!(outcome.left_for[0].sid, session.sid());
    assert_eq!((outcome.sets_left, outcome.packs_deleted), (1, 0));
    // It has, and pins what it relies on.
    session.heartbeat().unwrap();
    let outcome = world.prune(&greedy());
    assert!(outcome.left_for.is_empty() && outcome.packs_pinned > 0, "{outcome:?}");
    assert_eq!(outcome.sets_left, 1);
    session.commit(snapshot).unwrap();
    assert_eq!(world.all_is_well(), 2);
    // The set is final: its packs go now, and what is needed of them moves.
    let outcome = world.prune(&greedy());
    assert!(outcome.blobs_moved > 0, "the rescue is really taken: {outcome:?}");
    assert_eq!(outcome.sets_left, 0);
    assert_eq!(world.all_is_well(), 2);
    assert!(world.check(collect::ReadData::All).is_good());
}

#[test]
fn a_commit_between_plan_and_run_is_rescued() {
    let world = with_garbage(2);
    let session = world.begin(&[]);
    let snapshot = world.fill(&session, 20..40);
    let repo = world.repo();
    let plan = world.plan(&repo, &Options { lease: Duration::ZERO, ..greedy() }).unwrap();
    assert!(!plan.condemn.is_empty());
    session.commit(snapshot).unwrap();
    let outcome = world.carry_out(&repo, plan).unwrap();
    assert!(outcome.blobs_moved >= 20, "{outcome:?}");
    assert_eq!(world.all_is_well(), 2);
    assert_eq!(world.names("gc"), [""; 0]);
}

/// A slow beginning: the heart's time comes while the session still looks around.
#[test]
fn no_heartbeat_promises_what_the_session_does_not_know_yet() {
    let world = Arc::new(with_garbage(6));
    let other = world.clone();
    let beginning = move || {
        assert_eq!(other.prune(&greedy()).sets_left, 1);
        other.advance_hours(1);
        std::thread::sleep(Duration::from_millis(1500));
    };
    let store = Meanwhile::new(world.memory.clone(), "packs", 0, beginning);
    let repo = world.repo_over(store.clone());
    let session = repo.begin(SessionOptions { parents: Vec::new() }).unwrap();
    assert!(store.is_done());
    let snapshot = world.fill(&session, 20..40);
    world.prune(&greedy());
    session.commit(snapshot).unwrap();
    assert_eq!(world.all_is_well(), 2);
    world.prune(&greedy());
    assert_eq!(world.all_is_well(), 2);
}

#[test]
fn a_session_that_begins_after_the_set_does_not_use_it() {
    let world = with_garbage(3);
    let blocker = world.begin(&[]);
    assert_eq!(world.prune(&greedy()).sets_left, 1);
    let session = world.begin(&[]);
    let snapshot = world.fill(&session, 20..40);
    assert!(session.stats().blobs_new >= 20, "condemned copies are not used");
    session.commit(snapshot).unwrap();
    blocker.abort().unwrap();
    let outcome = world.prune(&greedy());
    assert_eq!(outcome.sets_left, 0);
    assert_eq!(world.all_is_well(), 2);
}

#[test]
fn a_child_reuses_its_parent_and_a_forgotten_parent_stays() {
    let world = World::new(4);
    let parent = world.backup(0..30);
    world.backup(100..103);
    world.prune(&greedy());
    let session = world.begin(&[parent]);
    assert_eq!(session.reuse(), icecore::repo::Reuse::Free);
    let repo = world.repo();
    let root = repo.snapshots().unwrap()[0].snapshot.roots[0].id;
    world.forget(parent);
    assert!(world.prune(&greedy()).left_for.len() == 1);
    session.heartbeat().unwrap();
    let outcome = world.prune(&greedy());
    assert!(outcome.left_for.is_empty());
    assert!(outcome.blobs_moved >= 30 || outcome.packs_deleted == 0, "{outcome:?}");
    // Nothing of the parent was looked at, and all of it is there.
    session.commit(world.snapshot(root)).unwrap();
    assert_eq!(world.all_is_well(), 2);
    world.prune(&greedy());
    assert_eq!(world.all_is_well(), 2);
}

#[test]
fn a_dead_session_is_fenced_after_the_lease_and_its_retry_is_whole() {
    let world = with_garbage(5);
    let session = world.begin(&[]);
    let snapshot = world.fill(&session, 20..40);
    session.flush().unwrap();
    let sid = session.sid();
    assert_eq!(world.prune(&greedy()).sets_left, 1);
    world.advance_hours(7);
    let outcome = world.prune(&greedy());
    assert_eq!(outcome.fenced, [sid]);
    assert_eq!(outcome.sets_left, 0);
    // It was only asleep. Its commit finds the fence; what it relied on is gone, so it must begin
    // again, and then it is whole.
    let error = session.commit(snapshot.clone()).unwrap_err();
    assert!(matches!(error, icecore::repo::Error::Fenced { .. }), "{error:?}");
    assert_eq!(world.all_is_well(), 1);
    let again = world.begin(&[]);
    let snapshot = world.fill(&again, 20..40);
    again.commit(snapshot).unwrap();
    assert_eq!(world.all_is_well(), 2);
}

#[test]
fn a_prune_that_may_wait_fences_by_its_own_clock() {
    let world = with_garbage(6);
    let session = world.begin(&[]);
    world.fill(&session, 20..22);
    // Minutes, for hours are so many looks that the session's own thread wakes up in between.
    let minute = Duration::from_secs(60);
    let options = Options { wait: 8 * minute, lease: 6 * minute, ..greedy() };
    let outcome = world.prune(&options);
    assert_eq!(outcome.fenced, [session.sid()]);
    assert_eq!(outcome.sets_left, 0);
    assert_eq!(world.all_is_well(), 1);
}

#[test]
fn without_create_if_absent_nobody_is_fenced_but_by_name() {
    let world = World::with_abilities(7, false);
    fill_with_garbage(&world);
    let session = world.begin(&[]);
    let sid = session.sid();
    world.prune(&greedy());
    world.advance_hours(100);
    let outcome = world.prune(&greedy());
    assert_eq!((outcome.fenced.len(), outcome.sets_left), (0, 1));
    let options = Options { give_up: vec![sid], ..greedy() };
    let outcome = world.prune(&options);
    assert_eq!((outcome.fenced, outcome.sets_left), (vec![sid], 0));
    assert_eq!(world.all_is_well(), 1);
}

#[test]
fn fresh_packs_of_a_session_at_work_are_left_alone() {
    let world = with_garbage(8);
    let session = world.begin(&[]);
    let snapshot = world.fill(&session, 200..240);
    session.flush().unwrap();
    let plan = world.plan(&world.repo(), &greedy()).unwrap();
    let own: u64 = 40 * CHUNK_BYTES as u64;
    assert!(plan.totals.unused_left_bytes >= own, "{:?}", plan.totals);
    session.commit(snapshot).unwrap();
    let plan = world.plan(&world.repo(), &greedy()).unwrap();
    assert_eq!(plan.totals.unused_left_bytes, 0);
}

//! Writers, forgetters and collectors at once, on threads.

use std::thread;

use icecore::repo::collect::Options;

use super::*;

#[test]
fn writers_and_collectors_at_once_lose_nothing() {
    let world = World::new(1);
    world.backup(0..10);
    thread::scope(|scope| {
        for writer in 0..2u64 {
            let world = &world;
            scope.spawn(move || {
                for round in 0..6u64 {
                    let session = world.begin(&[]);
                    let from = (writer * 7 + round * 3) % 20;
                    let snapshot = world.fill(&session, from..from + 12);
                    session.heartbeat().unwrap();
                    // A fence costs a retry, which the next round is.
                    match session.commit(snapshot) {
                        Ok(sid) if round % 2 == 0 => world.forget(sid),
                        Ok(_) | Err(icecore::repo::Error::Fenced { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        for _ in 0..2 {
            let world = &world;
            scope.spawn(move || {
                for _ in 0..6 {
                    let options = Options { wait: Duration::from_secs(4), ..greedy() };
                    let repo = world.repo();
                    // Two collectors may get into one another's way; that ends in an error.
                    if let Err(error) = world.try_prune(&repo, &options) {
                        let store = matches!(
                            error,
                            collect::Error::ListingsDiffer { .. }
                                | collect::Error::SnapshotsShrank { .. }
                                | collect::Error::Unsettled
                        );
                        assert!(store, "{error:?}");
                    }
                }
            });
        }
    });
    world.all_is_well();
    world.prune(&greedy());
    assert_eq!(world.prune(&greedy()).sets_left, 0);
    let checked = world.check(collect::ReadData::All);
    assert!(checked.is_good(), "{checked:?}");
    assert!(world.all_is_well() >= 1);
}

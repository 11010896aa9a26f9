//! A collector beside writers over a real S3 server.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize},
    thread,
};

use super::*;
use crate::s3::server::{Mode, S3Server, open};

#[test]
fn writers_and_a_collector_at_once_over_s3() {
    let server = S3Server::start(Mode::Atomic);
    // Its clock and its blobs; the store is another.
    let world = World::new(8);
    let store = server.open("repository");
    init(store.clone(), true, &world.ambient);
    let repo = || world.repo_over(store.clone());
    let (kept, at_work, deleted) = (AtomicUsize::new(0), AtomicBool::new(true), AtomicU64::new(0));
    thread::scope(|scope| {
        let writers = [0u64, 1].map(|writer| {
            let (world, repo, kept) = (&world, &repo, &kept);
            scope.spawn(move || {
                for round in 0..4u64 {
                    let repo = repo();
                    let session = repo.begin(SessionOptions::default()).unwrap();
                    // Much of it is in packs that the collector is just giving up.
                    let from = (writer * 7 + round * 5) % 20;
                    let snapshot = world.fill(&session, from..from + 12);
                    session.heartbeat().unwrap();
                    match session.commit(snapshot) {
                        Ok(sid) if round % 2 == 0 => {
                            collect::forget(&Ground::of(&repo), &[sid], "test").unwrap();
                        }
                        Ok(_) => drop(kept.fetch_add(1, Ordering::SeqCst)),
                        // A fence costs a retry, which the next round is.
                        Err(icecore::repo::Error::Fenced { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        let collector = scope.spawn(|| {
            while at_work.load(Ordering::SeqCst) {
                let options = Options { wait: Duration::from_secs(4), ..greedy() };
                let outcome = world.try_prune(&repo(), &options).unwrap();
                deleted.fetch_add(outcome.packs_deleted, Ordering::SeqCst);
            }
        });
        let wrote = writers.map(|writer| writer.join());
        at_work.store(false, Ordering::SeqCst);
        collector.join().unwrap();
        wrote.into_iter().for_each(|wrote| wrote.unwrap());
    });
    assert!(kept.load(Ordering::SeqCst) > 0);
    assert_eq!(read_all(&repo()), kept.load(Ordering::SeqCst));
    let outcome = world.try_prune(&repo(), &greedy()).unwrap();
    deleted.fetch_add(outcome.packs_deleted, Ordering::SeqCst);
    assert!(deleted.load(Ordering::SeqCst) > 0, "forgotten snapshots left packs to delete");
    assert_eq!(world.try_prune(&repo(), &greedy()).unwrap().sets_left, 0);
    let (repo, silent) = (repo(), Progress::silent());
    let reach = Lists(repo.reader().unwrap());
    let all = collect::ReadData::All;
    let checked = collect::check(&Ground::of(&repo), &reach, all, &silent).unwrap();
    assert!(checked.is_good() && checked.packs_read > 0, "{checked:?}");
    assert_eq!(read_all(&repo), kept.load(Ordering::SeqCst));
}

#[test]
fn who_looks_first_and_writes_later_writes_only_where_nobody_fences() {
    let server = S3Server::start(Mode::Atomic);
    let world = World::new(9);
    for (prefix, may_fence) in [("others-fence", true), ("nobody-fences", false)] {
        let looking = open(&server.place(prefix), &[("s3.conditional-put", "false")]);
        init(server.open(prefix), may_fence, &world.ambient);
        let repo = world.repo_over(looking);
        assert!(!Ground::of(&repo).may_fence);
        let begun = repo.begin(SessionOptions::default());
        assert_eq!(matches!(begun, Err(icecore::repo::Error::NotAtomic)), may_fence);
        assert_eq!(begun.is_ok(), !may_fence);
        drop(begun);
        assert_eq!(read_all(&repo), 0, "whoever only reads may");
    }
}

//! One map, one tree: whichever member was read, however the documents lie.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use icecore::{
    format::snapshot::Consistency,
    mongo::{Connect, Link, Purpose},
    source::mongo::Wanted,
    tree::Root,
};
use mongodb::bson::{doc, rawdoc};

use super::{World, after_readings, fill, sources};
use crate::{
    cli::Desk,
    mongod::{Ability, Deployment, has},
};

const DOCUMENTS: i32 = 30_000;

fn scattered(id: i32) -> i32 {
    (i64::from(id) * 7919 % i64::from(DOCUMENTS)) as i32
}

fn orders(world: &World) -> Root {
    world.kept()["shop.orders"].root.unwrap()
}

#[test]
fn another_member_and_another_physical_order_give_the_same_tree() {
    let set = Deployment::replica_set_of(3);
    fill(&set, "orders", (0..DOCUMENTS).map(scattered));
    // All members have it: the last write is acknowledged by all.
    let all = doc! { "w": 3, "wtimeout": 60_000 };
    let one = doc! { "insert": "stock", "documents": [doc! { "_id": 1 }], "writeConcern": all };
    set.command("shop", one);
    let world = World::new();
    let mut roots = Vec::new();
    let mut members = Vec::new();
    for member in 0..3 {
        let outcome = world.back_up(&set.direct_uri(member));
        members.push(outcome.mongodb.unwrap().member);
        roots.push(orders(&world));
        if member > 0 {
            assert_eq!(outcome.summary.data_added_packed / 4096, 0, "only the catalogue, if any");
        }
    }
    members.dedup();
    assert_eq!(members.len(), 3);
    assert!(roots.iter().all(|root| *root == roots[0]));

    // As after a resync: the same documents in the order of their ids, on another server.
    let other = Deployment::standalone();
    fill(&other, "orders", 0..DOCUMENTS);
    world.back_up(&other.uri());
    assert_eq!(orders(&world), roots[0]);

    // From a change of the tree and not from a scan of the same state alone.
    let delete = doc! { "q": { "_id": { "$mod": [3, 0] } }, "limit": 0 };
    other.command("shop", doc! { "delete": "orders", "deletes": [delete] });
    world.back_up(&other.uri());
    assert_ne!(orders(&world), roots[0]);
    fill(&other, "orders", (0..DOCUMENTS).step_by(3));
    world.back_up(&other.uri());
    assert_eq!(orders(&world), roots[0]);
}

/// The `_id`s as they lie on a member's disk.
fn natural_order(set: &Deployment, member: usize) -> Vec<Vec<u8>> {
    let connect = Connect::to(Purpose::Read);
    let link = Link::connect(&set.direct_uri(member), &connect).unwrap();
    let find = rawdoc! { "find": "orders", "hint": { "$natural": 1 }, "projection": { "_id": 1 } };
    link.list("shop", find.as_bytes()).unwrap()
}

#[test]
fn members_that_were_resynced_and_copies_that_were_restored_give_the_same_tree() {
    let mut set = Deployment::replica_set_of(3);
    fill(&set, "orders", (0..DOCUMENTS).map(scattered));
    // Some move: what is put again lies at the end.
    let few = doc! { "_id": { "$mod": [5, 2] } };
    let delete = doc! { "q": few, "limit": 0 };
    set.command("shop", doc! { "delete": "orders", "deletes": [delete] });
    fill(&set, "orders", (2..DOCUMENTS).step_by(5));
    let all = doc! { "w": 3, "wtimeout": 60_000 };
    let last = doc! { "insert": "stock", "documents": [doc! { "_id": 1 }], "writeConcern": all };
    set.command("shop", last);
    let world = World::new();
    let tree_of = |set: &Deployment, member: usize| {
        let outcome = world.back_up(&set.direct_uri(member));
        let read = outcome.mongodb.unwrap().member;
        assert!(read.ends_with(&format!(":{}", set.members[member].port)), "{read}");
        (orders(&world), world.kept()["shop.stock"].root.unwrap())
    };
    let first = tree_of(&set, 0);
    assert_eq!(tree_of(&set, 1), first);

    // The third loses everything and fetches it from another. Members apply what they follow in
    // many threads, so what it has by a copy lies otherwise than what it had by following.
    let before = natural_order(&set, 2);
    set.members[2].wipe();
    set.await_settled();
    let after = natural_order(&set, 2);
    assert_eq!(after.len(), DOCUMENTS as usize);
    assert_ne!(before, after, "it lies in another order now");
    assert_eq!(tree_of(&set, 2), first);

    // Restored by the binary, in the order of the keys, on another server.
    let (desk, copy) = (Desk::new(), Deployment::standalone());
    desk.init();
    desk.ok(&["backup", &set.uri()]);
    desk.ok(&["restore", "latest", "--to", &copy.uri()]);
    let outcome = world.back_up(&copy.uri());
    assert_eq!(outcome.mongodb.unwrap().consistency, Consistency::None);
    assert_eq!((orders(&world), world.kept()["shop.stock"].root.unwrap()), first);
}

/// A writer that is told to stop and says when it has.
#[derive(Default)]
struct Writer {
    rounds: AtomicU32,
    stop: AtomicBool,
    stopped: AtomicBool,
}

impl Writer {
    fn write(&self, set: &Deployment) {
        while !self.stop.load(Relaxed) {
            let round = self.rounds.fetch_add(1, Relaxed) as i32;
            let id = |step: i32| (round * 997 + step * 7919) % DOCUMENTS;
            let less = doc! { "$inc": { "n": 1 }, "$unset": { "text": 1 } };
            let updates = vec![
                doc! { "q": { "_id": id(0) }, "u": less },
                doc! { "q": { "_id": id(1) }, "u": { "$push": { "l": round } } },
                doc! { "q": { "_id": id(2) }, "u": { "whole": round } },
                doc! { "q": { "_id": DOCUMENTS + round }, "u": { "n": 1 }, "upsert": true },
            ];
            set.command("shop", doc! { "update": "orders", "updates": updates });
            let gone = doc! { "q": { "_id": { "$in": [id(3), id(4)] } }, "limit": 0 };
            set.command("shop", doc! { "delete": "orders", "deletes": [gone] });
            // One comes back, elsewhere on the disk.
            let back = doc! { "_id": id(3), "back": round };
            set.command("shop", doc! { "insert": "orders", "documents": [back] });
        }
        self.stopped.store(true, Relaxed);
    }

    fn await_rounds(&self, more: u32) {
        let until = self.rounds.load(Relaxed) + more;
        wait_until(|| self.rounds.load(Relaxed) >= until || self.stopped.load(Relaxed));
    }
}

fn wait_until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the writer is gone");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_scan_under_writers_made_exact_by_the_oplog_gives_the_tree_of_a_quiet_scan() {
    let set = Deployment::replica_set();
    fill(&set, "orders", (0..DOCUMENTS).map(scattered));
    let writer = Arc::new(Writer::default());
    let under_writers = World::new();
    thread::scope(|scope| {
        scope.spawn(|| writer.write(&set));
        let hand = writer.clone();
        let outcome = under_writers.try_back_up(&set.uri(), |options| {
            options.consistency = Wanted::Oplog;
            after_readings(&set, options, move |reading| {
                // Writes before the scan; and after it, before the moment is chosen.
                hand.await_rounds(20);
                if reading > 0 {
                    hand.stop.store(true, Relaxed);
                    wait_until(|| hand.stopped.load(Relaxed));
                }
            });
        });
        // Whatever comes of it, the writer must end.
        writer.stop.store(true, Relaxed);
        let mongodb = outcome.unwrap().mongodb.unwrap();
        assert_eq!(mongodb.consistency, Consistency::Oplog);
    });
    let merged = orders(&under_writers);
    assert!(writer.rounds.load(Relaxed) >= 40);

    // Nobody writes any more: whichever way it is read, it is the same; also beside no tree.
    let mut ways = vec![Wanted::Plain, Wanted::Oplog];
    ways.extend(has(Ability::ReadAsOfAMoment).then_some(Wanted::Snapshot));
    for way in ways {
        let outcome = under_writers.try_back_up(&set.uri(), |options| options.consistency = way);
        let summary = outcome.unwrap().summary;
        assert_eq!((summary.docs_changed, summary.docs_new, summary.docs_deleted), (0, 0, 0));
        assert_eq!(orders(&under_writers), merged, "{way:?}");
    }
    let outcome = under_writers.back_up_as("another", sources(&set.uri(), |_| {}), false).unwrap();
    assert_eq!((outcome.parent, orders(&under_writers)), (None, merged));
}

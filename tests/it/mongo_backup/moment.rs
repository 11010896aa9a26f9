//! A database that changes while it is backed up.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use icecore::{
    format::snapshot::{ClusterTime, Consistency},
    mongo::{Connect, Link, Purpose},
    source::mongo::Wanted,
};
use mongodb::bson::{Document, Timestamp, doc, rawdoc};

use super::{World, fill, sorted};
use crate::mongod::{Ability, Deployment, can};

/// What the server held at a moment of its past.
fn at(set: &Deployment, collection: &str, time: ClusterTime) -> Vec<Vec<u8>> {
    let link = Link::connect(&set.uri(), &Connect::to(Purpose::Read)).unwrap();
    let time = Timestamp { time: time.seconds, increment: time.increment };
    let command = rawdoc! {
        "find": collection,
        "readConcern": { "level": "snapshot", "atClusterTime": time },
    };
    link.list("shop", command.as_bytes()).unwrap()
}

fn scribble(set: &Deployment, stop: &AtomicBool) {
    let orders = set.client().database("shop").collection::<Document>("orders");
    for round in 0i32.. {
        if stop.load(Relaxed) {
            return;
        }
        let id = round.wrapping_mul(7919).rem_euclid(20_000);
        set.block(async {
            let change = doc! { "$inc": { "n": 1 }, "$set": { "last": round } };
            orders.update_one(doc! { "_id": id }, change).await.unwrap();
            if round % 3 == 0 {
                orders.delete_one(doc! { "_id": (id + 5) % 20_000 }).await.unwrap();
            }
            if round % 4 == 0 {
                orders.insert_one(doc! { "_id": 100_000 + round, "n": 0 }).await.unwrap();
            }
        });
    }
}

fn as_of_the_recorded_moment(wanted: Wanted) {
    // Without it nobody can tell what stood there while others write.
    if !can(Ability::ReadAsOfAMoment) {
        return;
    }
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..20_000);
    fill(&set, "stock", 0..100);
    let world = World::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| scribble(&set, &stop));
        for _ in 0..3 {
            let outcome = world.try_back_up(&set.uri(), |options| options.consistency = wanted);
            // Whatever comes of it, the other thread must hear of the end.
            let outcome = outcome.inspect_err(|_| stop.store(true, Relaxed)).unwrap();
            let mongodb = outcome.mongodb.unwrap();
            let time = mongodb.cluster_time.unwrap();
            let kept = world.kept().remove("shop.orders").unwrap();
            let is_same = sorted(kept.documents) == sorted(at(&set, "orders", time));
            if !is_same || mongodb.consistency == Consistency::None {
                stop.store(true, Relaxed);
                panic!("not the state at {time}: {:?}", mongodb.consistency);
            }
        }
        stop.store(true, Relaxed);
    });
    let changed = world.latest().summary;
    assert!(changed.docs_changed > 0 && changed.docs_unmodified > 0, "{changed:?}");
}

#[test]
fn read_as_of_one_moment_it_is_the_state_at_that_moment() {
    as_of_the_recorded_moment(Wanted::Snapshot);
}

#[test]
fn scanned_and_made_exact_by_the_oplog_it_is_the_state_at_that_moment() {
    as_of_the_recorded_moment(Wanted::Oplog);
}

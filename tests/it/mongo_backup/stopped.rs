//! A backup that ends in the middle loses nothing, and the next one goes on from there.

use icecore::store::faulty::Fault;

use super::{World, fill, live, sorted};
use crate::mongod::Deployment;

#[test]
fn killed_in_the_middle_and_run_again() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..60_000);
    let world = World::new();
    world.faults.arm(Fault::Crash { write: 2, done: false });
    assert!(world.try_back_up(&set.uri(), |_| {}).is_err());
    world.faults.disarm();
    assert!(world.repo.snapshots().unwrap().is_empty(), "no half snapshot");
    world.back_up(&set.uri());
    let kept = world.kept().remove("shop.orders").unwrap();
    assert_eq!(sorted(kept.documents), sorted(live(&set, "shop", "orders")));
}

#[test]
fn a_full_store_is_an_error_and_no_snapshot() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..60_000);
    let world = World::new();
    world.faults.arm(Fault::Full { after_bytes: 1 << 20 });
    let error = world.try_back_up(&set.uri(), |_| {}).unwrap_err();
    assert!(format!("{error:?}").contains("kind: Full"), "{error:?}");
    assert!(world.repo.snapshots().unwrap().is_empty());
}

//! One map, one tree: whichever member was read, however the documents lie.

use mongodb::bson::doc;

use super::{World, fill};
use crate::mongod::Deployment;

fn orders(world: &World) -> icecore::tree::Root {
    world.kept()["shop.orders"].root.unwrap()
}

#[test]
fn another_member_and_another_physical_order_give_the_same_tree() {
    let count = 30_000;
    let scattered = |id: i32| (i64::from(id) * 7919 % i64::from(count)) as i32;
    let set = Deployment::replica_set_of(3);
    fill(&set, "orders", (0..count).map(scattered));
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
    fill(&other, "orders", 0..count);
    world.back_up(&other.uri());
    assert_eq!(orders(&world), roots[0]);

    // From a change of the tree and not from a scan of the same state alone.
    let delete = doc! { "q": { "_id": { "$mod": [3, 0] } }, "limit": 0 };
    other.command("shop", doc! { "delete": "orders", "deletes": [delete] });
    world.back_up(&other.uri());
    assert_ne!(orders(&world), roots[0]);
    fill(&other, "orders", (0..count).step_by(3));
    world.back_up(&other.uri());
    assert_eq!(orders(&world), roots[0]);
}

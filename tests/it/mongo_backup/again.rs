//! A second backup costs what changed.

use icecore::format::snapshot::Summary;
use mongodb::bson::doc;

use super::{World, fill, live, sorted, sources};
use crate::mongod::Deployment;

fn docs(summary: &Summary) -> [u64; 4] {
    let Summary { docs_new, docs_changed, docs_deleted, docs_unmodified, .. } = *summary;
    [docs_new, docs_changed, docs_deleted, docs_unmodified]
}

#[test]
fn unchanged_it_writes_the_snapshot_and_nothing_else() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..20_000);
    fill(&set, "stock", (0..5000).rev());
    let world = World::new();
    let first = world.back_up(&set.uri());
    assert_eq!(docs(&first.summary), [25_000, 0, 0, 0]);
    assert_eq!(first.summary.collections, 2);
    world.calls.take();

    let second = world.back_up(&set.uri());
    assert_eq!(docs(&second.summary), [0, 0, 0, 25_000]);
    assert_eq!((second.summary.data_added, world.packs_put()), (0, 0));
    let roots = |sid| {
        let kept = world.repo.snapshots().unwrap();
        kept.into_iter().find(|kept| Some(kept.sid) == sid).unwrap().snapshot.roots
    };
    assert_eq!(roots(first.snapshot), roots(second.snapshot));

    let third = world.back_up_sources(sources(&set.uri(), |_| {}), true).unwrap();
    assert!(third.snapshot.is_none() && third.parent == second.snapshot);
}

#[test]
fn one_in_a_hundred_changed_stores_little_and_is_counted_exactly() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..30_000);
    let world = World::new();
    let first = world.back_up(&set.uri());
    let update = doc! { "q": { "_id": { "$mod": [100, 7] } }, "u": { "$inc": { "n": 1 } },
    "multi": true };
    set.command("shop", doc! { "update": "orders", "updates": [update] });
    let delete = doc! { "q": { "_id": { "$gte": 29_990 } }, "limit": 0 };
    set.command("shop", doc! { "delete": "orders", "deletes": [delete] });
    fill(&set, "orders", 40_000..40_005);
    let second = world.back_up(&set.uri());
    assert_eq!(docs(&second.summary), [5, 300, 10, 29_690]);
    let (before, after) = (first.summary.data_added_packed, second.summary.data_added_packed);
    assert!(after * 50 < before, "{after} bytes after {before}");
    assert_eq!(
        sorted(live(&set, "shop", "orders")),
        sorted(world.kept().remove("shop.orders").unwrap().documents)
    );

    // A dropped collection's documents are deleted ones; a renamed one's are not.
    fill(&set, "stock", 0..50);
    world.back_up(&set.uri());
    set.command("admin", doc! { "renameCollection": "shop.orders", "to": "shop.old_orders" });
    set.command("shop", doc! { "drop": "stock" });
    let last = world.back_up(&set.uri());
    assert_eq!(docs(&last.summary), [0, 0, 50, 29_995]);
}

#[test]
fn a_thousand_small_collections_take_no_second_each() {
    let set = Deployment::replica_set();
    for number in 0..1000 {
        let documents: Vec<_> = (0..3).map(|id| doc! { "_id": id, "number": number }).collect();
        let collection = format!("c{number}");
        set.command("many", doc! { "insert": collection, "documents": documents });
    }
    let world = World::new();
    let begun = std::time::Instant::now();
    let first = world.back_up(&set.uri());
    let took = begun.elapsed();
    assert_eq!((first.summary.collections, first.summary.docs_new), (1000, 3000));
    assert!(took.as_secs() < 200, "{took:?}");
    let second = world.back_up(&set.uri());
    assert_eq!(docs(&second.summary), [0, 0, 0, 3000]);
    assert_eq!(world.kept().len(), 1000);
}

//! What happens to the catalogue, and to documents in odd ways, while a backup is at work.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use icecore::{
    document::Writer,
    format::snapshot::Consistency,
    limits,
    source::mongo::{Error as SourceError, Wanted},
    verbs::backup::Error,
};
use mongodb::{
    Client,
    bson::{Document, doc},
};

use super::{World, after_readings, fill, insert_raw, live, sorted};
use crate::mongod::{Ability, Deployment, can};

/// Runs commands on a deployment from within a backup of it.
struct Hand {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Hand {
    fn of(set: &Deployment) -> Arc<Hand> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(Client::with_uri_str(set.uri())).unwrap();
        Arc::new(Hand { client, runtime })
    }

    fn run(&self, db: &str, command: Document) {
        let reply = self
            .runtime
            .block_on(async { self.client.database(db).run_command(command.clone()).await });
        reply.unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    fn rename(&self, from: &str, to: &str) {
        self.run("admin", doc! { "renameCollection": from, "to": to });
    }
}

#[test]
fn renamed_and_dropped_between_the_catalogue_and_the_reads_it_starts_again() {
    if !can(Ability::ReadAsOfAMoment) {
        return;
    }
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..500);
    fill(&set, "doomed", 0..500);
    let (world, hand) = (World::new(), Hand::of(&set));
    let readings = Arc::new(AtomicU32::new(0));
    let count = readings.clone();
    let outcome = world.try_back_up(&set.uri(), |options| {
        options.consistency = Wanted::Snapshot;
        after_readings(&set, options, move |reading| {
            count.store(reading + 1, Relaxed);
            // The catalogue is read twice before the moment is chosen.
            match reading {
                1 => hand.rename("shop.orders", "shop.bought"),
                3 => hand.run("shop", doc! { "drop": "doomed" }),
                _ => {}
            }
        });
    });
    let mongodb = outcome.unwrap().mongodb.unwrap();
    assert_eq!(mongodb.consistency, Consistency::Snapshot);
    assert_eq!(readings.load(Relaxed), 6, "it began three times");
    let kept = world.kept();
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["shop.bought"]);
    let documents = kept["shop.bought"].documents.clone();
    assert_eq!(sorted(documents), sorted(live(&set, "shop", "bought")));
}

#[test]
fn renamed_each_time_it_gives_up_and_there_is_no_snapshot() {
    if !can(Ability::ReadAsOfAMoment) {
        return;
    }
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..500);
    let (world, hand) = (World::new(), Hand::of(&set));
    let begun = Arc::new(AtomicU32::new(0));
    let count = begun.clone();
    let outcome = world.try_back_up(&set.uri(), |options| {
        options.consistency = Wanted::Snapshot;
        after_readings(&set, options, move |reading| {
            let names = ["shop.orders", "shop.bought"];
            if reading % 2 == 1 {
                let round = count.fetch_add(1, Relaxed) as usize;
                hand.rename(names[round % 2], names[(round + 1) % 2]);
            }
        });
    });
    let error = outcome.unwrap_err();
    assert!(matches!(&error, Error::Mongodb(error) if error.is_start_again()), "{error:?}");
    assert_eq!(begun.load(Relaxed), limits::CAPTURE_TRIES);
    assert!(world.repo.snapshots().unwrap().is_empty());
}

#[test]
fn renamed_into_the_selection_a_collection_is_scanned_for_itself() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..100);
    fill(&set, "hidden", 0..5000);
    let (world, hand) = (World::new(), Hand::of(&set));
    let readings = Arc::new(AtomicU32::new(0));
    let count = readings.clone();
    let outcome = world.try_back_up(&set.uri(), |options| {
        options.consistency = Wanted::Oplog;
        options.wanted = Arc::new(|namespace| namespace.collection != "hidden");
        after_readings(&set, options, move |reading| {
            count.store(reading + 1, Relaxed);
            let few = doc! { "_id": { "$mod": [7, i32::try_from(reading).unwrap()] } };
            let delete = [doc! { "q": few, "limit": 0 }];
            match reading {
                // The scans are done: the next reading finds it under its new name.
                1 => hand.rename("shop.hidden", "shop.shown"),
                // Before it is scanned, and after it was.
                2 | 3 => hand.run("shop", doc! { "delete": "shown", "deletes": delete.to_vec() }),
                _ => {}
            }
        });
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.mongodb.unwrap().consistency, Consistency::Oplog);
    assert_eq!(readings.load(Relaxed), 4, "two to begin and to settle, one for the new name");
    let shown = world.kept().remove("shop.shown").unwrap();
    assert_eq!(shown.documents.len(), 5000 - 2 * 714);
    assert_eq!(sorted(shown.documents), sorted(live(&set, "shop", "shown")));
    assert_eq!(outcome.summary.docs_new, 100 + shown.record.count);
}

/// A server takes an `_id` as long as a document.
fn with_long_id(letter: u8, n: i32) -> Vec<u8> {
    let mut id = Writer::new();
    id.push_binary(b"a", 0, &vec![letter; 2 << 20]);
    let mut document = Writer::new();
    document.push_doc(b"_id", &id.finish());
    document.push_i32(b"n", n);
    document.finish()
}

#[test]
fn ids_as_long_as_documents_are_kept_in_the_scan_and_in_changes() {
    let set = Deployment::replica_set();
    set.command("shop", doc! { "create": "ring", "capped": true, "size": 64 << 20 });
    for collection in ["odd", "ring"] {
        let documents = [1, 2, 3].map(|n| with_long_id(n as u8, n));
        insert_raw(&set, "shop", collection, &documents);
    }
    let (world, hand) = (World::new(), Hand::of(&set));
    let outcome = world.try_back_up(&set.uri(), |options| {
        options.consistency = Wanted::Oplog;
        after_readings(&set, options, move |reading| {
            let update = doc! { "q": { "n": 2 }, "u": { "$set": { "n": 20 } } };
            for collection in ["odd", "ring"].into_iter().filter(|_| reading == 1) {
                hand.run("shop", doc! { "update": collection, "updates": [update.clone()] });
            }
        });
    });
    assert_eq!(outcome.unwrap().summary.docs_new, 6);
    let kept = world.kept();
    for name in ["odd", "ring"] {
        let found = sorted(kept[&format!("shop.{name}")].documents.clone());
        assert!(found == sorted(live(&set, "shop", name)), "{name}");
    }
    let again = world.try_back_up(&set.uri(), |_| {}).unwrap();
    assert_eq!(again.summary.docs_unmodified, 6);
}

/// Makes the second of `list` so. The server here takes a place with a zero before it, and so it
/// stands in its log; but no server writes such a one, and we know no such form.
fn change_in_unknown_form(hand: &Hand, id: i32, value: i32) {
    let diff = doc! { "slist": { "a": true, "u01": value } };
    let change = doc! { "$v": 2, "diff": diff };
    let op = doc! { "op": "u", "ns": "shop.orders", "o2": { "_id": id }, "o": change };
    hand.run("admin", doc! { "applyOps": [op] });
}

fn fill_with_lists(set: &Deployment, count: i32) {
    let list = |id: i32| doc! { "_id": id, "n": 0, "list": [id, 2, 3] };
    let documents: Vec<Document> = (0..count).map(list).collect();
    set.command("shop", doc! { "insert": "orders", "documents": documents });
}

#[test]
fn a_document_changed_in_an_unknown_form_is_read_as_of_the_moment() {
    if !can(Ability::ReadAsOfAMoment) {
        return;
    }
    let set = Deployment::replica_set();
    fill_with_lists(&set, 1000);
    let (world, hand) = (World::new(), Hand::of(&set));
    let outcome = world.try_back_up(&set.uri(), |options| {
        options.consistency = Wanted::Oplog;
        after_readings(&set, options, move |reading| {
            if reading != 1 {
                return;
            }
            change_in_unknown_form(&hand, 7, 70);
            change_in_unknown_form(&hand, 8, 80);
            let known = doc! { "q": { "_id": { "$in": [7, 9] } }, "u": { "$inc": { "n": 1 } },
            "multi": true };
            hand.run("shop", doc! { "update": "orders", "updates": [known] });
            let gone = doc! { "q": { "_id": 8 }, "limit": 1 };
            hand.run("shop", doc! { "delete": "orders", "deletes": [gone] });
        });
    });
    outcome.unwrap();
    let kept = world.kept().remove("shop.orders").unwrap().documents;
    assert_eq!(sorted(kept), sorted(live(&set, "shop", "orders")));
    let orders = set.client().database("shop").collection::<Document>("orders");
    let seventh = set.block(orders.find_one(doc! { "_id": 7 })).unwrap().unwrap();
    assert_eq!(seventh.get_array("list").unwrap()[1], 70.into(), "the server made the change");
    assert_eq!(seventh.get_i32("n").unwrap(), 1);
}

#[test]
fn where_the_moment_has_passed_a_change_of_unknown_form_is_an_error_that_says_so() {
    if !can(Ability::ReadAsOfAMoment) {
        return;
    }
    // As of a moment capped collections can't be read at all.
    let set = Deployment::replica_set();
    set.command("shop", doc! { "create": "orders", "capped": true, "size": 1 << 20 });
    fill_with_lists(&set, 10);
    let (world, hand) = (World::new(), Hand::of(&set));
    let outcome = world.try_back_up(&set.uri(), |options| {
        after_readings(&set, options, move |reading| {
            if reading == 1 {
                change_in_unknown_form(&hand, 7, 70);
            }
        });
    });
    let error = outcome.unwrap_err();
    let Error::Mongodb(error @ SourceError::NotAsOf { .. }) = error else { panic!("{error:?}") };
    assert!(error.to_string().contains("shop.orders was changed in a way"), "{error}");
    assert!(error.hint().is_some());
    assert!(world.repo.snapshots().unwrap().is_empty());
}

//! Scans that the oplog makes exact, compared with reads as of the moment they name.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use icecore::{
    document,
    format::snapshot::Consistency,
    source::mongo::{Error, Wanted},
};
use mongodb::bson::{Document, doc};

use super::{
    Held, begin, expected, fill, link,
    state::{State, scan_slowly, settled},
};
use crate::mongod::{Ability, Deployment, Wish, can};

const DOCUMENTS: i32 = 25_000;

#[test]
fn under_all_kinds_of_writes_every_collection_comes_to_the_moment_exactly() {
    comes_to_the_moment_exactly(&Deployment::replica_set());
}

#[test]
fn on_a_secondary_that_lags_behind_it_is_the_same() {
    comes_to_the_moment_exactly(&Deployment::replica_set_of(3));
}

fn comes_to_the_moment_exactly(set: &Deployment) {
    for collection in ["orders", "stock", "doomed", "old", "away"] {
        fill(set, collection, DOCUMENTS);
    }
    if can(Ability::TimeSeries) {
        set.command("shop", doc! { "create": "heat", "timeseries": { "timeField": "t" } });
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut others = vec![scope.spawn(|| transactions(set, &stop))];
        for seed in 1..=2 {
            let stop = &stop;
            others.push(scope.spawn(move || writes(set, stop, seed)));
        }
        let link = link(set);
        let mut capture = begin(&link, Wanted::Oplog).unwrap();
        others.push(scope.spawn(|| changes_of_the_catalogue(set)));
        let mut state = scan_slowly(&capture);
        others.pop().unwrap().join().unwrap();
        // Where the moment can be read again, the writers are still at it when it is chosen.
        if !can(Ability::ReadAsOfAMoment) {
            stop.store(true, Relaxed);
            others.into_iter().for_each(|other| other.join().unwrap());
            // Else the moment of a member that lags behind is before the last of what they wrote.
            set.await_caught_up();
        }
        let done = settled(&mut capture, &mut state);
        stop.store(true, Relaxed);
        let point = done.point;
        assert_eq!(point.consistency, Consistency::Oplog);
        assert!(point.term.is_some());
        let names: Vec<&str> = done.contents.keys().map(String::as_str).collect();
        let there = ["away/new", "born", "heat", "new", "orders", "stock"];
        let there: Vec<String> = there.iter().map(|name| format!("shop.{name}")).collect();
        assert_eq!(names, there);
        for (name, contents) in &done.contents {
            let collection = &done.collections[name];
            let expected = expected(&link, collection, point.cluster_time);
            let differ: Vec<_> = contents
                .iter()
                .filter(|(key, document)| expected.get(*key) != Some(document))
                .chain(expected.iter().filter(|(key, _)| !contents.contains_key(*key)))
                .collect();
            let counts = (contents.len(), expected.len(), differ.len());
            assert!(differ.is_empty(), "{name}: {counts:?}, {:?}", differ.first());
        }
        assert!(done.operations > 100, "{} operations are too few", done.operations);
    });
}

/// Inserts, updates of all sorts, replacements, deletions, and the same `_id` once more.
fn writes(set: &Deployment, stop: &AtomicBool, seed: i32) {
    let mut round = seed;
    while !stop.load(Relaxed) {
        round = round.wrapping_mul(1_103_515_245).wrapping_add(12_345) & i32::MAX;
        let id = round % DOCUMENTS;
        let new = format!("new {round}");
        let set_and_unset = doc! { "$set": { "a.b": round }, "$unset": { "text": 1 } };
        let updates = [
            doc! { "q": { "_id": id }, "u": { "$inc": { "n": 1 }, "$push": { "l": round } } },
            doc! { "q": { "_id": id + 1 }, "u": set_and_unset },
            doc! { "q": { "_id": id + 2 }, "u": { "_id": id + 2, "whole": round } },
            doc! { "q": { "_id": &new }, "u": { "$set": { "n": 7 } }, "upsert": true },
        ];
        for collection in ["orders", "stock"] {
            set.command("shop", doc! { "update": collection, "updates": updates.to_vec() });
            let gone = doc! { "q": { "_id": { "$in": [id + 3, id + 4] } }, "limit": 0 };
            set.command("shop", doc! { "delete": collection, "deletes": [gone] });
            let again = doc! { "_id": id + 3, "again": round };
            // Another writer may have been faster.
            let _ = set.try_command("shop", doc! { "insert": collection, "documents": [again] });
        }
        let now = mongodb::bson::DateTime::now();
        // An ordinary collection where there are no time series.
        set.command("shop", doc! { "insert": "heat", "documents": [{ "t": now, "v": round }] });
    }
}

fn transactions(set: &Deployment, stop: &AtomicBool) {
    let mut session = set.block(set.client().start_session()).unwrap();
    let mut round = 0;
    while !stop.load(Relaxed) {
        round += 1;
        set.block(async {
            session.start_transaction().await.unwrap();
            let mut failed = false;
            for number in 0..3 {
                for name in ["orders", "stock"] {
                    let collection = set.client().database("shop").collection::<Document>(name);
                    let id = format!("transaction {} {number}", round % 50);
                    let whole = doc! { "round": round };
                    let change = collection.replace_one(doc! { "_id": id }, whole).upsert(true);
                    failed |= change.session(&mut session).await.is_err();
                }
            }
            if failed || round % 7 == 0 {
                let _ = session.abort_transaction().await;
            } else {
                session.commit_transaction().await.unwrap();
            }
        });
    }
}

fn changes_of_the_catalogue(set: &Deployment) {
    let pause = || thread::sleep(Duration::from_millis(120));
    pause();
    set.command("shop", doc! { "drop": "doomed" });
    set.command("admin", doc! { "renameCollection": "shop.away", "to": "shop.away/new" });
    pause();
    fill(set, "born", 500);
    set.command(
        "shop",
        doc! { "aggregate": "orders", "pipeline": [
            { "$limit": 100 }, { "$out": "new" },
        ], "cursor": {} },
    );
    set.command(
        "shop",
        doc! { "createIndexes": "stock", "indexes": [
            { "key": { "n": 1 }, "name": "n" },
        ] },
    );
    pause();
    let onto = doc! { "renameCollection": "shop.old", "to": "shop.born", "dropTarget": true };
    set.command("admin", onto);
}

#[test]
fn a_transaction_of_many_entries_counts_when_it_is_committed() {
    let few = "--setParameter=maxNumberOfTransactionOperationsInSingleOplogEntry=2";
    let set = Deployment::of(Wish { members: 1, arguments: vec![few], ..Wish::default() });
    fill(&set, "orders", 10);
    let link = link(&set);
    let mut capture = begin(&link, Wanted::Oplog).unwrap();
    let mut state = scan_slowly(&capture);
    let orders = set.client().database("shop").collection::<Document>("orders");
    for commit in [true, false] {
        let mut session = set.block(set.client().start_session()).unwrap();
        set.block(async {
            session.start_transaction().await.unwrap();
            for id in 0..6 {
                let whole = doc! { "commit": commit, "text": "x" };
                let change = orders.replace_one(doc! { "_id": id }, whole);
                change.session(&mut session).await.unwrap();
            }
            if commit {
                session.commit_transaction().await.unwrap();
            } else {
                session.abort_transaction().await.unwrap();
            }
        });
    }
    let parts = mongodb::bson::rawdoc! { "find": "oplog.rs", "filter": { "o.partialTxn": true } };
    assert_eq!(link.list("local", parts.as_bytes()).unwrap().len(), 2, "it had three entries");
    let done = settled(&mut capture, &mut state);
    let orders = &done.collections["shop.orders"];
    assert_eq!(done.contents["shop.orders"], expected(&link, orders, done.point.cluster_time));
    let changed = |document: &&Vec<u8>| document::get(document, b"commit").unwrap().is_some();
    assert_eq!(done.contents["shop.orders"].values().filter(changed).count(), 6);
}

#[test]
fn a_capped_collection_keeps_its_order() {
    let set = Deployment::replica_set();
    set.command("shop", doc! { "create": "log", "capped": true, "size": 2 << 20 });
    let insert = |ids: std::ops::Range<i32>| {
        let documents: Vec<Document> = ids
            .map(|id| doc! { "_id": (id * 7919) % 100_003, "id": id, "f": "x".repeat(100) })
            .collect();
        set.command("shop", doc! { "insert": "log", "documents": documents });
    };
    insert(0..15_000);
    let link = link(&set);
    let error = begin(&link, Wanted::Snapshot).err().unwrap();
    assert!(matches!(&error, Error::Capped { .. } | Error::TooOld { .. }), "{error}");
    let mut capture = begin(&link, Wanted::Auto).unwrap();
    // Some that the scan does not see any more, some that it sees, some that come after it.
    insert(15_000..20_000);
    let mut state = State::default();
    let log = capture.collections().next().unwrap().clone();
    let mut scan = capture.scan(&log);
    state.take(&log, scan.next().unwrap().unwrap());
    insert(20_000..22_000);
    for batch in scan {
        state.take(&log, batch.unwrap());
    }
    insert(22_000..24_000);
    let done = settled(&mut capture, &mut state);
    let found: Vec<&Vec<u8>> = done.contents["shop.log"].values().collect();
    let there = link.list("shop", mongodb::bson::rawdoc! { "find": "log" }.as_bytes()).unwrap();
    assert!(there.len() > 10_000 && there.len() < 24_000, "{} are left", there.len());
    let there: Vec<&Vec<u8>> = there.iter().collect();
    // Older servers don't log what falls out of it: those may still be there.
    let equal =
        if can(Ability::CappedDeletesInOplog) { found == there } else { found.ends_with(&there) };
    assert!(equal, "{} found, {} there", found.len(), there.len());
}

#[test]
fn what_was_renamed_into_the_selection_is_scanned_once_more() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 100);
    fill(&set, "hidden", 100);
    let link = link(&set);
    let options = icecore::source::mongo::Options {
        consistency: Wanted::Oplog,
        wanted: std::sync::Arc::new(|namespace| namespace.collection != "hidden"),
        ..super::options()
    };
    let silent = icecore::progress::Progress::silent();
    let mut capture = icecore::source::mongo::Capture::begin(&link, options, &silent).unwrap();
    let mut state = scan_slowly(&capture);
    set.command("shop", doc! { "drop": "orders" });
    set.command("admin", doc! { "renameCollection": "shop.hidden", "to": "shop.orders" });
    let Some(Error::ScanAgain { collections }) = capture.settle(&silent).err() else {
        panic!("a collection that was never scanned has no changes to go by")
    };
    state.again(&capture, &collections);
    set.command("shop", doc! { "delete": "orders", "deletes": [{ "q": {}, "limit": 1 }] });
    let done = settled(&mut capture, &mut state);
    assert_eq!(done.contents["shop.orders"].len(), 99);
}

#[test]
fn what_was_dropped_and_made_anew_by_its_uuid_is_scanned_once_more() {
    let set = Deployment::replica_set();
    let link = link(&set);
    for by_rename in [false, true] {
        fill(&set, "orders", 100);
        fill(&set, "stock", 10);
        let mut capture = begin(&link, Wanted::Oplog).unwrap();
        let mut state = scan_slowly(&capture);
        let orders = capture.collections().find(|one| one.namespace.collection == "orders");
        let subtype = mongodb::bson::spec::BinarySubtype::Uuid;
        let uuid = orders.unwrap().uuid.unwrap().to_vec();
        let uuid = mongodb::bson::Binary { subtype, bytes: uuid };
        if by_rename {
            let onto = doc! { "renameCollection": "shop.stock", "to": "shop.orders" };
            set.command(
                "admin",
                [onto, doc! { "dropTarget": true }].into_iter().flatten().collect(),
            );
            set.command("shop", doc! { "drop": "orders" });
        } else {
            set.command("shop", doc! { "drop": "orders" });
        }
        // So does mongorestore --preserveUUID.
        let create = doc! { "op": "c", "ns": "shop.$cmd", "ui": uuid, "o": { "create": "orders" } };
        set.command("admin", doc! { "applyOps": [create] });
        set.command("shop", doc! { "insert": "orders", "documents": [{ "_id": "new" }] });
        let done = settled(&mut capture, &mut state);
        let orders = &done.collections["shop.orders"];
        assert_eq!(done.contents["shop.orders"].len(), 1);
        assert_eq!(done.contents["shop.orders"], expected(&link, orders, done.point.cluster_time));
        set.command("shop", doc! { "dropDatabase": 1 });
    }
}

#[test]
fn what_is_scanned_again_has_all_that_came_before_its_beginning() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 100);
    fill(&set, "hidden", 100);
    let options = icecore::source::mongo::Options {
        consistency: Wanted::Oplog,
        wanted: std::sync::Arc::new(|namespace| namespace.collection != "hidden"),
        ..super::options()
    };
    let silent = icecore::progress::Progress::silent();
    let mut capture =
        icecore::source::mongo::Capture::begin(&link(&set), options, &silent).unwrap();
    let mut state = scan_slowly(&capture);
    set.command("shop", doc! { "drop": "orders" });
    set.command("admin", doc! { "renameCollection": "shop.hidden", "to": "shop.orders" });
    // The time is asked for twice before the oplog is read; then for the second scan's beginning.
    let held = Held::of(&set, &["ping"], 2);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            held.await_one();
            // What is written from now on no majority has, as far as the server knows.
            set.command("admin", doc! { "configureFailPoint": NO_MAJORITY, "mode": "alwaysOn" });
            insert_alone(&set, "late");
            held.let_go();
            let waits = doc! { "currentOp": 1, "command.find": "oplog.rs" };
            let is_waited_for = || {
                let found = set.command("admin", waits.clone());
                !found.get_array("inprog").unwrap().is_empty()
            };
            while !is_over.load(Relaxed) && !is_waited_for() {
                thread::yield_now();
            }
            set.command("admin", doc! { "configureFailPoint": NO_MAJORITY, "mode": "off" });
            insert_alone(&set, "later");
        });
        let Some(Error::ScanAgain { collections }) = capture.settle(&silent).err() else {
            panic!("a collection that was never scanned has no changes to go by")
        };
        state.again(&capture, &collections);
        is_over.store(true, Relaxed);
    });
    let done = settled(&mut capture, &mut state);
    assert_eq!(done.contents["shop.orders"].len(), 102);
}

/// The server does not take note of what a majority has.
const NO_MAJORITY: &str = "disableSnapshotting";

fn insert_alone(set: &Deployment, id: &str) {
    let concern = doc! { "w": 1 };
    let one = doc! { "insert": "orders", "documents": [{ "_id": id }], "writeConcern": concern };
    set.command("shop", one);
}

#[test]
fn a_view_that_is_made_while_the_catalogue_is_read_is_in_it() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 10);
    let view = |name: &str| doc! { "create": name, "viewOn": "orders", "pipeline": [] };
    set.command("shop", view("old"));
    let mut capture = begin(&link(&set), Wanted::Oplog).unwrap();
    let mut state = scan_slowly(&capture);
    // The views are listed by then.
    let held = Held::of(&set, &["listIndexes"], 0);
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            held.await_one();
            set.command("shop", view("new"));
            set.command("shop", doc! { "drop": "old" });
            held.let_go();
        });
        settled(&mut capture, &mut state)
    });
    let names: Vec<&str> = done.names.iter().map(String::as_str).collect();
    assert_eq!(names, ["shop.new", "shop.orders"]);
}

#[test]
fn an_oplog_that_rolled_over_is_an_error_that_says_so() {
    let arguments = vec!["--oplogSize=1", "--syncdelay=1"];
    let set = Deployment::of(Wish { members: 1, arguments, ..Wish::default() });
    fill(&set, "orders", 100);
    let mut capture = begin(&link(&set), Wanted::Oplog).unwrap();
    let mut state = scan_slowly(&capture);
    let large = "x".repeat(100_000);
    let error = (0..100).find_map(|_| {
        let documents: Vec<Document> = (0..40).map(|_| doc! { "large": &large }).collect();
        set.command("other", doc! { "insert": "other", "documents": documents });
        set.command("admin", doc! { "fsync": 1 });
        thread::sleep(Duration::from_millis(100));
        let silent = icecore::progress::Progress::silent();
        match capture.settle(&silent) {
            Ok(_) => None,
            // The new collection itself is seen.
            Err(Error::ScanAgain { collections }) => {
                state.again(&capture, &collections);
                None
            }
            Err(error) => Some(error),
        }
    });
    let error = error.expect("4 MB a round are more than the oplog holds");
    assert!(error.to_string().starts_with("the oplog rolled over: "), "{error}");
    assert!(error.hint().unwrap().contains("replSetResizeOplog"));
}

#[test]
fn collections_that_come_and_go_elsewhere_are_nobodys_business() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 10);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                set.command("jobs", doc! { "create": "tmp" });
                set.command("jobs", doc! { "drop": "tmp" });
            }
        });
        let link = link(&set);
        let silent = icecore::progress::Progress::silent();
        let options = icecore::source::mongo::Options {
            db: Some("shop".to_owned()),
            consistency: Wanted::Oplog,
            ..super::options()
        };
        let mut capture = icecore::source::mongo::Capture::begin(&link, options, &silent).unwrap();
        let mut state = scan_slowly(&capture);
        let done = settled(&mut capture, &mut state);
        assert_eq!(done.contents["shop.orders"].len(), 10);
        stop.store(true, Relaxed);
    });
}

#[test]
fn reads_of_a_moment_that_has_passed_or_was_renamed_away_go_on_by_the_oplog() {
    if !can(Ability::ReadAsOfAMoment) {
        return;
    }
    let set = Deployment::replica_set();
    let window = doc! { "setParameter": 1, "minSnapshotHistoryWindowInSeconds": 2 };
    set.command("admin", window);
    // Three batches are on their way before the first is asked for.
    fill(&set, "orders", 55_000);
    fill(&set, "stock", 55_000);
    let link = link(&set);
    for too_late in [true, false] {
        let mut capture = begin(&link, Wanted::Auto).unwrap();
        let mut state = State::default();
        // Side by side, as a backup does: the second meets what the first has met already.
        let mut scans: Vec<_> =
            capture.collections().map(|one| (one.clone(), capture.scan(one))).collect();
        for (collection, scan) in &mut scans {
            state.take(collection, scan.next().unwrap().unwrap());
        }
        let change = |name: &str, id: i32| {
            let update = doc! { "q": { "_id": id }, "u": { "$inc": { "n": 1 } } };
            set.command("shop", doc! { "update": name, "updates": [update] });
        };
        if too_late {
            for id in [3, 54_000, 3, 3] {
                change("orders", id);
                change("stock", id);
                thread::sleep(Duration::from_secs(1));
            }
        } else {
            set.command("admin", doc! { "renameCollection": "shop.orders", "to": "shop.bought" });
            change("bought", 54_000);
        }
        for (collection, scan) in scans {
            for batch in scan {
                state.take(&collection, batch.unwrap());
            }
        }
        let done = settled(&mut capture, &mut state);
        assert_eq!(done.point.consistency, Consistency::Oplog, "{too_late}");
        for name in [if too_late { "shop.orders" } else { "shop.bought" }, "shop.stock"] {
            let contents = expected(&link, &done.collections[name], done.point.cluster_time);
            assert_eq!(done.contents[name], contents, "{name}");
        }
    }
}

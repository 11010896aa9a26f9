//! Reads as of one moment.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
    time::Duration,
};

use icecore::{
    document,
    format::snapshot::Consistency,
    progress::Progress,
    source::mongo::{Collection, Error, Keys, Kind, Wanted},
};
use mongodb::bson::{Bson, Document, RawDocument, doc};

use super::{begin, fill, found, link, names, scan, scan_all, settle};
use crate::mongod::{Ability, Deployment, can, has};

#[test]
fn all_collections_stand_at_one_moment_while_others_write() {
    if !can(Ability::ReadAsOfAMoment) {
        return only_by_the_oplog();
    }
    let set = Deployment::replica_set();
    for collection in ["orders", "stock"] {
        fill(&set, collection, 30_000);
    }
    let (stop, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            // One document of each in one transaction: they must never differ in a snapshot.
            let mut session = set.block(set.client().start_session()).unwrap();
            for round in 1..100_000 {
                if stop.load(Relaxed) {
                    break;
                }
                set.block(async {
                    session.start_transaction().await.unwrap();
                    for collection in ["orders", "stock"] {
                        let collection =
                            set.client().database("shop").collection::<Document>(collection);
                        let change = doc! { "$set": { "n": round } };
                        let which = doc! { "_id": (round * 7919) % 30_000 };
                        collection.update_one(which, change).session(&mut session).await.unwrap();
                    }
                    session.commit_transaction().await.unwrap();
                });
                rounds.store(round, Relaxed);
            }
        });
        let mut capture = begin(&link(&set), Wanted::Snapshot).unwrap();
        let before = rounds.load(Relaxed);
        while rounds.load(Relaxed) < before + 3 {
            thread::sleep(Duration::from_millis(1));
        }
        let contents = scan_all(&capture);
        let meanwhile = rounds.load(Relaxed) - before;
        assert!(meanwhile > 3, "nobody wrote beside the scan");
        let settled = settle(&mut capture);
        stop.store(true, Relaxed);
        assert_eq!(contents["shop.orders"].len(), 30_000);
        assert_eq!(contents["shop.orders"], contents["shop.stock"]);
        assert_eq!(settled.point.consistency, Consistency::Snapshot);
        assert!(settled.point.cluster_time.is_some());
    });
}

#[test]
fn the_catalogue_has_every_kind_of_collection_raw() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 3);
    let run = |command: Document| set.command("shop", command);
    run(doc! { "createIndexes": "orders", "indexes": [
        { "key": { "text": "text" }, "name": "words" },
        { "key": { "n": -1.0 }, "name": "by n", "sparse": true },
    ] });
    run(doc! { "create": "dear", "viewOn": "orders", "pipeline": [{ "$match": { "n": 1 } }] });
    if can(Ability::TimeSeries) {
        run(doc! { "create": "heat", "timeseries": { "timeField": "t", "metaField": "m" } });
        let now = mongodb::bson::DateTime::now();
        run(doc! { "insert": "heat", "documents": [{ "t": now, "m": 1 }] });
    }
    if can(Ability::ClusteredCollections) {
        let key = doc! { "key": { "_id": 1 }, "unique": true };
        run(doc! { "create": "clustered", "clusteredIndex": key });
    }
    run(doc! { "insert": "clustered", "documents": [{ "_id": 2 }, { "_id": 1 }] });
    run(doc! { "insert": "system.js", "documents": [{ "_id": "f", "value": 1 }] });
    run(doc! { "profile": 2 });
    run(doc! { "find": "orders" });
    set.command("admin", doc! { "insert": "mine", "documents": [{ "_id": 1 }] });
    let mut capture = begin(&link(&set), Wanted::Auto).unwrap();
    let contents = scan_all(&capture);
    let settled = settle(&mut capture);
    let mut there =
        vec!["admin.mine", "shop.clustered", "shop.dear", "shop.orders", "shop.system.js"];
    if has(Ability::TimeSeries) {
        there.insert(3, "shop.heat");
    }
    assert_eq!(names(&settled), there);
    let orders = found(&settled, "shop.orders");
    let specs = orders.indexes.iter().map(|raw| RawDocument::from_bytes(raw).unwrap());
    let specs: Vec<_> = specs.map(|spec| spec.get_str("name").unwrap().to_owned()).collect();
    assert_eq!(specs, ["_id_", "words", "by n"]);
    assert_eq!((orders.kind, orders.keys), (Kind::Collection, Keys::Id));
    assert!(orders.id_index.is_some() && orders.uuid.is_some());
    let dear = found(&settled, "shop.dear");
    assert_eq!((dear.kind, dear.uuid, dear.indexes.len()), (Kind::View, None, 0));
    let options = RawDocument::from_bytes(&dear.options).unwrap();
    assert_eq!(options.get_str("viewOn").unwrap(), "orders");
    assert_eq!(contents["shop.clustered"].len(), 2);
    assert!(!contents.contains_key("shop.dear"));
    if !has(Ability::TimeSeries) {
        return;
    }
    let heat = found(&settled, "shop.heat");
    assert_eq!((heat.kind, heat.stored_in().as_str()), (Kind::TimeSeries, "system.buckets.heat"));
    assert!(heat.uuid.is_some());
    let bucket = contents["shop.heat"].values().next().unwrap();
    assert!(RawDocument::from_bytes(bucket).unwrap().get_document("control").is_ok());
}

#[test]
fn documents_no_driver_would_write_come_out_byte_for_byte() {
    let set = Deployment::replica_set();
    let mut raw = mongodb::bson::rawdoc! { "_id": 1, "a": "xx", "b": 1, "b": 2, "": { "": 3 } };
    if can(Ability::DollarNames) {
        raw.append(mongodb::bson::cstr!("$set"), 1);
    }
    let mut bytes = raw.into_bytes();
    let at = bytes.windows(2).position(|pair| pair == b"xx").unwrap();
    bytes[at] = 0xff;
    let odd = mongodb::bson::RawDocumentBuf::from_bytes(bytes.clone()).unwrap();
    let mut documents = mongodb::bson::RawArrayBuf::new();
    documents.push(odd);
    let mut command = mongodb::bson::rawdoc! { "insert": "odd" };
    command.append(mongodb::bson::cstr!("documents"), documents);
    let writer = icecore::mongo::Link::connect(
        &set.uri(),
        &icecore::mongo::Connect::to(icecore::mongo::Purpose::Write),
    );
    writer.unwrap().run("shop", command.as_bytes()).unwrap();
    let capture = begin(&link(&set), Wanted::Auto).unwrap();
    let odd = capture.collections().next().unwrap();
    let batch = capture.scan(odd).next().unwrap().unwrap();
    assert_eq!(batch.documents().collect::<Vec<_>>(), [bytes.as_slice()]);
}

fn only_by_the_oplog() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 10);
    let link = link(&set);
    let error = begin(&link, Wanted::Snapshot).err().unwrap();
    assert!(error.to_string().contains("from 5.0 on"), "{error}");
    let mut capture = begin(&link, Wanted::Auto).unwrap();
    scan_all(&capture);
    assert_eq!(settle(&mut capture).point.consistency, Consistency::Oplog);
}

#[test]
fn a_drop_or_rename_never_makes_a_collection_empty() {
    if !can(Ability::ReadAsOfAMoment) {
        return only_by_the_oplog();
    }
    let set = Deployment::replica_set();
    fill(&set, "orders", 20);
    fill(&set, "stock", 20);
    let capture = begin(&link(&set), Wanted::Snapshot).unwrap();
    let [orders, stock] = capture.collections().cloned().collect::<Vec<_>>().try_into().unwrap();
    set.command("shop", doc! { "drop": "orders" });
    set.command("admin", doc! { "renameCollection": "shop.stock", "to": "shop.shelf" });
    fill(&set, "orders", 5);
    for collection in [orders, stock] {
        let error = scan(&capture, &collection).unwrap_err();
        assert!(error.is_start_again(), "{error}");
    }
}

#[test]
fn one_document_is_read_as_of_a_moment_or_it_is_said_why_not() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 20);
    set.command("shop", doc! { "create": "log", "capped": true, "size": 4096 });
    set.command("shop", doc! { "insert": "log", "documents": [{ "_id": 1 }] });
    let german = doc! { "locale": "de", "strength": 1 };
    set.command("shop", doc! { "create": "words", "collation": german });
    set.command("shop", doc! { "insert": "words", "documents": [{ "_id": "a" }] });
    let link = link(&set);
    let mut capture = begin(&link, Wanted::Oplog).unwrap();
    let [log, orders, words] =
        capture.collections().cloned().collect::<Vec<_>>().try_into().unwrap();
    scan_all(&capture);
    let at = settle(&mut capture).point.cluster_time.unwrap();
    let read = |collection: &Collection, id: Bson| {
        let wanted = doc! { "_id": id }.to_vec().unwrap();
        let id = document::get(&wanted, b"_id").unwrap().unwrap();
        capture.document_at(collection, &id, at)
    };
    let why_not = |collection: &Collection| match read(collection, 3.into()).unwrap_err() {
        Error::NotAsOf { why, .. } => why,
        other => panic!("{other}"),
    };
    assert!(why_not(&log).contains("capped"));
    if !can(Ability::ReadAsOfAMoment) {
        assert!(why_not(&orders).contains("from 5.0 on"));
        return;
    }
    let then = read(&orders, 3.into()).unwrap().unwrap();
    let update = doc! { "q": { "_id": { "$lt": 5 } }, "u": { "$inc": { "n": 1 } }, "multi": true };
    set.command("shop", doc! { "update": "orders", "updates": [update] });
    let delete = doc! { "q": { "_id": 4 }, "limit": 1 };
    set.command("shop", doc! { "delete": "orders", "deletes": [delete] });
    set.command("shop", doc! { "insert": "orders", "documents": [{ "_id": 99 }] });
    assert_eq!(read(&orders, 3.into()).unwrap().unwrap(), then, "as it was");
    assert_eq!(read(&orders, 3.0.into()).unwrap().unwrap(), then, "1.0 is the id 1");
    assert!(read(&orders, 4.into()).unwrap().is_some(), "it was there then");
    assert_eq!(read(&orders, 99.into()).unwrap(), None, "it was not there then");
    assert_eq!(read(&words, "A".into()).unwrap(), None, "the collation's opinion is not ours");
    assert!(read(&words, "a".into()).unwrap().is_some());

    set.command("admin", doc! { "renameCollection": "shop.words", "to": "shop.letters" });
    let error = read(&words, "a".into()).unwrap_err();
    assert!(error.is_start_again(), "{error}");
    let window = doc! { "setParameter": 1, "minSnapshotHistoryWindowInSeconds": 1 };
    set.command("admin", window);
    for round in 0..40 {
        if read(&orders, 3.into()).is_err() {
            break;
        }
        assert!(round < 39, "the server looks back for ever");
        let update = doc! { "q": { "_id": 7 }, "u": { "$inc": { "n": 1 } } };
        set.command("shop", doc! { "update": "orders", "updates": [update] });
        thread::sleep(Duration::from_millis(500));
    }
    assert!(why_not(&orders).contains("old"), "{}", why_not(&orders));
}

#[test]
fn it_settles_no_further_once_it_is_cancelled() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 20);
    let mut capture = begin(&link(&set), Wanted::Oplog).unwrap();
    scan_all(&capture);
    fill(&set, "stock", 20);
    let progress = Progress::silent();
    progress.cancel();
    assert!(matches!(capture.settle(&progress), Err(Error::Cancelled)));
    // Nothing is lost by it.
    let again = capture.settle(&Progress::silent());
    assert!(matches!(again, Ok(_) | Err(Error::ScanAgain { .. })));
}

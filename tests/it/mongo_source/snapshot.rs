//! Reads as of one moment.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use icecore::{
    format::snapshot::Consistency,
    source::mongo::{Keys, Kind, Wanted},
};
use mongodb::bson::{Document, RawDocument, doc};

use super::{begin, fill, found, link, names, scan, scan_all, settle, since};
use crate::mongod::Deployment;

#[test]
fn all_collections_stand_at_one_moment_while_others_write() {
    if !since(5) {
        return only_by_the_oplog();
    }
    let set = Deployment::replica_set();
    for collection in ["orders", "stock"] {
        fill(&set, collection, 30_000);
    }
    let stop = AtomicBool::new(false);
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
            }
        });
        let mut capture = begin(&link(&set), Wanted::Snapshot).unwrap();
        thread::sleep(std::time::Duration::from_millis(200));
        let contents = scan_all(&capture);
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
    if since(5) {
        run(doc! { "create": "heat", "timeseries": { "timeField": "t", "metaField": "m" } });
        let now = mongodb::bson::DateTime::now();
        run(doc! { "insert": "heat", "documents": [{ "t": now, "m": 1 }] });
    }
    if since(6) {
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
    if since(5) {
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
    if !since(5) {
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
    if since(5) {
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
    if !since(5) {
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

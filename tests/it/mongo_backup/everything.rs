//! All that a deployment can hold, byte for byte.

use icecore::{
    document::{Writer, kind},
    format::{
        catalogue::{CollectionKind, DocumentKeys},
        snapshot::Consistency,
    },
};
use mongodb::bson::{Document, RawDocument, doc};

use super::{World, fill, insert_raw, live, sorted};
use crate::mongod::{Ability, Deployment, can, has};

/// A value of every type that may be an `_id`, and a few that are hard.
fn ids() -> Vec<(u8, Vec<u8>)> {
    let text = |text: &[u8]| {
        let length = text.len() as i32 + 1;
        [&length.to_le_bytes()[..], text, b"\0"].concat()
    };
    let inner = |build: fn(&mut Writer)| {
        let mut writer = Writer::new();
        build(&mut writer);
        writer.finish()
    };
    let scope = inner(|writer| writer.push_i32(b"x", 1));
    let code = [text(b"x + 1"), scope.clone()].concat();
    let scoped = [&(code.len() as i32 + 4).to_le_bytes()[..], &code].concat();
    vec![
        (kind::DOUBLE, 1.5f64.to_le_bytes().to_vec()),
        (kind::DOUBLE, f64::NAN.to_le_bytes().to_vec()),
        (kind::STRING, text(b"text")),
        (kind::STRING, text(b"not \xff\xfe UTF-8")),
        (kind::STRING, text(&[b'k'; 9000])),
        (kind::DOCUMENT, inner(|writer| writer.push_str(b"a", "b"))),
        (kind::DOCUMENT, inner(|_| {})),
        (kind::BINARY, b"\x03\0\0\0\x00abc".to_vec()),
        (kind::BINARY, b"\x10\0\0\0\x040123456789abcdef".to_vec()),
        (kind::OBJECT_ID, b"0123456789ab".to_vec()),
        (kind::BOOL, vec![1]),
        (kind::DATE, (-5i64).to_le_bytes().to_vec()),
        (kind::NULL, Vec::new()),
        (kind::DB_POINTER, [text(b"db.c"), b"0123456789ab".to_vec()].concat()),
        (kind::CODE, text(b"code")),
        (kind::SYMBOL, text(b"symbol")),
        (kind::CODE_WITH_SCOPE, scoped),
        (kind::INT32, 7i32.to_le_bytes().to_vec()),
        (kind::TIMESTAMP, 9u64.to_le_bytes().to_vec()),
        (kind::INT64, i64::MIN.to_le_bytes().to_vec()),
        (kind::DECIMAL128, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x3e, 0x30].to_vec()),
        (kind::MIN_KEY, Vec::new()),
        (kind::MAX_KEY, Vec::new()),
    ]
}

fn with_id((kind, value): &(u8, Vec<u8>)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.push_raw(*kind, b"_id", value);
    // The same value again, and names that no driver would write.
    writer.push_raw(*kind, b"value", value);
    writer.push_i32(b"", 1);
    writer.push_i32(b"double", 1);
    writer.push_i64(b"double", 2);
    writer.push_raw(kind::REGEX, b"regex", b"a.*b\0im\0");
    writer.push_raw(kind::UNDEFINED, b"undefined", b"");
    writer.push_raw(kind::DOUBLE, b"nan", &0x7ff8_0000_dead_beef_u64.to_le_bytes());
    writer.push_raw(kind::STRING, b"odd \xff name", b"\x03\0\0\0\xc3\x28\0");
    let mut array = icecore::document::ArrayWriter::new();
    array.push_raw(*kind, value);
    array.push_str("two");
    writer.push_array(b"array", &array.finish());
    writer.finish()
}

/// A document as large as a server takes.
fn largest(id: i32) -> Vec<u8> {
    let bytes_max = 16 << 20;
    let mut writer = Writer::new();
    writer.push_i32(b"_id", id);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&id.to_le_bytes());
    let mut data = vec![0; bytes_max - writer.len() - 6 - 5];
    hasher.finalize_xof().fill(&mut data);
    writer.push_binary(b"data", 0, &data);
    let document = writer.finish();
    assert_eq!(document.len(), bytes_max);
    document
}

#[test]
fn documents_of_every_type_and_size_come_back_byte_for_byte() {
    let set = Deployment::replica_set();
    let mut documents: Vec<Vec<u8>> = ids().iter().map(with_id).collect();
    documents.extend([largest(1), largest(2)]);
    // Around the length from which a document is stored as chunks.
    for (id, length) in [(3, 262_100), (4, 262_144), (5, 262_145), (6, 700_000)] {
        let mut writer = Writer::new();
        writer.push_i32(b"_id", id);
        let rest = length - writer.len() - 6 - 5;
        writer.push_binary(b"data", 0, &vec![id as u8; rest]);
        documents.push(writer.finish());
        assert_eq!(documents.last().unwrap().len(), length);
    }
    insert_raw(&set, "shop", "odd", &documents);
    let world = World::new();
    let outcome = world.back_up(&set.uri());
    let kept = world.kept().remove("shop.odd").unwrap();
    assert!(sorted(kept.documents) == sorted(documents));
    let mongodb = outcome.mongodb.unwrap();
    let by_oplog = !has(Ability::ReadAsOfAMoment);
    let consistency = if by_oplog { Consistency::Oplog } else { Consistency::Snapshot };
    assert_eq!(mongodb.consistency, consistency);
    assert_eq!((mongodb.version, mongodb.set_name), (crate::mongod::version(), Some("rs".into())));
    assert!(world.latest().paths[0].starts_with("mongodb://127.0.0.1"));

    // The order of keys is the server's.
    let lengths = doc! { "_id": 0, "length": { "$bsonSize": "$$ROOT" } };
    let pipeline = [doc! { "$sort": { "_id": 1 } }, doc! { "$project": lengths }];
    let by_id = doc! { "aggregate": "odd", "cursor": {}, "pipeline": pipeline };
    let reply = set.command("shop", by_id);
    let sizes = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    let size = |found: &mongodb::bson::Bson| {
        found.as_document().unwrap().get_i32("length").unwrap() as usize
    };
    let sizes: Vec<usize> = sizes.iter().map(size).collect();
    let kept: Vec<usize> = world.kept()["shop.odd"].documents.iter().map(Vec::len).collect();
    assert_eq!(kept, sizes);
}

#[test]
fn collections_of_every_kind_are_there_with_all_that_makes_them() {
    let set = Deployment::replica_set();
    let run = |command: Document| set.command("shop", command);
    fill(&set, "orders", 0..10);
    run(doc! { "createIndexes": "orders", "indexes": [
        { "key": { "n": -1 }, "name": "by n", "sparse": true },
    ] });
    run(doc! { "create": "dear", "viewOn": "orders", "pipeline": [{ "$match": { "n": 1 } }] });
    run(doc! { "create": "ring", "capped": true, "size": 8192 });
    for number in 0..300 {
        let document = doc! { "_id": (number * 7) % 300, "t": "x".repeat(20) };
        run(doc! { "insert": "ring", "documents": [document] });
    }
    if can(Ability::TimeSeries) {
        run(doc! { "create": "heat", "timeseries": { "timeField": "t", "metaField": "m" } });
        let at = mongodb::bson::DateTime::from_millis;
        let reading = |time: i64| doc! { "t": at(time), "m": time % 2 };
        run(doc! { "insert": "heat", "documents": (0..50).map(reading).collect::<Vec<_>>() });
    }
    if can(Ability::ClusteredCollections) {
        let by_id = doc! { "key": { "_id": 1 }, "unique": true };
        run(doc! { "create": "clustered", "clusteredIndex": by_id });
    }
    run(doc! { "insert": "clustered", "documents": [{ "_id": 2 }, { "_id": 1 }] });
    run(doc! { "create": "nothing", "validator": { "n": { "$gte": 1 } } });
    let bucket = set.client().database("shop").gridfs_bucket(None);
    set.block(async {
        use futures_util::AsyncWriteExt as _;
        let mut upload = bucket.open_upload_stream("a file").await.unwrap();
        upload.write_all(&vec![7; 700_000]).await.unwrap();
        upload.close().await.unwrap();
    });
    let world = World::new();
    world.back_up(&set.uri());
    let kept = world.kept();
    let names: Vec<&str> = kept.keys().map(String::as_str).collect();
    let mut expected =
        vec!["clustered", "dear", "fs.chunks", "fs.files", "heat", "nothing", "orders", "ring"];
    expected.retain(|name| *name != "heat" || has(Ability::TimeSeries));
    let expected: Vec<_> = expected.iter().map(|name| format!("shop.{name}")).collect();
    assert_eq!(names, expected);
    for name in ["clustered", "fs.chunks", "fs.files", "orders"] {
        let found = &kept[&format!("shop.{name}")];
        assert_eq!(sorted(found.documents.clone()), sorted(live(&set, "shop", name)), "{name}");
        assert_eq!(found.record.kind, CollectionKind::Collection);
    }
    let ring = &kept["shop.ring"];
    assert_eq!(ring.record.keys, DocumentKeys::Ordinal);
    assert_eq!(ring.documents, live(&set, "shop", "ring"), "in the order of insertion");
    assert!(ring.documents.len() < 300);
    if let Some(heat) = kept.get("shop.heat") {
        assert_eq!(heat.record.kind, CollectionKind::TimeSeries);
        let buckets = live(&set, "shop", "system.buckets.heat");
        assert_eq!(sorted(heat.documents.clone()), sorted(buckets));
    }
    let dear = &kept["shop.dear"];
    assert_eq!((dear.record.kind, dear.root), (CollectionKind::View, None));
    let options = RawDocument::from_bytes(&dear.record.options).unwrap();
    assert_eq!(options.get_str("viewOn").unwrap(), "orders");
    assert_eq!((kept["shop.nothing"].documents.len(), kept["shop.nothing"].record.count), (0, 0));
    assert_eq!(kept["shop.orders"].record.indexes.len(), 2);
}

#[test]
fn a_standalone_says_that_it_is_no_point_in_time() {
    let alone = Deployment::standalone();
    fill(&alone, "orders", 0..1000);
    let world = World::new();
    let outcome = world.back_up(&alone.uri());
    let mongodb = outcome.mongodb.unwrap();
    assert_eq!((mongodb.consistency, mongodb.cluster_time), (Consistency::None, None));
    assert_eq!(world.latest().mongodb.unwrap(), mongodb);
    assert_eq!(world.kept()["shop.orders"].documents.len(), 1000);
}

#[test]
fn users_and_roles_come_when_they_are_asked_for() {
    let set = Deployment::with_auth();
    fill(&set, "orders", 0..10);
    let world = World::new();
    world.back_up(&set.uri());
    assert_eq!(world.kept().keys().collect::<Vec<_>>(), ["shop.orders"]);
    world.try_back_up(&set.uri(), |options| options.users_and_roles = true).unwrap();
    let users = world.kept().remove("admin.system.users").unwrap();
    assert_eq!(sorted(users.documents), sorted(live(&set, "admin", "system.users")));
}

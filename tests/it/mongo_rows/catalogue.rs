//! Rows about what collections are: options, identities, kinds, indexes, views.

use mongodb::bson::{Bson, DateTime, doc};

use super::{Both, Row, first_batch, insert, nothing_more};
use crate::{mongod::Ability, restore_mongodb::everything::indexes_of_all_kinds};

pub fn rows() -> Vec<Row> {
    let all = [of_options(), of_kinds(), of_times(), of_indexes_and_views()];
    all.into_iter().flatten().collect()
}

fn of_options() -> Vec<Row> {
    vec![
        Row {
            name: "options of collections, raw, in their order",
            needs: &[],
            make: |from, db| {
                let schema = doc! { "$jsonSchema": { "required": ["b", "a"] } };
                let hint = "access_pattern_hint=random";
                from.command(
                    db,
                    doc! {
                        "create": "options",
                        "validator": { "$or": [schema, { "$expr": { "$gt": ["$a.b", 1.0] } }] },
                        "validationLevel": "moderate",
                        "validationAction": "warn",
                        "storageEngine": { "wiredTiger": { "configString": hint } },
                        "collation": { "locale": "fr", "strength": 3, "backwards": true },
                    },
                );
            },
            also: nothing_more,
        },
        Row {
            name: "UUIDs: in the snapshot, and new ones on the other server",
            needs: &[],
            make: |from, db| insert(from, db, "c", vec![doc! { "_id": 1 }]),
            also: uuids,
        },
        Row {
            name: "validators, and documents that violate them",
            needs: &[],
            make: |from, db| {
                let wrong = (0..20).map(|id| doc! { "_id": id, "n": "no number" });
                insert(from, db, "c", wrong.collect());
                let validator = doc! { "n": { "$type": "number" } };
                from.command(db, doc! { "collMod": "c", "validator": validator });
            },
            also: |both, db| {
                let one = doc! { "insert": "c", "documents": [{ "_id": 99, "n": "no number" }] };
                let reply = both.to.command(db, one);
                assert!(reply.contains_key("writeErrors"), "the validator is at work: {reply}");
            },
        },
    ]
}

fn of_kinds() -> Vec<Row> {
    vec![
        Row {
            name: "capped collections, in their natural order",
            needs: &[],
            make: |from, db| {
                let options = doc! { "create": "c", "capped": true, "size": 100_000, "max": 40 };
                from.command(db, options);
                let ids = (0..60).map(|n| doc! { "_id": (n * 7) % 60, "n": n });
                insert(from, db, "c", ids.collect());
            },
            also: |both, db| {
                let natural = doc! { "find": "c", "sort": { "$natural": 1 }, "batchSize": 100 };
                let batch = |server| first_batch(server, db, natural.clone());
                let (from, to) = (batch(&both.from), batch(&both.to));
                assert_eq!((from.len(), &from), (40, &to));
            },
        },
        Row {
            name: "clustered collections",
            needs: &[Ability::ClusteredCollections],
            make: |from, db| {
                let by_id = doc! { "key": { "_id": 1 }, "unique": true, "name": "by id" };
                from.command(db, doc! { "create": "c", "clusteredIndex": by_id });
                insert(from, db, "c", (0..50).rev().map(|id| doc! { "_id": id }).collect());
            },
            also: nothing_more,
        },
        Row {
            name: "time series: options, buckets, secondary indexes, time to live",
            needs: &[Ability::TimeSeries],
            make: |from, db| {
                let fields = doc! { "timeField": "t", "metaField": "m", "granularity": "minutes" };
                let ttl = 1_000_000_000_i64;
                from.command(
                    db,
                    doc! { "create": "c", "timeseries": fields, "expireAfterSeconds": ttl },
                );
                let at = |n: i64| DateTime::from_millis(1_700_000_000_000 + n * 60_000);
                let point = |n| doc! { "t": at(n), "m": { "s": n % 3 }, "v": n as f64 };
                insert(from, db, "c", (0..300).map(point).collect());
                let index = doc! { "key": { "m.s": 1, "t": -1 }, "name": "secondary" };
                from.command(db, doc! { "createIndexes": "c", "indexes": [index] });
            },
            also: |both, db| {
                let sorted = doc! { "find": "c", "sort": { "t": 1 }, "batchSize": 1000 };
                let batch = |server| first_batch(server, db, sorted.clone());
                let (from, to) = (batch(&both.from), batch(&both.to));
                assert_eq!((from.len(), &from), (300, &to), "the points themselves");
            },
        },
    ]
}

fn of_times() -> Vec<Row> {
    vec![
        Row {
            name: "times to live, and documents that are past theirs",
            needs: &[],
            make: |from, db| {
                let old = (0..50).map(|id| doc! { "_id": id, "at": DateTime::from_millis(id) });
                insert(from, db, "c", old.collect());
                let index = doc! { "key": { "at": 1 }, "name": "ttl", "expireAfterSeconds": 1 };
                from.command(db, doc! { "createIndexes": "c", "indexes": [index] });
            },
            also: |both, db| {
                let count = both.to.command(db, doc! { "count": "c" });
                assert_eq!(count.get_i32("n").unwrap(), 50);
            },
        },
        Row {
            name: "pre- and post-images of change streams",
            needs: &[Ability::PreAndPostImages],
            make: |from, db| {
                let enabled = doc! { "enabled": true };
                from.command(db, doc! { "create": "c", "changeStreamPreAndPostImages": enabled });
                insert(from, db, "c", vec![doc! { "_id": 1 }]);
            },
            also: nothing_more,
        },
        Row {
            name: "encrypted fields, their state collections and the key vault",
            needs: &[Ability::EncryptedFields],
            make: encrypted,
            also: nothing_more,
        },
    ]
}

fn of_indexes_and_views() -> Vec<Row> {
    vec![
        Row {
            name: "indexes of every kind, in their order",
            needs: &[],
            make: indexes_of_all_kinds,
            also: |both, db| {
                let list = doc! { "listIndexes": "indexed", "cursor": { "batchSize": 100 } };
                assert!(first_batch(&both.to, db, list).len() >= 15);
            },
        },
        Row {
            name: "options of the index on _id",
            needs: &[],
            make: |from, db| {
                let german = doc! { "locale": "de", "strength": 2 };
                from.command(db, doc! { "create": "collated", "collation": german });
                insert(from, db, "collated", vec![doc! { "_id": "a" }, doc! { "_id": "B" }]);
                let first = doc! { "key": { "_id": 1 }, "name": "_id_", "v": 1 };
                from.command(db, doc! { "create": "of old", "idIndex": first });
                insert(from, db, "of old", vec![doc! { "_id": 1 }]);
            },
            also: nothing_more,
        },
        Row {
            name: "views, on views and on nothing, with their pipelines in order",
            needs: &[],
            make: |from, db| {
                insert(from, db, "c", (0..9).map(|n| doc! { "a": n % 3, "b": n }).collect());
                let sort = doc! { "$sort": { "b": -1, "a": 1, "_id": 1 } };
                from.command(db, doc! { "create": "view", "viewOn": "c", "pipeline": [sort] });
                let pipeline = [doc! { "$project": { "_id": 0, "b": 1 } }];
                from.command(
                    db,
                    doc! { "create": "a view on it", "viewOn": "view",
                    "pipeline": pipeline.to_vec() },
                );
                from.command(
                    db,
                    doc! { "create": "on nothing", "viewOn": "nowhere", "pipeline": [],
                    "collation": { "locale": "sv" } },
                );
            },
            also: |both, db| {
                let found = first_batch(&both.to, db, doc! { "find": "a view on it" });
                let values: Vec<i32> = found.iter().map(|one| one.get_i32("b").unwrap()).collect();
                assert_eq!(values, (0..9).rev().collect::<Vec<_>>());
            },
        },
    ]
}

fn encrypted(from: &crate::mongod::Deployment, db: &str) {
    let key = mongodb::bson::Binary {
        subtype: mongodb::bson::spec::BinarySubtype::Uuid,
        bytes: vec![7; 16],
    };
    let field = doc! { "path": "number", "keyId": &key, "bsonType": "string" };
    let names = doc! {
        "escCollection": "enxcol_.c.esc",
        "eccCollection": "enxcol_.c.ecc",
        "ecocCollection": "enxcol_.c.ecoc",
        "fields": [field],
    };
    from.command(db, doc! { "create": "c", "encryptedFields": names });
    insert(from, db, "c", vec![doc! { "_id": 1, "open": "text" }]);
    for state in ["esc", "ecc", "ecoc"] {
        let name = format!("enxcol_.c.{state}");
        let by_id = doc! { "key": { "_id": 1 }, "unique": true };
        from.command(db, doc! { "create": &name, "clusteredIndex": by_id });
        insert(from, db, &name, vec![doc! { "_id": 1, "value": &key }]);
    }
    insert(from, db, "__keyVault", vec![doc! { "_id": &key, "keyAltNames": ["a name"] }]);
    let exists = doc! { "keyAltNames": { "$exists": true } };
    let index = doc! { "key": { "keyAltNames": 1 }, "name": "keyAltNames_1", "unique": true,
    "partialFilterExpression": exists };
    from.command(db, doc! { "createIndexes": "__keyVault", "indexes": [index] });
}

fn uuids(both: &Both, db: &str) {
    let uuid = |deployment| {
        let list = doc! { "listCollections": 1, "filter": { "name": "c" } };
        let listed = first_batch(deployment, db, list).remove(0);
        match listed.get_document("info").unwrap().get("uuid").unwrap() {
            Bson::Binary(uuid) => hex::encode(&uuid.bytes),
            other => panic!("{other}"),
        }
    };
    let listed = both.desk.json_lines(&["ls", &format!("latest:{db}")]);
    let kept = listed.iter().find(|line| line["collection"] == "c").unwrap();
    let kept = kept["uuid"].as_str().unwrap().replace('-', "");
    assert_eq!(kept, uuid(&both.from));
    assert_ne!(kept, uuid(&both.to));
}

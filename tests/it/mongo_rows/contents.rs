//! Rows about documents: those that are hard, and collections that others know by their names.

use icecore::{
    document::namespace::Namespace,
    mongo::{Connect, Link, Purpose},
    sink::mongo as sink,
};
use mongodb::bson::{Bson, doc};

use super::{Row, first_batch, insert, nothing_more};
use crate::{
    mongod::Deployment,
    restore_mongodb::everything::{every_id, every_type},
    sink_mongo::awkward,
};

pub fn rows() -> Vec<Row> {
    [of_documents(), of_names()].into_iter().flatten().collect()
}

fn of_documents() -> Vec<Row> {
    vec![
        Row {
            name: "documents: every type, and ids of every type",
            needs: &[],
            make: |from, db| {
                insert(from, db, "types", vec![every_type()]);
                insert(from, db, "ids", every_id());
            },
            also: nothing_more,
        },
        Row {
            name: "documents: Timestamp(0, 0), `$` and empty and double names, text not UTF-8",
            needs: &[],
            make: |from, db| {
                let link = Link::connect(&from.uri(), &Connect::to(Purpose::Write)).unwrap();
                let place = Namespace::new(db, "awkward");
                let mut writers = sink::Writers::start(&link, &place, sink::Order::Any, 2);
                for document in awkward() {
                    writers.push(sink::Op::Insert { document }).unwrap();
                }
                assert!(writers.finish().unwrap().failures.count() == 0);
            },
            also: |both, db| {
                let raw = |deployment: &Deployment| {
                    let uri = deployment.uri();
                    let link = Link::connect(&uri, &Connect::to(Purpose::Write)).unwrap();
                    let find = doc! { "find": "awkward", "sort": { "_id": 1 } };
                    link.list(db, &find.to_vec().unwrap()).unwrap()
                };
                let to = raw(&both.to);
                assert_eq!(to, awkward(), "byte for byte");
                assert_eq!(to, raw(&both.from));
            },
        },
        Row {
            name: "documents of 16 MiB",
            needs: &[],
            make: |from, db| {
                let text = "ä".repeat(8 << 20);
                let text = text.split_at((16 << 20) - 64).0;
                insert(from, db, "large", vec![doc! { "_id": 1, "text": text }]);
            },
            also: nothing_more,
        },
    ]
}

fn of_names() -> Vec<Row> {
    vec![
        Row {
            name: "system.js",
            needs: &[],
            make: |from, db| {
                let code = Bson::JavaScriptCode("function() { return 1 }".into());
                insert(from, db, "system.js", vec![doc! { "_id": "f", "value": code }]);
            },
            also: |both, db| {
                assert_eq!(first_batch(&both.to, db, doc! { "find": "system.js" }).len(), 1);
            },
        },
        Row {
            name: "GridFS",
            needs: &[],
            make: |from, db| {
                let bucket = from.client().database(db).gridfs_bucket(None);
                from.block(async {
                    use futures_util::AsyncWriteExt as _;
                    let mut upload = bucket.open_upload_stream("a file").await.unwrap();
                    upload.write_all(&file()).await.unwrap();
                    upload.close().await.unwrap();
                });
            },
            also: |both, db| {
                let bucket = both.to.client().database(db).gridfs_bucket(None);
                let got = both.to.block(async {
                    use futures_util::AsyncReadExt as _;
                    let mut got = Vec::new();
                    let mut there = bucket.open_download_stream_by_name("a file").await.unwrap();
                    there.read_to_end(&mut got).await.unwrap();
                    got
                });
                assert!(got == file());
            },
        },
    ]
}

fn file() -> Vec<u8> {
    let mut file = vec![0; 700_000];
    blake3::Hasher::new().finalize_xof().fill(&mut file);
    file
}

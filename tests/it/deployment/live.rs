//! A snapshot beside a server as it is now.

use mongodb::bson::{Document, doc};

use crate::{
    cli::{Desk, damaged},
    mongod,
};

#[test]
fn a_snapshot_is_compared_with_a_server() {
    let server = mongod::Deployment::standalone();
    let insert = |collection: &str, documents: Vec<_>| {
        server.command("shop", doc! { "insert": collection, "documents": documents });
    };
    insert("orders", (0..500).map(|n| doc! { "_id": n, "n": n }).collect());
    insert("gone", vec![doc! { "_id": 1 }]);
    server.command("shop", doc! { "create": "log", "capped": true, "size": 100_000 });
    insert("log", vec![doc! { "_id": 5 }, doc! { "_id": 3 }]);
    let long = "x".repeat(400_000);
    insert("large", vec![doc! { "_id": "long", "text": &long }]);
    let view = |name: &str| {
        server.command("shop", doc! { "create": name, "viewOn": "orders", "pipeline": [] });
    };
    view("first");
    view("second");
    let desk = Desk::new();
    desk.init();
    let uri = server.uri();
    desk.ok(&["backup", &uri]);
    assert_eq!(desk.ok(&["diff", "-q", "latest", &uri]), "");
    let update = doc! { "q": { "_id": 7 }, "u": { "$set": { "n": "seven" } } };
    server.command("shop", doc! { "update": "orders", "updates": [update] });
    let delete = doc! { "q": { "_id": 499 }, "limit": 1 };
    server.command("shop", doc! { "delete": "orders", "deletes": [delete] });
    insert("orders", vec![doc! { "_id": 1000 }]);
    insert("log", vec![doc! { "_id": 4 }]);
    server.command("shop", doc! { "drop": "gone" });
    server.command("shop", doc! { "drop": "first" });
    let pipeline = [doc! { "$limit": 1 }];
    server.command("shop", doc! { "collMod": "second", "viewOn": "orders", "pipeline": pipeline });
    view("third");
    let grown = doc! { "q": { "_id": "long" }, "u": { "$set": { "more": 1 } } };
    server.command("shop", doc! { "update": "large", "updates": [grown] });
    let out = desk.ok(&["diff", "-q", "--fields", "latest", &uri]);
    let wanted = "\
-    shop.first (view, 0 documents)
-    shop.gone (collection, 1 document)
M    shop.large/\"long\"
       + more: 1
+    shop.log/4
M    shop.orders/7
       n: 7 -> \"seven\"
-    shop.orders/499
+    shop.orders/1000
M    shop.second (options)
+    shop.third (view, 0 documents)
";
    assert_eq!(out, wanted);
    let one = desk.json_lines(&["diff", "latest:shop.log", &uri]);
    assert_eq!((one.len(), &one[0]["modifier"]), (2, &"+".into()));
    assert_eq!(one[1]["documents"]["added"], 1);
    assert_eq!(desk.run(&["diff", "latest:/etc", &uri]).code, 2);
}

/// Documents that fill several leaves.
fn documents(seed: u8) -> Vec<Document> {
    let text = |n: i32| {
        let mut random = vec![0; 3_000];
        blake3::Hasher::new()
            .update(&[seed])
            .update(&n.to_le_bytes())
            .finalize_xof()
            .fill(&mut random);
        hex::encode(random)
    };
    (0..400).map(|n| doc! { "_id": n, "text": text(n) }).collect()
}

#[test]
fn what_is_damaged_ends_no_comparison() {
    let server = mongod::Deployment::standalone();
    for capped in [false, true] {
        server.command("shop", doc! { "dropDatabase": 1 });
        let fill = |seed: u8| {
            let _ = server.try_command("shop", doc! { "drop": "log" });
            let mut create = doc! { "create": "log" };
            if capped {
                create.extend(doc! { "capped": true, "size": 8 << 20 });
            }
            server.command("shop", create);
            for some in documents(seed).chunks(100) {
                server.command("shop", doc! { "insert": "log", "documents": some });
            }
        };
        let (desk, uri) = (Desk::new(), server.uri());
        desk.init();
        fill(1);
        desk.ok(&["backup", &uri]);
        let old = damaged::packs(&desk);
        fill(2);
        desk.ok(&["backup", &uri]);
        damaged::rot(&old);
        for new in ["latest", &uri] {
            let said = desk.run(&["diff", "-q", "latest~1", new]);
            assert_eq!(said.code, 13, "{}\n{}", said.out, said.err);
            let told = said.err.matches("cannot read ").count();
            assert_eq!(told, 1, "{}", said.err);
            let of = |start: &str| {
                let documents = said.out.lines().filter(|line| line.contains("shop.log/"));
                documents.filter(|line| line.starts_with(start)).count()
            };
            // Two snapshots of one are compared by what documents are, not by their ids.
            let changed = if capped && new == "latest" { "-" } else { "M" };
            let left = of(changed);
            assert!((1..400).contains(&left), "{capped} {new}: {left}");
            assert_eq!((of("") - left, of("+")), (0, 0), "{}", said.out);
        }
    }
}

#[test]
fn a_document_that_comes_twice_is_one() {
    let server = mongod::Deployment::standalone();
    // More than a batch.
    let many: Vec<_> = (0..12_000).map(|n| doc! { "_id": n }).collect();
    server.command("shop", doc! { "insert": "orders", "documents": many });
    let desk = Desk::new();
    desk.init();
    desk.ok(&["backup", &server.uri()]);
    // CappedPositionLost: where the scan was is no more, and it begins again.
    let data = doc! { "failCommands": ["getMore"], "errorCode": 136 };
    server.command(
        "admin",
        doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data },
    );
    assert_eq!(desk.ok(&["diff", "-q", "latest", &server.uri()]), "");
    let off = server.command("admin", doc! { "configureFailPoint": "failCommand", "mode": "off" });
    assert_eq!(off.get_i32("count").ok(), Some(1), "it began again");
}

//! A snapshot beside a server as it is now.

use mongodb::bson::doc;

use crate::{cli::Desk, mongod};

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

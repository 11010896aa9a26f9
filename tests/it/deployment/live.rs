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
    let grown = doc! { "q": { "_id": "long" }, "u": { "$set": { "more": 1 } } };
    server.command("shop", doc! { "update": "large", "updates": [grown] });
    let out = desk.ok(&["diff", "-q", "--fields", "latest", &uri]);
    let wanted = "\
-    shop.gone (collection, 1 document)
M    shop.large/\"long\"
       + more: 1
+    shop.log/4
M    shop.orders/7
       n: 7 -> \"seven\"
-    shop.orders/499
+    shop.orders/1000
";
    assert_eq!(out, wanted);
    let one = desk.json_lines(&["diff", "latest:shop.log", &uri]);
    assert_eq!((one.len(), &one[0]["modifier"]), (2, &"+".into()));
    assert_eq!(one[1]["documents"]["added"], 1);
    assert_eq!(desk.run(&["diff", "latest:/etc", &uri]).code, 2);
}

//! ls, cat and their kin on documents, as a person and a script meet them.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use super::scene::{Scene, commit};
use crate::cli::{Desk, damaged};

/// Two snapshots of a shop, a day's work between them.
pub fn shop() -> Desk {
    let desk = Desk::new();
    desk.init();
    let mut scene = Scene::default();
    scene.collection(
        "shop",
        "orders",
        &[
            r#"{"_id":1,"item":"pen","n":{"$numberLong":"2"},"tags":["a"]}"#,
            r#"{"_id":2,"item":"ink","n":5}"#,
            "{\"_id\":{\"$oid\":\"65f0a1b2c3d4e5f601234567\"},\"item\":\"nib\",\
             \"at\":{\"$date\":\"2026-01-31T12:00:00Z\"}}",
        ],
    );
    scene.collection("shop", "old", &[r#"{"_id":"x"}"#]);
    commit(&desk.path("repository"), "correct horse", &scene);
    let orders = scene.made("shop", "orders");
    orders.documents[0] = super::scene::parsed(
        r#"{"_id":1,"item":"pen","n":{"$numberLong":"3"},"tags":["a","b"],"paid":true}"#,
    );
    orders.documents.remove(1);
    orders.documents.push(super::scene::parsed(r#"{"_id":"new","item":"cap"}"#));
    orders.indexes.push(r#"{"v":2,"key":{"item":1},"name":"item_1"}"#.into());
    scene.0.remove(&("shop".into(), "old".into()));
    scene.collection("stock", "pens", &[r#"{"_id":7}"#]).options = r#"{"capped":true}"#.into();
    commit(&desk.path("repository"), "correct horse", &scene);
    desk
}

#[test]
fn ls_shows_databases_collections_and_ids() {
    let desk = shop();
    assert_eq!(desk.ok(&["ls", "latest"]), "shop\nstock\n");
    let out = desk.ok(&["ls", "latest~1:shop"]);
    let words: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        words,
        [
            vec!["collection", "1", "16", "B", "shop.old"],
            vec!["collection", "3", "142", "B", "shop.orders"],
        ]
    );
    let ids = desk.ok(&["ls", "latest:shop.orders"]);
    assert_eq!(ids, "1\n\"new\"\n{\"$oid\":\"65f0a1b2c3d4e5f601234567\"}\n");
    let lines = desk.json_lines(&["ls", "latest:shop.orders"]);
    assert_eq!(lines[1]["message_type"], "document");
    assert_eq!(lines[3]["_id"]["$oid"], "65f0a1b2c3d4e5f601234567");
    let first = r#"{"_id":1,"item":"pen","n":{"$numberLong":"3"},"tags":["a","b"],"paid":true}"#;
    assert_eq!(lines[1]["bytes"], super::scene::parsed(first).len());
    let lines = desk.json_lines(&["ls", "latest:stock"]);
    assert_eq!((&lines[1]["name"], &lines[1]["documents"]), (&"stock.pens".into(), &1.into()));
    assert_eq!(lines[1]["uuid"], "30313233-3435-3637-3839-616263646566");
}

#[test]
fn cat_writes_one_document_in_any_form() {
    let desk = shop();
    let out = desk.ok(&["cat", "latest:shop.orders/65f0a1b2c3d4e5f601234567"]);
    let wanted = "{\n  \"_id\": {\"$oid\":\"65f0a1b2c3d4e5f601234567\"},\n  \"item\": \"nib\",\n  \
                  \"at\": {\"$date\":\"2026-01-31T12:00:00Z\"}\n}\n";
    assert_eq!(out, wanted);
    let line = desk.ok(&["cat", "latest:shop.orders/1", "--format", "jsonl"]);
    assert_eq!(line, "{\"_id\":1,\"item\":\"pen\",\"n\":3,\"tags\":[\"a\",\"b\"],\"paid\":true}\n");
    let canonical = desk.ok(&["cat", "latest~1:shop.orders/1", "--format", "canonical"]);
    assert!(canonical.contains("\"n\": {\"$numberLong\":\"2\"}"), "{canonical}");
    let mut command = desk.command(&["cat", "latest:stock.pens/7", "--format", "bson"]);
    assert_eq!(command.output().unwrap().stdout, super::scene::parsed("{\"_id\":7}"));
}

#[test]
fn what_is_not_there_is_named() {
    let desk = shop();
    let wrong = |place: &str, code: i32, text: &str| {
        let said = desk.run(&["cat", place]);
        assert_eq!(said.code, code, "{place}: {}", said.err);
        assert!(said.err.contains(text), "{place}: {}", said.err);
    };
    wrong("latest:shop.orders/2", 1, "shop.orders has no document 2");
    wrong("latest:shop.old/x", 1, "the snapshot has no collection shop.old/x");
    wrong("latest:stok.pens/1", 1, "no collection stok.pens/1");
    wrong("latest:stok", 1, "no database stok");
    wrong("latest:stock", 1, "stock is a database");
    wrong("latest:stock.pens", 2, "is a whole collection");
    wrong("latest", 2, "names no file and no document");
    wrong("latest:/etc/fstab", 1, "the snapshot holds no files");
    wrong("latest:a/b", 2, "no place in a snapshot");
}

#[test]
fn diff_goes_down_to_fields() {
    let desk = shop();
    let out = desk.ok(&["diff", "--fields", "latest~1", "latest"]);
    let wanted = "\
-    shop.old (collection, 1 document)
M    shop.orders (index + item_1)
M    shop.orders/1
       n: 2 -> 3
       + tags.1: \"b\"
       + paid: true
-    shop.orders/2
+    shop.orders/\"new\"
+    stock.pens (collection, 1 document)

collections: 1 new, 1 removed, 1 changed
documents:   1 new, 1 removed, 1 changed
";
    assert_eq!(out, wanted);
    assert_eq!(desk.ok(&["diff", "-q", "latest", "latest"]), "");
    let one = desk.ok(&["diff", "-q", "latest~1:shop.orders/2", "latest:shop.orders/2"]);
    assert_eq!(one, "-    shop.orders/2\n");
    // Two collections, of two databases or of one snapshot.
    let across = desk.ok(&["diff", "-q", "latest:shop.orders", "latest:stock.pens"]);
    let letters: Vec<&str> = across.lines().map(|line| &line[..1]).collect();
    assert_eq!(letters, ["M", "-", "+", "-", "-"], "{across}");
    assert!(across.contains("+    stock.pens/7\n-    shop.orders/\"new\"\n"), "{across}");
    let lines = desk.json_lines(&["diff", "--fields", "latest~1:shop", "latest:shop"]);
    let changed = lines.iter().find(|line| line["path"] == "shop.orders/1").unwrap();
    assert_eq!(changed["fields"][0]["path"], "n");
    assert_eq!(changed["fields"][0]["old"]["$numberLong"], "2");
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["documents"]["added"], &last["collections"]["changed"]),
        (&1.into(), &1.into())
    );
    assert_eq!(desk.run(&["diff", "latest:/etc", "latest:shop"]).code, 2);
}

#[test]
fn json_keeps_the_order_of_fields_and_all_of_one_name() {
    let desk = Desk::new();
    desk.init();
    let mut scene = Scene::default();
    let id = r#"{"sku":7,"l":"at"}"#;
    let document = |o: &str| format!(r#"{{"_id":{id},"o":{o}}}"#);
    scene.collection("shop", "c", &[&document(r#"{"k":1,"k":2,"a":3}"#)]);
    commit(&desk.path("repository"), "correct horse", &scene);
    scene.made("shop", "c").documents[0] = super::scene::parsed(&document("1"));
    commit(&desk.path("repository"), "correct horse", &scene);

    let text = desk.ok(&["ls", "latest:shop.c", "--json"]);
    let shown = text.split_once(r#""_id":"#).and_then(|(_, rest)| rest.split_once(r#","bytes""#));
    assert_eq!(shown.unwrap().0, id);
    assert!(desk.ok(&["cat", &format!("latest:shop.c/{}", shown.unwrap().0)]).contains("\"sku\""));
    let fields = concat!(
        r#""fields":[{"new":{"$numberInt":"1"},"old":{"k":{"$numberInt":"1"},"#,
        r#""k":{"$numberInt":"2"},"a":{"$numberInt":"3"}},"path":"o"}]"#
    );
    let place = format!("shop.c/{id}");
    for arguments in [
        &["diff", "latest~1", "latest", "--fields", "--json"][..],
        &["history", &place, "-v", "--json"],
    ] {
        let text = desk.ok(arguments);
        assert!(text.contains(fields), "{arguments:?}: {text}");
    }
    let text = desk.ok(&["diff", "latest~1", "latest", "--json"]);
    assert!(text.contains(&format!(r#"{{"_id":{id},"message_type":"change","#)), "{text}");

    scene.made("shop", "c").documents[0] =
        super::scene::parsed(&format!(r#"{{"o":1,"_id":{id}}}"#));
    commit(&desk.path("repository"), "correct horse", &scene);
    let text = desk.ok(&["diff", "latest~1", "latest", "--fields"]);
    assert!(text.contains("       (top level): fields in another order\n"), "{text}");
    let text = desk.ok(&["diff", "latest~1", "latest", "--fields", "--json"]);
    assert!(text.contains(r#""fields":[{"path":null,"reordered":true}]"#), "{text}");
}

#[test]
fn history_tells_every_version() {
    let desk = shop();
    let letters = |arguments: &[&str]| -> Vec<String> {
        let out = desk.ok(&[&["history"], arguments].concat());
        out.lines().map(|line| line.chars().take(6).collect::<String>().trim().into()).collect()
    };
    let first = |text: &str| text.chars().next().unwrap();
    let firsts = |arguments: &[&str]| -> String {
        letters(&[arguments, &["-q"]].concat()).iter().map(|text| first(text)).collect()
    };
    assert_eq!(firsts(&["shop.orders/1"]), "+M");
    assert_eq!(firsts(&["shop.orders/2"]), "+-");
    assert_eq!(firsts(&["shop.orders/\"new\""]), "+");
    assert_eq!(firsts(&["shop.old/x"]), "+-");
    assert_eq!(firsts(&["shop.orders/65f0a1b2c3d4e5f601234567"]), "+");
    assert_eq!(firsts(&["shop.orders/65f0a1b2c3d4e5f601234567", "--all"]), "+=");
    let verbose = desk.ok(&["history", "shop.orders/1", "-v"]);
    assert!(verbose.contains("     n: 2 -> 3\n"), "{verbose}");
    let lines = desk.json_lines(&["history", "shop.orders/2"]);
    assert_eq!(
        (lines.len(), &lines[1]["modifier"], &lines[1]["bytes"]),
        (2, &"-".into(), &().into())
    );
    assert_eq!(desk.run(&["history", "shop.orders/9"]).code, 1);
    assert_eq!(desk.run(&["history", "shop.orders"]).code, 2);

    let files = Desk::with_snapshots();
    let path = files.text("data/a.txt");
    let lines = files.json_lines(&["history", &path]);
    let modifiers: Vec<&str> = lines.iter().map(|l| l["modifier"].as_str().unwrap()).collect();
    assert_eq!(modifiers, ["+", "M"]);
    let gone = files.json_lines(&["history", &files.text("data/dir/gone.txt")]);
    assert_eq!(gone[1]["modifier"], "-");
}

#[test]
fn find_asks_a_collection() {
    let desk = shop();
    let found = |arguments: &[&str]| {
        let out = desk.ok(&[&["find", "latest~1:shop.orders"], arguments].concat());
        out.lines().map(super::scene::parsed).collect::<Vec<_>>().len()
    };
    assert_eq!(found(&["--query", "{n: {$gte: 2}}"]), 2);
    assert_eq!(found(&["--query", r#"{"tags": "a", "item": {"$regex": "^p"}}"#]), 1);
    assert_eq!(found(&["--query", "{}"]), 3);
    assert_eq!(found(&["--query", "{}", "--limit", "2"]), 2);
    assert_eq!(found(&["--id-from", "2"]), 2);
    assert_eq!(found(&["--id-from", "1", "--id-to", "1"]), 1);
    assert_eq!(found(&["--id-to", "2", "--query", "{n: 5}"]), 1);
    for (query, text) in [
        ("{$where: \"1\"}", "`$where` is not supported"),
        ("{a: }", "can't be read"),
        ("{a: {$size: -1}}", "`$size` wants"),
    ] {
        let said = desk.run(&["find", "latest:shop.orders", "--query", query]);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains(text), "{}", said.err);
    }
    assert_eq!(desk.run(&["find", "latest:/etc", "--query", "{}"]).code, 2);

    // All of a collection is not what one looks for, and no file is called so.
    let said = desk.run(&["find", "latest:shop.orders"]);
    assert!(said.code == 2 && said.err.contains("--query"), "{}", said.err);
    for (place, hint) in [("latest:shop", "icecore ls"), ("latest:shop.orders/7", "icecore cat")] {
        let said = desk.run(&["find", place]);
        assert!(said.code == 2 && said.err.contains(hint), "{}", said.err);
    }
    for pattern in ["latest:shop.none", "latest:*.orders", "none:shop.orders", "latest:orders"] {
        assert_eq!(desk.run(&["find", pattern]).code, 0, "{pattern} may be a name of a file");
    }

    for (from, to) in [("10", "5"), ("x", "5"), ("b", "a")] {
        let said = desk.run(&["find", "latest:shop.orders", "--id-from", from, "--id-to", to]);
        assert_eq!(said.code, 2, "{from} to {to}: {}", said.err);
        assert!(said.err.contains("`--id-from` stands behind"), "{}", said.err);
    }
}

#[test]
fn dump_makes_what_mongorestore_takes() {
    let desk = shop();
    desk.ok(&["dump", "latest", "--out", "dump"]);
    let bson = std::fs::read(desk.path("dump/shop/orders.bson")).unwrap();
    let length = i32::from_le_bytes(*bson.first_chunk().unwrap()) as usize;
    let first = super::scene::parsed(
        r#"{"_id":1,"item":"pen","n":{"$numberLong":"3"},"tags":["a","b"],"paid":true}"#,
    );
    assert_eq!(bson[..length], first);
    let metadata = std::fs::read_to_string(desk.path("dump/shop/orders.metadata.json")).unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["indexes"][1]["name"], "item_1");
    assert_eq!(metadata["indexes"][1]["key"]["item"]["$numberInt"], "1");
    assert_eq!(metadata["uuid"], "30313233343536373839616263646566");
    assert_eq!(
        (&metadata["collectionName"], &metadata["type"]),
        (&"orders".into(), &"collection".into())
    );
    assert!(desk.path("dump/stock/pens.bson").exists());
    let again = desk.run(&["dump", "latest:shop", "--out", "dump"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("is there already"), "{}", again.err);
    let lines = desk.ok(&["dump", "latest:shop.orders", "--format", "jsonl", "--out", "-"]);
    assert_eq!(lines.lines().count(), 3);
    assert_eq!(desk.run(&["dump", "latest", "--out", "-"]).code, 2);
    let summary = desk.json(&["dump", "latest", "--out", "lines", "--format", "jsonl", "--gzip"]);
    assert_eq!((&summary["documents"], &summary["collections"]), (&4.into(), &2.into()));
    assert!(desk.path("lines/shop/orders.jsonl.gz").exists());
}

#[test]
fn check_names_the_documents_that_damage_touches() {
    let desk = Desk::new();
    desk.init();
    let mut scene = Scene::default();
    // Bytes that do not shrink: several leaves, and one document in chunks of its own.
    let noise = |seed: u32, length: usize| {
        let mut bytes = vec![0; length / 2];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        hex::encode(bytes)
    };
    let docs: Vec<String> =
        (0..3000).map(|n| format!("{{\"_id\":{n},\"x\":\"{}\"}}", noise(n, 2000))).collect();
    let docs: Vec<&str> = docs.iter().map(String::as_str).collect();
    scene.collection("shop", "orders", &docs);
    commit(&desk.path("repository"), "correct horse", &scene);
    let mut scene = Scene::default();
    let long = format!("{{\"_id\":\"long\",\"x\":\"{}\"}}", noise(9999, 1_500_000));
    scene.collection("shop", "large", &[&long, r#"{"_id":"short"}"#]);
    let packs = packs(&desk);
    commit(&desk.path("repository"), "correct horse", &scene);
    assert!(desk.ok(&["check", "--read-data"]).contains("no damage found"));
    // Of each snapshot, one byte in the middle of its largest pack.
    let (old, new): (Vec<_>, Vec<_>) =
        self::packs(&desk).into_iter().partition(|pack| packs.contains(pack));
    for pack in [old, new].map(|some| some.into_iter().max().unwrap().1) {
        let mut bytes = std::fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::set_permissions(&pack, Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&pack, bytes).unwrap();
    }
    let said = desk.run(&["check", "--read-data"]);
    assert_eq!(said.code, 13, "{}", said.out);
    assert!(said.out.contains("0 files, 1 document\n  shop.large/\"long\"\n"), "{}", said.out);
    let said = desk.run(&["check", "--read-data", "--json"]);
    let lines = crate::cli::lines(&said.out);
    let touched = lines.last().unwrap()["damaged_snapshots"].as_array().unwrap();
    let gap = &touched.iter().find(|one| one["documents"] == 0).unwrap()["document_gaps"][0];
    assert_eq!(gap["namespace"], "shop.orders");
    let number = |of: &str| gap[of].as_str().map(|id| id.parse::<u32>().unwrap());
    let (after, before) = (number("after").unwrap_or(0), number("before").unwrap_or(3000));
    assert!(after < before && before - after < 1000, "one leaf is missing: {gap}");
}

/// Size and path of each pack.
fn packs(desk: &Desk) -> Vec<(u64, std::path::PathBuf)> {
    let mut found = Vec::new();
    let mut left = vec![desk.path("repository/packs")];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            match entry.metadata().unwrap() {
                metadata if metadata.is_dir() => left.push(entry.path()),
                metadata => found.push((metadata.len(), entry.path())),
            }
        }
    }
    found
}

#[test]
fn documents_that_are_not_damaged_are_listed_found_and_dumped() {
    let desk = Desk::new();
    desk.init();
    let text = |seed: u64| {
        let mut bytes = vec![0; 3_000];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        hex::encode(bytes)
    };
    let document = |n: u64| format!("{{\"_id\":{n},\"text\":\"{}\"}}", text(n));
    let documents: Vec<String> = (0..400).map(document).collect();
    let mut scene = Scene::default();
    let all: Vec<&str> = documents.iter().map(String::as_str).collect();
    scene.collection("shop", "big", &all);
    commit(&desk.path("repository"), "correct horse", &scene);
    let old = damaged::packs(&desk);
    scene.collection("shop", "big", &all[1..]);
    scene.collection("shop", "whole", &["{\"_id\":1}"]);
    commit(&desk.path("repository"), "correct horse", &scene);
    damaged::rot(&old);
    for number in [0, 1] {
        let place = format!("latest~{number}:shop.big");
        let ls = desk.run(&["ls", &place]);
        assert_eq!(ls.code, 13, "{}", ls.err);
        assert!(ls.err.starts_with("cannot read what follows shop.big/"), "{}", ls.err);
        let left = ls.out.lines().count();
        assert!((1..399).contains(&left), "{left}");
        for arguments in [
            &["find", &place, "--query", "{}"][..],
            &["dump", &place, "--format", "jsonl", "--out", "-"],
        ] {
            let found = desk.run(arguments);
            assert_eq!((found.code, found.out.lines().count()), (13, left), "{}", found.err);
        }
        let out = format!("dump{number}");
        let dump =
            desk.run(&["dump", &format!("latest~{number}"), "--out", &out, "--format", "jsonl"]);
        assert_eq!(dump.code, 13, "{}", dump.err);
        let dumped = std::fs::read_to_string(desk.path(&out).join("shop/big.jsonl")).unwrap();
        assert_eq!(dumped.lines().count(), left);
        assert_eq!(desk.path(&out).join("shop/whole.jsonl").exists(), number == 0);
    }
    // What is damaged is the same on both sides, and nobody need read it.
    let same = desk.ok(&["diff", "-q", "latest~1:shop", "latest:shop"]);
    assert!(same.contains("-    shop.big/0\n"), "{same}");
}

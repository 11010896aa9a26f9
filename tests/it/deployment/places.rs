//! Addresses, ids and documents over trees made by hand: what is found, and how little is read.

use icecore::{
    document::extjson::{Flavour, to_text},
    format::catalogue::{CollectionKind, DocumentKeys},
    tree::{Root, testing::RecordingBlobs},
    verbs::{
        Error,
        deployment::{self, Bounds, Collection, Found},
    },
};

use super::scene::{Scene, parsed};

fn shop() -> Scene {
    let mut scene = Scene::default();
    scene.collection(
        "shop",
        "orders",
        &[
            r#"{"_id":1,"what":"int"}"#,
            r#"{"_id":"1","what":"text"}"#,
            r#"{"_id":{"$oid":"65f0a1b2c3d4e5f601234567"},"what":"oid"}"#,
            r#"{"_id":"65f0a1b2c3d4e5f601234567","what":"hex"}"#,
            r#"{"_id":{"sku":7,"land":"at"},"what":"document"}"#,
            r#"{"_id":"a/b","what":"slash"}"#,
            r#"{"_id":{"$numberDecimal":"1.1"},"what":"decimal"}"#,
            r#"{"_id":true,"what":"bool"}"#,
            r#"{"_id":{"$date":"2026-01-31T12:00:00Z"},"what":"date"}"#,
        ],
    );
    scene.collection("shop", "orders/old", &[r#"{"_id":1,"what":"old"}"#]);
    scene.collection("shop", "a.b", &[]);
    scene.collection("shop2", "x", &[]);
    scene.collection("shop", "log", &[r#"{"_id":9,"n":1}"#, r#"{"_id":3,"n":2}"#, r#"{"n":3}"#]);
    scene.made("shop", "log").keys = DocumentKeys::Ordinal;
    scene.collection("shop", "view", &[]).kind = CollectionKind::View;
    scene
}

fn collection(blobs: &RecordingBlobs, root: &Root, address: &str) -> (Collection, Option<String>) {
    let found = deployment::resolve(blobs, root, &address.parse().unwrap()).unwrap();
    deployment::needed_collection::<std::io::Error>(found).unwrap()
}

#[test]
fn an_address_leads_to_what_is_there() {
    let blobs = RecordingBlobs::default();
    let root = shop().write(&blobs);
    let of = |address: &str| {
        let found = deployment::resolve(&blobs, &root, &address.parse().unwrap());
        match found {
            Ok(Found::Database(name)) => format!("database {name}"),
            Ok(Found::Collection(found)) => format!("collection {}", found.namespace),
            Ok(Found::Document(found, id)) => format!("document {id} of {}", found.namespace),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(of("shop"), "database shop");
    assert_eq!(of("shop.orders"), "collection shop.orders");
    assert_eq!(of("shop.orders/1"), "document 1 of shop.orders");
    assert_eq!(of("shop.orders/old"), "collection shop.orders/old", "the whole name wins");
    assert_eq!(of("shop.orders/\"old\""), "document \"old\" of shop.orders");
    assert_eq!(of("shop.orders/old/1"), "document 1 of shop.orders/old", "then the longest");
    assert_eq!(of("shop.orders/old/\"1/2\""), "document \"1/2\" of shop.orders/old");
    assert_eq!(of("shop.orders/\"old/1\""), "document \"old/1\" of shop.orders");
    assert_eq!(of("shop.a.b"), "collection shop.a.b");
    assert_eq!(of("sho"), "the snapshot has no database sho");
    assert_eq!(of("shop.order"), "the snapshot has no collection shop.order");
    let databases: Result<Vec<_>, _> = deployment::databases(&blobs, &root).collect();
    assert_eq!(databases.unwrap(), ["shop", "shop2"]);
    let names = |database| -> Vec<String> {
        let all = deployment::collections(&blobs, &root, database);
        all.map(|found| found.unwrap().namespace.to_string()).collect()
    };
    let shop = ["shop.a.b", "shop.log", "shop.orders", "shop.orders/old", "shop.view"];
    assert_eq!(names(Some("shop")), shop);
    assert_eq!(names(None).len(), 6);
}

#[test]
fn an_id_is_found_as_it_is_typed() {
    let blobs = RecordingBlobs::default();
    let root = shop().write(&blobs);
    let what = |id: &str| {
        let (orders, _) = collection(&blobs, &root, "shop.orders");
        match deployment::by_id(&blobs, &orders, id) {
            Ok(found) => to_text(&found.bytes, Flavour::Relaxed).unwrap(),
            Err(Error::NoSuchDocument { .. }) => "none".into(),
            Err(error) => panic!("{error}"),
        }
    };
    for (typed, wanted) in [
        ("1", "int"),
        ("1.0", "int"),
        ("\"1\"", "text"),
        ("65f0a1b2c3d4e5f601234567", "oid"),
        ("\"65f0a1b2c3d4e5f601234567\"", "hex"),
        (r#"{"sku":7,"land":"at"}"#, "document"),
        ("a/b", "slash"),
        ("1.1", "decimal"),
        ("true", "bool"),
        ("2026-01-31T13:00:00+01:00", "date"),
    ] {
        assert!(
            what(typed).contains(&format!("\"what\":\"{wanted}\"")),
            "{typed}: {}",
            what(typed)
        );
    }
    for typed in ["2", "65f0a1b2c3d4e5f601234568", r#"{"land":"at","sku":7}"#, "", "false"] {
        assert_eq!(what(typed), "none", "{typed}");
    }
    let (log, _) = collection(&blobs, &root, "shop.log");
    assert_eq!(deployment::by_id(&blobs, &log, "3").unwrap().bytes, parsed(r#"{"_id":3,"n":2}"#));
    let (view, _) = collection(&blobs, &root, "shop.view");
    assert!(matches!(deployment::by_id(&blobs, &view, "3"), Err(Error::NoDocuments { .. })));
}

#[test]
fn bounds_are_included() {
    let blobs = RecordingBlobs::default();
    let mut scene = Scene::default();
    let numbers: Vec<String> = (0..50).map(|n| format!("{{\"_id\":{n}}}")).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    scene.collection("a", "sorted", &numbers);
    scene.collection("a", "capped", &numbers).keys = DocumentKeys::Ordinal;
    let root = scene.write(&blobs);
    for name in ["a.sorted", "a.capped"] {
        let (found, _) = collection(&blobs, &root, name);
        let count = |from: Option<&str>, to: Option<&str>| {
            let bounds = Bounds { from: from.map(str::to_owned), to: to.map(str::to_owned) };
            deployment::documents(&blobs, &found, &bounds).unwrap().map(Result::unwrap).count()
        };
        assert_eq!(count(None, None), 50);
        assert_eq!(count(Some("10"), Some("12")), 3);
        assert_eq!(count(Some("48.5"), None), 1);
        assert_eq!(count(None, Some("0")), 1);
        assert_eq!(count(Some("12"), Some("10")), 0);
        assert_eq!(count(Some("\"a\""), None), 0, "texts come after numbers");
    }
}

#[test]
fn a_long_document_comes_whole_and_its_id_alone_is_cheap() {
    let blobs = RecordingBlobs::default();
    let mut scene = Scene::default();
    let long = format!("{{\"_id\":\"long\",\"text\":\"{}\"}}", "0123456789".repeat(700_000));
    scene.collection("a", "b", &[&long, "{\"_id\":1}"]);
    let root = scene.write(&blobs);
    let (found, _) = collection(&blobs, &root, "a.b");
    assert!(deployment::by_id(&blobs, &found, "long").unwrap().bytes == parsed(&long));
    blobs.take_counts();
    let mut all = deployment::documents(&blobs, &found, &Bounds::default()).unwrap();
    let mut ids = Vec::new();
    while let Some((key, value)) = all.next_value().unwrap() {
        let bytes = deployment::document_bytes(&value);
        ids.push((deployment::id_text(&value.head, &key), bytes));
    }
    assert_eq!(ids, [("1".into(), 14), ("\"long\"".into(), parsed(&long).len() as u64)]);
    assert_eq!(blobs.take_counts().chunks_read, 0);
}

#[test]
fn one_document_costs_one_way_down() {
    let blobs = RecordingBlobs::default();
    let mut scene = Scene::default();
    let filler = "x".repeat(400);
    let docs: Vec<String> =
        (0..60_000).map(|n| format!("{{\"_id\":{n},\"text\":\"{filler}{n}\"}}")).collect();
    let docs: Vec<&str> = docs.iter().map(String::as_str).collect();
    scene.collection("a", "b", &docs);
    scene.collection("a", "c", &[]);
    let root = scene.write(&blobs);
    let (found, _) = collection(&blobs, &root, "a.b");
    let levels = u64::from(found.root.unwrap().level) + 1;
    assert!(levels >= 2, "several leaves are needed here");
    blobs.take_counts();
    let (found, id) = collection(&blobs, &root, "a.b/31415");
    let doc = deployment::by_id(&blobs, &found, &id.unwrap()).unwrap();
    assert!(to_text(&doc.bytes, Flavour::Relaxed).unwrap().ends_with("x31415\"}"));
    let counts = blobs.take_counts();
    // The catalogue is asked for `a.b/31415`, then for `a.b`.
    assert_eq!(counts.nodes_read, 2 + levels);
    assert_eq!((counts.ranges_read, counts.chunks_read), (2 + levels, 0));
}

//! Standalone servers, routers, and connections that come to nothing.

use icecore::{
    format::snapshot::Consistency,
    mongo::{Connect, Link, Purpose},
    source::mongo::Wanted,
};
use mongodb::bson::doc;

use super::{begin, fill, link, names, scan_all, settle};
use crate::mongod::Deployment;

#[test]
fn a_standalone_is_read_but_not_as_of_a_moment() {
    let server = Deployment::standalone();
    fill(&server, "orders", 12_345);
    let link = link(&server);
    assert_eq!((link.facts().set_name.as_ref(), link.facts().history_window), (None, None));
    for (wanted, says) in [(Wanted::Oplog, "no oplog"), (Wanted::Snapshot, "no history")] {
        let error = begin(&link, wanted).err().unwrap();
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.hint().unwrap().contains("--replSet"));
    }
    let mut capture = begin(&link, Wanted::Auto).unwrap();
    let orders = capture.collections().next().unwrap();
    let (documents, bytes) = capture.size_of(orders);
    assert_eq!(documents, 12_345);
    let contents = scan_all(&capture);
    assert_eq!(contents["shop.orders"].len(), 12_345);
    assert_eq!(contents["shop.orders"].values().map(|d| d.len() as u64).sum::<u64>(), bytes);
    let settled = settle(&mut capture);
    assert_eq!(names(&settled), ["shop.orders"]);
    let point = settled.point;
    assert_eq!((point.consistency, point.cluster_time), (Consistency::None, None));
}

#[test]
fn a_collection_renamed_under_a_plain_scan_is_read_to_its_end_and_a_dropped_one_is_gone() {
    let server = Deployment::standalone();
    fill(&server, "orders", 25_000);
    fill(&server, "doomed", 45_000);
    let mut capture = begin(&link(&server), Wanted::Auto).unwrap();
    let [doomed, orders] = capture.collections().cloned().collect::<Vec<_>>().try_into().unwrap();
    let mut scans = (capture.scan(&orders), capture.scan(&doomed));
    let mut seen = scans.0.next().unwrap().unwrap().len();
    assert_eq!((seen, scans.1.next().unwrap().unwrap().len()), (2000, 2000));
    let renamed = doc! { "renameCollection": "shop.orders", "to": "shop.bought" };
    server.command("admin", renamed);
    server.command("shop", doc! { "drop": "doomed" });
    seen += scans.0.map(|batch| batch.unwrap().len()).sum::<u64>();
    assert_eq!(seen, 25_000);
    assert!(scans.1.map(|batch| batch.unwrap().len()).sum::<u64>() <= 30_000);
    assert_eq!(names(&settle(&mut capture)), ["shop.orders"]);
}

#[test]
fn a_connection_string_that_leads_nowhere_never_shows_its_password() {
    let connect =
        Connect { patience: std::time::Duration::from_millis(300), ..Connect::to(Purpose::Read) };
    for (uri, says) in [
        ("mongodb://u:s%3Acret@127.0.0.1:1/db", "answer: 127.0.0.1:1: Connection refused"),
        ("mongodb://u:s:cret@127.0.0.1:1/db", "that can be used"),
        ("mongodb://u:s:cret@127.0.0.1:1/db?w=sideways&wtimeoutMS=no", "that can be used"),
        ("s:cret", "that can be used"),
    ] {
        let error = Link::connect(uri, &connect).err().unwrap();
        let text = format!("{error} {error:?} {:?}", error.hint());
        assert!(text.contains(says), "{uri}: {text}");
        assert!(!text.contains("cret") || uri == "s:cret", "{uri}: {text}");
    }
}

#[test]
fn connection_strings_that_mean_something_else_are_told_what() {
    let connect =
        Connect { patience: std::time::Duration::from_millis(300), ..Connect::to(Purpose::Read) };
    let wrong = |uri: &str| {
        let error = Link::connect(uri, &connect).err().unwrap();
        (error.to_string(), error.hint().unwrap())
    };
    let (set, alone) = (Deployment::replica_set(), Deployment::standalone());
    let (error, hint) = wrong(&set.uri().replace("replicaSet=rs", "replicaSet=other"));
    assert!(error.contains("the set `rs`") && error.contains("replicaSet=other"), "{error}");
    assert!(hint.contains("`replicaSet=rs`"), "{hint}");
    let (error, hint) = wrong(&format!("{}?replicaSet=other", alone.uri()));
    assert!(error.contains("no replica set") && hint.contains("leave `replicaSet` out"), "{error}");
    let (error, hint) = wrong("mongodb://u:secret@127.0.0.1:1/shop.orders");
    assert!(error.contains("names a collection"), "{error}");
    assert_eq!(hint, "`mongodb://127.0.0.1:1/shop` with `--ns-include 'shop.orders'`");
}

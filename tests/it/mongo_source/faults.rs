//! Connections that break, members that step down, users that may not.

use std::time::Duration;

use icecore::{
    mongo::{Connect, Link, Purpose},
    source::mongo::{Error, Wanted},
};
use mongodb::bson::{Document, doc};

use super::{
    Held, begin, expected, fill, link, scan_all,
    state::{State, scan_slowly, settled},
};
use crate::mongod::{Ability, Deployment, can, has};

/// The next `times` getMores fail as `how` says.
fn break_get_more(set: &Deployment, times: i32, how: Document) {
    let mut data = doc! { "failCommands": ["getMore"] };
    data.extend(how);
    set.command(
        "admin",
        doc! { "configureFailPoint": "failCommand", "mode": { "times": times }, "data": data },
    );
}

#[test]
fn a_scan_goes_on_where_it_was_when_its_connection_or_its_cursor_is_lost() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 35_000);
    let link = link(&set);
    for consistency in [Wanted::Auto, Wanted::Oplog] {
        for how in [doc! { "closeConnection": true }, doc! { "errorCode": 43 }] {
            let capture = begin(&link, consistency).unwrap();
            let orders = capture.collections().next().unwrap();
            let mut scan = capture.scan(orders);
            let mut seen = scan.next().unwrap().unwrap().len();
            // One batch more is on its way already.
            break_get_more(&set, 2, how);
            seen += scan.map(|batch| batch.unwrap().len()).sum::<u64>();
            assert_eq!(seen, 35_000, "{consistency:?}: none twice, none left out");
        }
    }
}

#[test]
fn a_scan_that_never_gets_on_gives_up() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 35_000);
    let capture = begin(&link(&set), Wanted::Auto).unwrap();
    let mut scan = capture.scan(capture.collections().next().unwrap());
    scan.next().unwrap().unwrap();
    let held = Held::of(&set, &["find", "getMore"], 0);
    let error = scan.find_map(Result::err).unwrap();
    assert!(error.to_string().contains("shop.orders"), "{error}");
    assert!(scan.next().is_none());
    let (tried, most) = (held.let_go(), i64::from(icecore::limits::SCAN_FAILURES_MAX));
    assert!(tried > most, "it tried {tried} times");
}

#[test]
fn a_step_down_and_a_lost_member_do_not_end_a_capture() {
    let mut set = Deployment::replica_set_of(3);
    fill(&set, "orders", 35_000);
    // The set's other members must have it before one is chosen.
    let concern = doc! { "w": 3 };
    let last = doc! { "insert": "stock", "documents": [{ "_id": 1 }], "writeConcern": concern };
    set.command("shop", last);
    let link = link(&set);
    assert!(!link.facts().is_primary, "a secondary spares the primary");
    let mut capture = begin(&link, Wanted::Oplog).unwrap();
    let orders = capture.collections().next().unwrap().clone();
    let mut scan = capture.scan(&orders);
    let mut state = State::default();
    state.take(&orders, scan.next().unwrap().unwrap());
    // A majority has it, else the next primary may never have heard of it.
    let one = doc! { "q": { "_id": 7 }, "limit": 1 };
    let concern = doc! { "w": "majority" };
    set.command("shop", doc! { "delete": "orders", "deletes": [one], "writeConcern": concern });
    // The primary may close the connection on which it is told so.
    let _ = set.try_command("admin", doc! { "replSetStepDown": 5, "force": true });
    let chosen = set
        .members
        .iter()
        .position(|member| link.facts().member.ends_with(&format!(":{}", member.port)));
    set.members[chosen.unwrap()].restart();
    for batch in scan {
        state.take(&orders, batch.unwrap());
    }
    let stock = capture.collections().find(|one| one.namespace.collection == "stock").unwrap();
    for batch in capture.scan(stock) {
        state.take(stock, batch.unwrap());
    }
    let done = settled(&mut capture, &mut state);
    assert_eq!(done.contents["shop.orders"].len(), 34_999);
    let orders = &done.collections["shop.orders"];
    assert_eq!(done.contents["shop.orders"], expected(&link, orders, done.point.cluster_time));
}

#[test]
fn the_role_backup_suffices_and_less_is_an_error_that_names_what_is_missing() {
    let set = Deployment::with_auth();
    fill(&set, "orders", 100);
    set.command("other", doc! { "insert": "other", "documents": [{ "_id": 1 }] });
    let user = |name: &str, roles: Vec<Document>| {
        set.command("admin", doc! { "createUser": name, "pwd": "p:w", "roles": roles });
        let uri = set.uri_as(name, "p%3Aw");
        Link::connect(&uri, &Connect::to(Purpose::Read)).unwrap()
    };
    let keeper = user("keeper", vec![doc! { "role": "backup", "db": "admin" }]);
    assert_eq!(keeper.facts().history_window.is_some(), has(Ability::ReadAsOfAMoment));
    assert!(!keeper.facts().uri.contains("keeper"), "{}", keeper.facts().uri);
    let silent = icecore::progress::Progress::silent();
    for consistency in [Wanted::Auto, Wanted::Oplog, Wanted::Snapshot] {
        if consistency == Wanted::Snapshot && !can(Ability::ReadAsOfAMoment) {
            continue;
        }
        let options = icecore::source::mongo::Options {
            consistency,
            users_and_roles: true,
            ..super::options()
        };
        let mut capture =
            icecore::source::mongo::Capture::begin(&keeper, options, &silent).unwrap();
        let orders = capture.collections().find(|one| one.namespace.db == "shop").unwrap();
        assert_eq!(capture.size_of(orders).0, 100);
        let mut state = scan_slowly(&capture);
        set.command("shop", doc! { "insert": "orders", "documents": [doc! {}] });
        let done = settled(&mut capture, &mut state);
        assert_eq!(done.contents["admin.system.users"].len(), 2);
        set.command(
            "shop",
            doc! { "delete": "orders", "deletes": [
                { "q": { "text": { "$exists": false } }, "limit": 0 },
            ] },
        );
    }

    // One who may read a database captures that, at one moment, without the oplog.
    let reader = user("reader", vec![doc! { "role": "read", "db": "shop" }]);
    let of_shop = |link: &Link, consistency| {
        let db = Some("shop".into());
        let options = icecore::source::mongo::Options { db, consistency, ..super::options() };
        icecore::source::mongo::Capture::begin(link, options, &silent)
    };
    if has(Ability::ReadAsOfAMoment) {
        let capture = of_shop(&reader, Wanted::Auto).unwrap();
        assert_eq!(scan_all(&capture)["shop.orders"].len(), 100);
    }
    // All databases are not those that he happens to see.
    let error = begin(&reader, Wanted::Plain).err().unwrap();
    assert!(error.to_string().contains("`listDatabases` on {cluster: true}"), "{error}");
    let error = of_shop(&reader, Wanted::Oplog).err().unwrap();
    assert!(
        error.to_string().contains(r#"`find` on {db: "local", collection: "oplog.rs"}"#),
        "{error}"
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains(r#"db.grantRolesToUser("reader", ["backup"])"#), "{hint}");

    let stranger = user("stranger", vec![]);
    let error = of_shop(&stranger, Wanted::Plain).err().unwrap();
    assert!(matches!(&error, Error::Server(error) if error.is_unauthorized()), "{error}");
    assert!(error.to_string().contains("listCollections"), "{error}");

    let uri = set.uri_as("keeper", "wrong");
    let error = Link::connect(&uri, &Connect::to(Purpose::Read)).err().unwrap();
    assert!(matches!(error, icecore::mongo::Error::Authentication { .. }), "{error}");
    assert!(error.hint().unwrap().contains("authSource"));
}

#[test]
fn documents_come_no_faster_than_asked_for() {
    let set = Deployment::standalone();
    fill(&set, "orders", 20_000);
    let connect = Connect { bytes_per_second: Some(1 << 20), ..Connect::to(Purpose::Read) };
    let link = Link::connect(&set.uri(), &connect).unwrap();
    let capture = begin(&link, Wanted::Auto).unwrap();
    let orders = capture.collections().next().unwrap();
    let (_, bytes) = capture.size_of(orders);
    let begun = std::time::Instant::now();
    assert_eq!(capture.scan(orders).map(|batch| batch.unwrap().len()).sum::<u64>(), 20_000);
    let least = Duration::from_secs_f64(bytes as f64 / f64::from(1 << 20));
    assert!(begun.elapsed() >= least, "{bytes} bytes in {:?}", begun.elapsed());
}

#[test]
fn whose_rights_are_missing_and_for_what_decides_what_is_to_be_done() {
    let set = Deployment::with_auth();
    let create = doc! { "createUser": "stranger", "pwd": "p", "roles": [] };
    set.command("admin", create);
    let stranger = Link::connect(&set.uri_as("stranger", "p"), &Connect::to(Purpose::Write));
    // The first thing that a restore asks; the role that it needs is not that of a backup.
    let error = icecore::sink::mongo::collections(&stranger.unwrap(), "shop").unwrap_err();
    let hint = error.cause().hint().unwrap();
    assert!(hint.contains(r#"db.grantRolesToUser("stranger", ["restore"])"#), "{hint}");

    // What another database knows of users it does not know of roles.
    set.command("shop", doc! { "createUser": "rd", "pwd": "p", "roles": [] });
    let uri = set.uri_as("rd", "p");
    for options in ["/shop?", "/?authSource=shop&", "/other?authSource=shop&"] {
        let uri = uri.replace("/?", options);
        let link = Link::connect(&uri, &Connect::to(Purpose::Write)).unwrap();
        let error = icecore::sink::mongo::collections(&link, "stock").unwrap_err();
        let hint = error.cause().hint().unwrap();
        let typed = r#"use shop; db.grantRolesToUser("rd", [{role: "restore", db: "admin"}])"#;
        assert!(hint.contains(typed), "{options}: {hint}");
    }
    let roles = [doc! { "role": "restore", "db": "admin" }];
    set.command("shop", doc! { "grantRolesToUser": "rd", "roles": roles.to_vec() });

    let port = set.members[0].port;
    let nobody = format!("mongodb://127.0.0.1:{port}/?replicaSet=rs");
    let nobody = Link::connect(&nobody, &Connect::to(Purpose::Read)).unwrap();
    let error = begin(&nobody, Wanted::Plain).err().unwrap();
    assert!(error.to_string().contains("nobody is logged in"), "{error}");
    assert!(error.hint().unwrap().contains("mongodb://USER:PASSWORD@"), "{:?}", error.hint());
}

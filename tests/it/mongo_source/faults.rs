//! Connections that break, members that step down, users that may not.

use std::{
    thread,
    time::{Duration, Instant},
};

use icecore::{
    mongo::{Connect, Link, Purpose},
    progress::Progress,
    source::mongo::{Error, Wanted},
};
use mongodb::bson::{Document, doc};

use super::{
    Held, begin, expected, fill, held, link, scan_all,
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

/// Runs it on this very member, whatever its role.
fn on(
    set: &Deployment,
    member: usize,
    command: Document,
) -> Result<Document, icecore::mongo::Error> {
    let link = Link::connect(&set.direct_uri(member), &Connect::to(Purpose::Read))?;
    let reply = link.run("admin", &command.to_vec().unwrap())?;
    Ok(Document::from_reader(&reply[..]).unwrap())
}

fn until_it_succeeds(set: &Deployment, member: usize, command: &Document) {
    let begun = Instant::now();
    while let Err(error) = on(set, member, command.clone()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{command}: {error}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The second member becomes the primary, and never hears of what the first has alone.
fn depose_the_first(set: &Deployment) {
    let down = doc! { "replSetStepDown": 60, "secondaryCatchUpPeriodSecs": 0, "force": true };
    // It may close the connection on which it is told so.
    let _ = on(set, 0, down);
    until_it_succeeds(set, 1, &doc! { "replSetStepUp": 1 });
    until_it_succeeds(set, 1, &doc! { "replSetAbortPrimaryCatchUp": 1 });
    for member in [1, 2] {
        let follow = doc! { "configureFailPoint": "stopReplProducer", "mode": "off" };
        on(set, member, follow).unwrap();
    }
}

#[test]
fn what_the_member_rolls_back_is_in_no_snapshot() {
    let set = Deployment::replica_set_of(3);
    fill(&set, "orders", 100);
    let last = doc! { "insert": "stock", "documents": [{ "_id": 1 }], "writeConcern": { "w": 3 } };
    set.command("shop", last);
    let link = Link::connect(&set.direct_uri(0), &Connect::to(Purpose::Read)).unwrap();
    let mut by_oplog = begin(&link, Wanted::Oplog).unwrap();
    scan_all(&by_oplog);
    let mut as_of = can(Ability::ReadAsOfAMoment).then(|| begin(&link, Wanted::Snapshot).unwrap());
    as_of.iter().for_each(|capture| assert_eq!(scan_all(capture).len(), 2));
    for member in [1, 2] {
        let stay = doc! { "configureFailPoint": "stopReplProducer", "mode": "alwaysOn" };
        let before = held::count(&on(&set, member, stay).unwrap());
        let wait = doc! {
            "waitForFailPoint": "stopReplProducer",
            "timesEntered": before + 1,
            "maxTimeMS": 60_000,
        };
        on(&set, member, wait).unwrap();
    }
    let alone = doc! { "w": 1 };
    let lost = doc! { "insert": "lost", "documents": [{ "_id": 1 }], "writeConcern": alone };
    set.command("shop", lost);
    thread::scope(|scope| {
        let settled = scope.spawn(|| by_oplog.settle(&Progress::silent()));
        // It has read the catalogue, and asks whether a majority has it.
        let waits =
            doc! { "currentOp": 1, "command.find": "oplog.rs", "secs_running": { "$gte": 1 } };
        let begun = Instant::now();
        while set.command("admin", waits.clone()).get_array("inprog").unwrap().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody asks for a majority");
            thread::sleep(Duration::from_millis(50));
        }
        depose_the_first(&set);
        let error = settled.join().unwrap().err().unwrap();
        assert!(error.is_start_again(), "{error}");
    });
    if let Some(as_of) = &mut as_of {
        let error = as_of.settle(&Progress::silent()).err().unwrap();
        assert!(error.to_string().contains("rolled back"), "{error}");
    }
    let again = begin(&link, Wanted::Oplog).unwrap();
    assert_eq!(scan_all(&again).into_keys().collect::<Vec<_>>(), ["shop.orders", "shop.stock"]);
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
    let silent = Progress::silent();
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
    let begun = Instant::now();
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

//! `icecore backup mongodb://...` as people type it.

use mongodb::bson::doc;

use super::fill;
use crate::{
    cli::{Desk, said},
    mongod::{Ability, Deployment, has},
};

#[test]
fn a_database_and_files_in_one_snapshot() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..100);
    fill(&set, "tmp.one", 0..5);
    set.command("other", doc! { "insert": "things", "documents": [{ "_id": 1 }] });
    let desk = Desk::new();
    desk.init();
    desk.write("data/a.txt", "one\n");
    let uri = set.uri().replace("/?", "/shop?");
    let arguments = ["backup", "data", &uri, "--nsExclude", "shop.tmp*"];
    let plan = desk.ok(&[&arguments[..], &["--dry-run"]].concat());
    assert!(
        plan.contains("shop.orders") && plan.contains("100 documents in 1 collection"),
        "{plan}"
    );
    assert!(!plan.contains("tmp.one") && !plan.contains("other"), "{plan}");
    let of_collections = [&["backup", &uri, "--dry-run"], &arguments[3..]].concat();
    let plan = desk.json_lines(&of_collections).pop().unwrap();
    let bytes = plan["collections"][0]["bytes"].as_u64().unwrap();
    assert!(bytes > 0 && plan["bytes_to_read"] == bytes, "{plan}");
    let ends =
        ["backup_start", "backup_end"].map(|end| plan[end].as_str().unwrap()[..4].to_owned());
    assert!(ends.iter().all(|year| year.as_str() >= "2026"), "{plan}");

    let first = desk.json_lines(&arguments).pop().unwrap();
    assert_eq!((&first["docs_new"], &first["files_new"]), (&100.into(), &1.into()), "{first}");
    assert_eq!((&first["docs_changed"], &first["collections"]), (&0.into(), &1.into()));
    assert!(first["cluster_time"]["seconds"].as_u64().unwrap() > 0);
    let second = desk.ok(&arguments);
    assert!(second.contains("docs:   0 new, 0 changed, 0 deleted, 100 unmodified"), "{second}");
    assert!(second.contains("in 1 collection, as of cluster time "), "{second}");
    let third = desk.ok(&[&arguments[..], &["--skip-if-unchanged"]].concat());
    assert!(third.contains("nothing has changed"), "{third}");

    let list = desk.ok(&["snapshots"]);
    assert!(
        list.contains("as of cluster time ") && list.contains("1 file, 100 documents"),
        "{list}"
    );
    assert!(desk.ok(&["stats"]).contains("2 files and 200 documents"));
    let listed = desk.json(&["snapshots"]);
    let consistency = if has(Ability::ReadAsOfAMoment) { "snapshot" } else { "oplog" };
    assert_eq!(listed[0]["mongodb"]["consistency"], consistency);
    assert_eq!(desk.run(&["check"]).code, 0);
    // The files are there as ever.
    assert!(desk.ok(&["ls", "latest"]).contains("a.txt"));
}

#[test]
fn where_the_connection_string_comes_from() {
    let set = Deployment::with_auth();
    fill(&set, "orders", 0..10);
    let desk = Desk::new();
    desk.init();
    let said_so = desk.run(&["backup", &set.uri()]);
    assert_eq!(said_so.code, 0, "{}", said_so.err);
    assert!(said_so.err.contains("warning: everybody on this machine can see"), "{}", said_so.err);
    assert!(!said_so.err.contains("root-password") && !said_so.out.contains("root-password"));

    let by_variable = |name: &str| {
        said(desk.command(&["backup", "mongodb:"]).env(name, set.uri()).output().unwrap())
    };
    for name in ["ICECORE_MONGODB_URI", "MONGODB_URI"] {
        let said = by_variable(name);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{name}");
        assert!(said.out.contains("10 unmodified"), "{}", said.out);
    }
    desk.write("uri", &set.uri());
    let by_file = desk.run(&["backup", "mongodb:", "--mongodb-uri-file", "uri"]);
    assert_eq!((by_file.code, by_file.err.as_str()), (0, ""));

    for (arguments, words) in [
        (&["backup", "mongodb:"][..], "which deployment?"),
        (&["backup", "mongodb://a", "mongodb://b"], "one snapshot holds one MongoDB deployment"),
        (&["backup", "mongodb://u:p/q@h"], ""),
    ] {
        let said = desk.run(arguments);
        assert!(said.code != 0 && said.err.contains(words), "{arguments:?}: {}", said.err);
        assert!(!said.err.contains("p/q"), "{}", said.err);
    }
    let stranger = set.uri_as("root", "wrong");
    let refused =
        said(desk.command(&["backup", "mongodb:"]).env("MONGODB_URI", stranger).output().unwrap());
    assert!(
        refused.code == 1 && refused.err.contains("does not take this user"),
        "{}",
        refused.err
    );
}

#[test]
fn a_limit_on_reading_is_kept_and_counts_when_the_way_is_chosen() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..6000);
    // Three fifths of it are the time in which all must be read, if it is to be as of a moment.
    let window = doc! { "setParameter": 1, "minSnapshotHistoryWindowInSeconds": 5 };
    if has(Ability::ReadAsOfAMoment) {
        set.command("admin", window);
    }
    let desk = Desk::new();
    desk.init();
    let uri = set.uri();
    let fast = desk.json_lines(&["backup", &uri]).pop().unwrap();
    let bytes = fast["total_bytes_processed"].as_f64().unwrap();
    let chosen = if has(Ability::ReadAsOfAMoment) { "snapshot" } else { "oplog" };
    assert_eq!(fast["consistency"], chosen, "{fast}");
    let kib_a_second = bytes / 1024.0 / 4.0;
    let limit = format!("{}", kib_a_second as u32);
    let slow = desk.json_lines(&["backup", &uri, "--limit-read", &limit]).pop().unwrap();
    assert_eq!(slow["docs_unmodified"], 6000, "{slow}");
    assert_eq!(slow["consistency"], "oplog", "{slow}");
    let seconds = slow["total_duration"].as_f64().unwrap();
    assert!(seconds >= 4.0, "{bytes} bytes in {seconds} s");
    let said = desk.run(&["backup", &uri, "--limit-read", "0"]);
    assert_eq!(said.code, 2, "{}", said.err);
}

#[test]
fn a_deployment_without_collections_is_the_same_error_dry_or_not() {
    let set = Deployment::replica_set();
    fill(&set, "orders", 0..3);
    let desk = Desk::new();
    desk.init();
    let uri = set.uri();
    for more in [&["--dry-run"][..], &[]] {
        let arguments = ["backup", &uri, "--ns-include", "other.*"];
        let said = desk.run(&[&arguments[..], more].concat());
        assert_eq!(said.code, 1, "{more:?}: {}", said.err);
        assert!(said.err.contains("no collection is there"), "{more:?}: {}", said.err);
    }
}

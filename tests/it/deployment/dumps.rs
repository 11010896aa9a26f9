//! Out as mongodump writes, and in again: the same collections.

use super::commands::shop;

#[test]
fn a_dump_taken_in_is_what_was_dumped() {
    let desk = shop();
    for (directory, gzip) in [("plain", false), ("packed", true)] {
        let mut arguments = vec!["dump", "latest", "--out", directory];
        arguments.extend(gzip.then_some("--gzip"));
        desk.ok(&arguments);
        let dumped = desk.json(&["snapshots"]).as_array().unwrap().last().unwrap()["id"].clone();
        let lines = desk.json_lines(&["backup", "--from-dump", directory]);
        let summary = lines.last().unwrap();
        assert_eq!((&summary["docs_new"], &summary["collections"]), (&4.into(), &2.into()));
        let taken_in = summary["snapshot_id"].as_str().unwrap();
        assert_eq!(desk.ok(&["diff", "-q", dumped.as_str().unwrap(), taken_in]), "");
        let again = desk.json_lines(&["backup", "--from-dump", directory]);
        let again = again.last().unwrap();
        assert_eq!((&again["docs_unmodified"], &again["docs_new"]), (&4.into(), &0.into()));
    }
    let of_one = desk.json_lines(&["backup", "--from-dump", "plain", "--ns-include", "stock.*"]);
    assert_eq!(of_one.last().unwrap()["collections"], 1);
    assert_eq!(desk.ok(&["ls", "latest"]), "stock\n");
}

#[test]
fn what_is_no_dump_makes_no_snapshot() {
    let desk = shop();
    desk.write("empty/readme", "nothing to see");
    let wrong = |path: &str, text: &str| {
        let said = desk.run(&["backup", "--from-dump", path]);
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.contains(text), "{}", said.err);
    };
    wrong("none", "cannot find none");
    wrong("empty", "is no dump");
    wrong("empty/readme", "is no archive of mongodump");
    desk.ok(&["dump", "latest", "--out", "cut"]);
    let path = desk.path("cut/shop/orders.bson");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    wrong("cut", "is cut off: its end is missing");
    assert_eq!(desk.json(&["snapshots"]).as_array().unwrap().len(), 2);
    let dry = desk.run(&["backup", "--from-dump", "cut", "--dry-run"]);
    assert_eq!(dry.code, 1, "what can't be taken in is found out dry as well: {}", dry.err);
    assert!(dry.err.contains("is cut off: its end is missing"), "{}", dry.err);
}

#[test]
fn a_dry_run_tells_what_it_would_take_in_and_takes_nothing() {
    let desk = shop();
    for (directory, gzip) in [("plain", false), ("packed", true)] {
        let mut arguments = vec!["dump", "latest", "--out", directory];
        arguments.extend(gzip.then_some("--gzip"));
        desk.ok(&arguments);
        let lines = desk.json_lines(&["backup", "--from-dump", directory, "--dry-run"]);
        let plan = lines.last().unwrap();
        assert_eq!(plan["dry_run"], true);
        let collections = plan["collections"].as_array().unwrap();
        let documents = |one: &serde_json::Value| one["documents"].as_u64().unwrap();
        assert_eq!(collections.iter().map(documents).sum::<u64>(), 4);
        let taken = desk.json_lines(&["backup", "--from-dump", directory]);
        let bytes: u64 = collections.iter().map(|one| one["bytes"].as_u64().unwrap()).sum();
        assert_eq!(taken.last().unwrap()["total_bytes_processed"], bytes);
    }
    assert_eq!(desk.json(&["snapshots"]).as_array().unwrap().len(), 4);
    let one = ["backup", "--from-dump", "plain", "--dry-run", "--ns-include", "stock.*"];
    let plan = desk.json_lines(&one);
    assert_eq!(plan.last().unwrap()["collections"].as_array().unwrap().len(), 1);
}

#[test]
fn changes_beside_a_dump_are_told() {
    let desk = shop();
    desk.ok(&["dump", "latest", "--out", "dump"]);
    desk.write("dump/oplog.bson", "");
    for more in [&["--dry-run"][..], &[]] {
        let said = desk.run(&[&["backup", "--from-dump", "dump"], more].concat());
        assert_eq!(said.code, 3, "{}", said.err);
        assert!(said.err.contains("its oplog is not taken in"), "{}", said.err);
    }
}

//! Snapshots by name, filters, and the verbs that change what is listed.

use serde_json::Value;

use super::Desk;

fn ids(desk: &Desk, arguments: &[&str]) -> Vec<String> {
    let all = desk.json(&[&["snapshots"], arguments].concat());
    let id = |snapshot: &Value| snapshot["id"].as_str().unwrap().to_owned();
    all.as_array().unwrap().iter().map(id).collect()
}

#[test]
fn snapshots_by_name_and_by_filter() {
    let desk = Desk::with_snapshots();
    let all = ids(&desk, &[]);
    assert_eq!(all.len(), 2);
    assert_eq!(ids(&desk, &["latest"]), all[1..]);
    assert_eq!(ids(&desk, &["latest~1"]), all[..1]);
    assert_eq!(ids(&desk, &[&all[0]]), all[..1]);
    assert_eq!(ids(&desk, &[&all[0][..8]]), all[..1]);
    assert_eq!(ids(&desk, &["--tag", "first"]), all[..1]);
    assert_eq!(ids(&desk, &["--tag", "first", "--tag", "second"]), all);
    assert_eq!(ids(&desk, &["--tag", "first,second"]), Vec::<String>::new());
    assert_eq!(ids(&desk, &["--host", "elsewhere"]), Vec::<String>::new());
    assert_eq!(ids(&desk, &["--path", "data"]), all);
    assert_eq!(ids(&desk, &["--path", "other"]), Vec::<String>::new());
    assert_eq!(ids(&desk, &["--latest", "1"]), all[1..]);
    assert!(desk.ok(&["ls", "latest", "--tag", "first"]).contains("gone.txt"));
    assert!(!desk.ok(&["ls", "latest"]).contains("gone.txt"));
}

#[test]
fn tags_make_a_new_record_and_forget_the_old() {
    let desk = Desk::with_snapshots();
    desk.ok(&["tag", "--add", "keep,me", "latest"]);
    let all = desk.json(&["snapshots"]);
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(all[1]["tags"], serde_json::json!(["second", "keep", "me"]));
    assert!(all[1]["original"].is_string());
    desk.ok(&["tag", "--remove", "keep", "--tag", "keep"]);
    assert_eq!(desk.json(&["snapshots"])[1]["tags"], serde_json::json!(["second", "me"]));
    desk.ok(&["tag", "--set", "", "latest"]);
    assert_eq!(desk.json(&["snapshots"])[1]["tags"], serde_json::json!([]));
    assert!(desk.ok(&["ls", "latest"]).contains("new.txt"));
    desk.ok(&["check"]);
}

#[test]
fn forgotten_snapshots_come_back() {
    let desk = Desk::with_snapshots();
    let all = ids(&desk, &[]);
    desk.ok(&["forget", &all[0]]);
    assert_eq!(ids(&desk, &[]), all[1..]);
    assert_eq!(ids(&desk, &["--forgotten"]), all[..1]);
    let said = desk.run(&["ls", &all[0]]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("icecore undelete"), "{}", said.err);
    desk.ok(&["prune"]);
    for (told, flags) in [
        ("would_undelete", &["--dry-run"][..]),
        ("undeleted", &[]),
        ("already_there", &["--dry-run"]),
        ("already_there", &[]),
    ] {
        let said = desk.ok(&[&["undelete", &all[0][..8], "--json"], flags].concat());
        let line: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(line["message_type"], told, "{flags:?}");
        assert_eq!(line["snapshot_id"].is_null(), told == "would_undelete");
    }
    assert_eq!(ids(&desk, &[]).len(), 2);
    assert!(desk.ok(&["ls", "latest~1"]).contains("gone.txt"));
    desk.ok(&["check", "--read-data"]);
}

#[test]
fn dry_runs_change_nothing() {
    let desk = Desk::with_snapshots();
    let before = ids(&desk, &[]);
    assert!(desk.ok(&["forget", "--keep-last", "1", "--dry-run"]).contains("would"));
    desk.ok(&["prune", "--dry-run"]);
    let forget = ["forget", "--keep-last", "1", "--prune", "--undelete-days", "0"];
    let plan = desk.ok(&[&forget[..], &["--dry-run"]].concat());
    assert!(plan.contains("1 snapshot in") && plan.contains("frees:"), "{plan}");
    desk.ok(&["backup", "data", "--dry-run"]);
    desk.ok(&["restore", "latest", "--target", "back", "--dry-run"]);
    assert_eq!(ids(&desk, &[]), before);
    assert_eq!(ids(&desk, &["--forgotten"]), Vec::<String>::new());
    assert!(!desk.path("back").exists());
}

#[test]
fn the_bytes_of_a_file() {
    let desk = Desk::with_snapshots();
    let file = desk.text("data/a.txt");
    assert_eq!(desk.ok(&["cat", &format!("latest:{file}")]), "one, changed\n");
    assert_eq!(desk.ok(&["cat", &format!("latest~1:{file}")]), "one\n");
    let said = desk.run(&["cat", &format!("latest:{}", desk.text("data/dir"))]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("directory"), "{}", said.err);
}

#[test]
fn lists_of_directories() {
    let desk = Desk::with_snapshots();
    let data = desk.text("data");
    let direct = desk.ok(&["ls", &format!("latest:{data}")]);
    assert_eq!(direct, format!("{data}/a.txt\n{data}/dir\n{data}/new.txt\n"));
    let below = desk.ok(&["ls", "--recursive", "latest", &data]);
    assert_eq!(below, format!("{data}/a.txt\n{data}/dir\n{data}/dir/b.txt\n{data}/new.txt\n"));
    let long = desk.ok(&["ls", "-l", "latest", &data]);
    assert!(long.lines().next().unwrap().starts_with("-rw"), "{long}");
    assert!(desk.ok(&["ls", "latest"]).contains(&format!("{data}/dir/b.txt\n")));
}

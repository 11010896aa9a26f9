//! The shapes that programs rely on: names, kinds of values, `message_type`.

use serde_json::{Value, json};

use super::{Desk, lines};

#[track_caller]
fn has(document: &Value, fields: &[&str]) {
    for field in fields {
        assert!(document.get(field).is_some(), "no `{field}` in {document:#}");
    }
}

fn last_of(lines: &[Value], message_type: &str) -> Value {
    let found = lines.iter().rev().find(|line| line["message_type"] == message_type);
    found.unwrap_or_else(|| panic!("no {message_type} in {lines:#?}")).clone()
}

#[test]
fn backup_tells_a_summary_in_restics_words() {
    let desk = Desk::new();
    desk.write("data/a", "some bytes");
    desk.write("data/dir/b", "others");
    let made = last_of(&desk.json_lines(&["init"]), "initialized");
    has(&made, &["id", "repository"]);
    let summary = last_of(&desk.json_lines(&["backup", "data"]), "summary");
    for (field, value) in [
        ("files_new", 2),
        ("files_changed", 0),
        ("files_unmodified", 0),
        ("total_files_processed", 2),
        ("total_bytes_processed", 16),
    ] {
        assert_eq!(summary[field], value, "{field}: {summary:#}");
    }
    has(
        &summary,
        &["dirs_new", "data_added", "data_added_packed", "total_duration", "backup_start"],
    );
    let id = summary["snapshot_id"].as_str().unwrap();
    let snapshots = desk.json(&["snapshots"]);
    assert_eq!(snapshots[0]["id"], id);
    assert_eq!(snapshots[0]["short_id"], id[..8]);
    assert_eq!(snapshots[0]["hostname"], "desk");
    assert_eq!(snapshots[0]["paths"], json!([desk.text("data")]));
    has(&snapshots[0], &["time", "tree", "username", "uid", "gid", "tags", "summary"]);
    let time = snapshots[0]["time"].as_str().unwrap();
    assert!(time.ends_with('Z'), "{time}");
}

#[test]
fn verbose_names_each_item_and_status_comes_when_asked() {
    let desk = Desk::new();
    desk.write("data/a", "some bytes");
    desk.init();
    let told = desk.json_lines(&["backup", "data", "-v"]);
    let item = last_of(&told, "verbose_status");
    has(&item, &["action", "item"]);
}

#[test]
fn troubles_and_failures_are_json_too() {
    let desk = Desk::new();
    desk.init();
    desk.write("data/a", "a");
    let said = desk.run(&["backup", "data", "missing", "--json"]);
    assert_eq!(said.code, 3);
    let trouble = last_of(&lines(&said.err), "error");
    assert!(trouble["error"]["message"].is_string(), "{trouble}");
    has(&trouble, &["during", "item"]);
    let said = desk.run(&["ls", "ffffffff", "--json"]);
    let failure = last_of(&lines(&said.err), "exit_error");
    assert_eq!(failure["code"], 1);
    assert!(failure["message"].is_string());
}

#[test]
fn what_lists_show() {
    let desk = Desk::with_snapshots();
    let entries = desk.json_lines(&["ls", "latest"]);
    assert_eq!(entries[0]["message_type"], "snapshot");
    let file = entries.iter().find(|entry| entry["name"] == "a.txt").unwrap();
    assert_eq!(file["type"], "file");
    assert_eq!(file["size"], 13);
    assert_eq!(file["path"], desk.text("data/a.txt"));
    has(file, &["uid", "gid", "mode", "permissions", "mtime", "inode"]);

    let found = desk.json(&["find", "gone.txt"]);
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["hits"], 1);
    assert_eq!(found[0]["matches"][0]["path"], desk.text("data/dir/gone.txt"));

    let changes = desk.json_lines(&["diff", "latest~1", "latest"]);
    let modifier = |name: &str| {
        let path = desk.text(name);
        changes
            .iter()
            .find(|line| line["path"] == path.as_str())
            .map(|line| line["modifier"].clone())
    };
    assert_eq!(modifier("data/a.txt"), Some("M".into()));
    assert_eq!(modifier("data/new.txt"), Some("+".into()));
    assert_eq!(modifier("data/dir/gone.txt"), Some("-".into()));
    assert_eq!(modifier("data/dir/b.txt"), None);
    let statistics = last_of(&changes, "statistics");
    assert_eq!(statistics["changed_files"], 1);
    assert_eq!(statistics["added"]["files"], 1);
    assert_eq!(statistics["removed"]["files"], 1);
    has(&statistics, &["source_snapshot", "target_snapshot"]);

    let stats = desk.json(&["stats"]);
    assert_eq!(stats["snapshots_count"], 2);
    has(&stats, &["total_size", "total_file_count", "total_blob_count", "compression_ratio"]);
    has(&desk.json(&["key", "list"])[0], &["current", "id", "userName", "hostName", "created"]);
    has(&desk.json(&["cat", "config"]), &["repo_id", "version"]);
    has(&desk.json(&["version"]), &["version"]);
}

#[test]
fn what_long_runs_end_with() {
    let desk = Desk::with_snapshots();
    let restored = desk.json_lines(&["restore", "latest", "--target", "back"]);
    let summary = last_of(&restored, "summary");
    assert_eq!(summary["files_restored"], 3, "{summary:#}");
    has(&summary, &["total_files", "files_skipped", "total_bytes", "bytes_restored"]);

    let checked = last_of(&desk.json_lines(&["check"]), "summary");
    assert_eq!(checked["num_errors"], 0, "{checked:#}");
    let forget = ["forget", "--keep-last", "1", "--prune", "--undelete-days", "0", "-n"];
    let plan = last_of(&desk.json_lines(&forget), "summary");
    assert_eq!((&plan["dry_run"], &plan["snapshots"]), (&json!(true), &json!(1)), "{plan:#}");
    assert!(plan["bytes_to_free"].as_i64().unwrap() > 0, "as if it were forgotten: {plan:#}");
    let forgot = desk.json(&["forget", "--keep-last", "1"]);
    assert_eq!(forgot[0]["keep"].as_array().unwrap().len(), 1);
    assert_eq!(forgot[0]["remove"].as_array().unwrap().len(), 1);
    assert_eq!(forgot[0]["reasons"][0]["matches"], json!(["last snapshot"]));
    let pruned = last_of(&desk.json_lines(&["prune"]), "summary");
    has(&pruned, &["packs_removed", "bytes_freed"]);
}

#[test]
fn stats_is_one_document_however_long_it_takes() {
    let desk = Desk::new();
    desk.init();
    (0..600).for_each(|number| desk.write(&format!("data/{number}/file"), "some bytes"));
    desk.ok(&["backup", "data"]);
    let mut command = desk.command(&["stats", "--json", "--no-cache"]);
    let out = command.env("ICECORE_PROGRESS_FPS", "60").output().unwrap().stdout;
    let told = lines(&String::from_utf8(out).unwrap());
    let [stats] = &told[..] else { panic!("{told:#?}") };
    assert_eq!(stats["total_file_count"], 600, "{stats}");
}

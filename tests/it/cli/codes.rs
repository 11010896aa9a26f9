//! One test for each exit code: what happened is what the code says.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use super::{Desk, said};

#[test]
fn no_repository_is_10() {
    let desk = Desk::new();
    let got = desk.run(&["snapshots"]);
    assert_eq!(got.code, 10, "{}", got.err);
    assert!(got.err.contains("error: ") && got.err.contains("icecore init"), "{}", got.err);
}

#[test]
fn a_wrong_password_is_12() {
    let desk = Desk::new();
    desk.init();
    let got = said(desk.command(&["snapshots"]).env("ICECORE_PASSWORD", "wrong").output().unwrap());
    assert_eq!(got.code, 12, "{}", got.err);
    assert!(got.err.starts_with("error: "), "{}", got.err);
    assert!(got.err.contains("hint: "), "{}", got.err);
}

#[test]
fn a_second_init_fails_and_harms_nothing() {
    let desk = Desk::with_snapshots();
    let got = desk.run(&["init"]);
    assert_eq!(got.code, 1, "{}", got.err);
    assert_eq!(desk.json(&["snapshots"]).as_array().unwrap().len(), 2);
}

#[test]
fn an_item_that_can_not_be_read_is_3() {
    let desk = Desk::new();
    desk.init();
    desk.write("data/good", "good");
    let got = desk.run(&["backup", "data", "no-such-directory"]);
    assert_eq!(got.code, 3, "{}", got.err);
    assert!(got.err.contains("no-such-directory"), "{}", got.err);
    assert!(desk.ok(&["ls", "latest"]).contains("data/good"));
}

#[test]
fn a_file_without_permission_is_3_for_anyone_but_root() {
    let desk = Desk::new();
    desk.init();
    desk.write("data/good", "good");
    desk.write("data/secret", "secret");
    fs::set_permissions(desk.path("data/secret"), fs::Permissions::from_mode(0o000)).unwrap();
    let root = fs::read(desk.path("data/secret")).is_ok();
    let got = desk.run(&["backup", "data"]);
    assert_eq!(got.code, if root { 0 } else { 3 }, "{}", got.err);
}

#[test]
fn nothing_to_back_up_is_1_or_2_and_makes_no_snapshot() {
    let desk = Desk::new();
    desk.init();
    assert_eq!(desk.run(&["backup"]).code, 2);
    let got = desk.run(&["backup", "no-such-directory"]);
    assert_eq!(got.code, 1, "{}", got.err);
    assert_eq!(desk.json(&["snapshots"]), serde_json::json!([]));
}

#[test]
fn a_connection_string_that_can_not_be_understood_is_2_and_a_server_that_is_not_there_1() {
    let desk = Desk::with_snapshots();
    for uri in ["mongodb://127.0.0.1:1/?bogus=1", "mongodb://127.0.0.1:1/zoo.ids", "mongodb://"] {
        let got = desk.run(&["backup", uri]);
        assert_eq!(got.code, 2, "{uri}: {}", got.err);
    }
    for uri in ["http://x", "mongodb://127.0.0.1:1/?bogus=1", "mongodb://127.0.0.1:1/zoo.ids"] {
        let got = desk.run(&["undo", "--to", uri]);
        assert_eq!(got.code, 2, "{uri}: {}", got.err);
        assert!(got.err.contains("error: ") && got.err.contains("hint: "), "{uri}: {}", got.err);
    }
    for option in ["tlsCAFile=/nowhere/at.all&tls=true", "serverSelectionTimeoutMS=100"] {
        let got = desk.run(&["undo", "--to", &format!("mongodb://127.0.0.1:1/?{option}")]);
        assert_eq!(got.code, 1, "{option}: {}", got.err);
    }
}

/// Flips a bit of every pack, in the byte that `at` says of its length.
fn rot(desk: &Desk, at: fn(usize) -> usize) {
    for folder in fs::read_dir(desk.path("repository/packs")).unwrap() {
        for pack in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = pack.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            let at = at(bytes.len());
            bytes[at] ^= 1;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn a_repair_over_rotten_tables_is_13_and_loses_nothing() {
    let desk = Desk::with_snapshots();
    rot(&desk, |len| len - 1);
    let got = desk.run(&["repair", "index"]);
    assert_eq!(got.code, 13, "{}\n{}", got.out, got.err);
    assert!(got.err.contains("the index knows it") && got.out.contains("hint: "), "{}", got.err);
    let got = desk.run(&["repair", "index", "--json"]);
    let summary = super::lines(&got.out).pop().unwrap();
    assert!(summary["packs_remembered"].as_u64() > Some(0), "{summary}");
    assert_eq!(summary["packs_left_out"], 0);
    let from = format!("latest:{}", desk.text("data"));
    fs::remove_dir_all(desk.path("cache")).unwrap();
    desk.ok(&["restore", &from, "--target", "back"]);
    assert_eq!(fs::read_to_string(desk.path("back/a.txt")).unwrap(), "one, changed\n");
}

#[test]
fn a_prune_where_the_snapshots_are_not_mounted_is_1_and_deletes_nothing() {
    let desk = Desk::with_snapshots();
    let (here, there) = (desk.path("repository/snapshots"), desk.path("disk/snapshots"));
    fs::create_dir(desk.path("disk")).unwrap();
    fs::rename(&here, &there).unwrap();
    let got = desk.run(&["prune"]);
    assert_eq!(got.code, 1, "{}", got.err);
    assert!(got.err.contains("no snapshot at all") && got.err.contains("hint: "), "{}", got.err);
    symlink(&there, &here).unwrap();
    desk.ok(&["prune"]);
    fs::rename(desk.path("disk"), desk.path("elsewhere")).unwrap();
    for verb in ["prune", "snapshots", "check"] {
        let got = desk.run(&[verb]);
        assert_eq!(got.code, 1, "{verb}: {}", got.err);
        assert!(got.err.contains("leads nowhere"), "{}", got.err);
    }
    fs::rename(desk.path("elsewhere"), desk.path("disk")).unwrap();
    desk.ok(&["check", "--read-data"]);
}

#[test]
fn damage_is_13_and_says_what_to_type() {
    let desk = Desk::with_snapshots();
    desk.ok(&["check", "--read-data"]);
    rot(&desk, |len| len / 2);
    let got = desk.run(&["check", "--read-data"]);
    assert_eq!(got.code, 13, "{}\n{}", got.out, got.err);
    assert!(got.err.contains("hint: ") || got.out.contains("icecore "), "{}{}", got.out, got.err);
}

#[test]
fn an_unknown_snapshot_or_path_is_1() {
    let desk = Desk::with_snapshots();
    for arguments in [
        ["ls", "ffffffff0"].as_slice(),
        &["ls", "latest:/no/such/path"],
        &["cat", "latest:/no/such/file"],
        &["ls", "latest~7"],
    ] {
        let got = desk.run(arguments);
        assert_eq!(got.code, 1, "{arguments:?}: {}", got.err);
        assert!(got.err.starts_with("error: "), "{}", got.err);
    }
}

#[test]
fn conflicts_left_by_a_restore_are_21() {
    let desk = Desk::with_snapshots();
    let from = format!("latest:{}", desk.text("data"));
    desk.ok(&["restore", &from, "--target", "back"]);
    desk.write("back/a.txt", "mine, and longer");
    let got = desk.run(&["restore", &from, "--target", "back", "--conflict", "fail"]);
    assert_eq!(got.code, 21, "{}\n{}", got.out, got.err);
    assert_eq!(fs::read_to_string(desk.path("back/a.txt")).unwrap(), "mine, and longer");
    let skip = ["restore", &from, "--target", "back", "--conflict", "skip"];
    desk.ok(&skip);
    let got = desk.run(&[&skip[..], &["--verify"]].concat());
    assert_eq!(got.code, 21, "{}\n{}", got.out, got.err);
    assert!(got.err.contains("  a.txt\n"), "{}", got.err);
    assert!(got.err.contains("`--conflict overwrite` or `newest`"), "{}", got.err);
    desk.ok(&["restore", &from, "--target", "back"]);
    assert_eq!(fs::read_to_string(desk.path("back/a.txt")).unwrap(), "one, changed\n");
}

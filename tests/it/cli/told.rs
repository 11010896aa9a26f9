//! What runs say while they last: of items, and of what is in their way.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use super::{Desk, said};

/// What stands before each name that ends so, in the lines of an output.
fn words<'a>(out: &'a str, name: &str) -> Vec<&'a str> {
    let lines = out.lines().filter(|line| line.ends_with(name));
    lines.map(|line| line.split_whitespace().next().unwrap()).collect()
}

#[test]
fn verbose_restores_name_what_they_do() {
    let desk = Desk::with_snapshots();
    let from = format!("latest:{}", desk.text("data"));
    let restore = ["restore", &from, "--target", "back"];
    let run = |more: &[&str]| desk.ok(&[&restore[..], more].concat());
    let planned = run(&["-n", "-v"]);
    assert_eq!(words(&planned, " dir/b.txt"), ["restored"], "{planned}");
    assert_eq!(words(&run(&["-v"]), " dir/b.txt"), ["restored"]);
    desk.write("back/a.txt", "other");
    for more in [&["-n"][..], &[]] {
        for (loud, of_b) in [("-v", &[][..]), ("-vv", &["unchanged"][..])] {
            let told = run(&[more, &[loud, "--conflict", "overwrite"]].concat());
            assert_eq!(words(&told, " dir/b.txt"), of_b, "{more:?} {loud}");
            if loud == "-v" {
                assert_eq!(words(&told, " a.txt"), ["restored"], "{more:?}");
            }
        }
    }
    assert_eq!(words(&run(&[]), ".txt"), [""; 0], "unasked, nothing is named");
    desk.write("back/a.txt", "other");
    let told = run(&["--conflict", "skip", "-vv", "--json"]);
    let told = super::lines(&told).into_iter().find(|line| line["item"] == "a.txt").unwrap();
    assert_eq!((&told["action"], &told["data_size"]), (&json!("skipped"), &json!(5)), "{told}");
}

#[test]
fn a_verbose_plan_of_a_backup_names_what_it_would_store() {
    let desk = Desk::with_snapshots();
    desk.write("data/a.txt", "changed again");
    desk.write("data/newer.txt", "new");
    let told = desk.ok(&["backup", "data", "-n", "-v"]);
    assert_eq!(words(&told, "/a.txt"), ["modified"], "{told}");
    assert_eq!(words(&told, "/newer.txt"), ["new"], "{told}");
    assert_eq!(words(&told, "/dir/b.txt"), [""; 0], "{told}");
    let told = desk.ok(&["backup", "data", "-n", "-vv"]);
    assert_eq!(words(&told, "/dir/b.txt"), ["unchanged"], "{told}");
}

#[test]
fn an_include_that_matches_nothing_is_told_and_is_an_error_if_none_does() {
    let desk = Desk::with_snapshots();
    for more in [&["-n"][..], &[]] {
        let restore = ["restore", "latest", "--target", "back", "--include"];
        let both = desk.run(&[&restore[..], &["a.txt", "--include", "*.txd"], more].concat());
        assert_eq!(both.code, 0, "{}", both.err);
        assert!(both.err.contains("no path matches --include *.txd"), "{}", both.err);
        assert!(!both.err.contains("a.txt"), "{}", both.err);
        let none = desk.run(&[&restore[..], &["*.txd"], more].concat());
        assert_eq!(none.code, 1, "{}", none.err);
        assert!(none.err.contains("no path matches *.txd\nhint: "), "{}", none.err);
    }
}

#[test]
fn a_parent_that_cannot_be_read_is_told_and_stops_no_backup() {
    let desk = Desk::with_snapshots();
    let parent = desk.json(&["snapshots"])[1]["id"].as_str().unwrap().to_owned();
    let path = desk.path("repository/snapshots").join(&parent);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "rotten").unwrap();
    for backup in [&["backup", "data", "-n"][..], &["backup", "data"]] {
        let got = desk.run(backup);
        assert_eq!(got.code, 0, "{}", got.err);
        let told = format!("cannot read snapshots/{parent}: ");
        assert_eq!(got.err.matches(&told).count(), 1, "{}", got.err);
    }
}

#[test]
fn a_store_that_does_not_answer_is_told_once_and_tried_again() {
    let desk = Desk::new();
    // Nobody listens there any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let place = format!("s3:http://127.0.0.1:{port}/bucket");
    let run = |more: &[&str]| {
        let few = ["snapshots", "-r", &place, "-o", "s3.retries=2", "-o", "s3.retry-max-seconds=1"];
        let mut command = desk.command(&[&few[..], more].concat());
        command.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "secret");
        said(command.output().unwrap())
    };
    let got = run(&[]);
    assert_eq!(got.code, 1, "{}", got.err);
    assert_eq!(got.err.matches("trying again").count(), 1, "{}", got.err);
    assert!(got.err.starts_with("warning: cannot "), "{}", got.err);
    let got = run(&["--json"]);
    let first = super::lines(&got.err).remove(0);
    assert_eq!((&first["message_type"], &first["during"]), (&json!("error"), &json!("retry")));
    assert!(!run(&["--quiet"]).err.contains("trying again"));
}

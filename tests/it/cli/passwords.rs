//! Passwords from a command, a file, the environment; their order, and what contradicts itself.

use super::{Desk, Said, said};

/// Tries to open the repository (its password: `correct horse`) in an environment without one.
fn open(desk: &Desk, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = desk.command(&[arguments, &["snapshots"]].concat());
    command.env_remove("ICECORE_PASSWORD").envs(variables.iter().copied());
    said(command.output().unwrap())
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.init();
    desk.write("right", "correct horse\n");
    desk.write("wrong", "wrong\n");
    desk
}

#[test]
fn every_source_opens() {
    let desk = desk();
    for (arguments, variables) in [
        (["--password-file", "right"].as_slice(), [].as_slice()),
        (&["-p", "right"], &[]),
        (&["--password-command", "cat right"], &[]),
        (&["--password-command", "echo 'correct horse'"], &[]),
        (&[], &[("ICECORE_PASSWORD", "correct horse")]),
        (&[], &[("ICECORE_PASSWORD_FILE", "right")]),
        (&[], &[("ICECORE_PASSWORD_COMMAND", "cat right")]),
        // Flags win over variables, and a variable set to nothing is not set.
        (&["-p", "right"], &[("ICECORE_PASSWORD", "wrong")]),
        (&["-p", "right"], &[("ICECORE_PASSWORD_COMMAND", "cat wrong")]),
        (&[], &[("ICECORE_PASSWORD", "correct horse"), ("ICECORE_PASSWORD_FILE", "")]),
    ] {
        let got = open(&desk, arguments, variables);
        assert_eq!(got.code, 0, "{arguments:?} {variables:?}: {}", got.err);
    }
}

#[test]
fn what_contradicts_itself_or_is_nothing_is_usage() {
    let desk = desk();
    desk.write("empty", "\n");
    for (arguments, variables) in [
        (["-p", "right", "--password-command", "cat right"].as_slice(), [].as_slice()),
        (&[], &[("ICECORE_PASSWORD", "correct horse"), ("ICECORE_PASSWORD_FILE", "right")]),
        (&["-p", "empty"], &[]),
        (&["--password-command", "true"], &[]),
    ] {
        let got = open(&desk, arguments, variables);
        assert_eq!(got.code, 2, "{arguments:?} {variables:?}: {}", got.err);
    }
}

#[test]
fn what_fails_is_named() {
    let desk = desk();
    let got = open(&desk, &["-p", "no-such-file"], &[]);
    assert_eq!(got.code, 1);
    assert!(got.err.contains("no-such-file") && got.err.contains("caused by"), "{}", got.err);
    let got = open(&desk, &["--password-command", "false"], &[]);
    assert_eq!(got.code, 1);
    assert!(got.err.contains("`false` failed"), "{}", got.err);
    assert_eq!(open(&desk, &["-p", "wrong"], &[]).code, 12);
}

#[test]
fn keys_are_added_changed_and_removed() {
    let desk = desk();
    desk.write("second", "battery staple");
    desk.ok(&["key", "add", "--new-password-file", "second"]);
    assert_eq!(open(&desk, &["-p", "second"], &[]).code, 0);
    let keys = desk.json(&["key", "list"]);
    assert_eq!(keys.as_array().unwrap().len(), 2);
    let current = |key: &serde_json::Value| key["current"].as_bool().unwrap();
    assert_eq!(keys.as_array().unwrap().iter().filter(|key| current(key)).count(), 1);

    // Not the one in use; the other goes, and its password opens nothing.
    let in_use = keys.as_array().unwrap().iter().find(|key| current(key)).unwrap();
    let got = desk.run(&["key", "remove", in_use["id"].as_str().unwrap()]);
    assert_eq!(got.code, 1, "{}", got.err);
    let other = keys.as_array().unwrap().iter().find(|key| !current(key)).unwrap();
    desk.ok(&["key", "remove", other["id"].as_str().unwrap()]);
    assert_eq!(open(&desk, &["-p", "second"], &[]).code, 12);

    desk.write("third", "third");
    desk.ok(&["key", "passwd", "--new-password-command", "cat third"]);
    assert_eq!(open(&desk, &["-p", "right"], &[]).code, 12);
    assert_eq!(open(&desk, &["-p", "third"], &[]).code, 0);
}

#[test]
fn a_repository_from_a_file() {
    let desk = desk();
    desk.write("where", &format!("{}\n", desk.text("repository")));
    let mut command = desk.command(&["--repository-file", "where", "snapshots"]);
    assert_eq!(said(command.env_remove("ICECORE_REPOSITORY").output().unwrap()).code, 0);
    let mut command = desk.command(&["snapshots"]);
    command.env_remove("ICECORE_REPOSITORY").env("ICECORE_REPOSITORY_FILE", "where");
    assert_eq!(said(command.output().unwrap()).code, 0);
    let repository = desk.text("repository");
    let both = desk.run(&["--repository-file", "where", "-r", &repository, "snapshots"]);
    assert_eq!(both.code, 2);
}

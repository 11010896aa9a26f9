//! What can't be understood is said at once, with exit code 2, before anything is touched.

use super::Desk;

#[track_caller]
fn refused(arguments: &[&str], because: &str) {
    let desk = Desk::new();
    let said = desk.run(arguments);
    assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
    assert!(said.err.contains(because), "{arguments:?}: {}", said.err);
    assert!(!desk.path("repository").exists() && !desk.path("cache").exists());
}

#[test]
fn unknown_verbs_and_flags() {
    refused(&["bakcup"], "backup");
    refused(&["snapshots", "--lates", "2"], "--latest");
    refused(&[], "Usage");
    refused(&["ls"], "SNAPSHOT");
    refused(&["-vvv", "version"], "twice");
    refused(&["-q", "-v", "version"], "cannot be used with");
}

#[test]
fn values_that_mean_nothing() {
    refused(&["--limit-upload", "0", "snapshots"], "0");
    refused(&["backup", "x", "--compression", "zip"], "zip");
    refused(&["backup", "x", "--exclude-larger-than", "big"], "size");
    refused(&["forget", "--keep-daily", "some"], "unlimited");
    refused(&["forget", "--keep-within", "1x"], "1y5m7d2h");
    refused(&["forget", "--keep-last", "1", "--group-by", "colour"], "colour");
    refused(&["snapshots", "nothex"], "names no snapshot");
    refused(&["cat", "latest:rel/ative"], "no place in a snapshot");
    refused(&["check", "--read-data-subset", "9/7"], "9/7");
    refused(&["prune", "--max-unused", "much"], "much");
    refused(&["-o", "novalue", "snapshots"], "KEY=VALUE");
    refused(&["-o", "foo=bar", "snapshots"], "foo");
    refused(&["-o", "s3.retries=abc", "snapshots", "-r", "s3:localhost:1/bucket"], "s3.retries");
    refused(&["forget", "--keep-last", "-2"], "unlimited");
}

#[test]
fn variables_that_mean_nothing() {
    for (name, value, because) in [
        ("ICECORE_COMPRESSION", "zip", "ICECORE_COMPRESSION is `zip`"),
        ("ICECORE_PACK_SIZE", "huge", "ICECORE_PACK_SIZE is `huge`"),
        ("ICECORE_PACK_SIZE", "0", "ICECORE_PACK_SIZE is `0`"),
        ("ICECORE_PROGRESS_FPS", "fast", "ICECORE_PROGRESS_FPS"),
        ("ICECORE_PROGRESS_FPS", "0", "ICECORE_PROGRESS_FPS"),
        ("ICECORE_PROGRESS_FPS", "61", "ICECORE_PROGRESS_FPS"),
    ] {
        let desk = Desk::new();
        desk.write("x", "x");
        desk.init();
        let said = super::said(desk.command(&["backup", "x"]).env(name, value).output().unwrap());
        assert_eq!(said.code, 2, "{name}={value}: {}", said.err);
        assert!(said.err.contains(because), "{name}={value}: {}", said.err);
        assert_eq!(desk.json(&["snapshots"]), serde_json::json!([]));
    }
}

#[test]
fn variables_set_to_nothing_are_not_set() {
    let desk = Desk::new();
    desk.write("x", "x");
    desk.init();
    for name in ["ICECORE_COMPRESSION", "ICECORE_PACK_SIZE", "ICECORE_CACHE_DIR"] {
        let said = super::said(desk.command(&["backup", "x"]).env(name, "").output().unwrap());
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{name}");
    }
}

#[test]
fn restic_says_minus_one_for_unlimited_and_help_for_help() {
    let desk = Desk::with_snapshots();
    desk.ok(&["forget", "--keep-last", "-1"]);
    assert_eq!(desk.json(&["snapshots"]).as_array().unwrap().len(), 2);
    assert!(desk.ok(&["help", "restore"]).contains("--conflict"));
    desk.ok(&["man", "pages"]);
    let mut pages = std::fs::read_dir(desk.path("pages")).unwrap();
    assert!(pages.all(|page| !page.unwrap().file_name().to_string_lossy().contains("help")));
}

/// Else every command would read all indexes anew, and nobody would know.
#[test]
fn a_cache_that_can_not_be_used_is_told_once_and_done_without() {
    let desk = Desk::with_snapshots();
    desk.write("file", "no directory");
    for arguments in [&["backup", "file"][..], &["snapshots"], &["ls", "latest"]] {
        let mut command = desk.command(arguments);
        let said = super::said(command.env("ICECORE_CACHE_DIR", "file").output().unwrap());
        let told = said.err.lines().filter(|line| line.contains("the cache can't be used"));
        assert_eq!((said.code, told.count()), (0, 1), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn an_empty_policy_is_refused() {
    let desk = Desk::with_snapshots();
    let said = desk.run(&["forget"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("forget everything"), "{}", said.err);
    assert_eq!(desk.json(&["snapshots"]).as_array().unwrap().len(), 2);
}

#[test]
fn no_repository_named() {
    let desk = Desk::new();
    let said = super::said(
        desk.command(&["snapshots"]).env_remove("ICECORE_REPOSITORY").output().unwrap(),
    );
    assert_eq!(said.code, 2);
    assert!(said.err.contains("--repo"), "{}", said.err);
}

#[test]
fn help_teaches_and_is_no_error() {
    let desk = Desk::new();
    assert!(desk.ok(&["--help"]).contains("Begin here"));
    for verb in [
        "init",
        "backup",
        "snapshots",
        "ls",
        "cat",
        "find",
        "diff",
        "restore",
        "tag",
        "forget",
        "undelete",
        "prune",
        "check",
        "stats",
        "key",
        "mount",
        "completions",
        "man",
    ] {
        let help = desk.ok(&[verb, "--help"]);
        assert!(help.contains("Examples:"), "{verb}");
    }
    assert!(desk.ok(&["version"]).contains(env!("CARGO_PKG_VERSION")));
    assert!(desk.ok(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_and_manual_pages_name_every_verb() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(desk.ok(&["completions", shell]).contains("undelete"), "{shell}");
    }
    assert!(desk.ok(&["man"]).contains(".TH icecore"));
    desk.ok(&["man", "pages"]);
    for page in ["icecore.1", "icecore-backup.1", "icecore-key-passwd.1", "icecore-repair-index.1"]
    {
        assert!(desk.path("pages").join(page).exists(), "{page}");
    }
}

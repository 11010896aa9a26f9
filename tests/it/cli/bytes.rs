//! Names that are not UTF-8 can be typed wherever a file is meant.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
};

use super::{Desk, said};

const NAME: &[u8] = b"caf\xe9";

/// `before`, the name, `after`.
fn bytes(before: &str, after: &str) -> OsString {
    OsStr::from_bytes(&[before.as_bytes(), NAME, after.as_bytes()].concat()).to_owned()
}

#[test]
fn a_name_of_any_bytes_can_be_typed_wherever_a_file_is_meant() {
    let desk = Desk::new();
    let dir = desk.path("").join(bytes("", ""));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("a"), "a, by this name").unwrap();
    fs::write(dir.join(bytes("", ".txt")), "one").unwrap();
    fs::write(dir.join("patterns"), "*.o\n").unwrap();
    let run = |arguments: &[&OsStr]| {
        let mut command = desk.command(&[]);
        let got = said(
            command.env("ICECORE_REPOSITORY", dir.join("repo")).args(arguments).output().unwrap(),
        );
        assert_eq!(got.code, 0, "{arguments:?}: {}", got.err);
        got.out
    };
    let o = OsStr::new;
    run(&[o("init"), o("--kdf-memory"), o("64"), o("--kdf-time"), o("1")]);
    let files = bytes(&desk.text(""), "");
    let (patterns, repo) = (dir.join("patterns"), dir.join("repo"));
    let excluded = bytes("", ".none");
    let leave_out = [o("--exclude-if-present"), &excluded, o("--exclude"), o("repo")];
    let backup = [o("backup"), &files, o("--exclude-file"), patterns.as_os_str()];
    run(&[&backup[..], &leave_out].concat());
    fs::write(dir.join(bytes("", ".txt")), "another").unwrap();
    run(&[&backup[..], &leave_out, &[o("-r"), repo.as_os_str()]].concat());
    let place = |snapshot: &str, after: &str| {
        let path = [files.as_bytes(), after.as_bytes()].concat();
        OsStr::from_bytes(&[snapshot.as_bytes(), &path].concat()).to_owned()
    };
    assert!(run(&[o("ls"), &place("latest:", "")]).contains(".txt\n"));
    assert!(run(&[o("ls"), o("latest"), &files]).contains(".txt\n"));
    assert_eq!(run(&[o("cat"), &place("latest:", "/a")]), "a, by this name");
    let diff = run(&[o("diff"), o("-q"), &place("latest~1:", ""), &place("latest:", "")]);
    assert!(diff.starts_with("M ") && diff.lines().count() == 1, "{diff}");
    let mut path = files.clone();
    path.push("/");
    path.push(bytes("", ".txt"));
    assert_eq!(run(&[o("history"), &path]).lines().count(), 3);
    assert_eq!(run(&[o("find"), &bytes("", ".txt")]).matches(".txt\n").count(), 2);
    assert_eq!(run(&[o("find"), &path]).matches(".txt\n").count(), 2);
    let ids = run(&[o("snapshots"), o("--json"), o("--path"), &files]);
    assert_eq!(super::lines(&ids)[0].as_array().unwrap().len(), 2);
    let target = bytes("back/", "");
    run(&[o("restore"), &place("latest:", ""), o("--target"), &target]);
    assert_eq!(fs::read(desk.path("").join(&target).join("a")).unwrap(), b"a, by this name");

    let mut stream = desk.command(&["backup", "--stdin", "--stdin-filename"]);
    stream.arg(bytes("", "")).env("ICECORE_REPOSITORY", &repo);
    assert_eq!(said(stream.output().unwrap()).code, 0);
    assert_eq!(run(&[o("cat"), OsStr::from_bytes(b"latest:/caf\xe9")]), "");
    let list = desk.path("").join(bytes("", ".repository"));
    fs::write(&list, [repo.as_os_str().as_bytes(), b"\n"].concat()).unwrap();
    let mut named = desk.command(&["snapshots", "--json", "--repository-file"]);
    let named = said(named.arg(&list).env_remove("ICECORE_REPOSITORY").output().unwrap());
    assert_eq!((named.code, super::lines(&named.out)[0].as_array().unwrap().len()), (0, 3));
}

#[test]
fn what_is_no_file_is_text() {
    let desk = Desk::with_snapshots();
    for (before, after) in [("latest:", ""), ("", ":/a"), ("", "")] {
        let mut ls = desk.command(&["ls"]);
        let got = said(ls.arg(bytes(before, after)).output().unwrap());
        assert_eq!(got.code, 2, "{}", got.err);
        assert!(got.err.contains("caf\u{fffd}"), "{}", got.err);
    }
    let mut find = desk.command(&["find"]);
    let got = said(find.arg(bytes("*", "")).output().unwrap());
    assert_eq!(got.code, 2, "{}", got.err);
    assert!(got.err.contains("can be a name but no pattern"), "{}", got.err);
    let mut bucket = desk.command(&["snapshots", "-r"]);
    let got = said(bucket.arg(bytes("s3:host/bucket/", "")).output().unwrap());
    assert_eq!(got.code, 2, "{}", got.err);
}

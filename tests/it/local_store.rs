//! The local store against real disasters: writers killed at any moment, a disk that is full.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use bytes::Bytes;
use icecore::{
    limits::MIB,
    store::{ErrorKind, Name, Put, Store, get_all, list_all, local::LocalStore},
};

/// Where a child process finds its repository.
const DIRECTORY: &str = "ICECORE_TEST_DIRECTORY";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn directory() -> PathBuf {
    env::var_os(DIRECTORY).expect("started by the test above").into()
}

/// This program again, with one of the ignored tests below as its whole task.
fn child(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(DIRECTORY, directory);
    command.stdout(Stdio::null());
    command
}

fn bytes_of(object: &str) -> Bytes {
    let mut bytes = vec![0; 300_000 + object.len()];
    blake3::Hasher::new().update(object.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes.into()
}

#[test]
fn killed_writers_leave_whole_objects_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::create(directory.path()).unwrap();
    for round in 0..10 {
        // Two at once, which write the same names.
        let mut children: Vec<_> = (0..2)
            .map(|_| child("local_store::writes_until_it_is_killed", directory.path()))
            .map(|mut command| command.env("ROUND", round.to_string()).spawn().unwrap())
            .collect();
        let prefix = format!("packs/{round:02}");
        while list_all(&store, &prefix).unwrap().len() < 3 {
            thread::sleep(Duration::from_millis(1));
            assert!(children[0].try_wait().unwrap().is_none(), "the writer ended by itself");
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        for listed in list_all(&store, &prefix).unwrap() {
            let there = get_all(&store, &listed.name, MIB).unwrap();
            assert!(there == bytes_of(listed.name.as_str()), "{} is whole", listed.name);
        }
        let next = name(&format!("{prefix}/after"));
        assert_eq!(store.put_new(&next, Bytes::new()).unwrap(), Put::Created);
    }
}

#[test]
#[ignore = "a child process of the test above"]
fn writes_until_it_is_killed() {
    let store = LocalStore::open(&directory()).unwrap();
    let round: usize = env::var("ROUND").unwrap().parse().unwrap();
    for n in 0.. {
        let object = name(&format!("packs/{round:02}/{n}"));
        store.put_new(&object, bytes_of(object.as_str())).unwrap();
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_harmed() {
    let directory = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=3500k none \"$0\" && exec \"$@\"";
    let inside = child("local_store::fills_its_disk", directory.path());
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", mount])
        .arg(directory.path())
        .arg(inside.get_program())
        .args(inside.get_args())
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    if said.contains("unshare:") || said.contains("mount:") {
        eprintln!("not run, this system lets nobody mount a small disk: {said}");
        return;
    }
    assert!(ran.status.success(), "{said}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "it was on the small disk");
}

#[test]
#[ignore = "a child process of the test above"]
fn fills_its_disk() {
    let directory = directory();
    let store = LocalStore::create(&directory).unwrap();
    let megabyte = Bytes::from(vec![7; MIB]);
    let full =
        (0..10).find_map(|n| store.put_new(&name(&format!("x/{n}")), megabyte.clone()).err());
    assert_eq!(full.expect("10 MiB do not fit into 3.5").kind, ErrorKind::Full);
    let there = list_all(&store, "").unwrap();
    assert_eq!(there.len(), 3, "what was put is there");
    for listed in there {
        assert!(get_all(&store, &listed.name, MIB).unwrap() == megabyte);
    }
    let left = fs::read_dir(directory.join("x")).unwrap().count();
    assert_eq!(left, 3, "and no half of what was not");
    store.remove(&name("x/0")).unwrap();
    assert_eq!(store.put_new(&name("x/10"), megabyte.clone()).unwrap(), Put::Created);

    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&directory).status();
    assert!(remounted.unwrap().success());
    let error = store.put_new(&name("x/11"), megabyte).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "read-only: {error}");
    store.remove(&name("x/10")).unwrap_err();
    assert_eq!(list_all(&store, "").unwrap().len(), 3);
}

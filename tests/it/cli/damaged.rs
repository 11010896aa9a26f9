//! What is damaged is named, and what is not is shown: 13 is an exit code, not the end of a list.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use super::{Desk, Said};

const FILES: u64 = 400;

/// Files whose content stands in their entries, and fills several leaves.
fn write_files(desk: &Desk, seed: u64) {
    for number in 0..FILES {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[seed, number].map(u64::to_le_bytes).concat());
        let mut bytes = vec![0; 6_000];
        hasher.finalize_xof().fill(&mut bytes);
        desk.write(&format!("data/f{number:03}"), "");
        fs::write(desk.path(&format!("data/f{number:03}")), bytes).unwrap();
    }
}

pub fn packs(desk: &Desk) -> Vec<PathBuf> {
    let folders = fs::read_dir(desk.path("repository/packs")).unwrap();
    folders
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|pack| pack.unwrap().path())
        .collect()
}

/// A bit of the largest of them, in the middle.
pub fn rot(packs: &[PathBuf]) {
    let length = |path: &&PathBuf| fs::metadata(path).unwrap().len();
    let path = packs.iter().max_by_key(length).unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Of two snapshots of other files by the same names, the older one is damaged.
fn damaged() -> Desk {
    let desk = Desk::new();
    desk.init();
    write_files(&desk, 1);
    desk.ok(&["backup", "data"]);
    let old = packs(&desk);
    write_files(&desk, 2);
    desk.ok(&["backup", "data"]);
    rot(&old);
    desk
}

fn told(said: &Said, start: &str) {
    assert_eq!(said.code, 13, "{}\n{}", said.out, said.err);
    assert_eq!(said.err.lines().next().unwrap().find(start), Some(0), "{}", said.err);
    assert!(said.err.contains("hint: `icecore check --read-data`"), "{}", said.err);
}

#[test]
fn what_is_not_damaged_is_listed_found_and_compared() {
    let desk = damaged();
    let names = |out: &str, start: &str| {
        out.lines().filter(|line| line.starts_with(start) && line.contains("/data/f")).count()
    };
    let ls = desk.run(&["ls", "latest~1"]);
    told(&ls, "cannot read what lies from /");
    let left = names(&ls.out, "/");
    assert!((1..FILES as usize).contains(&left), "{left}");
    let restored = desk.run(&["restore", "latest~1", "--target", "back"]);
    assert_eq!(restored.code, 13, "{}", restored.err);
    let back = desk.path("back").join(desk.text("data").trim_start_matches('/'));
    assert_eq!(fs::read_dir(back).unwrap().count(), left, "a restore brings all that is listed");

    let found = desk.run(&["find", "f*"]);
    told(&found, "cannot read snapshot ");
    assert_eq!(names(&found.out, "/"), left + FILES as usize);
    let compared = desk.run(&["diff", "latest~1", "latest"]);
    told(&compared, "cannot read what lies from /");
    assert_eq!((names(&compared.out, "M"), names(&compared.out, "")), (left, left));
    told(&desk.run(&["stats"]), "cannot read snapshot ");

    let mut lost = (0..FILES).map(|n| format!("{}/f{n:03}", desk.text("data")));
    let lost = lost.find(|path| !ls.out.contains(&format!("{path}\n"))).unwrap();
    let history = desk.run(&["history", &lost]);
    told(&history, "cannot read snapshot ");
    assert_eq!(history.out.lines().filter(|line| line.starts_with("+  ")).count(), 1);
    told(&desk.run(&["ls", &format!("latest~1:{lost}")]), "cannot read what lies from /");
    let cat = desk.run(&["cat", &format!("latest~1:{lost}")]);
    told(&cat, "error: cannot read the snapshot");
    for verb in ["ls", "stats"] {
        desk.ok(&[verb, "latest"]);
    }
    let json = desk.run(&["ls", "latest~1", "--json"]);
    let error = super::lines(&json.err).remove(0);
    assert_eq!((&error["message_type"], json.code), (&"error".into(), 13));
    assert!(error["item"].as_str().unwrap().starts_with("what lies from /"), "{error}");
}

/// Neither its time nor its host is known then: it may have been any.
#[test]
fn a_damaged_record_may_have_been_the_latest() {
    let desk = Desk::new();
    desk.init();
    desk.write("data/f", "old");
    desk.ok(&["backup", "data"]);
    let old = desk.json(&["snapshots"])[0]["id"].as_str().unwrap().to_owned();
    desk.write("data/f", "and new");
    desk.ok(&["backup", "data"]);
    let new = desk.json(&["snapshots", "latest"])[0]["id"].as_str().unwrap().to_owned();
    rot(&[desk.path("repository/snapshots").join(new)]);

    let place = format!("latest:{}", desk.text("data/f"));
    let short = &old[..8];
    let told = format!("warning: a damaged record may have been `latest`; taken is {short} of 20");
    for arguments in [
        &["restore", &place, "--target", "back"][..],
        &["restore", "latest", "--target", "plan", "--dry-run"],
        &["ls", "latest"],
        &["cat", &place],
        &["cat", "snapshot", "latest"],
        &["find", "f", "--snapshot", "latest"],
        &["diff", &old, "latest"],
        &["stats", "latest"],
    ] {
        let said = desk.run(arguments);
        assert_eq!(said.code, 13, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(&told), "{arguments:?}: {}", said.err);
    }
    for arguments in [&["forget", "latest"][..], &["tag", "--add", "x", "latest~0"]] {
        let said = desk.run(arguments);
        assert_eq!(said.code, 13, "{arguments:?}: {}", said.err);
        assert!(said.err.contains("may be `latest"), "{arguments:?}: {}", said.err);
    }
    assert!(desk.json(&["snapshots", "--forgotten"]).as_array().unwrap().is_empty());
    assert_eq!(fs::read(desk.path("back/f")).unwrap(), b"old");
    desk.ok(&["restore", &old, "--target", "named"]);
}

/// What `check` says, without and with `--json`, and how it ends.
fn checked(desk: &Desk, code: i32) -> (String, Vec<String>) {
    let said = desk.run(&["check", "--read-data"]);
    assert_eq!(said.code, code, "{}\n{}", said.out, said.err);
    let json = desk.run(&["check", "--read-data", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(summary["num_errors"].as_u64() > Some(0), code != 0, "{summary}");
    let hints = summary["hints"].as_array().unwrap();
    (said.out, hints.iter().map(|hint| hint.as_str().unwrap().to_owned()).collect())
}

fn replace(path: PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, bytes).unwrap();
}

#[test]
fn what_a_check_hints_at_ends_the_damage_of_a_pack() {
    let desk = Desk::new();
    desk.init();
    let mut bytes = vec![0; 300_000];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    desk.write("data/f", "");
    fs::write(desk.path("data/f"), bytes).unwrap();
    desk.ok(&["backup", "data"]);
    let all = packs(&desk);
    rot(&all);
    let (out, hints) = checked(&desk, 13);
    assert!(out.contains("lost: ") && !hints.iter().any(|hint| hint.contains("prune")), "{out}");
    desk.ok(&["backup", "data"]);
    let (out, hints) = checked(&desk, 13);
    assert!(out.contains("no snapshot lacks") && hints.len() == 1, "{out}");
    assert!(hints[0].starts_with("`icecore prune` moves"), "{hints:?}");
    // What has grown too has lost nothing with that.
    for path in all {
        replace(path, |bytes| bytes.resize(bytes.len() + 100, 0));
    }
    let (out, hints) = checked(&desk, 13);
    assert!(out.contains("bytes instead of ") && out.contains("no snapshot lacks"), "{out}");
    assert!(hints.len() == 1 && hints[0].starts_with("`icecore prune` moves"), "{hints:?}");
    desk.ok(&["prune", "--yes"]);
    assert!(checked(&desk, 0).1.is_empty());
}

/// A disk that was not mounted while somebody checked.
#[test]
fn packs_that_are_back_are_damaged_no_more() {
    let desk = Desk::with_snapshots();
    fs::rename(desk.path("repository/packs"), desk.path("away")).unwrap();
    fs::create_dir(desk.path("repository/packs")).unwrap();
    let (out, _) = checked(&desk, 13);
    assert!(out.contains("it is not there"), "{out}");
    assert_eq!(desk.run(&["prune", "--yes"]).code, 13);
    let records = || fs::read_dir(desk.path("repository/damaged")).unwrap().count();
    assert_eq!(records(), 1, "what is known is not written down again");
    fs::remove_dir_all(desk.path("repository/packs")).unwrap();
    fs::rename(desk.path("away"), desk.path("repository/packs")).unwrap();
    let out = desk.ok(&["check"]);
    assert!(out.contains("found whole again: ") && out.contains("no damage found"), "{out}");
    assert_eq!(records(), 0);
    desk.ok(&["prune", "--yes"]);
    desk.ok(&["restore", "latest", "--target", "back"]);
}

/// As a file of another program's that was copied over it.
#[test]
fn objects_larger_than_they_can_be_are_damage_and_no_end() {
    let desk = Desk::with_snapshots();
    let path = |name: &str| desk.path("repository").join(name);
    let slot = fs::read_dir(path("snapshots")).unwrap().next().unwrap().unwrap().path();
    let segment = fs::read_dir(path("index")).unwrap().next().unwrap().unwrap().path();
    for path in [path("config"), path("keys/00"), path("tombstones/00"), segment, slot] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        file.unwrap().set_len(1 << 30).unwrap();
    }
    let snapshots = desk.run(&["snapshots"]);
    assert!(snapshots.out.contains("\n1 snapshot\n"), "{}\n{}", snapshots.out, snapshots.err);
    let (out, _) = checked(&desk, 13);
    for name in ["config: ", "keys/00: ", "index/", "snapshots/"] {
        assert!(out.contains(&format!("damaged: {name}")), "{name}\n{out}");
    }
    desk.ok(&["repair", "index"]);
    let (out, _) = checked(&desk, 13);
    assert!(!out.contains("damaged: config") && !out.contains("damaged: index/"), "{out}");
}

#[test]
fn what_a_check_hints_at_ends_the_damage_of_the_config() {
    let desk = Desk::with_snapshots();
    let path = |name: &str| desk.path("repository").join(name);
    let whole = fs::read(path("config")).unwrap();
    replace(path("config"), |bytes| bytes.truncate(20));
    fs::remove_file(path("config-3")).unwrap();
    let (out, hints) = checked(&desk, 13);
    assert!(!out.contains("config: config"), "{out}");
    assert!(out.contains("damaged: config-3: no such object"), "{out}");
    let [hint] = &hints[..] else { panic!("{hints:?}") };
    assert!(hint.starts_with("`icecore repair index` puts"), "{hint}");
    assert!(desk.ok(&["repair", "index"]).contains("config-3 is put again"));
    checked(&desk, 0);
    for name in ["config", "config-2", "config-3"] {
        assert_eq!(fs::read(path(name)).unwrap(), whole);
    }
}

#[test]
fn a_damaged_snapshot_is_named_once_and_no_repair_of_the_index_is_hinted() {
    let desk = Desk::with_snapshots();
    let slot = fs::read_dir(desk.path("repository/snapshots")).unwrap().next().unwrap().unwrap();
    replace(slot.path(), |bytes| bytes.truncate(20));
    let (out, hints) = checked(&desk, 13);
    let name = slot.file_name().into_string().unwrap();
    assert_eq!(out.matches(&name).count(), 1, "{out}");
    let [hint] = &hints[..] else { panic!("{hints:?}") };
    assert!(hint.contains("below snapshots/"), "{hint}");
    // Removed by hand it is given up, and the other one is whole.
    fs::remove_file(slot.path()).unwrap();
    checked(&desk, 0);
    desk.ok(&["restore", "latest", "--target", "back"]);
}

#[test]
fn packs_without_any_snapshot_are_not_called_good() {
    let desk = Desk::with_snapshots();
    fs::rename(desk.path("repository/snapshots"), desk.path("away")).unwrap();
    fs::create_dir(desk.path("repository/snapshots")).unwrap();
    let (out, hints) = checked(&desk, 1);
    assert!(out.contains("0 snapshots, and ") && !out.contains("no damage"), "{out}");
    assert!(hints[0].starts_with("is all of the repository here"), "{hints:?}");
    fs::remove_dir(desk.path("repository/snapshots")).unwrap();
    fs::rename(desk.path("away"), desk.path("repository/snapshots")).unwrap();
    checked(&desk, 0);
    // Nothing is in it yet.
    let desk = Desk::new();
    desk.init();
    checked(&desk, 0);
}

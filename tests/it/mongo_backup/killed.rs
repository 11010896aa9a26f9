//! `icecore backup` and `icecore restore --to` killed in mid-way, and run once more.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use mongodb::bson::{Binary, Document, doc, spec::BinarySubtype};

use crate::{cli::Desk, mongod::Deployment, restore_mongodb::described};

const DOCUMENTS: i32 = 24_000;
const BATCH: i32 = 2000;

/// Some 48 MB that can't be compressed, in two collections, one with an index.
fn fill(deployment: &Deployment) {
    for start in (0..DOCUMENTS).step_by(BATCH as usize) {
        let document = |id: i32| {
            let mut noise = vec![0; 2000];
            blake3::Hasher::new().update(&id.to_le_bytes()).finalize_xof().fill(&mut noise);
            let data = Binary { subtype: BinarySubtype::Generic, bytes: noise };
            doc! { "_id": id, "n": id % 97, "data": data }
        };
        let documents: Vec<Document> = (start..start + BATCH).map(document).collect();
        let collection = if start < DOCUMENTS / 4 { "stock" } else { "orders" };
        deployment.command("shop", doc! { "insert": collection, "documents": documents });
    }
    let indexes = [doc! { "key": { "n": 1 }, "name": "n" }];
    deployment.command("shop", doc! { "createIndexes": "orders", "indexes": indexes.to_vec() });
}

fn packs(desk: &Desk) -> BTreeSet<String> {
    let folders = fs::read_dir(desk.path("repository/packs")).unwrap().flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
    let names = files.map(|file| file.file_name().into_string().unwrap());
    // What is being written has another name.
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit())).collect()
}

fn begin(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// SIGKILL as soon as `is_far_enough`, which must come before its end.
fn kill_when(mut child: Child, is_far_enough: impl Fn() -> bool) {
    while !is_far_enough() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was far enough");
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "a signal ended it: {status}");
}

#[test]
fn a_backup_that_was_killed_is_run_again_and_finds_what_it_had_stored() {
    let set = Deployment::replica_set();
    fill(&set);
    let desk = Desk::new();
    desk.init();
    let uri = set.uri();
    // So slow that it is at work when it is killed.
    let slowly = ["backup", &uri, "--pack-size", "4", "--limit-upload", "12000"];
    kill_when(begin(desk.command(&slowly)), || packs(&desk).len() >= 4);
    assert_eq!(desk.json(&["snapshots"]), serde_json::json!([]));
    let stored = packs(&desk);
    let bytes_stored = stored.len() as u64 * (4 << 20) * 9 / 10;

    let again = ["backup", &uri, "--pack-size", "4"];
    let summary = desk.json_lines(&again).pop().unwrap();
    assert_eq!(summary["docs_new"], DOCUMENTS, "{summary}");
    let (all, added) = (u64::from(DOCUMENTS as u32) * 2000, summary["data_added"].as_u64());
    assert!(
        added.unwrap() + bytes_stored < all + all / 10,
        "{} packs were there, and {added:?} bytes of {all} were stored again",
        stored.len()
    );
    assert!(packs(&desk).is_superset(&stored), "what was there stays");
    desk.ok(&["check", "--read-data"]);
    let unchanged = desk.json_lines(&again).pop().unwrap();
    assert_eq!(unchanged["data_added"], 0, "{unchanged}");

    let copy = Deployment::standalone();
    desk.ok(&["restore", "latest", "--to", &copy.uri()]);
    assert_eq!(described(&set, "shop"), described(&copy, "shop"));
}

#[test]
fn a_restore_that_was_killed_is_run_again_and_ends_with_equal_hashes() {
    let set = Deployment::replica_set();
    fill(&set);
    let desk = Desk::new();
    desk.init();
    desk.ok(&["backup", &set.uri()]);
    for conflict in ["skip", "overwrite"] {
        let copy = Deployment::replica_set();
        if conflict == "overwrite" {
            // Half of them are there, and differ.
            let old = |id: i32| doc! { "_id": id, "old": true };
            let documents: Vec<Document> = (6000..DOCUMENTS).step_by(2).map(old).collect();
            copy.command("shop", doc! { "insert": "orders", "documents": documents });
        }
        let uri = copy.uri();
        let restore = ["restore", "latest", "--to", &uri, "-y", "--conflict", conflict];
        let slowly = [&restore[..], &["--limit-download", "16000"]].concat();
        let orders = || {
            let count = doc! { "count": "orders", "query": { "n": { "$exists": true } } };
            copy.try_command("shop", count).map_or(0, |reply| reply.get_i32("n").unwrap())
        };
        kill_when(begin(desk.command(&slowly)), || orders() > 1000);
        let there = orders();
        assert!(there < 18_000, "{there} documents were written before it was killed");
        let lines = desk.json_lines(&restore);
        let plan = lines.iter().find(|line| line["message_type"] == "plan").unwrap();
        assert!(plan["docs_equal"].as_i64().unwrap() >= i64::from(there), "{plan}");
        assert_eq!((&plan["conflicts"], &plan["docs_skip"]), (&0.into(), &0.into()), "{plan}");
        let summary = lines.last().unwrap();
        assert_eq!((&summary["verified"], &summary["conflicts"]), (&true.into(), &0.into()));
        assert_eq!(described(&set, "shop"), described(&copy, "shop"), "{conflict}");
        // Nothing is left to do, and both records are there to be undone.
        let lines = desk.json_lines(&restore);
        assert!(lines.iter().all(|line| line["docs_insert"].as_i64().unwrap_or(0) == 0));
    }
}

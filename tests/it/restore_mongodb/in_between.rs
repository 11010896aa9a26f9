//! What somebody does between a plan and its restore, or between a restore and its undo.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use icecore::{
    document::Malformed,
    tree::{self, KeyRange},
    verbs::restore_mongodb::{Check, Counts, Fate},
};

use super::*;
use crate::mongod::{Ability, can};

fn delete(deployment: &Deployment, collection: &str, query: Document) {
    let deletes = [doc! { "q": query, "limit": 0 }];
    deployment.command("d", doc! { "delete": collection, "deletes": deletes });
}

fn change_all(deployment: &Deployment, collection: &str) {
    let updates = [doc! { "q": {}, "u": { "$set": { "v": "live" } }, "multi": true }];
    deployment.command("d", doc! { "update": collection, "updates": updates });
}

fn numbered(count: i32) -> Vec<Document> {
    (0..count).map(|id| doc! { "_id": id, "v": "snapshot" }).collect()
}

#[test]
fn what_is_not_recorded_is_not_dropped() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    for name in ["came", "gone"] {
        insert(&deployment, "d", name, numbered(5));
    }
    let kept = scene.capture(&link, &["d"]);
    let whole = described(&deployment, "d");
    ["came", "gone"].iter().for_each(|name| change_all(&deployment, name));
    let prepared = scene.prepare(&link, &kept, Options { drop: true, ..scene.options() });
    insert(&deployment, "d", "came", vec![doc! { "_id": "new" }]);
    delete(&deployment, "gone", doc! { "_id": 3 });
    let before = all(&deployment, "d", "came");
    let outcome = prepared.carry_out(&Progress::silent()).unwrap();
    let [came, gone] = &outcome.collections[..] else { panic!("{outcome:#?}") };
    assert_eq!((came.fate, came.conflicts, came.inserted), (Fate::Blocked, 1, 0), "{came:#?}");
    assert_eq!((gone.fate, gone.conflicts, gone.inserted), (Fate::Replace, 0, 5), "{gone:#?}");
    assert_eq!(all(&deployment, "d", "came"), before);
    assert_eq!(whole["gone: hash"], described(&deployment, "d")["gone: hash"]);

    // Its undo leaves it alone as well, whatever is said.
    let undone = scene.undo(&link, &outcome, true);
    let [gone] = &undone.collections[..] else { panic!("{undone:#?}") };
    assert!(gone.brings_back && undone.forgotten, "{undone:#?}");
    assert_eq!(all(&deployment, "d", "came"), before);
}

#[test]
fn a_restore_that_was_stopped_before_it_dropped_anything_is_taken_back_without_force() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    insert(&deployment, "d", "c", numbered(5));
    let kept = scene.capture(&link, &["d"]);
    change_all(&deployment, "c");
    let before = described(&deployment, "d");
    let prepared = scene.prepare(&link, &kept, Options { drop: true, ..scene.options() });
    let progress = Progress::silent();
    progress.cancel();
    assert!(prepared.carry_out(&progress).is_err());
    let all = scene.repo.snapshots().unwrap();
    let record = undo_verb::newest(&all, None).expect("it was recorded before");
    let options = scene.to_undo(false);
    let progress = Progress::silent();
    let undone = undo_verb::undo(&scene.repo, &link, record, &options, &progress).unwrap();
    assert_eq!((undone.collections[0].already, undone.forgotten), (5, true), "{undone:#?}");
    assert_same(&before, &described(&deployment, "d"));
}

#[test]
fn what_came_into_a_collection_that_a_killed_restore_did_not_drop_stays_whatever_is_said() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    insert(&deployment, "d", "c", numbered(5));
    let kept = scene.capture(&link, &["d"]);
    change_all(&deployment, "c");
    let prepared = scene.prepare(&link, &kept, Options { drop: true, ..scene.options() });
    let progress = Progress::silent();
    progress.cancel();
    assert!(prepared.carry_out(&progress).is_err());
    insert(&deployment, "d", "c", vec![doc! { "_id": "new" }]);
    let before = described(&deployment, "d");
    let records = scene.repo.snapshots().unwrap();
    let record = undo_verb::newest(&records, None).unwrap();
    let (options, progress) = (scene.to_undo(true), Progress::silent());
    let undone = undo_verb::undo(&scene.repo, &link, record, &options, &progress).unwrap();
    assert_eq!((undone.collections[0].already, undone.forgotten), (5, true), "{undone:#?}");
    assert_same(&before, &described(&deployment, "d"));
}

#[test]
fn another_collection_that_took_the_name_stays_also_with_the_same_documents() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    insert(&deployment, "d", "c", numbered(5));
    let kept = scene.capture(&link, &["d"]);
    let drop_it = || deployment.command("d", doc! { "drop": "c" });
    drop_it();
    for (what, before, drop, after) in
        [("made", 0, false, 0), ("written to", 2, false, 2), ("dropped", 3, true, 3)]
    {
        if before > 0 {
            insert(&deployment, "d", "c", numbered(before));
        }
        let (_, outcome) = scene.restore(&link, &kept, Options { drop, ..scene.options() });
        let all_records = scene.repo.snapshots().unwrap();
        let records = all_records.iter().filter(|one| one.forgotten.is_none());
        assert_eq!(records.count(), 2, "{what}: the capture and one record");
        drop_it();
        insert(&deployment, "d", "c", numbered(5));
        let undone = scene.undo(&link, &outcome, false);
        assert_eq!((undone.conflicts(), undone.forgotten), (1, false), "{what}: {undone:#?}");
        let [note] = &undone.collections[0].notes[..] else { panic!("{what}: {undone:#?}") };
        assert!(note.starts_with("another collection of that name stands"), "{what}: {note}");
        assert_eq!(all(&deployment, "d", "c").len(), 5, "{what}");
        let undone = scene.undo(&link, &outcome, true);
        assert_eq!((undone.conflicts(), undone.forgotten), (0, true), "{what}: {undone:#?}");
        assert_eq!(all(&deployment, "d", "c").len(), after as usize, "{what}");
        if after > 0 {
            drop_it();
        }
    }
}

#[test]
fn what_took_the_name_of_a_restored_view_stays() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    insert(&deployment, "d", "c", numbered(2));
    let view = |pipeline: Vec<Document>| {
        deployment.command("d", doc! { "create": "v", "viewOn": "c", "pipeline": pipeline });
    };
    let drop_it = || deployment.command("d", doc! { "drop": "v" });
    view(Vec::new());
    let kept = scene.capture(&link, &["d"]);
    drop_it();
    let (_, outcome) = scene.restore(&link, &kept, scene.options());
    let undone_with_a_conflict = |what: &str| {
        let undone = scene.undo(&link, &outcome, false);
        assert_eq!((undone.conflicts(), undone.forgotten), (1, false), "{what}: {undone:#?}");
    };
    drop_it();
    insert(&deployment, "d", "v", numbered(3));
    undone_with_a_conflict("a collection");
    assert_eq!(all(&deployment, "d", "v").len(), 3);
    drop_it();
    view(vec![doc! { "$match": { "_id": 1 } }]);
    undone_with_a_conflict("another view");
    drop_it();
    view(Vec::new());
    assert!(scene.undo(&link, &outcome, false).forgotten);
    assert!(!described(&deployment, "d").contains_key("v: record"));
}

#[test]
fn documents_that_are_lost_or_changed_while_they_are_written_are_missed() {
    let deployment = Arc::new(Deployment::standalone());
    let (scene, link) = (Scene::new(), link(&deployment));
    insert(&deployment, "d", "c", numbered(8));
    let kept = scene.capture(&link, &["d"]);
    // Five that differ, and three documents that are to be inserted.
    change_all(&deployment, "c");
    type Meanwhile = fn(&Deployment);
    let lost: Meanwhile = |server| delete(server, "c", doc! { "_id": { "$lt": 3 } });
    let changed: Meanwhile = |server| change_all(server, "c");
    for (conflict, meanwhile, right) in [
        (Conflict::Fail, lost, 0),
        (Conflict::Fail, changed, 0),
        (Conflict::Skip, lost, 5),
        (Conflict::Skip, changed, 5),
    ] {
        delete(&deployment, "c", doc! { "_id": { "$lt": 3 } });
        let (server, is_done) = (deployment.clone(), AtomicBool::new(false));
        // Documents of the snapshot are looked at last when all is read again.
        let matches = move |_: &[u8]| -> Result<bool, Malformed> {
            let are_there = all(&server, "d", "c").len() == 8;
            if are_there && !is_done.swap(true, Ordering::Relaxed) {
                meanwhile(&server);
            }
            Ok(true)
        };
        let options = Options { matches: Some(Box::new(matches)), ..scene.with(conflict) };
        let (plan, outcome) = scene.restore(&link, &kept, options);
        let Counts { insert, skip, conflict, .. } = plan.totals();
        assert_eq!((insert, skip + conflict), (3, 5));
        assert_eq!(outcome.collections[0].check, Check::Beside { right, wrong: 3 });
        assert!(!outcome.is_right());
    }
}

#[test]
fn what_is_lost_with_an_election_is_written_again_also_if_the_same_member_comes_back() {
    let set = Arc::new(Deployment::replica_set());
    let (scene, link) = (Scene::new(), link(&set));
    insert(&set, "d", "c", numbered(8));
    let kept = scene.capture(&link, &["d"]);
    let lost = doc! { "_id": { "$lt": 3 } };
    delete(&set, "c", lost.clone());
    let (server, is_done) = (set.clone(), AtomicBool::new(false));
    // As if it had rolled back what it had acknowledged, while all is read again.
    let matches = move |_: &[u8]| -> Result<bool, Malformed> {
        if all(&server, "d", "c").len() == 8 && !is_done.swap(true, Ordering::Relaxed) {
            delete(&server, "c", lost.clone());
            let _ = server.try_command("admin", doc! { "replSetStepDown": 1, "force": true });
            server.await_settled();
        }
        Ok(true)
    };
    let options = Options { matches: Some(Box::new(matches)), ..scene.options() };
    let (plan, outcome) = scene.restore(&link, &kept, options);
    assert_eq!(plan.totals().insert, 3);
    assert_eq!(outcome.collections[0].check, Check::Beside { right: 8, wrong: 0 });
    assert_eq!(all(&set, "d", "c"), numbered(8));
}

#[test]
fn what_comes_between_the_plan_of_a_capped_collection_and_its_end_is_told() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    let capped = || {
        deployment.command("d", doc! { "create": "log", "capped": true, "size": 10_000 });
    };
    capped();
    insert(&deployment, "d", "log", numbered(20));
    let kept = scene.capture(&link, &["d"]);
    deployment.command("d", doc! { "drop": "log" });
    capped();
    insert(&deployment, "d", "log", numbered(10));
    let prepared = scene.prepare(&link, &kept, scene.options());
    insert(&deployment, "d", "log", vec![doc! { "_id": "stranger" }]);
    let outcome = prepared.carry_out(&Progress::silent()).unwrap();
    assert_eq!(outcome.collections[0].check, Check::Beside { right: 10, wrong: 10 });

    // One that is in the way ends it: what comes after it is not even read, but counted.
    deployment.command("d", doc! { "drop": "log" });
    deployment.command("d", doc! { "create": "log", "capped": true, "size": 1_000_000 });
    for start in 0..5 {
        insert(&deployment, "d", "log", numbered(5000)[start * 1000..][..1000].to_vec());
    }
    let kept = scene.capture(&link, &["d"]);
    deployment.command("d", doc! { "drop": "log" });
    deployment.command("d", doc! { "create": "log", "capped": true, "size": 1_000_000 });
    insert(&deployment, "d", "log", numbered(10));
    let prepared = scene.prepare(&link, &kept, scene.options());
    insert(&deployment, "d", "log", vec![doc! { "_id": 1000 }]);
    let outcome = prepared.carry_out(&Progress::silent()).unwrap();
    let one = &outcome.collections[0];
    assert_eq!((one.inserted, one.conflicts, one.conflict_samples.len()), (990, 4000, 5));
    assert_eq!(one.check, Check::Beside { right: 10, wrong: 990 });
}

#[test]
fn nothing_is_appended_that_would_push_out_what_is_there() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    let documents = |count: i32| -> Vec<Document> {
        (0..count).map(|id| doc! { "_id": id, "text": "x".repeat(1000) }).collect()
    };
    let capped = |more: Document| {
        let _ = deployment.try_command("d", doc! { "drop": "log" });
        let mut create = doc! { "create": "log", "capped": true };
        create.extend(more);
        deployment.command("d", create);
    };
    capped(doc! { "size": 100_000 });
    insert(&deployment, "d", "log", documents(20));
    let kept = scene.capture(&link, &["d"]);
    for (room, appended) in [
        (doc! { "size": 100_000, "max": 19 }, 0),
        (doc! { "size": 16 << 10 }, 0),
        (doc! { "size": 100_000, "max": 20 }, 15),
    ] {
        for conflict in [Conflict::Fail, Conflict::Skip] {
            capped(room.clone());
            insert(&deployment, "d", "log", documents(5));
            let (plan, outcome) = scene.restore(&link, &kept, scene.with(conflict));
            let Counts { insert, equal, skip, conflict: told, .. } = plan.totals();
            assert_eq!((insert, equal, skip + told), (appended, 5, 15 - appended), "{room}");
            let notes = &plan.collections[0].notes;
            assert_eq!(notes.iter().any(|note| note.contains("push out")), appended == 0);
            assert_eq!((outcome.conflicts(), outcome.is_right()), (told, true), "{outcome:#?}");
            let there = all(&deployment, "d", "log");
            assert_eq!(there, documents(5 + appended as i32), "{room}");
        }
    }
}

#[test]
fn a_collection_that_stays_gets_no_index_by_which_documents_go() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    insert(&deployment, "d", "c", numbered(3));
    let indexes = [
        doc! { "key": { "at": 1 }, "name": "ttl", "expireAfterSeconds": 100_000 },
        doc! { "key": { "v": 1 }, "name": "v" },
    ];
    deployment.command("d", doc! { "createIndexes": "c", "indexes": indexes.to_vec() });
    let kept = scene.capture(&link, &["d"]);
    let whole = described(&deployment, "d");
    deployment.command("d", doc! { "dropIndexes": "c", "index": "*" });
    delete(&deployment, "c", doc! { "_id": 1 });

    let names = || -> Vec<String> {
        let all = sink::indexes(&link, &Namespace::new("d", "c")).unwrap();
        all.iter().map(|spec| sink::name_of(spec)).collect()
    };
    let scope = verb::scope_of(&scene.repo, &kept, &"d.c/1".parse().unwrap()).unwrap();
    let (plan, outcome) = scene.restore(&link, &kept, Options { scope, ..scene.options() });
    assert_eq!((plan.totals().insert, names()), (1, vec!["_id_".to_owned()]));
    assert!(plan.collections[0].notes.is_empty() && outcome.collections[0].indexes.is_empty());

    let (plan, outcome) = scene.restore(&link, &kept, scene.options());
    assert_eq!(names(), ["_id_", "v"]);
    let [note] = &plan.collections[0].notes[..] else { panic!("{plan:#?}") };
    assert!(note.contains("ttl"), "{note}");
    assert_eq!(outcome.collections[0].indexes, ["v"]);

    // Dropped, it comes back with all that it had.
    let (_, outcome) = scene.restore(&link, &kept, Options { drop: true, ..scene.options() });
    assert_eq!(outcome.collections[0].indexes, ["ttl", "v"]);
    assert_same(&whole, &described(&deployment, "d"));
}

#[test]
fn an_old_version_that_a_record_lacks_shifts_no_other() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    insert(&deployment, "d", "c", numbered(3));
    let kept = scene.capture(&link, &["d"]);
    change_all(&deployment, "c");
    let (_, outcome) = scene.restore(&link, &kept, scene.with(Conflict::Overwrite));
    // As if the first document had been removed between the look at it and its recording.
    let mut record = scene.kept(outcome.undo.unwrap()).snapshot;
    let reader = scene.repo.reader().unwrap();
    let is_old = |root: &NamedRoot| root.name == MONGODB_ROOT;
    let at_old = record.roots.iter().position(is_old).unwrap();
    let NamedRoot { id, level, entries, bytes, .. } = record.roots[at_old].clone();
    let catalogue = Root { id, level, entries, bytes };
    let entry = |root: &Root| tree::iter(&reader, root, KeyRange::all());
    let (key, mut value) = entry(&catalogue).next().unwrap().unwrap();
    let Pieces::Map(old) = value.pieces else { panic!("it holds old versions") };
    let session = scene.repo.begin(SessionOptions::default()).unwrap();
    let splitter = Splitter::new(scene.repo.keys().splitter_secret(), Aims::default());
    let mut shorter = Merger::new(&session, splitter, None);
    for entry in entry(&old).skip(1) {
        let (key, value) = entry.unwrap();
        shorter.put(&key, &value).unwrap();
    }
    value.pieces = Pieces::Map(shorter.finish().unwrap());
    let mut tree = Merger::new(&session, splitter, None);
    tree.put(&key, &value).unwrap();
    let Root { id, level, entries, bytes } = tree.finish().unwrap();
    let name = MONGODB_ROOT.into();
    record.roots[at_old] = NamedRoot { name, id, level, entries, bytes };
    let sid = session.commit(record).unwrap();

    let undone = scene.undo(&link, &Outcome { undo: Some(sid), ..outcome }, false);
    let one = &undone.collections[0];
    assert_eq!((one.restored, one.removed, one.conflicts), (2, 0, 0), "{one:#?}");
    let values: Vec<String> =
        all(&deployment, "d", "c").iter().map(|one| one.get_str("v").unwrap().to_owned()).collect();
    assert_eq!(values, ["snapshot", "live", "live"]);
}

#[test]
fn one_document_of_a_capped_collection_comes_back() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    deployment.command("d", doc! { "create": "log", "capped": true, "size": 10_000 });
    insert(&deployment, "d", "log", numbered(6));
    let kept = scene.capture(&link, &["d"]);
    let scope = verb::scope_of(&scene.repo, &kept, &"d.log/5".parse().unwrap()).unwrap();
    let options = Options { scope, into_database: Some("copy".into()), ..scene.options() };
    let (_, outcome) = scene.restore(&link, &kept, options);
    assert!(outcome.is_right(), "{outcome:#?}");
    assert_eq!(all(&deployment, "copy", "log"), numbered(6)[5..]);
}

#[test]
fn a_majority_is_waited_for_whatever_was_written_or_it_is_said_that_none_was() {
    let set = Deployment::replica_set();
    let (scene, link) = (Scene::new(), link(&set));
    let collation = doc! { "locale": "de", "strength": 1 };
    set.command("only", doc! { "create": "collated", "collation": collation });
    insert(&set, "only", "collated", numbered(3));
    set.command("view", doc! { "create": "v", "viewOn": "c", "pipeline": [] });
    let mut wanted = vec![("only", true), ("view", false)];
    // Before, a server refuses what is asked of the buckets.
    if can(Ability::ClusteredCollections) {
        set.command("series", doc! { "create": "t", "timeseries": { "timeField": "at" } });
        wanted.push(("series", true));
    }
    let databases: Vec<&str> = wanted.iter().map(|(db, _)| *db).collect();
    let kept = scene.capture(&link, &databases);
    databases.iter().for_each(|db| drop(set.command(db, doc! { "dropDatabase": 1 })));
    for (db, is_waited_for) in wanted {
        let scope = Scope { db: Some(db.into()), ..Scope::default() };
        let (_, outcome) = scene.restore(&link, &kept, Options { scope, ..scene.options() });
        assert_eq!(outcome.unconfirmed.is_none(), is_waited_for, "{db}: {outcome:#?}");
    }
}

#[test]
fn a_collection_that_is_dropped_while_it_is_restored_is_told() {
    let deployment = Arc::new(Deployment::standalone());
    let (scene, link) = (Scene::new(), link(&deployment));
    insert(&deployment, "d", "c", numbered(8));
    let kept = scene.capture(&link, &["d"]);
    for fate in [Fate::Keep, Fate::Create] {
        if fate == Fate::Keep {
            delete(&deployment, "c", doc! { "_id": { "$lt": 3 } });
        } else {
            deployment.command("d", doc! { "drop": "c" });
        }
        let (server, asked) = (deployment.clone(), AtomicUsize::new(0));
        // Each document is looked at once for the plan; the next time it is written.
        let matches = move |_: &[u8]| -> Result<bool, Malformed> {
            if asked.fetch_add(1, Ordering::Relaxed) == 8 {
                server.command("d", doc! { "drop": "c" });
            }
            Ok(true)
        };
        let options = Options { matches: Some(Box::new(matches)), ..scene.options() };
        let (plan, outcome) = scene.restore(&link, &kept, options);
        assert_eq!(plan.collections[0].fate, fate);
        let [told] = &outcome.collections[0].troubles[..] else { panic!("{outcome:#?}") };
        assert!(told.starts_with("it was dropped since the restore"), "{told}");
        let undone = scene.undo(&link, &outcome, false);
        assert_eq!((undone.conflicts(), undone.forgotten), (1, false), "{undone:#?}");
    }
}

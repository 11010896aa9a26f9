//! A snapshot with damage in it: what can be read comes back, what can't is named, once.

use std::{ops::ControlFlow, sync::Mutex};

use icecore::{
    store::{get_all, list_all, memory::MemoryStore},
    verbs::{
        deployment::{catalogue_root, diff},
        restore_mongodb::{Check, Counts, Error},
    },
};

use super::*;
use crate::cli::{Desk, damaged as cli_damaged, lines};

const DOCUMENTS: i32 = 400;

fn text(seed: i32, bytes: usize) -> String {
    let mut random = vec![0; bytes];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut random);
    hex::encode(random)
}

/// They fill several leaves.
fn documents() -> Vec<Document> {
    (0..DOCUMENTS).map(|n| doc! { "_id": n, "n": n, "text": text(n, 3_000) }).collect()
}

/// Three, of which the second is in chunks.
fn long_one() -> Vec<Document> {
    let long = doc! { "_id": 2, "n": 2, "text": text(0, 4 << 20) };
    vec![doc! { "_id": 1, "n": 1 }, long, doc! { "_id": 3, "n": 3 }]
}

/// A bit of the largest pack that was there `then`, in its middle.
fn rot(store: &MemoryStore, then: &MemoryStore) {
    let packs = list_all(then, "packs").unwrap();
    let pack = packs.iter().max_by_key(|pack| pack.size_bytes).unwrap();
    let mut bytes = get_all(store, &pack.name, usize::MAX >> 1).unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    store.tamper(&pack.name, bytes);
}

/// Another process: it has read nothing yet.
fn opened(store: Arc<MemoryStore>) -> Scene {
    let (ambient, clock) = Ambient::fixed(8);
    let password = SecretString::from("correct horse");
    let repo = Repository::open(store, &password, OpenOptions::default(), ambient).unwrap();
    Scene { repo, spill: tempfile::tempdir().unwrap(), _clock: clock }
}

/// Who hears what can't be read, and the names that were told.
fn listener() -> (Progress, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    let on_trouble = move |trouble: &icecore::progress::Trouble| {
        assert_eq!(trouble.during, "read");
        hears.lock().unwrap().push(trouble.item.clone());
    };
    (Progress::watched(Box::new(on_trouble), Box::new(|_| ())), told)
}

/// What was planned, what was done, and what was told.
fn restore(
    scene: &Scene,
    link: &Link,
    kept: &Kept,
    options: Options,
) -> (Plan, Outcome, Vec<String>) {
    let (progress, told) = listener();
    let prepared = verb::prepare(&scene.repo, link, kept, options, &progress).unwrap();
    let plan = prepared.plan();
    let outcome = prepared.carry_out(&progress).unwrap();
    (plan, outcome, std::mem::take(&mut *told.lock().unwrap()))
}

/// A server with the collection `c`, and a snapshot of it that is damaged.
fn damaged(deployment: &Deployment, create: Document) -> (Scene, Link, Kept) {
    let store = Arc::new(MemoryStore::new());
    let (scene, link) = (Scene::on(store.clone()), link(deployment));
    deployment.command("d", create);
    documents().chunks(100).for_each(|some| insert(deployment, "d", "c", some.to_vec()));
    insert(deployment, "d", "small", vec![doc! { "_id": 1 }]);
    let kept = scene.capture(&link, &["d"]);
    rot(&store, &store.snapshot());
    (opened(store), link, kept)
}

fn numbers(deployment: &Deployment, query: Document) -> Vec<i32> {
    let find = doc! { "find": "c", "filter": query, "batchSize": 10_000, "projection": { "n": 1 } };
    let reply = deployment.command("d", find);
    let batch = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    batch.iter().map(|one| one.as_document().unwrap().get_i32("n").unwrap()).collect()
}

#[test]
fn what_can_be_read_comes_back_and_can_be_taken_back() {
    let deployment = Deployment::standalone();
    let (scene, link, kept) = damaged(&deployment, doc! { "create": "c" });
    deployment.command("d", doc! { "dropDatabase": 1 });
    let (plan, outcome, told) = restore(&scene, &link, &kept, scene.options());
    assert_eq!(plan.totals().damaged, 0, "it reads no documents of what is wholly new");
    let one = &outcome.collections[0];
    let left = numbers(&deployment, doc! {});
    assert!((1..DOCUMENTS as usize).contains(&left.len()), "{}", left.len());
    assert_eq!((one.inserted, one.damaged), (left.len() as u64, 400 - left.len() as u64));
    assert_eq!((one.conflicts, outcome.is_right(), outcome.damaged()), (0, true, one.damaged));
    assert!(matches!(one.check, Check::Whole { .. }));
    assert!(told.len() == 1 && told[0].starts_with("what follows d.c/"), "{told:?}");
    assert!(scene.undo(&link, &outcome, false).forgotten);
    assert_eq!(described(&deployment, "d").len(), 0);

    // Beside live documents: three are gone, all others are changed.
    documents().chunks(100).for_each(|some| insert(&deployment, "d", "c", some.to_vec()));
    let changed = doc! { "q": {}, "u": { "$set": { "live": true } }, "multi": true };
    deployment.command("d", doc! { "update": "c", "updates": [changed] });
    let gone = doc! { "q": { "n": { "$in": [left[0], 200, 399] } }, "limit": 0 };
    deployment.command("d", doc! { "delete": "c", "deletes": [gone] });
    let before = described(&deployment, "d");
    for match_on in [Vec::new(), vec!["n".to_owned()]] {
        let strategy = Strategy { conflict: Conflict::Overwrite, match_on, ..Strategy::default() };
        let options = || Options { strategy: strategy.clone(), ..scene.options() };
        let (plan, outcome, told) = restore(&scene, &link, &kept, options());
        assert_eq!((plan.totals().damaged, told.len()), (one.damaged, 1), "{told:?}");
        let again = &outcome.collections[0];
        let written = again.inserted + again.overwritten;
        assert_eq!((written, again.damaged), (left.len() as u64, one.damaged), "{again:#?}");
        assert!(outcome.is_right() && outcome.conflicts() == 0, "{outcome:#?}");
        assert_eq!(numbers(&deployment, doc! { "live": { "$exists": false } }).len(), left.len());
        let undone = scene.undo(&link, &outcome, false);
        assert!(undone.forgotten, "{undone:#?}");
        assert_same(&before, &described(&deployment, "d"));
    }
}

#[test]
fn what_is_made_of_what_could_be_read_goes_and_what_came_into_it_stays() {
    let deployment = Deployment::standalone();
    let (scene, link, kept) = damaged(&deployment, doc! { "create": "c" });
    deployment.command("d", doc! { "dropDatabase": 1 });
    let (_, outcome, _) = restore(&scene, &link, &kept, scene.options());
    let left = numbers(&deployment, doc! {});
    insert(&deployment, "d", "c", vec![doc! { "_id": "mine", "n": -1 }]);
    let changed = doc! { "q": { "n": left[0] }, "u": { "$set": { "live": true } } };
    deployment.command("d", doc! { "update": "c", "updates": [changed] });
    let undone = scene.undo(&link, &outcome, false);
    let c = &undone.collections[0];
    assert_eq!((c.removed, c.conflicts, undone.forgotten), (left.len() as u64 - 1, 2, false));
    assert_eq!(numbers(&deployment, doc! {}), [left[0], -1]);
    assert!(scene.undo(&link, &outcome, true).forgotten);
    assert_eq!(described(&deployment, "d").len(), 0);
}

#[test]
fn what_was_written_and_can_t_be_read_any_more_goes_only_if_it_is_said() {
    let deployment = Deployment::standalone();
    let store = Arc::new(MemoryStore::new());
    let (scene, link) = (Scene::on(store.clone()), link(&deployment));
    documents().chunks(100).for_each(|some| insert(&deployment, "d", "c", some.to_vec()));
    let kept = scene.capture(&link, &["d"]);
    let then = store.snapshot();
    deployment.command("d", doc! { "dropDatabase": 1 });
    let (_, outcome) = scene.restore(&link, &kept, scene.options());
    rot(&store, &then);
    let scene = opened(store);
    let undone = scene.undo(&link, &outcome, false);
    let (c, left) = (&undone.collections[0], numbers(&deployment, doc! {}).len() as u64);
    assert!((1..DOCUMENTS as u64).contains(&left), "{undone:#?}");
    assert_eq!((c.removed, c.conflicts, undone.forgotten), (DOCUMENTS as u64 - left, left, false));
    assert!(scene.undo(&link, &outcome, true).forgotten);
    assert_eq!(described(&deployment, "d").len(), 0);
}

#[test]
fn what_is_there_is_not_dropped_for_a_part_of_what_it_was() {
    let deployment = Deployment::standalone();
    let (scene, link, kept) = damaged(&deployment, doc! { "create": "c" });
    insert(&deployment, "d", "small", vec![doc! { "_id": "live" }]);
    let before = described(&deployment, "d");
    for undo in [true, false] {
        insert(&deployment, "d", "small", vec![doc! { "_id": "another" }]);
        let options = || Options { drop: true, undo, ..scene.options() };
        let dry = Options { dry_run: true, ..options() };
        let planned = scene.prepare(&link, &kept, dry).plan();
        let (plan, outcome, told) = restore(&scene, &link, &kept, options());
        for plan in [planned, plan] {
            let [c, small] = &plan.collections[..] else { panic!("{plan:#?}") };
            assert_eq!((c.fate, small.fate), (Fate::Blocked, Fate::Replace));
            let Counts { insert, damaged, conflict, .. } = c.counts;
            assert_eq!((insert, conflict), (0, 0));
            assert!(damaged > 0 && c.notes[0].contains("without --drop"), "{c:#?}");
        }
        let c = &outcome.collections[0];
        assert!(c.damaged > 0 && c.troubles.len() == 1 && told.len() == 1, "{c:#?} {told:?}");
        let after = described(&deployment, "d");
        assert_eq!(before["c: hash"], after["c: hash"]);
        assert_eq!(all(&deployment, "d", "small"), [doc! { "_id": 1 }]);
    }
}

#[test]
fn in_a_kept_order_what_follows_a_hole_follows_at_once() {
    let deployment = Deployment::standalone();
    let create = || doc! { "create": "c", "capped": true, "size": 8 << 20 };
    let (scene, link, kept) = damaged(&deployment, create());
    // What the snapshot can't tell is there: nobody knows where to go on.
    let whole = described(&deployment, "d");
    let (_, outcome, told) = restore(&scene, &link, &kept, scene.options());
    let c = &outcome.collections[0];
    assert!(c.conflicts > 0 && c.inserted == 0 && c.damaged > 0 && told.len() == 1, "{c:#?}");
    assert_same(&whole, &described(&deployment, "d"));
    for there in [Some(10), None] {
        deployment.command("d", doc! { "drop": "c" });
        if let Some(there) = there {
            deployment.command("d", create());
            insert(&deployment, "d", "c", documents()[..there].to_vec());
        }
        let (_, outcome, told) = restore(&scene, &link, &kept, scene.options());
        let again = &outcome.collections[0];
        let left = numbers(&deployment, doc! {});
        assert_eq!((left.len() as u64, again.damaged), (400 - c.damaged, c.damaged));
        assert_eq!(again.inserted, (left.len() - there.unwrap_or(0)) as u64, "{again:#?}");
        assert!(left.is_sorted() && told.len() == 1 && outcome.is_right(), "{told:?}");
        assert!(again.troubles[0].contains("follows at once"), "{again:#?}");
        // A server may refuse to remove documents of what was there.
        assert!(there.is_some() || scene.undo(&link, &outcome, false).forgotten);
    }
}

#[test]
fn of_a_long_document_a_chunk_is_lost() {
    let deployment = Deployment::standalone();
    let store = Arc::new(MemoryStore::new());
    let (scene, link) = (Scene::on(store.clone()), link(&deployment));
    insert(&deployment, "d", "c", long_one());
    let kept = scene.capture(&link, &["d"]);
    rot(&store, &store.snapshot());
    for drops in [true, false] {
        if drops {
            deployment.command("d", doc! { "drop": "c" });
        }
        let (_, outcome, told) = restore(&scene, &link, &kept, scene.options());
        assert_eq!((outcome.damaged(), &told[..]), (1, &["d.c/2".to_owned()][..]));
        assert_eq!(all(&deployment, "d", "c"), [&long_one()[..1], &long_one()[2..]].concat());
        assert!(outcome.is_right());
    }
}

#[test]
fn what_is_damaged_after_the_plan_was_made_is_told_and_not_written() {
    let deployment = Deployment::standalone();
    let store = Arc::new(MemoryStore::new());
    let (scene, link) = (Scene::on(store.clone()), link(&deployment));
    insert(&deployment, "d", "c", long_one());
    let kept = scene.capture(&link, &["d"]);
    let sound = store.snapshot();
    // No chunk of the record is one of the snapshot's.
    let changed = doc! { "q": {}, "u": { "$set": { "text": "live" } }, "multi": true };
    deployment.command("d", doc! { "update": "c", "updates": [changed] });
    let before = described(&deployment, "d");
    for match_on in [Vec::new(), vec!["n".to_owned()]] {
        let strategy = Strategy { conflict: Conflict::Overwrite, match_on, ..Strategy::default() };
        let options = Options { strategy, ..scene.options() };
        let (progress, told) = listener();
        let prepared = verb::prepare(&scene.repo, &link, &kept, options, &progress).unwrap();
        assert_eq!(prepared.plan().damaged(), 0);
        rot(&store, &sound);
        let outcome = prepared.carry_out(&progress).unwrap();
        let c = &outcome.collections[0];
        assert_eq!((c.overwritten, c.damaged, c.conflicts), (2, 1, 0), "{c:#?}");
        assert_eq!((&told.lock().unwrap()[..], outcome.is_right()), (&["d.c/2".into()][..], true));
        assert!(scene.undo(&link, &outcome, false).forgotten);
        assert_same(&before, &described(&deployment, "d"));
        for pack in list_all(&sound, "packs").unwrap() {
            store.tamper(&pack.name, get_all(&sound, &pack.name, usize::MAX >> 1).unwrap());
        }
    }
}

/// So many that their list fills several leaves.
fn views(seed: i32) -> Catalogue {
    let mut catalogue = Catalogue::new();
    for n in 0..DOCUMENTS {
        let pipeline = vec![doc! { "$match": { "text": text(seed + n, 3_000) } }];
        let options = doc! { "viewOn": "c", "pipeline": pipeline };
        let record = CollectionRecord {
            kind: CollectionKind::View,
            uuid: None,
            options: options.to_vec().unwrap(),
            id_index: None,
            indexes: Vec::new(),
            keys: DocumentKeys::Id,
            count: 0,
            bytes: 0,
        };
        catalogue.insert(Namespace::new("d", format!("v{n:03}")).key(), (record, None));
    }
    catalogue
}

#[test]
fn lists_of_collections_are_compared_past_a_hole() {
    let store = Arc::new(MemoryStore::new());
    let scene = Scene::on(store.clone());
    let commit = |catalogue: &Catalogue| {
        let (session, _, splitter) = scene.session();
        scene.commit(session, splitter, catalogue)
    };
    let old = commit(&views(0));
    let then = store.snapshot();
    let mut views = views(DOCUMENTS);
    let first = views.pop_first().unwrap();
    let new = commit(&views);
    rot(&store, &then);
    let scene = opened(store);
    let reader = scene.repo.reader().unwrap();
    let side = |kept: &Kept| diff::Side { root: catalogue_root(&kept.snapshot), place: None };
    let (mut changed, mut alone, mut lost) = (0, Vec::new(), 0);
    let mut take = |change| {
        let diff::Change::Collection { old, new, .. } = change else { panic!("{change:?}") };
        match (old, new) {
            (Some(_), Some(_)) => changed += 1,
            (old, new) => alone.extend(old.or(new).map(|one| one.namespace.key())),
        }
        ControlFlow::<()>::Continue(())
    };
    let mut tell = |_| {
        lost += 1;
        Ok(())
    };
    assert!(
        diff::diff(&reader, side(&old), side(&new), &mut take, &mut tell).unwrap().is_continue()
    );
    assert!((1..DOCUMENTS - 1).contains(&changed) && lost == 1, "{changed} {lost}");
    assert!(alone.is_empty() || alone == [first.0], "{alone:?}");
}

#[test]
fn a_hole_in_the_list_of_collections_is_told() {
    let deployment = Deployment::standalone();
    let store = Arc::new(MemoryStore::new());
    let (scene, link) = (Scene::on(store.clone()), link(&deployment));
    let (session, _, splitter) = scene.session();
    let kept = scene.commit(session, splitter, &views(0));
    rot(&store, &store.snapshot());
    let scene = opened(store);
    let only = |name: &str| Options { include: Patterns::parse([name]), ..scene.options() };
    let (plan, outcome, told) = restore(&scene, &link, &kept, only("d.v000"));
    assert_eq!((plan.collections.len(), plan.others_damaged), (1, 1));
    assert_eq!(
        (outcome.damaged(), &told[..]),
        (1, &["a part of the list of collections".into()][..])
    );
    assert!(described(&deployment, "d").contains_key("v000: record"));
    // Of those that nobody can read none is said to be missing.
    let all = scene.prepare(&link, &kept, Options { dry_run: true, ..scene.options() }).plan();
    let is_read = |name: &str| all.collections.iter().any(|one| one.from.to_string() == name);
    let mut names = (0..DOCUMENTS).map(|n| format!("d.v{n:03}"));
    let lost = names.find(|name| !is_read(name)).expect("some are lost");
    let found = verb::prepare(&scene.repo, &link, &kept, only(&lost), &Progress::silent());
    assert!(matches!(found, Err(Error::ListDamaged)));
}

#[test]
fn damage_is_named_once_and_ends_in_its_own_exit_code() {
    let deployment = Deployment::standalone();
    let (desk, uri) = (Desk::new(), deployment.uri());
    desk.init();
    documents().chunks(100).for_each(|some| insert(&deployment, "d", "c", some.to_vec()));
    super::command::on_disk(&desk).capture(&link(&deployment), &["d"]);
    cli_damaged::rot(&cli_damaged::packs(&desk));
    // A conflict, too.
    let changed = doc! { "q": { "_id": 0 }, "u": { "$set": { "live": true } } };
    deployment.command("d", doc! { "update": "c", "updates": [changed] });
    let missing = doc! { "q": { "_id": 399 }, "limit": 0 };
    deployment.command("d", doc! { "delete": "c", "deletes": [missing] });
    for more in [&["--dry-run"][..], &[]] {
        let said = desk.run(&[&["restore", "latest", "--to", &uri], more].concat());
        assert_eq!(said.code, 13, "{}\n{}", said.out, said.err);
        assert_eq!(said.err.matches("cannot read what follows d.c/").count(), 1, "{}", said.err);
        assert!(said.out.contains("of the snapshot can't be read"), "{}", said.out);
        assert!(said.err.contains("hint: `icecore check --read-data`"), "{}", said.err);
    }
    assert_eq!(all(&deployment, "d", "c").len(), 400);
    let said = desk.run(&["restore", "latest", "--to", &uri, "--drop", "-y", "--json"]);
    assert_eq!((said.code, all(&deployment, "d", "c").len()), (13, 400), "{}", said.err);
    let error = lines(&said.err).remove(0);
    assert_eq!((&error["message_type"], &error["during"]), (&"error".into(), &"read".into()));
    for line in lines(&said.out).iter().filter(|line| line["collections"].is_array()) {
        let c = &line["collections"][0];
        assert_eq!((&c["fate"], &line["others_damaged"]), (&"blocked".into(), &0.into()));
        assert!(c["docs_damaged"].as_u64() > Some(0) && c["docs_damaged"] == line["docs_damaged"]);
    }
}

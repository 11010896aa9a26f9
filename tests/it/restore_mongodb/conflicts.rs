//! What becomes of documents that are on both sides: planned, done, checked.

use icecore::{
    document::{extjson, kind, query::Query},
    store::faulty::{Fault, Faulty},
    verbs::restore_mongodb::{Check, Counts, Fate, Winner},
};

use super::*;

/// 10 documents, of which the server lost 3, changed 2, and has 1 of its own.
fn scene(deployment: &Deployment) -> (Scene, Link, Kept) {
    scene_on(deployment, Arc::new(MemoryStore::new()))
}

fn scene_on(deployment: &Deployment, store: Arc<dyn Store>) -> (Scene, Link, Kept) {
    let (scene, link) = (Scene::on(store), link(deployment));
    let orders = (0..10).map(|id| doc! { "_id": id, "n": 5, "k": format!("k{id}"), "a": 1 });
    insert(deployment, "shop", "orders", orders.collect());
    deployment.command(
        "shop",
        doc! { "createIndexes": "orders", "indexes": [{ "key": { "k": 1 }, "name": "k" }] },
    );
    let kept = scene.capture(&link, &["shop"]);
    reset(deployment);
    (scene, link, kept)
}

fn reset(deployment: &Deployment) {
    let live = (0..10).filter(|id| *id > 2).map(|id| match id {
        5 => doc! { "_id": 5, "n": 4, "k": "k5", "b": 2 },
        6 => doc! { "_id": 6, "n": 6, "k": "k6", "b": 2 },
        id => doc! { "_id": id, "n": 5, "k": format!("k{id}"), "a": 1 },
    });
    let live = live.chain([doc! { "_id": 99, "own": true }]);
    deployment.command("shop", doc! { "delete": "orders", "deletes": [{ "q": {}, "limit": 0 }] });
    insert(deployment, "shop", "orders", live.collect());
}

fn counts(plan: &Plan) -> [u64; 6] {
    let Counts { insert, overwrite, merge, skip, equal, conflict, .. } = plan.totals();
    [insert, overwrite, merge, skip, equal, conflict]
}

#[test]
fn each_strategy_does_what_it_plans_and_undo_takes_exactly_that_back() {
    let deployment = Deployment::standalone();
    let (scene, link, kept) = scene(&deployment);
    let original = |id: i32| doc! { "_id": id, "n": 5, "k": format!("k{id}"), "a": 1 };
    let merged = |id: i32, a_wins: bool| {
        let n = if a_wins { 5 } else { id - 1 };
        let n = if id == 6 && !a_wins { 6 } else { n };
        doc! { "_id": id, "n": n, "k": format!("k{id}"), "b": 2, "a": 1 }
    };
    let newest =
        Strategy { conflict: Conflict::Newest, newest_by: "n".into(), ..Strategy::default() };
    let with = |conflict| Strategy { conflict, ..Strategy::default() };
    let snapshot_wins = Strategy { winner: Winner::Snapshot, ..with(Conflict::Merge) };
    let cases = [
        (with(Conflict::Fail), [3, 0, 0, 0, 5, 2], None),
        (with(Conflict::Skip), [3, 0, 0, 2, 5, 0], None),
        (with(Conflict::Overwrite), [3, 2, 0, 0, 5, 0], Some([original(5), original(6)])),
        (
            newest,
            [3, 1, 0, 1, 5, 0],
            Some([original(5), all(&deployment, "shop", "orders")[3].clone()]),
        ),
        (with(Conflict::Merge), [3, 0, 2, 0, 5, 0], Some([merged(5, false), merged(6, false)])),
        (snapshot_wins, [3, 0, 2, 0, 5, 0], Some([merged(5, true), merged(6, true)])),
    ];
    for (strategy, wanted, now) in cases {
        reset(&deployment);
        let before = all(&deployment, "shop", "orders");
        let name = format!("{strategy:?}");
        let options = || Options { strategy: strategy.clone(), ..scene.options() };
        let dry = scene.prepare(&link, &kept, Options { dry_run: true, ..options() });
        assert_eq!(counts(&dry.plan()), wanted, "{name}");
        drop(dry);
        let (plan, outcome) = scene.restore(&link, &kept, options());
        assert_eq!(counts(&plan), wanted, "{name}");
        assert_eq!(plan.takes_something_away(), wanted[1] + wanted[2] > 0, "{name}");
        assert_eq!(outcome.conflicts(), wanted[5], "{name}");
        assert!(outcome.is_right(), "{name}: {outcome:#?}");
        assert!(matches!(outcome.collections[0].check, Check::Beside { .. }));
        let after = all(&deployment, "shop", "orders");
        assert_eq!(after.len(), 11, "{name}: what only the server has stays");
        assert_eq!(after[..3], [original(0), original(1), original(2)], "{name}");
        if let Some([five, six]) = now {
            assert_eq!((&after[5], &after[6]), (&five, &six), "{name}");
        } else {
            assert_eq!(after[5..7], before[2..4], "{name}");
        }
        // The old versions are in the record, like in any snapshot.
        let undo = scene.kept(outcome.undo.unwrap());
        assert_eq!(undo.snapshot.tags, ["undo"]);
        let undone = scene.undo(&link, &outcome, false);
        assert_eq!((undone.conflicts(), undone.forgotten), (0, true), "{name}: {undone:#?}");
        assert_eq!(all(&deployment, "shop", "orders"), before, "{name}");
    }
}

#[test]
fn documents_whose_ids_are_as_long_as_documents_come_back_and_can_be_undone() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    let id = |letter: &str| doc! { "a": letter.repeat(3 << 20) };
    for (number, letter) in ["x", "y", "z", "w", "v"].into_iter().enumerate() {
        insert(&deployment, "shop", "odd", vec![doc! { "_id": id(letter), "n": number as i32 }]);
    }
    let before = described(&deployment, "shop");
    let kept = scene.capture(&link, &["shop"]);
    for n in [1, 2] {
        let change = doc! { "q": { "n": n }, "u": { "$set": { "n": n + 10 } } };
        deployment.command("shop", doc! { "update": "odd", "updates": [change] });
        let gone = doc! { "q": { "n": n + 2 }, "limit": 1 };
        deployment.command("shop", doc! { "delete": "odd", "deletes": [gone] });
    }
    let changed = described(&deployment, "shop");
    let (plan, outcome) = scene.restore(&link, &kept, scene.with(Conflict::Overwrite));
    assert_eq!(counts(&plan), [2, 2, 0, 0, 1, 0]);
    assert!(outcome.is_right(), "{outcome:#?}");
    assert_same(&described(&deployment, "shop"), &before);
    let undone = scene.undo(&link, &outcome, false);
    assert_eq!((undone.conflicts(), undone.forgotten), (0, true), "{undone:#?}");
    assert_same(&described(&deployment, "shop"), &changed);
}

#[test]
fn without_a_record_the_repository_is_only_read() {
    let deployment = Deployment::standalone();
    let store = Faulty::new(Arc::new(MemoryStore::new()));
    let (scene, link, kept) = scene_on(&deployment, store.clone());
    store.arm(Fault::Full { after_bytes: 0 });
    for match_on in [Vec::new(), vec!["k".to_owned()]] {
        reset(&deployment);
        let strategy = Strategy { conflict: Conflict::Overwrite, match_on, ..Strategy::default() };
        let options = Options { strategy, undo: false, ..scene.options() };
        let prepared = scene.prepare(&link, &kept, options);
        assert_eq!(counts(&prepared.plan()), [3, 2, 0, 0, 5, 0]);
        let changed = doc! { "q": { "_id": 6 }, "u": { "$set": { "later": true } } };
        deployment.command("shop", doc! { "update": "orders", "updates": [changed] });
        let outcome = prepared.carry_out(&Progress::silent()).unwrap();
        let one = &outcome.collections[0];
        assert_eq!((one.inserted, one.overwritten, one.conflicts), (3, 1, 1), "{one:#?}");
        assert_eq!((outcome.undo, outcome.is_right()), (None, true), "{outcome:#?}");
        let after = all(&deployment, "shop", "orders");
        assert_eq!(after[5], doc! { "_id": 5, "n": 5, "k": "k5", "a": 1 });
        assert!(after[6].get_bool("later").unwrap(), "it is not what the plan saw");
    }
}

#[test]
fn what_can_not_be_understood_of_one_document_ends_no_restore() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    let (session, _, splitter) = scene.session();
    let mut tree = Merger::new(&session, splitter, None);
    for id in 1..4 {
        let mut writer = Writer::new();
        writer.push_i32(b"_id", id);
        // What the second holds under `a` is no document.
        let inner = if id == 2 { [0x99, b'b', 0, 1, 0] } else { [0x08, b'b', 0, 1, 0] };
        writer.push_raw(kind::DOCUMENT, b"a", &[&9i32.to_le_bytes()[..], &inner].concat());
        let document = writer.finish();
        let key = id_key(&get(&document, b"_id").unwrap().unwrap()).unwrap();
        tree.put(&key, &Value { head: document.into(), pieces: Pieces::None }).unwrap();
    }
    let root = tree.finish().unwrap();
    let record = CollectionRecord {
        kind: CollectionKind::Collection,
        uuid: None,
        options: Writer::new().finish(),
        id_index: None,
        indexes: Vec::new(),
        keys: DocumentKeys::Id,
        count: root.entries,
        bytes: root.bytes,
    };
    let all_of_it = [(Namespace::new("d", "c").key(), (record, Some(root)))];
    let kept = scene.commit(session, splitter, &all_of_it.into_iter().collect());

    insert(
        &deployment,
        "d",
        "c",
        (1..4).map(|id| doc! { "_id": id, "a": { "b": false } }).collect(),
    );
    let newest =
        Strategy { conflict: Conflict::Newest, newest_by: "a.b".into(), ..Strategy::default() };
    let (plan, outcome) =
        scene.restore(&link, &kept, Options { strategy: newest, ..scene.options() });
    assert_eq!(counts(&plan), [0, 2, 0, 0, 0, 1]);
    assert_eq!((outcome.conflicts(), outcome.is_right()), (1, true), "{outcome:#?}");
    let why = outcome.collections[0].conflict_samples[0].why.as_deref().unwrap();
    assert!(why.contains("which no BSON has"), "{why}");
    let query = Query::parse(&extjson::parse(r#"{"a.b": true}"#).unwrap()).unwrap();
    let matches: verb::Matches = Box::new(move |document| query.matches(document));
    deployment.command("d", doc! { "delete": "c", "deletes": [{ "q": {}, "limit": 0 }] });
    let options = Options { matches: Some(matches), ..scene.options() };
    let (plan, outcome) = scene.restore(&link, &kept, options);
    assert_eq!((plan.totals().insert, plan.damaged(), outcome.damaged()), (2, 1, 1));
    let there = |id: i32| doc! { "_id": id, "a": { "b": true } };
    assert_eq!(all(&deployment, "d", "c"), [there(1), there(3)]);
}

#[test]
fn one_document_a_query_or_other_names_can_be_chosen() {
    let deployment = Deployment::standalone();
    let (scene, link, kept) = scene(&deployment);
    let address = "shop.orders/1".parse().unwrap();
    let scope = verb::scope_of(&scene.repo, &kept, &address).unwrap();
    let (plan, outcome) = scene.restore(&link, &kept, Options { scope, ..scene.options() });
    assert_eq!(counts(&plan), [1, 0, 0, 0, 0, 0]);
    assert!(outcome.is_right());
    assert_eq!(all(&deployment, "shop", "orders").len(), 9);

    let query = extjson::parse(r#"{"_id": {"$gte": 2, "$lt": 6}}"#).unwrap();
    let query = Query::parse(&query).unwrap();
    let matches: verb::Matches = Box::new(move |document| query.matches(document));
    let into_database = Some("copy".to_owned());
    let matches = Some(matches);
    let options = Options { matches, into_database, ..scene.options() };
    let (plan, outcome) = scene.restore(&link, &kept, options);
    assert_eq!((counts(&plan), plan.collections[0].fate), ([4, 0, 0, 0, 0, 0], Fate::Create));
    assert!(outcome.is_right(), "{outcome:#?}");
    let copied = all(&deployment, "copy", "orders");
    assert_eq!(
        copied.iter().map(|one| one.get_i32("_id").unwrap()).collect::<Vec<_>>(),
        [2, 3, 4, 5]
    );
    // A part brings no index, and that is no trouble.
    assert_eq!(plan.collections[0].indexes_left_out, ["k"]);
    assert_eq!((outcome.troubles(), &outcome.collections[0].indexes[..]), (0, &[][..]));
    let there = sink::indexes(&link, &Namespace::new("copy", "orders")).unwrap();
    assert_eq!(there.len(), 1);
    // Somebody adds to the copy: an undo leaves that, and says so.
    insert(&deployment, "copy", "orders", vec![doc! { "_id": "mine" }]);
    let undone = scene.undo(&link, &outcome, false);
    assert_eq!((undone.conflicts(), undone.forgotten), (1, false), "{undone:#?}");
    assert_eq!(all(&deployment, "copy", "orders"), [doc! { "_id": "mine" }]);
    let undone = scene.undo(&link, &outcome, true);
    assert!(undone.forgotten && undone.collections[0].drops, "{undone:#?}");

    let missing = "shop.nothing".parse().unwrap();
    assert!(verb::scope_of(&scene.repo, &kept, &missing).is_err());
}

#[test]
fn documents_can_be_the_same_by_other_fields() {
    let deployment = Deployment::standalone();
    let (scene, link, kept) = scene(&deployment);
    deployment.command("shop", doc! { "delete": "orders", "deletes": [{ "q": {}, "limit": 0 }] });
    insert(
        &deployment,
        "shop",
        "orders",
        vec![
            // The same by `k`, under other ids.
            doc! { "_id": "x", "k": "k0", "n": 1 },
            doc! { "_id": "y", "n": 5, "k": "k1", "a": 1 },
            // Two that are the same.
            doc! { "_id": "z1", "k": "k2" },
            doc! { "_id": "z2", "k": "k2" },
            // Another one that has the id of one of the snapshot's.
            doc! { "_id": 3, "k": "other" },
        ],
    );
    let before = all(&deployment, "shop", "orders");
    let strategy = Strategy {
        conflict: Conflict::Overwrite,
        match_on: vec!["k".into()],
        ..Strategy::default()
    };
    let (plan, outcome) = scene.restore(&link, &kept, Options { strategy, ..scene.options() });
    assert_eq!(counts(&plan), [6, 1, 0, 0, 1, 2], "{plan:#?}");
    assert_eq!(outcome.conflicts(), 2);
    assert!(outcome.is_right(), "{outcome:#?}");
    let after = all(&deployment, "shop", "orders");
    assert_eq!(after.len(), 11);
    let x = after.iter().find(|one| one.get_str("_id").is_ok_and(|id| id == "x")).unwrap();
    assert_eq!(*x, doc! { "_id": "x", "n": 5, "k": "k0", "a": 1 });
    assert!(scene.undo(&link, &outcome, false).forgotten);
    assert_eq!(all(&deployment, "shop", "orders"), before);
}

#[test]
fn a_collection_of_many_is_compared_by_one_scan() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    let many = |from: i32, to: i32, step: usize| {
        for start in (from..to).step_by(4000) {
            let end = (start + 4000).min(to);
            let batch =
                (start..end).step_by(step).map(|id| doc! { "_id": (id * 7919) % 24_007, "n": id });
            insert(&deployment, "d", "many", batch.collect());
        }
    };
    many(0, 24_007, 1);
    let kept = scene.capture(&link, &["d"]);
    let whole = described(&deployment, "d");
    deployment.command(
        "d",
        doc! { "delete": "many", "deletes": [{ "q": { "n": { "$mod": [3, 0] } }, "limit": 0 }] },
    );
    deployment.command(
        "d",
        doc! { "update": "many", "updates": [{ "q": { "n": { "$mod": [5,
        1] } }, "u": { "$set": { "x": 1 } }, "multi": true }] },
    );
    let damaged = described(&deployment, "d");
    let (plan, outcome) = scene.restore(&link, &kept, scene.with(Conflict::Overwrite));
    let [insert, overwrite, _, _, equal, _] = counts(&plan);
    assert_eq!(insert, 8003);
    assert_eq!(insert + overwrite + equal, 24_007);
    assert!(outcome.is_right());
    assert_eq!(whole["many: hash"], described(&deployment, "d")["many: hash"]);
    let undone = scene.undo(&link, &outcome, false);
    assert_eq!(
        (undone.collections[0].restored, undone.collections[0].removed),
        (overwrite, insert)
    );
    assert_eq!(damaged["many: hash"], described(&deployment, "d")["many: hash"]);
}

#[test]
fn documents_that_are_more_than_one_look_can_hold_are_compared() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    let long = |id: i32, text: &str| doc! { "_id": id, "text": text.repeat(5 << 20) };
    let fill = |text: &str| {
        for id in 0..5 {
            insert(&deployment, "d", "long", vec![long(id, text)]);
        }
    };
    fill("s");
    let kept = scene.capture(&link, &["d"]);
    let snapshot = described(&deployment, "d");
    deployment.command("d", doc! { "delete": "long", "deletes": [{ "q": {}, "limit": 0 }] });
    fill("l");
    let live = described(&deployment, "d");
    let (plan, outcome) = scene.restore(&link, &kept, scene.with(Conflict::Overwrite));
    assert_eq!(counts(&plan), [0, 5, 0, 0, 0, 0]);
    assert!(outcome.is_right(), "{outcome:#?}");
    assert_same(&snapshot, &described(&deployment, "d"));
    assert!(scene.undo(&link, &outcome, false).forgotten);
    assert_same(&live, &described(&deployment, "d"));
}

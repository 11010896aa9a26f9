//! What an undo can't bring back, or must not take, and that it is not said to be done then.

use icecore::{
    store::{
        ErrorKind,
        faulty::{Fault, Faulty},
        recorded::Verb,
    },
    verbs::restore_mongodb::Error,
};

use super::*;

fn numbered(count: i32, text: &str) -> Vec<Document> {
    (0..count).map(|id| doc! { "_id": id, "v": text }).collect()
}

fn change_all(deployment: &Deployment, text: &str) {
    let updates = [doc! { "q": {}, "u": { "$set": { "v": text } }, "multi": true }];
    deployment.command("d", doc! { "update": "c", "updates": updates });
}

fn build(deployment: &Deployment, name: &str, unique: bool) {
    let index = doc! { "key": { name: 1 }, "name": name, "unique": unique };
    deployment.command("d", doc! { "createIndexes": "c", "indexes": [index] });
}

fn names<const N: usize>(names: [&str; N]) -> [String; N] {
    names.map(String::from)
}

/// A snapshot of five documents, of which the server has four, and others.
fn overwritten(scene: &Scene, deployment: &Deployment) -> (Link, Outcome) {
    let link = link(deployment);
    insert(deployment, "d", "c", numbered(5, "snapshot"));
    build(deployment, "v", false);
    let kept = scene.capture(&link, &["d"]);
    let delete = [doc! { "q": { "_id": 4 }, "limit": 0 }];
    deployment.command("d", doc! { "delete": "c", "deletes": delete });
    change_all(deployment, "live");
    let (_, outcome) = scene.restore(&link, &kept, scene.with(Conflict::Overwrite));
    (link, outcome)
}

/// A command does what it shall, or nothing, and the server says otherwise.
fn fail(deployment: &Deployment, command: &str, how: Document) {
    let mut data = doc! { "failCommands": [command] };
    data.extend(how);
    let fault = doc! { "configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data };
    deployment.command("admin", fault);
}

fn heal(deployment: &Deployment) {
    deployment.command("admin", doc! { "configureFailPoint": "failCommand", "mode": "off" });
}

#[test]
fn a_collection_that_is_gone_since_comes_back_when_it_is_said() {
    let deployment = Deployment::standalone();
    let scene = Scene::new();
    let (link, outcome) = overwritten(&scene, &deployment);
    deployment.command("d", doc! { "drop": "c" });
    let undone = scene.undo(&link, &outcome, false);
    let one = &undone.collections[0];
    assert_eq!((one.conflicts, one.already, undone.forgotten), (4, 1, false), "{one:#?}");
    assert!(described(&deployment, "d").is_empty());
    let undone = scene.undo(&link, &outcome, true);
    let one = &undone.collections[0];
    assert_eq!((one.restored, one.brings_back, undone.forgotten), (4, true, true), "{one:#?}");
    assert_eq!(all(&deployment, "d", "c"), numbered(4, "live"));
    assert!(described(&deployment, "d")["c: indexes"].to_string().contains("\"v\": 1"));
}

#[test]
fn what_holds_documents_nobody_recorded_stays_whatever_is_said() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    let view = |name: &str, on: &str| {
        deployment.command("d", doc! { "create": name, "viewOn": on, "pipeline": [] });
    };
    let drop_it = |name: &str| deployment.command("d", doc! { "drop": name });
    insert(&deployment, "d", "base", numbered(2, "base"));
    view("new", "base");
    view("replaced", "base");
    let kept = scene.capture(&link, &["d"]);
    drop_it("new");
    drop_it("replaced");
    view("replaced", "else");
    let before = described(&deployment, "d");
    let (_, outcome) = scene.restore(&link, &kept, Options { drop: true, ..scene.options() });
    for name in ["new", "replaced"] {
        drop_it(name);
        insert(&deployment, "d", name, numbered(3, "another"));
    }
    for force in [false, true] {
        let undone = scene.undo(&link, &outcome, force);
        assert_eq!((undone.conflicts(), undone.forgotten), (2, false), "{undone:#?}");
        for name in ["new", "replaced"] {
            assert_eq!(all(&deployment, "d", name), numbered(3, "another"), "{name}");
        }
    }
    // Another view holds nothing.
    for name in ["new", "replaced"] {
        drop_it(name);
        view(name, "other");
    }
    assert_eq!(scene.undo(&link, &outcome, false).conflicts(), 2);
    assert!(scene.undo(&link, &outcome, true).forgotten);
    assert_same(&before, &described(&deployment, "d"));
}

#[test]
fn a_unique_index_that_came_is_gone_before_old_versions_come_back() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    let all = (0..3).map(|id| doc! { "_id": id, "mail": id });
    insert(&deployment, "d", "c", all.collect());
    build(&deployment, "mail", true);
    let kept = scene.capture(&link, &["d"]);
    deployment.command("d", doc! { "dropIndexes": "c", "index": "mail" });
    let same = [doc! { "q": {}, "u": { "$set": { "mail": "same" } }, "multi": true }];
    deployment.command("d", doc! { "update": "c", "updates": same });
    let before = described(&deployment, "d");
    let (_, outcome) = scene.restore(&link, &kept, scene.with(Conflict::Overwrite));
    assert_eq!(outcome.collections[0].indexes, ["mail"]);
    let undone = scene.undo(&link, &outcome, false);
    assert_eq!((undone.conflicts(), undone.forgotten), (0, true), "{undone:#?}");
    assert_same(&before, &described(&deployment, "d"));
}

#[test]
fn an_index_that_does_not_come_back_is_told_and_the_record_stays() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    insert(&deployment, "d", "c", numbered(3, "snapshot"));
    let kept = scene.capture(&link, &["d"]);
    change_all(&deployment, "live");
    build(&deployment, "v", false);
    let before = described(&deployment, "d");
    let (_, outcome) = scene.restore(&link, &kept, Options { drop: true, ..scene.options() });
    const CANNOT_CREATE_INDEX: i32 = 67;
    fail(&deployment, "createIndexes", doc! { "errorCode": CANNOT_CREATE_INDEX });
    let undone = scene.undo(&link, &outcome, false);
    heal(&deployment);
    let [trouble] = &undone.collections[0].troubles[..] else { panic!("{undone:#?}") };
    assert!(trouble.contains("the index v was not built"), "{trouble}");
    assert_eq!((undone.conflicts(), undone.forgotten), (0, false), "{undone:#?}");
    assert!(scene.undo(&link, &outcome, false).forgotten);
    assert_same(&before, &described(&deployment, "d"));
}

#[test]
fn what_no_majority_has_confirmed_is_not_done_with() {
    let set = Deployment::replica_set();
    let late = || doc! { "writeConcernError": { "code": 64, "errmsg": "waiting is over" } };
    // A collection that stays is asked for its index, and where none is left nothing is removed.
    for (name, waits_by) in [("stays", "createIndexes"), ("goes", "delete")] {
        set.command("d", doc! { "dropDatabase": 1 });
        let scene = Scene::new();
        let (link, outcome) = match name {
            "stays" => overwritten(&scene, &set),
            _ => {
                let link = link(&set);
                insert(&set, "d", "c", numbered(3, "snapshot"));
                let kept = scene.capture(&link, &["d"]);
                set.command("d", doc! { "dropDatabase": 1 });
                let (_, outcome) = scene.restore(&link, &kept, scene.options());
                (link, outcome)
            }
        };
        fail(&set, waits_by, late());
        let undone = scene.undo(&link, &outcome, false);
        heal(&set);
        let why = undone.unconfirmed.as_deref().unwrap_or_default();
        assert!(why.contains("waiting is over"), "{name}: {undone:#?}");
        assert_eq!((undone.conflicts(), undone.forgotten), (0, false), "{name}");
        let undone = scene.undo(&link, &outcome, false);
        assert_eq!((undone.unconfirmed.as_deref(), undone.forgotten), (None, true), "{name}");
    }
}

#[test]
fn an_undo_whose_server_dies_keeps_its_record_and_goes_on_the_next_time() {
    let mut deployment = Deployment::replica_set();
    let scene = Scene::new();
    let count = 20_000;
    for start in (0..count).step_by(1000) {
        let batch = (start..start + 1000).map(|id| doc! { "_id": id, "v": "snapshot" });
        insert(&deployment, "d", "c", batch.collect());
    }
    let link = link(&deployment);
    let kept = scene.capture(&link, &["d"]);
    change_all(&deployment, "live");
    let before = described(&deployment, "d");
    let (_, outcome) = scene.restore(&link, &kept, scene.with(Conflict::Overwrite));
    let record = scene.kept(outcome.undo.unwrap());
    let (progress, options) = (Progress::silent(), scene.to_undo(false));
    let undone = std::thread::scope(|threads| {
        let run =
            threads.spawn(|| undo_verb::undo(&scene.repo, &link, &record, &options, &progress));
        while progress.items_done.load(std::sync::atomic::Ordering::Relaxed) < 4000 {
            std::thread::yield_now();
        }
        deployment.members[0].kill();
        std::thread::sleep(std::time::Duration::from_millis(300));
        deployment.members[0].restart();
        run.join().unwrap().unwrap()
    });
    let why = undone.unconfirmed.as_deref().unwrap_or_default();
    assert!(why.contains("another process") && !undone.forgotten, "{undone:#?}");
    let undone = scene.undo(&link, &outcome, false);
    assert!(undone.forgotten, "{undone:#?}");
    assert_same(&before, &described(&deployment, "d"));
}

#[test]
fn no_index_goes_that_the_restore_did_not_build() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    let document = |id: i32| doc! { "_id": id, "u": id, "v": id, "w": id };
    insert(&deployment, "d", "c", (0..3).map(document).collect());
    build(&deployment, "u", true);
    build(&deployment, "v", false);
    build(&deployment, "w", false);
    let kept = scene.capture(&link, &["d"]);
    deployment.command("d", doc! { "dropIndexes": "c", "index": "*" });
    let delete = |id: i32| {
        let deletes = [doc! { "q": { "_id": id }, "limit": 0 }];
        deployment.command("d", doc! { "delete": "c", "deletes": deletes });
    };
    delete(2);
    insert(&deployment, "d", "c", vec![doc! { "_id": 9, "u": 1 }]);
    let (_, outcome) = scene.restore(&link, &kept, scene.options());
    assert_eq!(
        (&outcome.collections[0].indexes[..], outcome.troubles()),
        (&names(["v", "w"])[..], 1)
    );
    // Somebody makes the one that could not be built, and another of the name of one that was.
    delete(9);
    build(&deployment, "u", true);
    deployment.command("d", doc! { "dropIndexes": "c", "index": "w" });
    let other = doc! { "key": { "w": -1 }, "name": "w" };
    deployment.command("d", doc! { "createIndexes": "c", "indexes": [other] });
    let undone = scene.undo(&link, &outcome, true);
    let one = &undone.collections[0];
    assert_eq!((&one.indexes[..], undone.forgotten), (&names(["v"])[..], true), "{undone:#?}");
    assert_eq!(one.notes, ["another index w is there now, and stays"]);
    let there = sink::indexes(&link, &Namespace::new("d", "c")).unwrap();
    let there: Vec<String> = there.iter().map(|spec| sink::name_of(spec)).collect();
    assert_eq!(there, ["_id_", "u", "w"]);
    assert_eq!(all(&deployment, "d", "c"), (0..2).map(document).collect::<Vec<_>>());
}

#[test]
fn a_record_that_can_t_be_forgotten_is_an_error() {
    let deployment = Deployment::standalone();
    let store = Faulty::new(Arc::new(MemoryStore::new()));
    let scene = Scene::on(store.clone());
    let (link, outcome) = overwritten(&scene, &deployment);
    let record = scene.kept(outcome.undo.unwrap());
    let (progress, options) = (Progress::silent(), scene.to_undo(false));
    let undo = || undo_verb::undo(&scene.repo, &link, &record, &options, &progress);
    let below = "";
    store.arm(Fault::FailVerb { verb: Verb::Put, below, call: 0, kind: ErrorKind::Denied });
    let error = undo().unwrap_err();
    assert!(matches!(error, Error::Unforgotten { .. }), "{error}");
    assert_eq!(all(&deployment, "d", "c"), numbered(4, "live"));
    assert!(undo().unwrap().forgotten);
}

#[test]
fn a_restore_is_not_taken_back_from_another_deployment_of_the_same_name() {
    let (mut deployment, scene) = (Deployment::standalone(), Scene::new());
    let whole = |deployment: &Deployment| insert(deployment, "d", "c", numbered(3, "snapshot"));
    whole(&deployment);
    let first = link(&deployment);
    let kept = scene.capture(&first, &["d"]);
    deployment.command("d", doc! { "drop": "c" });
    let (_, outcome) = scene.restore(&first, &kept, scene.options());
    deployment.members[0].wipe();
    whole(&deployment);
    let record = scene.kept(outcome.undo.unwrap());
    let undo = |any_deployment| {
        let options = undo_verb::Options { any_deployment, ..scene.to_undo(false) };
        let progress = Progress::silent();
        undo_verb::undo(&scene.repo, &link(&deployment), &record, &options, &progress)
    };
    let error = undo(false).unwrap_err();
    assert!(matches!(error, Error::AnotherDeployment { record } if Some(record) == outcome.undo));
    assert_eq!(all(&deployment, "d", "c").len(), 3);
    assert!(undo(true).unwrap().forgotten, "it was said that this one is meant");
    assert!(described(&deployment, "d").is_empty());
}

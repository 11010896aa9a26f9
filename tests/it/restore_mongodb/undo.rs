//! A restore that is taken back, and one that was killed.

use super::*;

#[test]
fn what_was_changed_after_the_restore_is_not_taken_back_unless_it_is_said() {
    let deployment = Deployment::replica_set();
    let (scene, link) = (Scene::new(), link(&deployment));
    insert(&deployment, "d", "c", (0..6).map(|id| doc! { "_id": id, "v": "snapshot" }).collect());
    deployment.command(
        "d",
        doc! { "createIndexes": "c", "indexes": [{ "key": { "v": 1 }, "name": "v" }] },
    );
    let kept = scene.capture(&link, &["d"]);
    deployment.command("d", doc! { "dropIndexes": "c", "index": "v" });
    deployment.command(
        "d",
        doc! { "delete": "c", "deletes": [{ "q": { "_id": { "$lt": 3 } }, "limit": 0 }] },
    );
    deployment.command(
        "d",
        doc! { "update": "c", "updates": [{ "q": {},
        "u": { "$set": { "v": "live" } }, "multi": true }] },
    );
    let before = described(&deployment, "d");
    let (_, outcome) = scene.restore(&link, &kept, scene.with(Conflict::Overwrite));
    assert_eq!(outcome.collections[0].indexes, ["v"]);
    // One that was inserted and one that was overwritten are changed; one of each is removed.
    deployment.command(
        "d",
        doc! { "update": "c", "updates": [{ "q": { "_id": { "$in": [0,
        3] } }, "u": { "$set": { "v": "later" } }, "multi": true }] },
    );
    deployment.command(
        "d",
        doc! { "delete": "c", "deletes": [{ "q": { "_id": { "$in": [1, 4] } }, "limit": 0 }] },
    );
    let undone = scene.undo(&link, &outcome, false);
    let one = &undone.collections[0];
    assert_eq!((one.removed, one.restored, one.already, one.conflicts), (1, 1, 1, 3));
    assert!(!undone.forgotten, "it is kept while there is something left in it");
    let values: Vec<(i32, String)> = all(&deployment, "d", "c")
        .iter()
        .map(|one| (one.get_i32("_id").unwrap(), one.get_str("v").unwrap().to_owned()))
        .collect();
    assert_eq!(values, [(0, "later".into()), (3, "later".into()), (5, "live".into())]);
    let undone = scene.undo(&link, &outcome, true);
    assert_eq!((undone.conflicts(), undone.forgotten), (0, true), "{undone:#?}");
    assert_same(&before, &described(&deployment, "d"));
    let newest = undo_verb::newest(&scene.repo.snapshots().unwrap(), None).map(|kept| kept.sid);
    assert_eq!(newest, None, "a record that is done with is not offered again");
}

#[test]
fn killed_in_the_middle_a_restore_goes_on_and_both_parts_can_be_taken_back() {
    let mut deployment = Deployment::standalone();
    let scene = Scene::new();
    let text = "x".repeat(400);
    for start in 0..20 {
        let batch = (0..1000).map(|n| doc! { "_id": start * 1000 + n, "text": &text });
        insert(&deployment, "d", "c", batch.collect());
    }
    deployment.command(
        "d",
        doc! { "createIndexes": "c", "indexes": [{ "key": { "text": 1 }, "name": "t" }] },
    );
    let kept = scene.capture(&link(&deployment), &["d"]);
    let whole = described(&deployment, "d");
    deployment.command("d", doc! { "dropDatabase": 1 });

    // Stopped by its person, once some is written.
    let progress = Progress::silent();
    let first = link(&deployment);
    let prepared = verb::prepare(&scene.repo, &first, &kept, scene.options(), &progress).unwrap();
    let stopped = std::thread::scope(|threads| {
        let run = threads.spawn(|| prepared.carry_out(&progress));
        while progress.items_done.load(std::sync::atomic::Ordering::Relaxed) < 6000 {
            std::thread::yield_now();
        }
        progress.cancel();
        run.join().unwrap()
    });
    assert!(stopped.is_err() || described(&deployment, "d") == whole);
    // And its server is killed and comes again.
    deployment.members[0].restart();
    let second = link(&deployment);
    let count = all(&deployment, "d", "c").len();
    let (plan, outcome) = scene.restore(&second, &kept, scene.options());
    let totals = plan.totals();
    assert_eq!(totals.equal + totals.insert, 20_000);
    assert!(totals.equal as usize >= count, "what is there is not written again");
    assert_eq!(totals.conflict, 0);
    assert!(outcome.is_right() && outcome.conflicts() == 0, "{outcome:#?}");
    assert_same(&whole, &described(&deployment, "d"));
    // The records of both, the newest first.
    let options = scene.to_undo(false);
    let mut undone = 0;
    while let Some(kept) = undo_verb::newest(&scene.repo.snapshots().unwrap(), None) {
        let progress = Progress::silent();
        let outcome = undo_verb::undo(&scene.repo, &second, kept, &options, &progress).unwrap();
        assert!(outcome.forgotten, "{outcome:#?}");
        undone += 1;
    }
    // The first may have come to its end before it was stopped.
    assert_eq!(undone, 1 + usize::from(outcome.undo.is_some()));
    assert!(described(&deployment, "d").is_empty(), "all that came is gone");
}

#[test]
fn what_a_server_loses_that_dies_in_the_middle_is_written_again() {
    let mut deployment = Deployment::replica_set();
    let scene = Scene::new();
    let text = "x".repeat(2000);
    for start in 0..20 {
        let batch = (0..1000).map(|n| doc! { "_id": start * 1000 + n, "text": &text });
        insert(&deployment, "d", "c", batch.collect());
    }
    let kept = scene.capture(&link(&deployment), &["d"]);
    let whole = described(&deployment, "d");
    deployment.command("d", doc! { "dropDatabase": 1 });
    let progress = Progress::silent();
    let first = link(&deployment);
    let prepared = verb::prepare(&scene.repo, &first, &kept, scene.options(), &progress).unwrap();
    let restored = std::thread::scope(|threads| {
        let run = threads.spawn(|| prepared.carry_out(&progress));
        while progress.items_done.load(std::sync::atomic::Ordering::Relaxed) < 4000 {
            std::thread::yield_now();
        }
        deployment.members[0].kill();
        std::thread::sleep(std::time::Duration::from_millis(300));
        deployment.members[0].restart();
        run.join().unwrap()
    });
    // What the server had acknowledged and not yet written to its journal is gone with it: the
    // restore sees that another process answers, and writes it again.
    let outcome = restored.unwrap();
    assert!(outcome.is_right(), "{outcome:#?}");
    assert_eq!((outcome.conflicts(), outcome.unconfirmed.as_deref()), (0, None));
    assert_same(&whole, &described(&deployment, "d"));
}

#[test]
fn users_and_roles_are_taken_back_but_those_that_were_changed_since() {
    let (from, to) = (Deployment::with_auth(), Deployment::with_auth());
    let (scene, target) = (Scene::new(), link(&to));
    let role = |deployment: &Deployment, action: &str| {
        let resource = doc! { "db": "shop", "collection": "" };
        let privileges = [doc! { "resource": resource, "actions": [action] }];
        let create = doc! { "createRole": "looker", "privileges": privileges, "roles": [] };
        deployment.command("shop", create);
    };
    let user = |deployment: &Deployment, name: &str, role: &str| {
        deployment.command("shop", doc! { "createUser": name, "pwd": "p", "roles": [role] });
    };
    role(&from, "find");
    from.command("shop", doc! { "createRole": "new", "privileges": [], "roles": ["looker"] });
    // Of the name of who restores, in another database.
    ["ann", "bob", "cid", "root"].iter().for_each(|name| user(&from, name, "new"));
    role(&to, "insert");
    ["bob", "dan"].iter().for_each(|name| user(&to, name, "looker"));
    let kept = scene.capture(&link(&from), &["admin"]);
    let stand = |deployment: &Deployment| {
        ["system.users", "system.roles"].map(|name| all(deployment, "admin", name))
    };
    let before = stand(&to);
    let options = |conflict| Options { users_and_roles: true, ..scene.with(conflict) };
    let notes = scene.prepare(&target, &kept, options(Conflict::Fail)).plan().notes;
    assert_eq!(notes.len(), 2, "some of each differ and would stay: {notes:?}");
    let dry = Options { dry_run: true, ..options(Conflict::Overwrite) };
    let dry = scene.prepare(&target, &kept, dry).plan();
    let (plan, outcome) = scene.restore(&target, &kept, options(Conflict::Overwrite));
    assert_eq!(format!("{dry:?}"), format!("{plan:?}"));
    // Both have a root; here it is who restores.
    assert_eq!((plan.users, plan.roles, plan.notes.len()), (4, 2, 3));
    assert_eq!(plan.notes[1], "replaced in admin.system.users: shop.bob");
    assert_eq!(plan.notes[2], "replaced in admin.system.roles: shop.looker");
    let plan = scene.prepare(&target, &kept, options(Conflict::Overwrite)).plan();
    assert!(!plan.writes(), "all of them are there by now: {plan:#?}");
    let restored = stand(&to);
    let mut theirs = stand(&from);
    theirs[0].retain(|one| one.get_str("_id").unwrap() != "admin.root");
    let are_there = |at: usize| theirs[at].iter().all(|one| restored[at].contains(one));
    assert_eq!((restored[0].len(), restored[1].len()), (6, 2));
    assert!(are_there(0) && are_there(1), "those of the same name are replaced: {restored:#?}");

    to.command("shop", doc! { "updateUser": "ann", "roles": ["looker"] });
    let undone = scene.undo(&target, &outcome, false);
    let of = |name: &str| {
        let named = |one: &&undo_verb::CollectionUndo| one.namespace.collection == name;
        let one = undone.collections.iter().find(named).unwrap();
        (one.restored, one.removed, one.conflicts)
    };
    assert_eq!((of("system.users"), of("system.roles")), ((1, 2, 1), (1, 1, 0)));
    let left: Vec<Document> =
        stand(&to)[0].iter().filter(|one| one.get_str("user").unwrap() != "ann").cloned().collect();
    assert_eq!(left, before[0]);
    assert!(!undone.forgotten);
    let undone = scene.undo(&target, &outcome, true);
    assert!(undone.forgotten, "{undone:#?}");
    assert_eq!(stand(&to), before);
}

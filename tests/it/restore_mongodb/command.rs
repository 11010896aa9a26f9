//! `icecore restore --to` and `icecore undo`, as people and scripts meet them.

use icecore::store::location::{self, StoreOptions};

use super::*;
use crate::cli::{Desk, Said, lines, said};

/// The desk's repository.
pub fn on_disk(desk: &Desk) -> Scene {
    let place = location::parse(&desk.text("repository")).unwrap();
    let ambient = Ambient::real("desk", "me");
    let store = location::open(&place, &StoreOptions::default(), &ambient).unwrap();
    let password = SecretString::from("correct horse");
    let repo = Repository::open(store, &password, OpenOptions::default(), ambient).unwrap();
    let (_, clock) = Ambient::fixed(1);
    Scene { repo, spill: tempfile::tempdir().unwrap(), _clock: clock }
}

/// A repository on a disk that holds three orders; on the server one is changed, and one is gone.
fn desk(deployment: &Deployment) -> Desk {
    let desk = Desk::new();
    desk.init();
    let orders = (1..4).map(|id| doc! { "_id": id, "total": id * 10 });
    insert(deployment, "shop", "orders", orders.collect());
    on_disk(&desk).capture(&link(deployment), &["shop"]);
    let delete = [doc! { "q": { "_id": 1 }, "limit": 0 }];
    deployment.command("shop", doc! { "delete": "orders", "deletes": delete });
    let update = [doc! { "q": { "_id": 2 }, "u": { "$set": { "total": 99 } } }];
    deployment.command("shop", doc! { "update": "orders", "updates": update });
    desk
}

fn totals(deployment: &Deployment) -> Vec<i32> {
    let all = all(deployment, "shop", "orders");
    all.iter().map(|order| order.get_i32("total").unwrap()).collect()
}

#[test]
fn a_restore_shows_its_plan_asks_and_can_be_taken_back() {
    let deployment = Deployment::standalone();
    let desk = desk(&deployment);
    let uri = deployment.uri();
    let restore = |more: &[&str]| desk.run(&[&["restore", "latest", "--to", &uri], more].concat());

    let said = desk.run(&["restore", "latest"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("--target") && said.err.contains("--to"), "{}", said.err);

    let said = restore(&["--dry-run"]);
    assert_eq!(said.code, 21, "{}\n{}", said.out, said.err);
    assert!(said.out.contains("shop.orders") && said.out.contains("conflict"), "{}", said.out);
    assert_eq!(totals(&deployment), [99, 30]);

    // Nobody is there to be asked.
    let said = restore(&["--conflict", "overwrite"]);
    assert_eq!(said.code, 2, "{}\n{}", said.out, said.err);
    assert!(said.err.contains("--yes"), "{}", said.err);
    assert_eq!(totals(&deployment), [99, 30]);

    let said = restore(&["--conflict", "overwrite", "-y", "--json"]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let lines = lines(&said.out);
    let plan = lines.iter().find(|line| line["message_type"] == "plan").unwrap();
    assert_eq!(plan["docs_overwrite"], 1);
    let summary = lines.iter().find(|line| line["message_type"] == "summary").unwrap();
    assert_eq!((&summary["docs_inserted"], &summary["verified"]), (&1.into(), &true.into()));
    assert_eq!(totals(&deployment), [10, 20, 30]);

    // The record is not what `latest` means, and there is nothing left to do.
    let said = restore(&[]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);

    let said = desk.run(&["undo", "--dry-run"]);
    assert_eq!((said.code, totals(&deployment)), (0, vec![10, 20, 30]), "{}", said.err);
    let said = desk.run(&["undo", "-y"]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(said.out.matches("Brought back").count(), 1, "{}", said.out);
    assert!(said.out.contains("brought back 1 document, removed 1: the restore "), "{}", said.out);
    assert!(said.out.trim_end().ends_with("is undone"), "{}", said.out);
    assert_eq!(totals(&deployment), [99, 30]);
    let said = desk.run(&["undo", "-y"]);
    assert_eq!(said.code, 1, "there is none left: {}", said.err);
    assert!(said.err.contains("icecore snapshots --tag undo"), "{}", said.err);
}

#[test]
fn a_second_undo_does_not_go_on_to_the_restore_before() {
    let deployment = Deployment::standalone();
    let desk = desk(&deployment);
    let uri = deployment.uri();
    let restore = |from: &str, to: &str| {
        desk.ok(&["restore", "latest", "--to", &uri, "--ns-from", from, "--ns-to", to, "-y"])
    };
    restore("shop.*", "first.*");
    // Records have a time of whole milliseconds at the least.
    std::thread::sleep(std::time::Duration::from_millis(20));
    restore("shop.*", "second.*");
    let said = desk.run(&["undo", "-y"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("the restore "), "{}", said.out);
    let counts = || ["first", "second"].map(|db| all(&deployment, db, "orders").len());
    assert_eq!(counts(), [3, 0]);
    for arguments in [&["undo", "-y"][..], &["undo", "-y", "--to", &uri]] {
        let said = desk.run(arguments);
        assert_eq!((said.code, counts()), (1, [3, 0]), "{}", said.err);
        let id = said.err.split("`icecore undo ").nth(1).and_then(|rest| rest.split('`').next());
        assert!(id.is_some_and(|id| id.len() == 8), "{}", said.err);
    }
    let said = desk.run(&["undo", "-y"]);
    let id = said.err.split("`icecore undo ").nth(1).and_then(|rest| rest.split('`').next());
    desk.ok(&["undo", id.unwrap(), "-y"]);
    assert_eq!(counts(), [0, 0]);
    assert_eq!(desk.run(&["undo", "-y"]).code, 1);
}

#[test]
fn parts_other_names_and_words_that_do_not_go_together() {
    let deployment = Deployment::standalone();
    let desk = desk(&deployment);
    let uri = deployment.uri();
    desk.ok(&["restore", "latest:shop.orders/1", "--to", &uri]);
    assert_eq!(totals(&deployment), [10, 99, 30]);
    let copy = format!("{uri}copy");
    desk.ok(&[
        "restore",
        "latest:shop.orders",
        "--to",
        &copy,
        "--query",
        r#"{"total":{"$gt":15}}"#,
    ]);
    assert_eq!(all(&deployment, "copy", "orders").len(), 2);
    desk.ok(&["restore", "latest", "--to", &uri, "--nsFrom", "shop.*", "--nsTo", "old.*"]);
    assert_eq!(all(&deployment, "old", "orders").len(), 3);
    let include = ["--ns-include", "shop.*", "--ns-include", "stok.*", "--dry-run"];
    let said = desk.run(&[&["restore", "latest", "--to", &uri][..], &include].concat());
    assert!(said.err.contains("warning: no collection matches stok.*\n"), "{}", said.err);
    assert!(!said.err.contains("matches shop"), "{}", said.err);
    for (arguments, said) in [
        (&["--conflict", "newest"][..], "--newest-by"),
        (&["--query", r#"{"$where": "1"}"#], "$where"),
        (&["--query", "{"], "error"),
        (&["--target", "x"], "--target"),
        (&["--include", "x"], "--ns-include"),
        (&["--ns-from", "a"], "error"),
        (&["--match-on", ""], "--match-on"),
        (&["--match-on", "a,,b"], "--match-on"),
        (&["--conflict", "newest", "--newest-by", ""], "--newest-by"),
        (&["--newest-by", "at"], "--conflict newest"),
        (&["--conflict", "merge", "--newest-by", "at"], "--conflict newest"),
        (&["--conflict", "newest", "--newest-by", "at", "--merge-winner", "live"], "merge"),
        (&["--conflict", "overwrite", "--merge-winner", "live"], "--conflict merge"),
    ] {
        let got = desk.run(&[&["restore", "latest", "--to", &uri], arguments].concat());
        assert_eq!(got.code, 2, "{arguments:?}: {}", got.err);
        assert!(got.err.contains(said), "{arguments:?}: {}", got.err);
    }
    // Of a collection that is dropped, nobody wants a part back.
    for part in [&["latest:shop.orders/1"][..], &["latest", "--query", "{}"]] {
        let got = desk.run(&[&["restore", "--to", &uri, "--drop", "-y"], part].concat());
        assert_eq!(got.code, 2, "{part:?}: {}", got.err);
        assert!(got.err.contains("--drop"), "{part:?}: {}", got.err);
    }
    assert_eq!(totals(&deployment), [10, 99, 30]);
    let got = desk.run(&["restore", "latest:nothing", "--to", &uri]);
    assert_eq!(got.code, 1, "{}", got.err);
    assert!(got.err.contains("hint:"), "{}", got.err);
    let got = desk.run(&["restore", "latest", "--target", "x", "--conflict", "merge"]);
    assert_eq!(got.code, 2);
}

#[test]
fn the_record_of_a_restore_is_no_backup() {
    let deployment = Deployment::standalone();
    let (desk, uri) = (Desk::new(), deployment.uri());
    desk.init();
    // Records are of the machine that restores, and so shall the backups be.
    let ok = |arguments: &[&str]| -> Said {
        let said = said(desk.command(arguments).env_remove("ICECORE_HOST").output().unwrap());
        assert_eq!(said.code, 0, "{arguments:?}\n{}\n{}", said.out, said.err);
        said
    };
    let json = |arguments: &[&str]| lines(&ok(&[arguments, &["--json"]].concat()).out);
    let change = |total: i32| {
        let updates = [doc! { "q": { "_id": 2 }, "u": { "$set": { "total": total } } }];
        deployment.command("shop", doc! { "update": "orders", "updates": updates });
    };
    let orders = (1..4).map(|id| doc! { "_id": id, "total": id * 10 });
    insert(&deployment, "shop", "orders", orders.collect());
    let backup = json(&["backup", &uri]).pop().unwrap()["snapshot_id"].clone();
    for total in [98, 99] {
        change(total);
        ok(&["restore", "latest", "--to", &uri, "--conflict", "overwrite", "-y"]);
    }

    let plan = ok(&["forget", "--keep-last", "1"]).out;
    assert!(plan.contains("2 records of restores stay") && plan.contains("--tag undo"), "{plan}");
    let plan = json(&["forget", "--keep-last", "1"]);
    let (keep, remove) = (&plan[0][0]["keep"], &plan[0][0]["remove"]);
    assert_eq!((&keep[0]["id"], remove.as_array().unwrap().len()), (&backup, 0), "{plan:?}");
    assert_eq!(json(&["snapshots", "--latest", "1"])[0][0]["id"], backup);

    let again = json(&["backup", &uri]).pop().unwrap();
    assert_eq!((&again["docs_new"], &again["docs_unmodified"]), (&0.into(), &3.into()), "{again}");
    let history = json(&["history", "shop.orders/1", "--all"]);
    let modifiers: Vec<_> = history.iter().map(|step| step["modifier"].as_str().unwrap()).collect();
    assert_eq!(modifiers, ["+", "="]);

    let plan = json(&["forget", "--tag", "undo", "--keep-last", "1"]);
    assert_eq!(plan[0][0]["remove"].as_array().unwrap().len(), 1, "{plan:?}");
    assert_eq!(json(&["snapshots", "--tag", "undo"])[0].as_array().unwrap().len(), 1);
}

#[test]
fn a_restore_is_taken_back_on_the_server_that_it_went_to() {
    let (one, other) = (Deployment::standalone(), Deployment::standalone());
    let desk = desk(&one);
    desk.ok(&["restore", "latest", "--to", &one.uri(), "--conflict", "overwrite", "-y"]);
    desk.ok(&["restore", "latest", "--to", &other.uri()]);

    // The newest is into the other, and the variable names this one.
    let said = said(desk.command(&["undo", "-y"]).env("MONGODB_URI", one.uri()).output().unwrap());
    let place = |deployment: &Deployment| deployment.uri().trim_end_matches('/').to_owned();
    assert_eq!(said.code, 2, "{}\n{}", said.out, said.err);
    for named in ["--to", &place(&one), &place(&other)] {
        assert!(said.err.contains(named), "{named}: {}", said.err);
    }
    assert_eq!((totals(&one), totals(&other)), (vec![10, 20, 30], vec![10, 20, 30]));

    // Whatever database is named.
    let to = format!("{}shop", one.uri());
    let undone = &desk.json_lines(&["undo", "-y", "--to", &to])[0];
    assert_eq!(undone["server"], to);
    assert_eq!((totals(&one), totals(&other)), (vec![99, 30], vec![10, 20, 30]));
    let said = desk.run(&["undo", "-y", "--to", &to]);
    assert!(said.code == 1 && said.err.contains(&place(&one)), "{}", said.err);
    desk.ok(&["undo", "-y"]);
    assert_eq!(totals(&other), [0; 0]);
}

#[test]
fn a_restore_that_ends_half_way_says_what_takes_it_back() {
    let deployment = Deployment::with_auth();
    insert(&deployment, "shop", "zebras", vec![doc! { "_id": 1 }]);
    let desk = desk(&deployment);
    let may = |collection: &str, actions: &[&str]| {
        let resource = doc! { "db": "copy", "collection": collection };
        doc! { "resource": resource, "actions": actions.to_vec() }
    };
    let of_orders = ["createCollection", "insert", "find", "bypassDocumentValidation"];
    let privileges = [may("", &["listCollections"]), may("orders", &of_orders)];
    let role = doc! { "createRole": "half", "privileges": privileges.to_vec(), "roles": [] };
    deployment.command("admin", role);
    deployment.command("admin", doc! { "createUser": "ann", "pwd": "p", "roles": ["half"] });
    let to = |uri: String| uri.replace("/?", "/copy?authSource=admin&");
    let ann = to(deployment.uri_as("ann", "p"));

    let said = desk.run(&["restore", "latest:shop", "--to", &ann]);
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    assert!(said.err.contains("create on copy.zebras"), "{}", said.err);
    assert!(said.err.contains(r#"["restore"]"#), "{}", said.err);
    assert_eq!(all(&deployment, "copy", "orders").len(), 3);
    let record = desk.json(&["snapshots", "--tag", "undo"])[0]["short_id"].clone();
    let undo = format!("`icecore undo {}`", record.as_str().unwrap());
    assert!(said.err.contains(&undo), "{undo}: {}", said.err);
    desk.ok(&["undo", record.as_str().unwrap(), "-y", "--to", &to(deployment.uri())]);
    assert_eq!(described(&deployment, "copy").len(), 0);
}

#[test]
fn an_undo_names_force_where_that_helps() {
    let deployment = Deployment::standalone();
    let desk = desk(&deployment);
    desk.ok(&["restore", "latest", "--to", &deployment.uri(), "--conflict", "overwrite", "-y"]);
    let update = [doc! { "q": { "_id": 2 }, "u": { "$set": { "total": 5 } } }];
    deployment.command("shop", doc! { "update": "orders", "updates": update });
    let said = desk.run(&["undo", "-y"]);
    assert_eq!((said.code, totals(&deployment)), (21, vec![5, 30]), "{}", said.err);
    assert!(said.err.contains("`--force`"), "{}", said.err);
    assert!(said.out.contains("1 conflict stays"), "{}", said.out);

    // A view has the name by now, and stays whatever is said.
    deployment.command("shop", doc! { "drop": "orders" });
    deployment.command("shop", doc! { "create": "orders", "viewOn": "other", "pipeline": [] });
    for force in [&[][..], &["--force"]] {
        let said = desk.run(&[&["undo", "-y"], force].concat());
        assert_eq!(said.code, 21, "{}\n{}", said.out, said.err);
        assert!(
            said.err.contains("another view") && !said.err.contains("`--force`"),
            "{}",
            said.err
        );
    }
}

#[test]
fn an_undo_that_is_not_all_or_meets_another_server_keeps_its_record() {
    let mut deployment = Deployment::standalone();
    let (desk, uri) = (desk(&deployment), deployment.uri());
    desk.ok(&["restore", "latest", "--to", &uri, "--conflict", "overwrite", "-y"]);
    let fault = |how: Document| {
        let mut command = doc! { "configureFailPoint": "failCommand" };
        command.extend(how);
        deployment.command("admin", command);
    };
    let late = doc! { "code": 64, "errmsg": "waiting is over" };
    let data = doc! { "failCommands": ["createIndexes"], "writeConcernError": late };
    fault(doc! { "mode": "alwaysOn", "data": data });
    let said = desk.run(&["undo", "-y"]);
    fault(doc! { "mode": "off" });
    assert_eq!((said.code, totals(&deployment)), (3, vec![99, 30]), "{}\n{}", said.out, said.err);
    assert!(said.err.contains("waiting is over"), "{}", said.err);
    assert!(said.out.contains("the record stays"), "{}", said.out);

    // What it has was not restored, but looks as if.
    deployment.members[0].wipe();
    let orders = (1..4).map(|id| doc! { "_id": id, "total": id * 10 });
    insert(&deployment, "shop", "orders", orders.collect());
    let said = desk.run(&["undo", "-y"]);
    assert_eq!((said.code, totals(&deployment)), (2, vec![10, 20, 30]), "{}", said.err);
    let record = desk.json(&["snapshots", "--tag", "undo"])[0]["id"].as_str().unwrap().to_owned();
    assert!(said.err.contains(&record[..8]) && said.err.contains("--to"), "{}", said.err);
    let undone = &desk.json_lines(&["undo", &record, "--to", &uri, "-y"])[0];
    assert_eq!((&undone["forgotten"], &undone["error_count"]), (&true.into(), &0.into()));
    assert_eq!(totals(&deployment), [99, 30]);
}

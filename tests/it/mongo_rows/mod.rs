//! Each row of the list of what a faithful restore needs, by its name: made on one server, backed
//! up and restored by the binary, and looked at on another.

mod catalogue;
mod contents;
mod server;

use std::panic::{AssertUnwindSafe, catch_unwind};

use mongodb::bson::{Document, doc};

use crate::{
    cli::Desk,
    mongod::{Ability, Deployment, Wish, can},
    restore_mongodb::described,
};

/// One thing that must come back. Each has a database of its own.
struct Row {
    name: &'static str,
    needs: &'static [Ability],
    /// On the source, before the backup.
    make: fn(&Deployment, &str),
    /// What must hold beside this: that the hash of each collection, and what `listCollections`
    /// and `listIndexes` say, are the same on both servers.
    also: fn(&Both, &str),
}

/// After everything was restored.
struct Both {
    from: Deployment,
    to: Deployment,
    desk: Desk,
}

fn rows() -> Vec<Row> {
    [catalogue::rows(), contents::rows(), server::rows()].into_iter().flatten().collect()
}

fn nothing_more(_: &Both, _: &str) {}

fn insert(deployment: &Deployment, db: &str, collection: &str, documents: Vec<Document>) {
    let command = doc! { "insert": collection, "documents": documents };
    let reply = deployment.command(db, command);
    assert!(!reply.contains_key("writeErrors"), "{reply}");
}

/// All documents that a command's cursor gives at once.
fn first_batch(deployment: &Deployment, db: &str, command: Document) -> Vec<Document> {
    let reply = deployment.command(db, command);
    let cursor = reply.get_document("cursor").unwrap();
    assert_eq!(cursor.get_i64("id").unwrap(), 0, "there is more");
    let batch = cursor.get_array("firstBatch").unwrap();
    batch.iter().map(|one| one.as_document().unwrap().clone()).collect()
}

fn deployment() -> Deployment {
    // What is past its time stays: it is no fault of a restore when a server removes it.
    let arguments = vec!["--setParameter=ttlMonitorEnabled=false"];
    Deployment::of(Wish { members: 1, auth: true, arguments })
}

/// The rows that this server can have, made on one, restored to the other.
fn there_and_back(rows: &[(String, Row)]) -> Both {
    let both = Both { from: deployment(), to: deployment(), desk: Desk::new() };
    for (db, row) in rows {
        (row.make)(&both.from, db);
    }
    both.desk.init();
    both.desk.ok(&["backup", &both.from.uri(), "--with-users-and-roles"]);
    let to = both.to.uri();
    both.desk.ok(&["restore", "latest", "--to", &to, "--with-users-and-roles", "-y"]);
    both
}

fn holds(both: &Both, db: &str, row: &Row) -> bool {
    let (from, to) = (described(&both.from, db), described(&both.to, db));
    let names: std::collections::BTreeSet<_> = from.keys().chain(to.keys()).collect();
    // What a profiler wrote is not anybody's data.
    for name in names.into_iter().filter(|name| !name.starts_with("system.profile")) {
        assert_eq!(from.get(name), to.get(name), "{name}");
    }
    (row.also)(both, db);
    true
}

#[test]
fn every_row_comes_back() {
    let able = rows().into_iter().enumerate().filter(|(_, row)| {
        let missing = row.needs.iter().filter(|ability| !can(**ability)).count();
        missing == 0
    });
    let rows: Vec<(String, Row)> =
        able.map(|(number, row)| (format!("row{number}"), row)).collect();
    let both = there_and_back(&rows);
    let failed: Vec<&str> = rows
        .iter()
        .filter(|(db, row)| catch_unwind(AssertUnwindSafe(|| holds(&both, db, row))).is_err())
        .map(|(_, row)| row.name)
        .collect();
    assert!(failed.is_empty(), "did not come back (each said why above): {failed:#?}");
}

#[test]
fn the_rows_are_those_of_the_documentation() {
    let page = include_str!("../../../docs/testing.md");
    let list = page.split("<!-- rows -->").nth(1).expect("the page has the list");
    let told: Vec<&str> = list.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    let names: Vec<&str> = rows().iter().map(|row| row.name).collect();
    assert_eq!(told, names);
}

//! Rows about the server itself: who may come in, and what is told or left where it is.

use mongodb::bson::doc;

use super::{Both, Row, first_batch, insert};
use crate::mongod::{Deployment, version};

pub fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "users and roles",
            needs: &[],
            make: |from, db| {
                let resource = doc! { "db": db, "collection": "" };
                let privileges = [doc! { "resource": resource, "actions": ["find"] }];
                let privileges = privileges.to_vec();
                from.command(
                    db,
                    doc! { "createRole": "looker", "privileges": privileges, "roles": [] },
                );
                let roles = [doc! { "role": "looker", "db": db }].to_vec();
                from.command(db, doc! { "createUser": "ann", "pwd": "her own", "roles": roles });
                insert(from, db, "c", vec![doc! { "_id": 1 }]);
            },
            also: the_same_users,
        },
        Row {
            name: "the server's version: in the snapshot; profiling stays where it is",
            needs: &[],
            make: |from, db| {
                insert(from, db, "c", vec![doc! { "_id": 1 }]);
                from.command(db, doc! { "profile": 1, "slowms": 1_000_000 });
            },
            also: |both, db| {
                let snapshots = both.desk.json(&["snapshots"]);
                assert_eq!(snapshots[0]["mongodb"]["version"], version());
                let level = |of: &Deployment| {
                    of.command(db, doc! { "profile": -1 }).get_i32("was").unwrap()
                };
                assert_eq!((level(&both.from), level(&both.to)), (1, 0));
                let has = |of: &Deployment| {
                    let filter = doc! { "name": "system.profile" };
                    let list = doc! { "listCollections": 1, "filter": filter };
                    !first_batch(of, db, list).is_empty()
                };
                assert!(has(&both.from) && !has(&both.to), "what it wrote stays, too");
            },
        },
        Row {
            name: "config and local: left out",
            needs: &[],
            make: |from, db| {
                insert(from, db, "c", vec![doc! { "_id": 1 }]);
                insert(from, "local", "mine", vec![doc! { "_id": 1 }]);
                insert(from, "config", "mine", vec![doc! { "_id": 1 }]);
            },
            also: |both, db| {
                let listed = both.desk.json_lines(&["ls", "latest"]);
                let has = |name: &str| listed.iter().any(|line| line["name"] == name);
                assert!(has(db) && !has("config") && !has("local"), "{listed:?}");
                for left in ["local", "config"] {
                    assert!(first_batch(&both.to, left, doc! { "find": "mine" }).is_empty());
                }
            },
        },
    ]
}

fn the_same_users(both: &Both, db: &str) {
    for question in [
        doc! { "usersInfo": "ann", "showCredentials": true },
        doc! { "rolesInfo": "looker", "showPrivileges": true },
    ] {
        let asked = |of: &Deployment| {
            let reply = of.command(db, question.clone());
            let found = reply.get_array("users").or(reply.get_array("roles"));
            found.unwrap().clone()
        };
        let (from, to) = (asked(&both.from), asked(&both.to));
        assert_eq!((from.len(), &from), (1, &to));
    }
}

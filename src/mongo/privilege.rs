//! Which privilege a refused command needed, and what to type to get it.

use super::Purpose;

/// What a user may not do, in the server's own terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privilege {
    /// As `find`, `listCollections`, `appendOplogNote`.
    pub action: String,
    /// As `{db: "local", collection: "oplog.rs"}`, `{cluster: true}`.
    pub resource: String,
    /// The built-in role that brings it.
    pub role: &'static str,
}

/// The privilege that `command`, run in `db` on `collection`, asks for.
pub(super) fn needed(
    command: &str,
    (db, collection): (&str, Option<&str>),
    purpose: Purpose,
) -> Privilege {
    let action = match command {
        "getMore" | "aggregate" | "count" | "dataSize" | "distinct" => "find",
        "update" | "findAndModify" => "update",
        "delete" => "remove",
        "create" => "createCollection",
        "createIndexes" => "createIndex",
        "dropIndexes" => "dropIndex",
        "drop" => "dropCollection",
        "renameCollection" => "renameCollectionSameDB",
        other => other,
    };
    let resource = match (command, collection) {
        (
            "listDatabases" | "appendOplogNote" | "getParameter" | "replSetGetStatus"
            | "replSetGetRBID" | "applyOps" | "renameCollection",
            _,
        ) => "{cluster: true}".to_owned(),
        (_, collection) => {
            format!("{{db: {db:?}, collection: {:?}}}", collection.unwrap_or(""))
        }
    };
    let role = match action {
        "insert"
        | "createCollection"
        | "createIndex"
        | "dropCollection"
        | "collMod"
        | "dropIndex"
        | "applyOps"
        | "convertToCapped"
        | "renameCollectionSameDB"
        | "_mergeAuthzCollections" => "restore",
        "update" | "remove" => "readWriteAnyDatabase",
        // Either role brings it; whoever is to write needs that one anyway.
        "listCollections" if purpose == Purpose::Write => "restore",
        _ => "backup",
    };
    Privilege { action: action.to_owned(), resource, role }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_backup_and_writing_is_restore() {
        let reading = |command, db, collection| needed(command, (db, collection), Purpose::Read);
        let writing = |command| needed(command, ("a", Some("b")), Purpose::Write);
        let oplog = reading("find", "local", Some("oplog.rs"));
        assert_eq!(oplog.resource, r#"{db: "local", collection: "oplog.rs"}"#);
        assert_eq!((oplog.action.as_str(), oplog.role), ("find", "backup"));
        assert_eq!(reading("listDatabases", "admin", None).resource, "{cluster: true}");
        assert_eq!(reading("listCollections", "a", None).role, "backup");
        assert_eq!(writing("listCollections").role, "restore");
        assert_eq!(writing("create").role, "restore");
        assert_eq!(writing("update").role, "readWriteAnyDatabase");
        // `restore` does not bring this.
        assert_eq!(writing("find").role, "backup");
    }
}

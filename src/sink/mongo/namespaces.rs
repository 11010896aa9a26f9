//! Collections and views of a server: which there are, making them, dropping them.

use super::{
    Error,
    command::{document_in, is_true, on, text_in, without},
};
use crate::{
    document::{ArrayWriter, Writer, get, namespace::Namespace},
    limits::SCAN_FAILURES_MAX,
    mongo::{self, Link},
};

/// Where a time series' buckets lie.
pub fn buckets_of(series: &Namespace) -> Namespace {
    Namespace::new(&series.db, format!("system.buckets.{}", series.collection))
}

/// A collection, view or time series that is on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    pub name: String,
    /// `collection`, `view`, `timeseries`.
    pub kind: String,
    /// As `listCollections` gives it.
    pub record: Vec<u8>,
}

impl Existing {
    pub fn options(&self) -> Vec<u8> {
        let options = document_in(&self.record, b"options");
        options.map_or_else(|| Writer::new().finish(), <[u8]>::to_vec)
    }

    /// What tells it from another one of its name. A view has none, and that of a time series is
    /// its buckets'.
    pub fn uuid(&self) -> Option<[u8; 16]> {
        let info = document_in(&self.record, b"info")?;
        get(info, b"uuid").ok()??.as_binary()?.1.try_into().ok()
    }
}

/// The UUID of the collection that is at `place` now. `None`: there is none, or it has none.
pub fn uuid_at(link: &Link, place: &Namespace) -> Result<Option<[u8; 16]>, Error> {
    let (mut name, mut command) = (Writer::new(), Writer::new());
    name.push_str(b"name", &place.collection);
    command.push_i32(b"listCollections", 1);
    command.push_doc(b"filter", &name.finish());
    let list = link.list(&place.db, &command.finish());
    let list = list.map_err(|source| Error::List { db: place.db.clone(), source })?;
    Ok(list.into_iter().next().and_then(|record| existing(record).uuid()))
}

fn existing(record: Vec<u8>) -> Existing {
    Existing {
        name: text_in(&record, b"name").unwrap_or_default(),
        kind: text_in(&record, b"type").unwrap_or_else(|| "collection".into()),
        record,
    }
}

/// What is in a database; nothing, if there is no such database.
pub fn collections(link: &Link, db: &str) -> Result<Vec<Existing>, Error> {
    let mut command = Writer::new();
    command.push_i32(b"listCollections", 1);
    let list = link.list(db, &command.finish());
    let list = list.map_err(|source| Error::List { db: db.to_owned(), source })?;
    Ok(list.into_iter().map(existing).collect())
}

/// What a deployment can be told by, whatever it is called: the UUID of a collection that all its
/// members have from their first start on. `None`: it does not tell everybody.
pub fn deployment_id(link: &Link) -> Result<Option<Vec<u8>>, Error> {
    const FROM_THE_BEGINNING: &str = "system.version";
    let there = match collections(link, "admin") {
        Err(error) if error.cause().is_unauthorized() => return Ok(None),
        there => there?,
    };
    let first = there.iter().find(|one| one.name == FROM_THE_BEGINNING);
    Ok(first.and_then(Existing::uuid).map(|uuid| uuid.to_vec()))
}

/// The index specifications of a collection, in the server's order, `_id_` among them.
pub fn indexes(link: &Link, place: &Namespace) -> Result<Vec<Vec<u8>>, Error> {
    let list = link.list(&place.db, &on("listIndexes", place).finish());
    list.map_err(|source| Error::Look { place: place.clone(), source })
}

/// What came of a `create`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Created {
    /// Options that this server does not know, and that were left out.
    pub options_left_out: Vec<String>,
    /// `expireAfterSeconds`, to be set with `expire_after` when all documents are there.
    pub expires: bool,
}

/// Not for `create`: set by the server, or of no meaning any more.
const NOT_OPTIONS: [&[u8]; 4] = [b"uuid", b"temp", b"autoIndexId", b"flags"];
const EXPIRES: &[u8] = b"expireAfterSeconds";
/// Without it a collection is another, that has no buckets.
const SERIES: &str = "timeseries";
const NAMESPACE_EXISTS: i32 = 48;
const UNKNOWN_FIELD: i32 = 40415;

/// Makes a collection, a view or a time series with the raw `options` of a snapshot. That it is
/// there already is an error, and so is a time series that this server can't have as it was.
pub fn create(
    link: &Link,
    place: &Namespace,
    options: &[u8],
    id_index: Option<&[u8]>,
) -> Result<Created, Error> {
    let failed = |source| Error::Create { place: place.clone(), source };
    let mut created = Created { options_left_out: Vec::new(), expires: false };
    created.expires = matches!(get(options, EXPIRES), Ok(Some(_)));
    let mut failures = 0;
    loop {
        let mut left_out: Vec<&[u8]> = NOT_OPTIONS.to_vec();
        left_out.push(EXPIRES);
        left_out.extend(created.options_left_out.iter().map(String::as_bytes));
        let command = create_command(place, options, id_index, &left_out);
        let error = match link.run(&place.db, &command) {
            Ok(_) => return Ok(created),
            Err(error) => error,
        };
        if error.is_passing() && failures < SCAN_FAILURES_MAX {
            failures += 1;
            link.pause_after(failures);
            continue;
        }
        // The answer to the first try was lost, and not what it did.
        if failures > 0 && error.code() == Some(NAMESPACE_EXISTS) {
            return Ok(created);
        }
        match unknown_option(&error) {
            Some(name) if name != SERIES && !created.options_left_out.contains(&name) => {
                created.options_left_out.push(name);
            }
            _ => return Err(failed(error)),
        }
    }
}

/// What a server of `version` can't have of a collection with these `options`, and since when
/// others can: without it the collection would be another. Other options that it does not know
/// are left out by [`create`].
pub fn beyond(version: (u32, u32, u32), options: &[u8]) -> Option<(&'static str, &'static str)> {
    let is_in = |document: &[u8], name: &[u8]| matches!(get(document, name), Ok(Some(_)));
    let series = document_in(options, SERIES.as_bytes());
    let rounds = series.is_some_and(|series| is_in(series, b"bucketRoundingSeconds"));
    let (major, minor, _) = version;
    [
        (series.is_some(), (5, 0), ("a time series", "5.0")),
        (rounds, (6, 3), ("a time series with buckets of its own rounding", "6.3")),
        (is_in(options, b"clusteredIndex"), (5, 3), ("a clustered collection", "5.3")),
    ]
    .into_iter()
    .find_map(|(is_it, since, told)| (is_it && (major, minor) < since).then_some(told))
}

fn create_command(
    place: &Namespace,
    options: &[u8],
    id_index: Option<&[u8]>,
    left_out: &[&[u8]],
) -> Vec<u8> {
    let mut command = on("create", place);
    let kept = without(options, left_out).unwrap_or_default().finish();
    for element in crate::document::elements(&kept).flatten() {
        command.push(&element);
    }
    // Its collation is the collection's; but its version may be of old.
    if let Some(index) = id_index.filter(|_| !left_out.contains(&&b"idIndex"[..])) {
        let index = without(index, &[b"ns"]).unwrap_or_default();
        command.push_doc(b"idIndex", &index.finish());
    }
    command.finish()
}

/// The option that a server says it does not know: `BSON field 'create.x' is an unknown field.`
fn unknown_option(error: &mongo::Error) -> Option<String> {
    let mongo::Error::Command { code: UNKNOWN_FIELD, message, .. } = error else { return None };
    let name = message.split('\'').nth(1)?;
    Some(name.strip_prefix("create.").unwrap_or(name).split('.').next()?.to_owned())
}

/// Sets when documents of a time series or a clustered collection go: from now on they do.
pub fn expire_after(link: &Link, place: &Namespace, options: &[u8]) -> Result<(), Error> {
    let Ok(Some(seconds)) = get(options, EXPIRES) else { return Ok(()) };
    let mut command = on("collMod", place);
    command.push(&seconds);
    let run = link.run(&place.db, &command.finish());
    run.map(|_| ()).map_err(|source| Error::Create { place: place.clone(), source })
}

/// A collection that no server lets anyone drop: `system.js`.
pub fn is_fixed(place: &Namespace) -> bool {
    place.collection.starts_with("system.")
}

/// Drops a collection or view; that there is none is no error.
pub fn drop(link: &Link, place: &Namespace) -> Result<(), Error> {
    const NAMESPACE_NOT_FOUND: i32 = 26;
    match link.run(&place.db, &on("drop", place).finish()) {
        Err(error) if error.code() == Some(NAMESPACE_NOT_FOUND) => Ok(()),
        Err(source) => Err(Error::Drop { place: place.clone(), source }),
        Ok(_) => Ok(()),
    }
}

impl Error {
    /// The server will not have a collection like this one, and may have others.
    pub fn is_refusal(&self) -> bool {
        let Error::Create { source, .. } = self else { return false };
        let is_answer = matches!(source, mongo::Error::Command { .. });
        is_answer && !source.is_passing() && !self.is_already_there()
    }

    /// The collection was made by someone else meanwhile.
    pub fn is_already_there(&self) -> bool {
        matches!(self, Error::Create { source, .. } if source.code() == Some(NAMESPACE_EXISTS))
    }
}

/// Waits until a majority of the set, or a standalone's journal, has all that was written so far:
/// asks for the index that is there on `place`, a collection with no collation of its own, with a
/// concern for everything before it. Whoever may restore may do so.
pub fn wait_for_majority(link: &Link, place: &Namespace) -> Result<(), Error> {
    let (mut key, mut spec) = (Writer::new(), Writer::new());
    key.push_i32(b"_id", 1);
    spec.push_doc(b"key", &key.finish());
    spec.push_str(b"name", "_id_");
    wait_by((link, "createIndexes"), place, "indexes", spec)
}

/// The same where no collection is: removes nothing from where nothing is, which wants the right
/// to remove.
pub fn wait_for_majority_of(link: &Link, db: &str) -> Result<(), Error> {
    let (mut none, mut query, mut statement) = (Writer::new(), Writer::new(), Writer::new());
    none.push_array(b"$in", &ArrayWriter::new().finish());
    query.push_doc(b"_id", &none.finish());
    statement.push_doc(b"q", &query.finish());
    statement.push_i32(b"limit", 1);
    wait_by((link, "delete"), &Namespace::new(db, "icecore.nothing"), "deletes", statement)
}

/// Runs a command that changes nothing, with its one statement, and waits for what was before it.
fn wait_by(
    (link, name): (&Link, &str),
    place: &Namespace,
    list: &str,
    statement: Writer,
) -> Result<(), Error> {
    /// Among others: of a server that keeps no journal.
    const BAD_VALUE: i32 = 2;
    let facts = link.facts();
    let is_alone = !facts.is_replica_set() && !facts.is_mongos;
    let mut statements = ArrayWriter::new();
    statements.push_doc(&statement.finish());
    let mut concern = Writer::new();
    match is_alone {
        true => concern.push_bool(b"j", true),
        false => concern.push_str(b"w", "majority"),
    }
    concern.push_i32(b"wtimeout", 60_000);
    let mut command = on(name, place);
    command.push_array(list.as_bytes(), &statements.finish());
    command.push_doc(b"writeConcern", &concern.finish());
    let majority = |source| Error::Majority { source };
    let reply = match link.ask(&place.db, &command.finish()) {
        Err(error) if is_alone && error.code() == Some(BAD_VALUE) => return Ok(()),
        reply => reply.map_err(majority)?,
    };
    match document_in(&reply, b"writeConcernError") {
        None => Ok(()),
        Some(error) => Err(majority(mongo::Error::Command {
            command: name.into(),
            place: place.to_string(),
            code: 64,
            name: "WriteConcernFailed".into(),
            message: text_in(error, b"errmsg").unwrap_or_default(),
        })),
    }
}

/// Whether options say that a collection is capped.
pub fn is_capped(options: &[u8]) -> bool {
    is_true(options, b"capped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_collections_that_came_with_later_servers() {
        let with = |name: &[u8], value: Writer| {
            let mut options = Writer::new();
            options.push_doc(name, &value.finish());
            options.finish()
        };
        let series = with(b"timeseries", Writer::new());
        let mut rounding = Writer::new();
        rounding.push_i32(b"bucketRoundingSeconds", 60);
        let rounding = with(b"timeseries", rounding);
        let clustered = with(b"clusteredIndex", Writer::new());
        let plain = with(b"validator", Writer::new());
        let since = |version, options: &[u8]| beyond(version, options).map(|(_, since)| since);
        for (version, expected) in [
            ((4, 4, 2), [Some("5.0"), Some("5.0"), Some("5.3"), None]),
            ((5, 0, 4), [None, Some("6.3"), Some("5.3"), None]),
            ((5, 3, 0), [None, Some("6.3"), None, None]),
            ((7, 0, 1), [None; 4]),
        ] {
            let found = [&series, &rounding, &clustered, &plain];
            assert_eq!(found.map(|options| since(version, options)), expected, "{version:?}");
        }
    }
}

//! Reading the catalogue: databases, collections, indexes.

use std::collections::BTreeMap;

use bson::{RawBsonRef, RawDocument, rawdoc};

use super::{Collection, Error, Keys, Kind, Namespace, Options, Uuid, collection::BUCKETS};
use crate::mongo::Link;

/// NamespaceNotFound: it was dropped between two questions.
const NOT_FOUND: i32 = 26;

/// What the server has of what `options` want, in the order of the catalogue's keys. Not of one
/// moment: collections may come and go while it is read.
pub(super) fn read(link: &Link, options: &Options) -> Result<Vec<Collection>, Error> {
    let mut found = Vec::new();
    for db in databases(link, options)? {
        for listed in list(link, &db)?.into_values() {
            if is_wanted(&listed.namespace, options) {
                let collection = listed.complete(link)?;
                found.extend(collection);
            }
        }
    }
    found.sort_by(|a: &Collection, b| a.namespace.cmp(&b.namespace));
    Ok(found)
}

/// The name under which the collection `uuid` is stored in `db` now.
pub(super) fn name_of(link: &Link, db: &str, uuid: &Uuid) -> Result<Option<String>, Error> {
    let listed = list(link, db)?;
    Ok(listed.into_values().find(|listed| listed.uuid == Some(*uuid)).map(|listed| listed.stored))
}

fn databases(link: &Link, options: &Options) -> Result<Vec<String>, Error> {
    if let Some(db) = &options.db {
        let admin = (options.users_and_roles && db != "admin").then(|| "admin".to_owned());
        return Ok(admin.into_iter().chain([db.clone()]).collect());
    }
    // All of them: a user who may not ask for that is told so, and gets no part of a backup.
    let command = rawdoc! { "listDatabases": 1, "nameOnly": true, "authorizedDatabases": false };
    let reply = link.ask("admin", command.as_bytes())?;
    let malformed =
        |why: String| Error::Malformed { what: "the list", namespace: "databases".to_owned(), why };
    let reply = RawDocument::from_bytes(&reply).map_err(|why| malformed(why.to_string()))?;
    let list = reply.get_array("databases").map_err(|why| malformed(why.to_string()))?;
    let mut names = Vec::new();
    for database in list {
        let name = database.ok().and_then(|database| {
            database.as_document().and_then(|database| database.get_str("name").ok())
        });
        names.push(name.ok_or_else(|| malformed("one has no name".to_owned()))?.to_owned());
    }
    names.retain(|name| name != "local" && name != "config");
    Ok(names)
}

/// Whether a collection belongs into the capture, by its name alone.
pub(super) fn is_wanted(namespace: &Namespace, options: &Options) -> bool {
    let Namespace { db, collection } = namespace;
    if db == "local" || db == "config" {
        return false;
    }
    if namespace.is_authority() {
        return options.users_and_roles;
    }
    if options.db.as_ref().is_some_and(|only| only != db) {
        return false;
    }
    let internal = collection.starts_with("system.");
    let kept = !internal || (collection == "system.js" && db != "admin");
    kept && (options.wanted)(namespace)
}

/// An entry of `listCollections`.
struct Listed {
    namespace: Namespace,
    /// Where its documents are.
    stored: String,
    kind: String,
    uuid: Option<Uuid>,
    options: Vec<u8>,
    id_index: Option<Vec<u8>>,
}

/// The entries of one database by name. The buckets of a time series are one with it.
fn list(link: &Link, db: &str) -> Result<BTreeMap<String, Listed>, Error> {
    let mut listed = BTreeMap::new();
    for entry in link.list(db, rawdoc! { "listCollections": 1 }.as_bytes())? {
        let entry = Listed::of(db, &entry)?;
        listed.insert(entry.namespace.collection.clone(), entry);
    }
    let series: Vec<String> = listed
        .values()
        .filter(|entry| entry.kind == "timeseries")
        .map(|entry| entry.namespace.collection.clone())
        .collect();
    for name in series {
        let buckets = listed.remove(&format!("{BUCKETS}{name}"));
        if let (Some(entry), Some(buckets)) = (listed.get_mut(&name), buckets) {
            entry.uuid = buckets.uuid;
            entry.stored = buckets.stored;
        }
    }
    Ok(listed)
}

impl Listed {
    fn of(db: &str, entry: &[u8]) -> Result<Listed, Error> {
        let malformed = |why: bson::error::Error| Error::Malformed {
            what: "an entry of the catalogue",
            namespace: db.to_owned(),
            why: why.to_string(),
        };
        let entry = RawDocument::from_bytes(entry).map_err(malformed)?;
        let name = entry.get_str("name").map_err(malformed)?.to_owned();
        let document = |field: &str| match raw(entry, field) {
            Some(RawBsonRef::Document(document)) => Some(document.as_bytes().to_vec()),
            _ => None,
        };
        let uuid = match entry.get_document("info").ok().and_then(|info| raw(info, "uuid")) {
            Some(RawBsonRef::Binary(uuid)) => uuid.bytes.try_into().ok(),
            _ => None,
        };
        Ok(Listed {
            namespace: Namespace { db: db.to_owned(), collection: name.clone() },
            stored: name,
            kind: entry.get_str("type").unwrap_or("collection").to_owned(),
            uuid,
            options: document("options").unwrap_or_else(|| rawdoc! {}.into_bytes()),
            id_index: document("idIndex"),
        })
    }

    /// With its indexes; none if it is gone.
    fn complete(self, link: &Link) -> Result<Option<Collection>, Error> {
        let kind = match self.kind.as_str() {
            "collection" => Kind::Collection,
            "view" => Kind::View,
            "timeseries" if self.uuid.is_some() => Kind::TimeSeries,
            other => {
                let namespace = self.namespace.to_string();
                return Err(Error::UnknownKind { namespace, kind: other.to_owned() });
            }
        };
        let Namespace { db, collection } = &self.namespace;
        let indexes = match kind {
            Kind::View => Vec::new(),
            _ => {
                let command = rawdoc! { "listIndexes": collection.as_str() };
                match link.list(db, command.as_bytes()) {
                    Err(error) if error.code() == Some(NOT_FOUND) => return Ok(None),
                    other => other?,
                }
            }
        };
        let keys = match is_capped(&self.options) {
            true => Keys::Ordinal,
            false => Keys::Id,
        };
        let Listed { namespace, uuid, options, id_index, .. } = self;
        Ok(Some(Collection { namespace, kind, uuid, options, id_index, indexes, keys }))
    }
}

/// The field's value, found without looking into the others.
fn raw<'a>(document: &'a RawDocument, field: &str) -> Option<RawBsonRef<'a>> {
    let element = document
        .iter_elements()
        .map_while(Result::ok)
        .find(|element| element.key().as_str() == field)?;
    element.value().ok()
}

fn is_capped(options: &[u8]) -> bool {
    let options = RawDocument::from_bytes(options).ok();
    matches!(options.and_then(|options| raw(options, "capped")), Some(RawBsonRef::Boolean(true)))
}

/// Documents and bytes, as the server keeps count of them.
pub(super) fn size(link: &Link, collection: &Collection) -> Option<(u64, u64)> {
    let db = collection.namespace.db.as_str();
    let place = format!("{db}.{}", collection.stored_in());
    let command = rawdoc! { "dataSize": place.as_str(), "estimate": true };
    let reply = link.ask(db, command.as_bytes()).ok()?;
    let reply = RawDocument::from_bytes(&reply).ok()?;
    Some((number(reply, "numObjects")?, number(reply, "size")?))
}

fn number(document: &RawDocument, field: &str) -> Option<u64> {
    match raw(document, field)? {
        RawBsonRef::Int32(number) => u64::try_from(number).ok(),
        RawBsonRef::Int64(number) => u64::try_from(number).ok(),
        RawBsonRef::Double(number) if number >= 0.0 => Some(number as u64),
        _ => None,
    }
}

//! Captures of real servers: what comes out is what stood there at the moment they name.

mod faults;
mod held;
mod oplog;
mod plain;
mod snapshot;
mod state;

use std::collections::BTreeMap;

use icecore::{
    ambient::Ambient,
    format::snapshot::ClusterTime,
    mongo::{Connect, Link, Purpose},
    progress::Progress,
    source::mongo::{Capture, Collection, Error, Options, Settled, Wanted},
};
use mongodb::bson::{Document, RawDocument, doc};

use self::held::Held;
use crate::mongod::Deployment;

/// Documents by the bytes of their `_id`.
pub type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

pub fn link(deployment: &Deployment) -> Link {
    Link::connect(&deployment.uri(), &Connect::to(Purpose::Read)).unwrap()
}

pub fn begin(link: &Link, consistency: Wanted) -> Result<Capture, Error> {
    Capture::begin(link, Options { consistency, ..options() }, &Progress::silent())
}

pub fn options() -> Options {
    Options::all(Ambient::real("host", "user"), 1 << 20, std::env::temp_dir())
}

pub fn settle(capture: &mut Capture) -> Settled {
    capture.settle(&Progress::silent()).unwrap()
}

/// The kind and bytes of a document's `_id`.
pub fn id_of(document: &[u8]) -> Vec<u8> {
    let document = RawDocument::from_bytes(document).unwrap();
    let mut alone = mongodb::bson::RawDocumentBuf::new();
    alone.append(mongodb::bson::cstr!("_id"), document.get("_id").unwrap().unwrap());
    alone.into_bytes()
}

pub fn scan(capture: &Capture, collection: &Collection) -> Result<Contents, Error> {
    let mut contents = Contents::new();
    for batch in capture.scan(collection) {
        let batch = batch?;
        contents.extend(batch.documents().map(|document| (id_of(document), document.to_vec())));
    }
    Ok(contents)
}

/// All that is scanned, by namespace.
pub fn scan_all(capture: &Capture) -> BTreeMap<String, Contents> {
    let collections: Vec<Collection> = capture.collections().cloned().collect();
    collections
        .iter()
        .map(|collection| (collection.namespace.to_string(), scan(capture, collection).unwrap()))
        .collect()
}

pub fn names(settled: &Settled) -> Vec<String> {
    settled.catalogue.iter().map(|collection| collection.namespace.to_string()).collect()
}

pub fn found<'a>(settled: &'a Settled, name: &str) -> &'a Collection {
    let is = |collection: &&Collection| collection.namespace.to_string() == name;
    settled.catalogue.iter().find(is).unwrap_or_else(|| panic!("{name} is not there"))
}

/// `count` documents of the form `{_id, n: 0, text}` in `shop.<collection>`.
pub fn fill(deployment: &Deployment, collection: &str, count: i32) {
    for start in (0..count).step_by(5000) {
        let ids = start..count.min(start + 5000);
        let documents: Vec<Document> =
            ids.map(|id| doc! { "_id": id, "n": 0, "text": "some words ".repeat(4) }).collect();
        deployment.command("shop", doc! { "insert": collection, "documents": documents });
    }
}

/// The documents of a collection by their keys, as of a moment, by a read that needs no oplog.
pub fn expected(link: &Link, collection: &Collection, at: Option<ClusterTime>) -> Contents {
    let at = mongodb::bson::Timestamp::from(at.unwrap());
    let concern = match link.facts().reads_as_of_a_moment() {
        true => mongodb::bson::rawdoc! { "level": "snapshot", "atClusterTime": at },
        // Nobody may be writing any more.
        false => mongodb::bson::rawdoc! { "level": "majority", "afterClusterTime": at },
    };
    let command = mongodb::bson::rawdoc! {
        "find": collection.stored_in().as_str(),
        "readConcern": concern,
    };
    let documents = link.list(&collection.namespace.db, command.as_bytes()).unwrap();
    documents.into_iter().map(|document| (state::id_key(&document), document)).collect()
}

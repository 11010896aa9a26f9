//! Dump: collections of a snapshot as a directory that mongorestore takes.

use crate::{
    document::{
        ArrayWriter, Writer,
        extjson::{self, Fidelity, Flavour, Layout},
    },
    format::catalogue::CollectionKind,
    progress::Progress,
    repo::ReadBlobs,
    sink::dump::{Dump, DumpError},
    verbs::{
        Error, Lost,
        deployment::{self, Bounds, Collection},
    },
};

/// In which form documents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Bson,
    /// A line of relaxed Extended JSON each.
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    pub collections: u64,
    pub documents: u64,
    /// Of the documents, as BSON.
    pub bytes: u64,
    /// Documents whose lines could not tell all that they hold.
    pub lossy: u64,
}

/// What ends a dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpFailure<E: std::error::Error + 'static> {
    #[error(transparent)]
    Read(#[from] Error<E>),
    #[error(transparent)]
    Write(#[from] DumpError),
    #[error("interrupted")]
    Cancelled,
}

/// Writes these collections, documents and metadata. Documents that can't be read are left out, and
/// go to `lost`.
pub fn dump<R: ReadBlobs>(
    reader: &R,
    collections: &[Collection],
    (form, to): (Form, &Dump),
    progress: &Progress,
    lost: &mut Lost<'_, R::Error>,
) -> Result<Outcome, DumpFailure<R::Error>> {
    let mut outcome = Outcome::default();
    let bytes = collections.iter().map(|collection| collection.record.bytes).sum();
    let count = collections.iter().map(|collection| collection.record.count).sum();
    progress.expect(count, bytes);
    for collection in collections {
        let name = &collection.namespace.collection;
        let db = &collection.namespace.db;
        let metadata = metadata(collection).map_err(|source| Error::Document { source })?;
        to.metadata(db, name, &metadata)?;
        outcome.collections += 1;
        if collection.root.is_none() {
            continue;
        }
        let ending = if form == Form::Bson { "bson" } else { "jsonl" };
        let mut file = to.documents(db, &stored_name(collection), ending)?;
        for found in deployment::documents(reader, collection, &Bounds::default())? {
            if progress.is_cancelled() {
                return Err(DumpFailure::Cancelled);
            }
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    lost(error)?;
                    continue;
                }
            };
            match form {
                Form::Bson => file.write(&found.bytes)?,
                Form::Jsonl => {
                    let (line, fidelity) = line(&found.bytes)?;
                    outcome.lossy += u64::from(fidelity == Fidelity::Lossy);
                    file.write(line.as_bytes())?;
                }
            }
            outcome.documents += 1;
            outcome.bytes += found.bytes.len() as u64;
            progress.done(1, found.bytes.len() as u64);
        }
        file.finish()?;
    }
    if form == Form::Bson && collections.iter().any(|one| one.namespace.is_authority()) {
        auth_schema(to)?;
    }
    Ok(outcome)
}

/// The version of the form in which users are stored, the same on every server since 3.0.
const AUTH_SCHEMA: i32 = 5;

/// mongorestore takes users only where the dump tells that version, as mongodump does.
fn auth_schema(to: &Dump) -> Result<(), DumpError> {
    let mut document = Writer::new();
    document.push_str(b"_id", "authSchema");
    document.push_i32(b"currentVersion", AUTH_SCHEMA);
    let mut file = to.documents("admin", "system.version", "bson")?;
    file.write(&document.finish())?;
    file.finish()
}

fn line<E: std::error::Error>(doc: &[u8]) -> Result<(String, Fidelity), Error<E>> {
    let mut line = String::with_capacity(doc.len() * 2);
    let fidelity = extjson::write(&mut line, doc, Flavour::Relaxed, Layout::Line)
        .map_err(|source| Error::Document { source })?;
    line.push('\n');
    Ok((line, fidelity))
}

/// Where the documents of a collection lie on the server.
fn stored_name(collection: &Collection) -> String {
    let name = &collection.namespace.collection;
    match collection.record.kind {
        CollectionKind::TimeSeries => format!("system.buckets.{name}"),
        _ => name.clone(),
    }
}

/// As mongodump writes it: options, indexes, UUID, name and kind in canonical Extended JSON.
fn metadata(collection: &Collection) -> Result<String, crate::document::Malformed> {
    let record = &collection.record;
    let mut indexes = ArrayWriter::new();
    record.indexes.iter().for_each(|index| indexes.push_doc(index));
    let mut metadata = Writer::new();
    metadata.push_doc(b"options", &record.options);
    metadata.push_array(b"indexes", &indexes.finish());
    if let Some(uuid) = &record.uuid {
        metadata.push_str(b"uuid", hex::encode(uuid));
    }
    metadata.push_str(b"collectionName", &collection.namespace.collection);
    metadata.push_str(b"type", collection.kind_name());
    extjson::to_text(&metadata.finish(), Flavour::Canonical)
}

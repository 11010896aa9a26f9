//! The room `document` held against a real server: its order, its duplicates, its log.

mod ids;
mod random;
mod statements;
mod updates;

use futures_util::TryStreamExt;
use icecore::document::{ArrayWriter, Writer};
use mongodb::bson::{Document, RawDocumentBuf};

use crate::mongod::Deployment;

const DB: &str = "documents";

fn doc(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    fill(&mut writer);
    writer.finish()
}

fn array<'a>(docs: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut writer = ArrayWriter::new();
    docs.into_iter().for_each(|doc| writer.push_doc(doc));
    writer.finish()
}

/// Runs raw bytes; the driver decodes the answer and fails where that holds no UTF-8.
fn run(server: &Deployment, command: Vec<u8>) -> mongodb::error::Result<Document> {
    let command = RawDocumentBuf::from_bytes(command).unwrap();
    server.block(server.client().database(DB).run_raw_command(command))
}

/// All documents that a command with a cursor answers, as the server has them.
fn all(server: &Deployment, database: &str, command: Vec<u8>) -> Vec<Vec<u8>> {
    let command = RawDocumentBuf::from_bytes(command).unwrap();
    let database = server.client().database(database);
    server.block(async {
        let mut batches = database.run_raw_cursor_command(command).batch().await.unwrap();
        let mut found = Vec::new();
        while let Some(batch) = batches.try_next().await.unwrap() {
            for document in batch.doc_slices().unwrap() {
                found.push(document.unwrap().as_document().unwrap().as_bytes().to_vec());
            }
        }
        found
    })
}

fn insert(server: &Deployment, collection: &str, docs: &[Vec<u8>]) {
    for batch in docs.chunks(5000) {
        let command = doc(|w| {
            w.push_str(b"insert", collection);
            w.push_bool(b"ordered", false);
            w.push_array(b"documents", &array(batch));
        });
        // What was refused, and rightly so, is seen in what the collection holds.
        let _ = run(server, command);
    }
}

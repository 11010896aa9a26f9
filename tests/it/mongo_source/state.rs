//! What a capture's scans gave, and what its changes make of it: the verb's work, naively.

use std::{collections::BTreeMap, thread, time::Duration};

use icecore::{
    document,
    progress::Progress,
    source::mongo::{Batch, Capture, Collection, Error, Keys, Op, Point, Uuid},
};

use super::Contents;

/// Documents by their keys, of each collection.
#[derive(Default)]
pub struct State(BTreeMap<Uuid, Contents>);

pub struct Done {
    pub point: Point,
    pub contents: BTreeMap<String, Contents>,
    pub collections: BTreeMap<String, Collection>,
    pub operations: u64,
    /// Of the whole catalogue.
    pub names: Vec<String>,
}

impl State {
    pub fn take(&mut self, collection: &Collection, batch: Batch) {
        let contents = self.0.entry(collection.uuid.unwrap()).or_default();
        for document in batch.documents() {
            let key = match collection.keys {
                Keys::Id => id_key(document),
                Keys::Ordinal => (contents.len() as u64).to_be_bytes().to_vec(),
            };
            contents.insert(key, document.to_vec());
        }
    }

    pub fn again(&mut self, capture: &Capture, collections: &[Collection]) {
        for collection in collections {
            self.0.remove(&collection.uuid.unwrap());
            for batch in capture.scan(collection) {
                self.take(collection, batch.unwrap());
            }
        }
    }
}

pub fn id_key(document: &[u8]) -> Vec<u8> {
    document::id_key(&document::get(document, b"_id").unwrap().unwrap()).unwrap()
}

/// All collections, batch by batch in turn, so that much happens meanwhile.
pub fn scan_slowly(capture: &Capture) -> State {
    let mut state = State::default();
    let mut scans: Vec<_> =
        capture.collections().map(|one| (one.clone(), capture.scan(one))).collect();
    while !scans.is_empty() {
        scans.retain_mut(|(collection, scan)| match scan.next() {
            Some(batch) => {
                state.take(collection, batch.unwrap());
                thread::sleep(Duration::from_millis(50));
                true
            }
            None => false,
        });
    }
    state
}

/// Settles, scanning again what it must, and applies the changes.
pub fn settled(capture: &mut Capture, state: &mut State) -> Done {
    let mut settled = loop {
        match capture.settle(&Progress::silent()) {
            Ok(settled) => break settled,
            Err(Error::ScanAgain { collections }) => state.again(capture, &collections),
            Err(error) => panic!("{error}"),
        }
    };
    let mut done = Done {
        point: settled.point,
        contents: BTreeMap::new(),
        collections: BTreeMap::new(),
        operations: 0,
        names: super::names(&settled),
    };
    for collection in &settled.catalogue {
        let Some(uuid) = collection.uuid else { continue };
        let mut contents = state.0.get(&uuid).cloned().unwrap_or_default();
        let mut last = None;
        for change in settled.changes.of(&uuid) {
            let (key, op) = change.unwrap();
            assert!(last <= Some(key.clone()), "keys ascend");
            last = Some(key.clone());
            done.operations += 1;
            let key = key.to_vec();
            if let Some(document) = applied(contents.remove(&key), op) {
                contents.insert(key, document);
            }
        }
        let name = collection.namespace.to_string();
        done.contents.insert(name.clone(), contents);
        done.collections.insert(name, collection.clone());
    }
    done
}

fn applied(document: Option<Vec<u8>>, op: Op) -> Option<Vec<u8>> {
    match op {
        Op::Put(document) => Some(document),
        Op::Diff(diff) => document.map(|base| document::apply_diff(&base, &diff).unwrap()),
        Op::Modify(update) => {
            document.map(|base| document::apply_modifiers(&base, &update).unwrap())
        }
        Op::Delete => None,
    }
}

//! The promises of trees: one form for a map, work that grows with the change, no trust in nodes.

mod canonical;
mod cost;
mod hostile;
mod reading;
mod rebuilding;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Aims, Bounds, KeyRange, Merger, Piece, Pieces, Root, Splitter, Value, iter,
    testing::RecordingBlobs,
};
use crate::id::BlobId;

type Map = BTreeMap<Vec<u8>, Value>;

/// So small that a thousand entries make a tree of five levels.
const TINY: Aims = Aims {
    leaf: Bounds { min: 30, aim: 120, max: 300 },
    inner: Bounds { min: 80, aim: 250, max: 800 },
};

fn splitter() -> Splitter {
    Splitter::new([9; 32], TINY.check().unwrap())
}

fn value(text: &[u8]) -> Value {
    Value { head: Bytes::copy_from_slice(text), pieces: Pieces::None }
}

fn with_content(text: &[u8], chunks: u8) -> Value {
    let list = (0..chunks).map(|chunk| Piece {
        id: (chunk % 3 != 2).then(|| BlobId::new([chunk; 32])),
        len: 1000 + u64::from(chunk),
    });
    Value { head: Bytes::copy_from_slice(text), pieces: Pieces::List(list.collect()) }
}

fn numbered(count: u32) -> Map {
    (0..count).map(|n| (key(n), value(format!("value {n}").as_bytes()))).collect()
}

fn key(n: u32) -> Vec<u8> {
    format!("key {n:06}").into_bytes()
}

fn build(blobs: &RecordingBlobs, map: &Map) -> Root {
    let mut merger = Merger::new(blobs, splitter(), None);
    for (key, value) in map {
        merger.put(key, value).unwrap();
    }
    merger.finish().unwrap()
}

/// `None`: delete.
fn change(blobs: &RecordingBlobs, old: Root, changes: &BTreeMap<Vec<u8>, Option<Value>>) -> Root {
    let mut merger = Merger::new(blobs, splitter(), Some(old));
    for (key, value) in changes {
        match value {
            Some(value) => merger.put(key, value).unwrap(),
            None => merger.delete(key).unwrap(),
        }
    }
    merger.finish().unwrap()
}

fn read_all(blobs: &RecordingBlobs, root: &Root) -> Map {
    let entries = iter(blobs, root, KeyRange::all()).map(|entry| entry.unwrap());
    entries.map(|(key, value)| (key.to_vec(), value)).collect()
}

//! Keys of ids: their order is the server's, and equal keys are what it calls duplicates.

use std::{cmp::Ordering, collections::BTreeMap};

use icecore::document::{Element, compare, elements, get, id_key};

use super::{
    all, doc, insert,
    random::{Chance, Value, id},
};
use crate::mongod::Deployment;

const COLLECTIONS: u64 = 5;
const IDS_EACH: usize = 22_000;

#[test]
fn ids_lie_in_the_servers_order_and_are_duplicates_where_it_says_so() {
    let server = Deployment::standalone();
    for seed in 0..COLLECTIONS {
        let mut chance = Chance(seed);
        let ids: Vec<Value> = (0..IDS_EACH).map(|_| id(&mut chance)).collect();
        let name = format!("ids{seed}");
        let docs: Vec<Vec<u8>> = ids.iter().enumerate().map(|(n, id)| numbered(n, id)).collect();
        insert(&server, &name, &docs);

        let mut expected: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for (number, (kind, value)) in ids.iter().enumerate() {
            let id = Element { kind: *kind, name: b"_id", value };
            expected.entry(id_key(&id).unwrap()).or_insert(number);
        }
        let duplicates = IDS_EACH - expected.len();
        assert!(duplicates > IDS_EACH / 4 && duplicates < IDS_EACH * 3 / 4, "{duplicates}");
        let expected: Vec<usize> = expected.into_values().collect();
        let sorted = all(
            &server,
            super::DB,
            doc(|w| {
                w.push_str(b"find", &name);
                w.push_doc(b"sort", &doc(|w| w.push_i32(b"_id", 1)));
            }),
        );
        compare_lists(&ids, &expected, &sorted);
    }
}

fn numbered(number: usize, (kind, value): &Value) -> Vec<u8> {
    doc(|w| {
        w.push_raw(*kind, b"_id", value);
        w.push_i64(b"n", number as i64);
    })
}

fn compare_lists(ids: &[Value], expected: &[usize], sorted: &[Vec<u8>]) {
    let found: Vec<usize> = sorted
        .iter()
        .map(|doc| get(doc, b"n").unwrap().unwrap().as_i64().unwrap() as usize)
        .collect();
    for (place, (expected, found)) in expected.iter().zip(&found).enumerate() {
        let shown = |n: usize| format!("{n} {:02x?}", ids[n]);
        let (ours, servers) = (shown(*expected), shown(*found));
        assert_eq!(expected, found, "place {place}: we say {ours}, the server {servers}");
    }
    assert_eq!(expected.len(), found.len());
    // Values are compared as their keys are, without any.
    let id = |doc: &'_ Vec<u8>| elements(doc).next().unwrap().unwrap().value.to_vec();
    for pair in sorted.windows(2) {
        let kinds = [pair[0][4], pair[1][4]];
        let values = [id(&pair[0]), id(&pair[1])];
        let [a, b] = [0, 1].map(|i| Element { kind: kinds[i], name: b"_id", value: &values[i] });
        assert_eq!(compare(&a, &b), Ordering::Less, "{a:?} {b:?}");
        assert_eq!(compare(&b, &a), Ordering::Greater);
    }
}

/// Ids with long keys: the server sees them whole, our keys hold a hash of their ends.
#[test]
fn long_ids_are_told_apart_and_duplicates_among_them_are_found() {
    let server = Deployment::standalone();
    let mut ids: Vec<Vec<u8>> = Vec::new();
    for length in [4090, 4094, 4095, 4096, 5000, 100_000] {
        for last in [b'a', b'b', 0, b'a'] {
            let mut text = vec![b'x'; length];
            text[length - 1] = last;
            ids.push(text);
        }
    }
    let docs: Vec<Vec<u8>> = ids
        .iter()
        .enumerate()
        .map(|(number, text)| {
            doc(|w| {
                w.push_str(b"_id", text);
                w.push_i64(b"n", number as i64);
            })
        })
        .collect();
    insert(&server, "long", &docs);
    let mut keys: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    for (number, doc) in docs.iter().enumerate() {
        let key = id_key(&get(doc, b"_id").unwrap().unwrap()).unwrap();
        assert!(key.len() <= 4096 + 33);
        keys.entry(key).or_insert(number as i64);
    }
    let stored = all(&server, super::DB, doc(|w| w.push_str(b"find", "long")));
    let number = |doc: &Vec<u8>| get(doc, b"n").unwrap().unwrap().as_i64().unwrap();
    let mut stored: Vec<i64> = stored.iter().map(number).collect();
    let mut expected: Vec<i64> = keys.into_values().collect();
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected);
    assert_eq!(stored.len(), 18);
}

//! Changes from a real server's log, made again on the documents that they were made on.

use std::collections::BTreeMap;

use icecore::document::{
    Element, apply_diff, apply_modifiers, elements,
    extjson::{self, Flavour},
    get, id_key,
};

use super::{
    DB, all, array, doc, insert,
    random::{Chance, value},
    run,
    statements::{FILLER, base, statement},
};
use crate::mongod::{Ability, Deployment, can, has};

const DOCUMENTS: usize = 60;
const ROUNDS: usize = 12;
const UPDATES_A_ROUND: usize = 1000;

/// The documents of a collection as the log makes them, by their keys.
#[derive(Default)]
struct Replayed {
    collections: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// The changes since the last comparison, by the document, each with what came of it.
    changes: BTreeMap<(Vec<u8>, Vec<u8>), Vec<Changed>>,
    after: u64,
    counts: Counts,
}

struct Changed {
    o: Vec<u8>,
    made: Vec<u8>,
}

/// How many changes there were of each kind.
#[derive(Debug, Default)]
struct Counts {
    diffs: usize,
    modifiers: usize,
    replacements: usize,
}

impl Counts {
    /// What the `o` of an entry makes of a document.
    fn changed(&mut self, old: &[u8], o: &[u8]) -> Vec<u8> {
        if get(o, b"_id").unwrap().is_some() {
            self.replacements += 1;
            return o.to_vec();
        }
        let made = match get(o, b"diff").unwrap() {
            Some(diff) => {
                self.diffs += 1;
                apply_diff(old, diff.as_doc().unwrap())
            }
            None => {
                self.modifiers += 1;
                apply_modifiers(old, o)
            }
        };
        made.unwrap_or_else(|error| panic!("{error}\n{}\n{}", shown(old), shown(o)))
    }
}

#[test]
fn changes_of_the_log_make_what_the_server_stores() {
    let server = Deployment::replica_set();
    let mut chance = Chance(42);
    let docs: Vec<Vec<u8>> = (0..DOCUMENTS).map(|n| base(&mut chance, n as i64)).collect();
    insert(&server, "updated", &docs);
    let mut replayed = Replayed::default();
    for _ in 0..ROUNDS {
        update(&server, &mut chance);
        replayed.read_log(&server);
        replayed.compare(&server, "updated");
        replayed.change_once_more(&mut chance);
    }
    let counts = format!("{:?}", replayed.counts);
    let Counts { diffs, modifiers, replacements } = replayed.counts;
    if !has(Ability::DiffsInOplog) {
        assert!(modifiers > 2000, "{counts}");
    } else {
        assert!(diffs > 3000, "{counts}");
    }
    assert!(replacements > 100, "{counts}");
}

#[test]
fn buckets_of_time_series_change_as_the_server_changes_them() {
    if !can(Ability::TimeSeries) {
        return;
    }
    let server = Deployment::replica_set();
    let options = doc(|w| {
        w.push_str(b"timeField", "t");
        w.push_str(b"metaField", "m");
    });
    let created = doc(|w| {
        w.push_str(b"create", "measured");
        w.push_doc(b"timeseries", &options);
    });
    run(&server, created).unwrap();
    let mut chance = Chance(7);
    for minute in 0..150 {
        let points: Vec<Vec<u8>> = (0..1 + chance.below(4))
            .map(|_| {
                doc(|w| {
                    w.push_date(b"t", 1_700_000_000_000 + minute * 60_000);
                    w.push_i32(b"m", chance.below(3) as i32);
                    let (kind, bytes) = value(&mut chance, 2);
                    w.push_raw(kind, chance.pick(&[&b"x"[..], b"y", b"z"]), &bytes);
                })
            })
            .collect();
        insert(&server, "measured", &points);
    }
    let mut replayed = Replayed::default();
    replayed.read_log(&server);
    replayed.compare(&server, "system.buckets.measured");
    assert!(replayed.counts.diffs > 50, "{:?}", replayed.counts);
}

/// Many changes at once; the server refuses some of them.
fn update(server: &Deployment, chance: &mut Chance) {
    let statements: Vec<Vec<u8>> =
        (0..UPDATES_A_ROUND).map(|_| statement(chance, DOCUMENTS)).collect();
    let command = doc(|w| {
        w.push_str(b"update", "updated");
        w.push_array(b"updates", &array(&statements));
        w.push_bool(b"ordered", false);
    });
    // It names what it refused; those changes are not in the log.
    let _ = run(server, command);
}

impl Replayed {
    /// Makes every change that was logged since the last time.
    fn read_log(&mut self, server: &Deployment) {
        let after = self.after;
        let entries = all(
            server,
            "local",
            doc(|w| {
                w.push_str(b"find", "oplog.rs");
                let later = doc(|w| w.push_timestamp(b"$gt", after));
                let ours = doc(|w| w.push_str(b"$regex", format!("^{DB}\\.")));
                w.push_doc(
                    b"filter",
                    &doc(|w| {
                        w.push_doc(b"ts", &later);
                        w.push_doc(b"ns", &ours);
                    }),
                );
            }),
        );
        for entry in &entries {
            let field = |name: &[u8]| get(entry, name).unwrap();
            self.after = field(b"ts").unwrap().as_timestamp().unwrap();
            let ns = field(b"ns").unwrap().as_str().unwrap().to_vec();
            let o = field(b"o").unwrap().as_doc().unwrap();
            match field(b"op").unwrap().as_str().unwrap() {
                b"i" => {
                    let collection = self.collections.entry(ns).or_default();
                    collection.insert(key(o), o.to_vec());
                }
                b"u" => {
                    let id = field(b"o2").unwrap().as_doc().unwrap();
                    let collection = self.collections.get_mut(&ns).unwrap();
                    let stored = collection.get_mut(&key(id)).unwrap();
                    *stored = self.counts.changed(stored, o);
                    let changes = self.changes.entry((ns, key(id))).or_default();
                    changes.push(Changed { o: o.to_vec(), made: stored.clone() });
                }
                _ => {}
            }
        }
    }

    /// A scan reads a document some time after the changes that are made to it begin; made once
    /// more on what they led to, they must lead to the same. But for the order of fields when they
    /// are modifiers: the log of 4.4 does not tell it.
    fn change_once_more(&mut self, chance: &mut Chance) {
        let seen = if has(Ability::DiffsInOplog) { <[u8]>::to_vec } else { by_name };
        for changes in std::mem::take(&mut self.changes).into_values() {
            let last = &changes.last().unwrap().made;
            for _ in 0..3 {
                let read_after = chance.below(changes.len());
                let from = chance.below(read_after + 1);
                let mut document = changes[read_after].made.clone();
                for change in &changes[from..] {
                    document = Counts::default().changed(&document, &change.o);
                }
                let same = seen(&document) == seen(last);
                assert!(same, "{}\nand\n{}", shown(&document), shown(last));
            }
        }
    }

    /// Every document of a collection, byte for byte.
    fn compare(&self, server: &Deployment, collection: &str) {
        let found = all(server, DB, doc(|w| w.push_str(b"find", collection)));
        let ours = &self.collections[format!("{DB}.{collection}").as_bytes()];
        assert_eq!(found.len(), ours.len());
        for theirs in found {
            let ours = &ours[&key(&theirs)];
            assert!(*ours == theirs, "we made\n{}\nfrom\n{}", shown(ours), shown(&theirs));
        }
    }
}

fn key(doc: &[u8]) -> Vec<u8> {
    id_key(&get(doc, b"_id").unwrap().unwrap()).unwrap()
}

/// The same document with its fields in the order of their names, and so within it.
fn by_name(document: &[u8]) -> Vec<u8> {
    let mut fields: Vec<Element> = elements(document).map(Result::unwrap).collect();
    fields.sort_by_key(|field| field.name);
    doc(|w| {
        for field in fields {
            match field.as_doc() {
                Some(inner) => w.push_raw(field.kind, field.name, &by_name(inner)),
                None => w.push(&field),
            }
        }
    })
}

/// For a person.
fn shown(doc: &[u8]) -> String {
    let text = extjson::to_text(doc, Flavour::Relaxed).unwrap();
    text.replace(&"x".repeat(FILLER), "...")
}

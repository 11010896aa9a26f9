//! Collections beside a naive model: whatever the order, the window and the memory, the same tree.

use std::{collections::BTreeMap, sync::Mutex};

use proptest::prelude::*;

use super::{
    change::{Changed, change},
    pair::value_of,
    plant::Planted,
    scan::{Documents, Subject, plant},
    *,
};
use crate::{
    ambient::Ambient,
    chunk::{Cutter, Sizes},
    document::{self, Writer},
    format::catalogue::DocumentKeys,
    progress::{Progress, Trouble},
    source::mongo::Op,
    tree::{Aims, Bounds, Merger, Splitter, Value, testing::RecordingBlobs},
};

const TINY: Aims = Aims {
    leaf: Bounds { min: 100, aim: 400, max: 900 },
    inner: Bounds { min: 80, aim: 250, max: 800 },
};

impl Documents for Vec<Vec<u8>> {
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().map(Vec::as_slice)
    }

    fn count(&self) -> u64 {
        self.len() as u64
    }

    fn bytes(&self) -> u64 {
        self.iter().map(|document| document.len() as u64).sum()
    }
}

struct Bench {
    blobs: RecordingBlobs,
    cutter: Cutter,
    progress: Progress,
    ambient: Ambient,
    spill_dir: tempfile::TempDir,
}

impl Bench {
    fn new(progress: Progress) -> Self {
        let sizes = Sizes { min: 64 << 10, aim: 128 << 10, max: 512 << 10 };
        Bench {
            blobs: RecordingBlobs::default(),
            cutter: Cutter::new(&[3; 32], sizes).unwrap(),
            progress,
            ambient: Ambient::fixed(1).0,
            spill_dir: tempfile::tempdir().unwrap(),
        }
    }

    fn ground(&self, window_bytes: usize, sort_bytes: usize) -> Ground<'_, RecordingBlobs> {
        let splitter = Splitter::new([9; 32], TINY.check().unwrap());
        let cuts = (&self.cutter, splitter);
        let dir = self.spill_dir.path();
        let ground = Ground::new(&self.blobs, cuts, &self.progress, &self.ambient, dir);
        Ground { window_bytes, sort_bytes, ..ground }
    }
}

fn document(id: u32, version: u32) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.push_i32(b"_id", id as i32);
    writer.push_i32(b"version", version as i32);
    // One in a while is stored as chunks.
    let length = if id % 50 == 49 { 400_000 } else { 20 };
    writer.push_binary(b"data", 0, &vec![id as u8; length]);
    writer.finish()
}

fn key(document: &[u8]) -> Vec<u8> {
    document::id_key(&document::get(document, b"_id").unwrap().unwrap()).unwrap()
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn map_of(documents: &[Vec<u8>]) -> Map {
    documents.iter().map(|document| (key(document), document.clone())).collect()
}

/// What must come of a collection that was `old` and is `new`.
fn expected(ground: &Ground<'_, RecordingBlobs>, old: &Map, new: &Map) -> Planted {
    let mut merger = Merger::new(ground.writer, ground.splitter, None);
    for (key, document) in new {
        let value: Value = value_of(ground, document.clone()).unwrap();
        merger.put(key, &value).unwrap();
    }
    let count = |counted: &dyn Fn(&Vec<u8>) -> bool, of: &Map| {
        of.keys().filter(|key| counted(key)).count() as u64
    };
    let compared = Compared {
        new: count(&|key| !old.contains_key(key), new),
        changed: count(&|key| old.get(key).is_some_and(|before| *before != new[key]), new),
        deleted: count(&|key| !new.contains_key(key), old),
        unmodified: count(&|key| old.get(key) == new.get(key), new),
    };
    let bytes = new.values().map(|document| document.len() as u64).sum();
    Planted { root: merger.finish().unwrap(), compared, bytes }
}

fn planted(
    ground: &Ground<'_, RecordingBlobs>,
    documents: &[Vec<u8>],
    batch: usize,
    old: Option<Root>,
) -> Planted {
    let subject = Subject { namespace: "shop.orders", keys: DocumentKeys::Id, old };
    let batches =
        documents.chunks(batch).map(|documents| Ok::<_, source::mongo::Error>(documents.to_vec()));
    plant(ground, subject, batches).unwrap()
}

fn arrivals() -> impl Strategy<Value = Vec<(u32, u32)>> {
    proptest::collection::vec((0u32..300, 0u32..3), 0..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_order_gives_the_tree_of_the_last_versions(
        before in arrivals(),
        now in arrivals(),
        sorted: bool,
        window_bytes in prop_oneof![Just(1usize), Just(1 << 20), Just(16 << 20)],
        sort_bytes in prop_oneof![Just(1usize), Just(1 << 20)],
        batch in 1usize..300,
    ) {
        let bench = Bench::new(Progress::silent());
        let ground = bench.ground(window_bytes, sort_bytes);
        let make = |arrivals: &[(u32, u32)]| -> Vec<Vec<u8>> {
            arrivals.iter().map(|(id, version)| document(*id, *version)).collect()
        };
        let (before, mut now) = (make(&before), make(&now));
        if sorted {
            now.sort_by_key(|document| key(document));
        }
        let old = expected(&ground, &Map::new(), &map_of(&before)).root;
        let wanted = expected(&ground, &map_of(&before), &map_of(&now));
        prop_assert_eq!(planted(&ground, &now, batch, Some(old)), wanted);
        let alone = expected(&ground, &Map::new(), &map_of(&now));
        prop_assert_eq!(planted(&ground, &now, batch, None), alone);
    }

    #[test]
    fn changes_give_the_tree_of_what_they_come_to(
        before in arrivals(),
        now in arrivals(),
        changes in proptest::collection::btree_map(
            0u32..300, proptest::collection::vec(0u8..4, 1..5), 0..60),
        is_new: bool,
    ) {
        let bench = Bench::new(Progress::silent());
        let ground = bench.ground(16 << 20, 1 << 20);
        let make = |arrivals: &[(u32, u32)]| -> Map {
            let made = arrivals.iter().map(|(id, version)| document(*id, *version));
            map_of(&made.collect::<Vec<_>>())
        };
        let (before, mut now) = (make(&before), make(&now));
        let old = expected(&ground, &Map::new(), &before).root;
        let scanned = expected(&ground, &before, &now);
        if is_new {
            now.clear();
        }
        // In the order of ids, which is that of their keys.
        let mut all = Vec::new();
        for (id, kinds) in &changes {
            let ops = kinds.iter().enumerate().map(|(at, kind)| op(*id, at as u32, *kind));
            let ops: Vec<Op> = ops.collect();
            let key = key(&document(*id, 0));
            for op in &ops {
                let is = now.remove(&key);
                let becomes = match op {
                    Op::Put(document) => Some(document.clone()),
                    Op::Delete => None,
                    Op::Diff(diff) => is.map(|is| document::apply_diff(&is, diff).unwrap()),
                    Op::Modify(update) => {
                        is.map(|is| document::apply_modifiers(&is, update).unwrap())
                    }
                };
                now.extend(becomes.map(|document| (key.clone(), document)));
            }
            all.extend(ops.into_iter().map(|op| Ok((key.clone().into(), op))));
        }
        let base = (!is_new).then_some(scanned);
        let subject = Changed { namespace: "shop.orders", old: Some(old), ask: &nobody };
        let changed = change(&ground, subject, base, all.into_iter()).unwrap();
        prop_assert_eq!(changed, expected(&ground, &before, &now));
    }
}

/// Who is asked when nothing has to be.
fn nobody(_: &Element<'_>) -> Result<Option<Vec<u8>>, source::mongo::Error> {
    unreachable!("every change is of a form that is known")
}

#[test]
fn a_change_of_unknown_form_makes_the_document_what_it_is_at_the_moment() {
    let bench = Bench::new(Progress::silent());
    let ground = bench.ground(16 << 20, 1 << 20);
    // The last two are stored as chunks.
    let ids = [1, 2, 3, 49, 99];
    let before: Vec<_> = ids.iter().map(|id| document(*id, 0)).collect();
    let scanned = expected(&ground, &Map::new(), &map_of(&before));
    let unknown = |id: u32| {
        let mut writer = Writer::new();
        let mut inner = Writer::new();
        inner.push_binary(b"data", 0, &[1, 2, 3]);
        writer.push_doc(b"b", &inner.finish());
        // After the unknown change come others; they are in what is asked for already.
        vec![op(id, 0, 2), Op::Diff(writer.finish()), op(id, 1, 2)]
    };
    let of = |id: u32, ops: Vec<Op>| {
        let key = bytes::Bytes::from(key(&document(id, 0)));
        ops.into_iter().map(move |op| Ok::<_, source::mongo::Error>((key.clone(), op)))
    };
    let asked = Mutex::new(Vec::new());
    let ask = |id: &Element<'_>| {
        let id = id.as_i64().unwrap() as u32;
        asked.lock().unwrap().push(id);
        // One of them is gone at the moment.
        Ok((id != 3).then(|| document(id, 7)))
    };
    let subject = Changed { namespace: "shop.orders", old: None, ask: &ask };
    let changes = [2, 3, 49].into_iter().flat_map(|id| of(id, unknown(id)));
    let changed = change(&ground, subject, Some(scanned), changes).unwrap();
    assert_eq!(*asked.lock().unwrap(), [2, 3, 49], "each once");
    let after = [(1, 0), (2, 7), (49, 7), (99, 0)].map(|(id, version)| document(id, version));
    assert_eq!(changed, expected(&ground, &Map::new(), &map_of(&after)));

    // What is put whole afterwards, or was not there when it was scanned, need not be asked for.
    let ask = nobody;
    let subject = Changed { ask: &ask, ..subject };
    let whole = |id: u32, last: Op| of(id, [unknown(id), vec![last]].concat());
    let changes = whole(2, Op::Put(document(2, 9))).chain(whole(3, Op::Delete));
    let changes = changes.chain(of(40, unknown(40)));
    let changed = change(&ground, subject, Some(scanned), changes).unwrap();
    let after = [(1, 0), (2, 9), (49, 0), (99, 0)].map(|(id, version)| document(id, version));
    assert_eq!(changed, expected(&ground, &Map::new(), &map_of(&after)));

    // Where it can't be had there is no snapshot, and what is said is why.
    let at = crate::format::snapshot::ClusterTime { seconds: 5, increment: 1 };
    let ask = |_: &Element<'_>| {
        let (namespace, why) = ("shop.orders".to_owned(), "it is too late".to_owned());
        Err(source::mongo::Error::NotAsOf { namespace, at, why })
    };
    let subject = Changed { ask: &ask, ..subject };
    let error = change(&ground, subject, Some(scanned), of(1, unknown(1))).unwrap_err();
    assert!(matches!(error, Error::Mongodb(source::mongo::Error::NotAsOf { .. })), "{error:?}");
}

fn op(id: u32, at: u32, kind: u8) -> Op {
    let field = |outer: &[u8]| {
        let mut inner = Writer::new();
        inner.push_i32(b"version", 100 + at as i32);
        let mut writer = Writer::new();
        writer.push_doc(outer, &inner.finish());
        writer.finish()
    };
    match kind {
        0 => Op::Put(document(id, 10 + at)),
        1 => Op::Delete,
        2 => Op::Diff(field(b"u")),
        _ => Op::Modify(field(b"$set")),
    }
}

#[test]
fn in_disorder_everything_is_sorted_and_nothing_is_written_twice() {
    let bench = Bench::new(Progress::silent());
    let ground = bench.ground(4 << 20, 2 << 20);
    let random: Vec<_> = (0..60_000u32).map(|id| id.wrapping_mul(2_654_435_761) >> 8).collect();
    let documents: Vec<_> = random.iter().map(|id| document(id - id % 50, 0)).collect();
    let wanted = expected(&ground, &Map::new(), &map_of(&documents));
    let nodes = bench.blobs.take_counts().nodes_written;
    assert_eq!(planted(&ground, &documents, 5000, None), wanted);
    let counts = bench.blobs.take_counts();
    assert_eq!(counts.known, nodes, "the same nodes, each once");
    assert_eq!(counts.nodes_written, 0);
}

#[test]
fn documents_that_are_not_sound_are_told_of_and_kept_if_they_have_a_key() {
    let told: std::sync::Arc<Mutex<Vec<Trouble>>> = Default::default();
    let progress = Progress::watched(
        Box::new({
            let told = told.clone();
            move |trouble| told.lock().unwrap().push(trouble.clone())
        }),
        Box::new(|_| {}),
    );
    let bench = Bench::new(progress);
    let ground = bench.ground(1 << 20, 1 << 20);
    let mut nameless = Writer::new();
    nameless.push_i32(b"no id", 1);
    // The length of a string within lies.
    let mut broken = Writer::new();
    broken.push_i32(b"_id", 7);
    broken.push_str(b"text", "words");
    let mut broken = broken.finish();
    let at = broken.len() - 1 - 6 - 4;
    broken[at] = 200;
    let documents = vec![document(1, 1), nameless.finish(), broken.clone(), document(9, 1)];
    let found = planted(&ground, &documents, 10, None);
    assert_eq!(found.root.entries, 3);
    let stands = crate::tree::get(&bench.blobs, &found.root, &key(&broken)).unwrap().unwrap();
    assert_eq!(stands.head, broken);
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2);
    assert!(told[0].item.contains("shop.orders, document 2"), "{:?}", told[0]);
    assert!(told[0].error.contains("no _id") && told[1].error.contains("not sound"), "{told:?}");
}

#[test]
fn a_capped_collection_keeps_the_order_it_was_read_in() {
    let bench = Bench::new(Progress::silent());
    let ground = bench.ground(1, 1);
    let documents: Vec<_> = [5, 2, 9, 2].map(|id| document(id, id)).to_vec();
    let subject = Subject { namespace: "shop.ring", keys: DocumentKeys::Ordinal, old: None };
    let batches =
        documents.chunks(1).map(|documents| Ok::<_, source::mongo::Error>(documents.to_vec()));
    let found = plant(&ground, subject, batches).unwrap();
    let range = crate::tree::KeyRange::all();
    let entries = crate::tree::iter(&bench.blobs, &found.root, range).map(Result::unwrap);
    let heads: Vec<_> = entries.map(|(_, value)| value.head.to_vec()).collect();
    assert_eq!(heads, documents);
}

#[test]
fn an_error_of_the_scan_or_of_the_store_ends_it() {
    let bench = Bench::new(Progress::silent());
    let ground = bench.ground(1, 1);
    let subject = Subject { namespace: "shop.orders", keys: DocumentKeys::Id, old: None };
    let again = || source::mongo::Error::StartAgain { why: "a test".into() };
    for good in 0..4 {
        let batches = (0..good).map(|id| Ok::<_, source::mongo::Error>(vec![document(id, 0)]));
        let batches = batches.chain([Err(again())]);
        let error = plant(&ground, subject, batches).unwrap_err();
        assert!(matches!(error, Error::Mongodb(error) if error.is_start_again()), "{good}");
    }
    bench.progress.cancel();
    let batches = (0..4).map(|id| Ok::<_, source::mongo::Error>(vec![document(id, 0)]));
    assert!(matches!(plant(&ground, subject, batches), Err(Error::Cancelled)));

    // Nowhere to spill: what the threads behind met is told, not that the one before stopped.
    let bench = Bench::new(Progress::silent());
    let ground = Ground { spill_dir: std::path::Path::new("/nowhere"), ..bench.ground(1, 1) };
    let batches = (0..40).rev().map(|id| Ok::<_, source::mongo::Error>(vec![document(id, 0)]));
    assert!(matches!(plant(&ground, subject, batches), Err(Error::Sort(_))));
}

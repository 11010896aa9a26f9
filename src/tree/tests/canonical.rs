//! A map has one root, however it came to be.

use proptest::prelude::*;

use super::*;

pub(super) fn apply(map: &mut Map, changes: &BTreeMap<Vec<u8>, Option<Value>>) {
    for (key, value) in changes {
        match value {
            Some(value) => {
                map.insert(key.clone(), value.clone());
            }
            None => {
                map.remove(key);
            }
        }
    }
}

/// Few keys, so that histories meet the same ones; some values over the leaf's maximum.
fn some_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (0..40usize, any::<u8>()).prop_map(|(length, byte)| value(&vec![byte; length])),
        1 => (0..40usize).prop_map(|length| value(&vec![1; 250 + 2 * length])),
        1 => (1..9u8).prop_map(|chunks| with_content(b"x", chunks)),
    ]
}

fn some_key(keys: u32) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..keys).prop_map(key),
        1 => prop::collection::vec(0..4u8, 0..6),
        1 => (0..keys).prop_map(|n| [key(n), b"/more".repeat(n as usize % 9)].concat()),
    ]
}

pub(super) fn batch(
    keys: u32,
    size: usize,
) -> impl Strategy<Value = BTreeMap<Vec<u8>, Option<Value>>> {
    let change = prop_oneof![3 => some_value().prop_map(Some), 2 => Just(None)];
    prop::collection::btree_map(some_key(keys), change, 0..size)
}

fn check_history(
    first: &BTreeMap<Vec<u8>, Option<Value>>,
    batches: &[BTreeMap<Vec<u8>, Option<Value>>],
) {
    let blobs = RecordingBlobs::default();
    let mut map = Map::new();
    apply(&mut map, first);
    let mut root = build(&blobs, &map);
    for changes in batches {
        apply(&mut map, changes);
        root = change(&blobs, root, changes);
        let whole = build(&RecordingBlobs::default(), &map);
        assert_eq!(root, whole, "after {changes:?}");
    }
    assert_eq!(read_all(&blobs, &root), map);
    assert_eq!(root.entries, map.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_history_gives_the_tree_of_its_map(
        first in batch(400, 600),
        batches in prop::collection::vec(batch(400, 40), 1..12),
    ) {
        check_history(&first, &batches);
    }

    #[test]
    fn small_maps_do_too(
        first in batch(12, 12),
        batches in prop::collection::vec(batch(12, 5), 1..20),
    ) {
        check_history(&first, &batches);
    }

    #[test]
    fn what_was_deleted_leaves_no_trace(
        first in batch(300, 500),
        keep in prop::collection::btree_set(some_key(300), 0..6),
    ) {
        let last = first.keys().filter(|key| !keep.contains(*key));
        check_history(&first, &[last.map(|key| (key.clone(), None)).collect()]);
    }
}

#[test]
fn nothing_has_a_root_of_its_own() {
    let blobs = RecordingBlobs::default();
    let empty = build(&blobs, &Map::new());
    assert_eq!((empty.level, empty.entries, empty.bytes), (0, 0, 0));
    let root = build(&blobs, &numbered(1000));
    assert!(root.level >= 4, "level {}", root.level);
    let none = numbered(1000).into_keys().map(|key| (key, None)).collect();
    assert_eq!(change(&blobs, root, &none), empty);
    assert_eq!(change(&blobs, empty, &BTreeMap::from([(key(1), None)])), empty);
}

#[test]
fn an_equal_value_is_no_change() {
    let blobs = RecordingBlobs::default();
    let map = numbered(1000);
    let root = build(&blobs, &map);
    blobs.take_counts();
    let same: BTreeMap<_, _> =
        map.into_iter().step_by(100).map(|(key, value)| (key, Some(value))).collect();
    assert_eq!(change(&blobs, root, &same), root);
    let counts = blobs.take_counts();
    assert_eq!((counts.nodes_written, counts.known), (0, 0), "{counts:?}");
}

#[test]
fn a_long_row_has_a_leaf_for_itself() {
    let blobs = RecordingBlobs::default();
    let mut map = numbered(300);
    map.insert(key(150), value(&[7; 5000]));
    let root = build(&blobs, &map);
    blobs.take_counts();
    let found = crate::tree::get(&blobs, &root, &key(150)).unwrap().unwrap();
    assert_eq!(found.head.len(), 5000);
    let reads = blobs.take_counts();
    assert_eq!(reads.nodes_read, u64::from(root.level) + 1);
    // The row before it is read without it.
    crate::tree::get(&blobs, &root, &key(149)).unwrap().unwrap();
    // Made short, it joins its neighbours again, at either side.
    let short = BTreeMap::from([(key(150), Some(value(b"value 150")))]);
    assert_eq!(change(&blobs, root, &short), build(&blobs, &numbered(300)));
}

#[test]
fn changes_out_of_order_are_refused() {
    let blobs = RecordingBlobs::default();
    let mut merger = Merger::new(&blobs, splitter(), None);
    merger.put(b"b", &value(b"1")).unwrap();
    assert!(matches!(merger.put(b"b", &value(b"2")), Err(crate::tree::Error::Order)));
    assert!(matches!(merger.delete(b"a"), Err(crate::tree::Error::Order)));
}

#[test]
fn golden_root() {
    let blobs = RecordingBlobs::default();
    let mut map = numbered(500);
    map.insert(b"content".to_vec(), with_content(b"head", 5));
    let root = build(&blobs, &map);
    assert_eq!((root.level, root.entries, root.bytes), (3, 501, 14_411));
    let wanted = "124c554de76a6a77b72175106c05d9320a2e5b124820564d4e73c7797c3f0b18";
    assert_eq!(root.id.to_string(), wanted);
}

//! Work grows with the change, not with the map.

use super::*;
use crate::tree::{diff, testing::Counts};

const ENTRIES: u32 = 20_000;

/// Nodes of the tree by walking it.
fn nodes(blobs: &RecordingBlobs, root: &Root) -> u64 {
    let mut nodes = 0;
    crate::tree::walk(blobs, root, &mut |_, _| {
        nodes += 1;
        true
    })
    .unwrap();
    nodes
}

fn scattered(count: u32) -> BTreeMap<Vec<u8>, Option<Value>> {
    let step = ENTRIES / count;
    // The same length as before: no edge moves.
    (0..count).map(|n| n * step + step / 2).map(|n| (key(n), Some(altered(n)))).collect()
}

fn altered(n: u32) -> Value {
    value(format!("VALUE {n}").as_bytes())
}

fn cost_of(changes: &BTreeMap<Vec<u8>, Option<Value>>) -> (Counts, Root) {
    let blobs = RecordingBlobs::default();
    let root = build(&blobs, &numbered(ENTRIES));
    assert!(nodes(&blobs, &root) > 4000);
    blobs.take_counts();
    let new = change(&blobs, root, changes);
    (blobs.take_counts(), new)
}

#[test]
fn one_change_rewrites_one_way_down() {
    let (counts, root) = cost_of(&scattered(1));
    let levels = u64::from(root.level) + 1;
    assert_eq!((counts.nodes_read, counts.nodes_written), (levels, levels));
    // All but the root resemble what they replace.
    assert!(counts.deltas_written >= 1, "{counts:?}");
}

#[test]
fn scattered_changes_rewrite_their_ways_only() {
    for changes in [2, 10, 50, 200] {
        let (counts, root) = cost_of(&scattered(changes));
        let levels = u64::from(root.level) + 1;
        assert_eq!(counts.nodes_written, counts.nodes_read, "no edge moves");
        assert!(counts.nodes_written >= u64::from(changes));
        assert!(counts.nodes_written <= u64::from(changes) * (levels - 1) + 1, "{counts:?}");
    }
}

#[test]
fn edges_meet_again_after_inserts_and_deletes() {
    let mut changes = BTreeMap::new();
    for n in (50..ENTRIES).step_by(400) {
        changes.insert([key(n), b"+".to_vec()].concat(), Some(value(b"a new entry")));
        changes.insert(key(n + 200), None);
    }
    let (counts, root) = cost_of(&changes);
    let levels = u64::from(root.level) + 1;
    let bound = changes.len() as u64 * levels * 2;
    assert!(counts.nodes_read <= bound && counts.nodes_written <= bound, "{counts:?} {bound}");
}

#[test]
fn appending_touches_the_right_edge_only() {
    let changes = (0..100).map(|n| (key(ENTRIES + n), Some(altered(n)))).collect();
    let (counts, root) = cost_of(&changes);
    let levels = u64::from(root.level) + 1;
    assert_eq!(counts.nodes_read, levels);
    assert!(counts.nodes_written <= levels + 40, "{counts:?}");
}

#[test]
fn no_change_reads_nothing() {
    let (counts, _) = cost_of(&BTreeMap::new());
    assert_eq!(counts, Counts::default());
}

#[test]
fn a_diff_costs_what_changed() {
    let blobs = RecordingBlobs::default();
    let old = build(&blobs, &numbered(ENTRIES));
    let new = change(&blobs, old, &scattered(10));
    blobs.take_counts();
    let changes: Vec<_> = diff(&blobs, &old, &new).map(|change| change.unwrap()).collect();
    assert_eq!(changes.len(), 10);
    let counts = blobs.take_counts();
    let levels = u64::from(new.level) + 1;
    assert!(counts.nodes_read <= 2 * (10 * (levels - 1) + 1), "{counts:?}");
    assert!(diff(&blobs, &old, &old).next().is_none());
    assert_eq!(blobs.take_counts(), Counts::default());
}

#[test]
fn many_rounds_stay_within_the_ranges() {
    let blobs = RecordingBlobs::default();
    let mut root = build(&blobs, &numbered(2000));
    for round in 0..40u32 {
        let changes = (0..200).map(|n| (n * 37 + round * 11) % 2000);
        let changes = changes.map(|n| (key(n), Some(value(format!("r{round:05}").as_bytes()))));
        root = change(&blobs, root, &changes.collect());
    }
    assert!(!blobs.is_delta(&root.id), "roots are whole");
    let levels = u64::from(root.level) + 1;
    for n in 0..2000 {
        blobs.take_counts();
        crate::tree::get(&blobs, &root, &key(n)).unwrap().unwrap();
        let counts = blobs.take_counts();
        assert_eq!(counts.nodes_read, levels);
        assert!(counts.ranges_read <= 10, "{counts:?}");
    }
}

//! Iteration, ranges, seeking, diffs, walks and content against a plain map.

use std::{collections::BTreeSet, ops::Bound};

use proptest::prelude::*;

use super::*;
use crate::{
    chunk::{Cutter, Sizes},
    id::BlobKind,
    repo::WriteBlobs,
    tree::{Change, Totals, content, diff, get, totals, walk},
};

fn bound_of(key: &Option<(Vec<u8>, bool)>) -> Bound<&[u8]> {
    match key {
        None => Bound::Unbounded,
        Some((key, true)) => Bound::Included(key),
        Some((key, false)) => Bound::Excluded(key),
    }
}

fn some_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![(0..650u32).prop_map(key), prop::collection::vec(any::<u8>(), 0..3)]
}

proptest! {
    #[test]
    fn ranges_hold_what_a_map_holds(
        from in prop::option::of((some_key(), any::<bool>())),
        to in prop::option::of((some_key(), any::<bool>())),
        seek in prop::option::of(some_key()),
    ) {
        let blobs = RecordingBlobs::default();
        let map = numbered(600);
        let root = build(&blobs, &map);
        let (from, to) = (bound_of(&from), bound_of(&to));
        let range = KeyRange::new(from, to);
        let in_range = |key: &[u8]| {
            !range.starts_after(key) && !range.ends_before(key)
        };
        let wanted: Vec<_> = map.iter().filter(|(key, _)| in_range(key)).collect();
        let mut found = iter(&blobs, &root, range.clone());
        if let Some(seek) = &seek {
            let first = found.next().map(|entry| entry.unwrap().0.to_vec());
            prop_assert_eq!(first.as_ref(), wanted.first().map(|(key, _)| *key));
            found.seek(seek);
            let rest = wanted.iter().map(|(key, _)| (*key).clone()).skip(1);
            let rest: Vec<_> = rest.filter(|key| key >= seek).collect();
            let found: Vec<_> = found.map(|entry| entry.unwrap().0.to_vec()).collect();
            prop_assert_eq!(found, rest);
        } else {
            let found: Vec<_> = found.map(|entry| entry.unwrap()).collect();
            prop_assert_eq!(found.len(), wanted.len());
            for ((key, value), (wanted_key, wanted_value)) in found.iter().zip(&wanted) {
                prop_assert_eq!(&key[..], &wanted_key[..]);
                prop_assert_eq!(value, *wanted_value);
            }
        }
        let bytes = wanted.iter().map(|(key, value)| (key.len() + value.head.len()) as u64).sum();
        let entries = wanted.len() as u64;
        prop_assert_eq!(totals(&blobs, &root, &range).unwrap(), Totals { entries, bytes });
    }

    #[test]
    fn diffs_say_what_changed(
        old in prop::collection::btree_map(0..900u32, 0..3u8, 0..700),
        changes in prop::collection::btree_map(0..900u32, prop::option::of(0..3u8), 0..60),
        other in prop::collection::btree_map(0..900u32, 0..3u8, 0..20),
    ) {
        let blobs = RecordingBlobs::default();
        let map = |small: &BTreeMap<u32, u8>| -> Map {
            small.iter().map(|(&n, &byte)| (key(n), value(&[byte; 20]))).collect()
        };
        let old_map = map(&old);
        let mut new = old;
        for (n, byte) in changes {
            match byte {
                Some(byte) => new.insert(n, byte),
                None => new.remove(&n),
            };
        }
        let maps = [old_map, map(&new), map(&other)];
        let roots = maps.map(|map| (build(&blobs, &map), map));
        for (a, a_map) in &roots {
            for (b, b_map) in &roots {
                let found: Vec<_> = diff(&blobs, a, b).map(|change| change.unwrap()).collect();
                prop_assert_eq!(found, plain_diff(a_map, b_map));
            }
        }
    }

    #[test]
    fn what_is_damaged_is_passed_by_and_nothing_false_is_told(
        old in prop::collection::btree_map(0..900u32, 0..3u8, 300..700),
        changes in prop::collection::btree_map(0..900u32, prop::option::of(0..3u8), 0..60),
        damaged in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let blobs = RecordingBlobs::default();
        let map = |small: &BTreeMap<u32, u8>| -> Map {
            small.iter().map(|(&n, &byte)| (key(n), value(&[byte; 20]))).collect()
        };
        let (old_map, mut new) = (map(&old), old);
        for (n, byte) in changes {
            match byte {
                Some(byte) => new.insert(n, byte),
                None => new.remove(&n),
            };
        }
        let new_map = map(&new);
        let roots = [build(&blobs, &old_map), build(&blobs, &new_map)];
        let mut nodes = Vec::new();
        for root in &roots {
            walk(&blobs, root, &mut |_, id| { nodes.push(*id); true }).unwrap();
        }
        for damaged in damaged {
            blobs.plant(BlobKind::Node, nodes[damaged.index(nodes.len())], b"no node");
        }
        let in_none = |lost: &[KeyRange], key: &[u8]| !lost.iter().any(|lost| lost.holds(key));

        let (mut found, mut lost) = (Vec::new(), Vec::new());
        let mut entries = iter(&blobs, &roots[0], KeyRange::all()).going_on();
        while let Some(entry) = entries.next() {
            match entry {
                Ok((key, _)) => found.push(key.to_vec()),
                Err(_) => lost.extend(entries.lost().cloned()),
            }
        }
        let whole: Vec<_> = old_map.keys().filter(|key| in_none(&lost, key)).cloned().collect();
        prop_assert_eq!(found, whole);

        let (mut found, mut lost) = (Vec::new(), Vec::new());
        let mut differences = diff(&blobs, &roots[0], &roots[1]).going_on();
        while let Some(change) = differences.next() {
            match change {
                Ok(change) => found.push(change),
                Err(_) => lost.extend(differences.lost().cloned()),
            }
        }
        let mut wanted = plain_diff(&old_map, &new_map);
        wanted.retain(|change| in_none(&lost, &change.key));
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn content_comes_back(
        parts in prop::collection::vec((0..40_000usize, any::<bool>()), 0..8),
        reads in prop::collection::vec((0..200_000u64, 0..50_000u64), 5),
    ) {
        let blobs = RecordingBlobs::default();
        let cutter = Cutter::new(&[1; 32], Sizes { min: 64, aim: 256, max: 2048 }).unwrap();
        let mut writer = content::ContentWriter::new(&blobs, &cutter, splitter());
        let mut wanted = Vec::new();
        for (n, (length, is_hole)) in parts.into_iter().enumerate() {
            if is_hole {
                writer.hole(length as u64).unwrap();
                wanted.resize(wanted.len() + length, 0);
            } else {
                let mut bytes = vec![0; length];
                blake3::Hasher::new().update(&[n as u8]).finalize_xof().fill(&mut bytes);
                writer.write(&bytes).unwrap();
                wanted.extend(bytes);
            }
        }
        let pieces = writer.finish().unwrap();
        prop_assert_eq!(content::length(&pieces), Some(wanted.len() as u64));
        for (start, length) in reads {
            let range = start..start + length;
            let mut found = Vec::new();
            content::read_range(&blobs, &pieces, range, &mut |bytes| found.extend_from_slice(bytes))
                .unwrap();
            let start = wanted.len().min(start as usize);
            let end = wanted.len().min(start + length as usize);
            prop_assert!(found == wanted[start..end]);
        }
    }
}

fn plain_diff(old: &Map, new: &Map) -> Vec<Change> {
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let changes = keys.into_iter().map(|key| Change {
        key: key.clone().into(),
        old: old.get(key).cloned(),
        new: new.get(key).cloned(),
    });
    changes.filter(|change| change.old != change.new).collect()
}

#[test]
fn one_key_is_found_or_not() {
    let blobs = RecordingBlobs::default();
    let map = numbered(600);
    let root = build(&blobs, &map);
    for (key, value) in &map {
        assert_eq!(get(&blobs, &root, key).unwrap().as_ref(), Some(value));
        assert_eq!(get(&blobs, &root, &[key, &b"0"[..]].concat()).unwrap(), None);
    }
    assert_eq!(get(&blobs, &root, b"").unwrap(), None);
    assert_eq!(get(&blobs, &root, b"zzz").unwrap(), None);
}

#[test]
fn a_prefix_is_read_by_its_own_leaves_only() {
    let blobs = RecordingBlobs::default();
    let root = build(&blobs, &numbered(20_000));
    blobs.take_counts();
    assert_eq!(iter(&blobs, &root, KeyRange::with_prefix(b"key 0123")).count(), 100);
    let nodes_read = blobs.take_counts().nodes_read;
    assert!(nodes_read <= 60, "{nodes_read} nodes for 100 of 20,000 entries");
}

#[test]
fn a_walk_meets_every_blob() {
    let blobs = RecordingBlobs::default();
    let cutter = Cutter::new(&[1; 32], Sizes { min: 64, aim: 256, max: 2048 }).unwrap();
    let mut map = numbered(200);
    for (n, length) in [(20, 500), (150, 100_000)] {
        let mut writer = content::ContentWriter::new(&blobs, &cutter, splitter());
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&[n as u8]).finalize_xof().fill(&mut bytes);
        writer.write(&bytes).unwrap();
        map.get_mut(&key(n)).unwrap().pieces = writer.finish().unwrap();
    }
    assert!(matches!(map[&key(150)].pieces, Pieces::Tree(_)));
    let root = build(&blobs, &map);
    let mut met = BTreeSet::new();
    walk(&blobs, &root, &mut |kind, id| met.insert((kind, *id))).unwrap();
    assert_eq!(met.len(), blobs.len());
    assert!(met.iter().filter(|(kind, _)| *kind == BlobKind::Chunk).count() > 100);
    // The walk stops where it is told to.
    let mut seen = 0;
    walk(&blobs, &root, &mut |_, _| {
        seen += 1;
        false
    })
    .unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn a_range_of_long_content_reads_few_blobs() {
    let blobs = RecordingBlobs::default();
    let mut builder = content::PiecesBuilder::new(&blobs, splitter());
    for n in 0..10_000u64 {
        let chunk = [&n.to_le_bytes()[..], &[7; 92]].concat();
        let id = blobs.write(BlobKind::Chunk, &chunk, None).unwrap().id;
        builder.push(Piece { id: Some(id), len: 100 }).unwrap();
    }
    let Pieces::Tree(root) = builder.finish().unwrap() else { panic!("too long for a list") };
    blobs.take_counts();
    let mut found = Vec::new();
    let take = &mut |bytes: &[u8]| found.extend_from_slice(bytes);
    content::read_range(&blobs, &Pieces::Tree(root), 543_250..543_420, take).unwrap();
    assert_eq!((found.len(), found[50], found[51]), (170, 0x39, 0x15));
    let counts = blobs.take_counts();
    assert_eq!(counts.chunks_read, 3);
    assert!(counts.nodes_read <= 3 * (u64::from(root.level) + 1), "{counts:?}");
}

#[test]
fn content_that_lies_about_itself_is_refused() {
    let blobs = RecordingBlobs::default();
    let id = blobs.write(BlobKind::Chunk, b"four", None).unwrap().id;
    let take = &mut |_: &[u8]| ();
    let long = Pieces::List(vec![Piece { id: Some(id), len: 5 }]);
    let read = content::read_range(&blobs, &long, 0..9, take);
    assert!(matches!(
        read,
        Err(crate::tree::Error::ChunkLength { wanted_bytes: 5, found_bytes: 4, .. })
    ));
    // Pieces that do not lie side by side.
    let piece =
        |len| Value { head: Bytes::new(), pieces: Pieces::List(vec![Piece { id: Some(id), len }]) };
    let offset = |offset: u64| offset.to_be_bytes().to_vec();
    let gap = build(&blobs, &Map::from([(offset(0), piece(4)), (offset(5), piece(4))]));
    let read = content::read_range(&blobs, &Pieces::Tree(gap), 0..9, take);
    assert!(matches!(read, Err(crate::tree::Error::Damaged { .. })));
    let map = build(&blobs, &numbered(3));
    let read = content::read_range(&blobs, &Pieces::Tree(map), 0..9, take);
    assert!(matches!(read, Err(crate::tree::Error::Damaged { .. })));
}

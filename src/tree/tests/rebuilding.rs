//! A map built whole beside an older one: the same tree, told what is different, little read.

use std::sync::Mutex;

use proptest::prelude::*;

use super::{
    canonical::{apply, batch},
    *,
};
use crate::{
    id::BlobKind,
    repo::{Like, ReadBlobs, WriteBlobs, Written},
    tree::{Compared, Rebuilder},
};

fn rebuild(blobs: &RecordingBlobs, map: &Map, old: Option<Root>) -> (Root, Compared) {
    let mut rebuilder = Rebuilder::new(blobs, splitter(), old);
    for (key, value) in map {
        rebuilder.put(key, value).unwrap();
    }
    rebuilder.finish().unwrap()
}

fn compare(old: &Map, new: &Map) -> Compared {
    let mut compared = Compared::default();
    for (key, value) in new {
        match old.get(key) {
            None => compared.new += 1,
            Some(before) if before == value => compared.unmodified += 1,
            Some(_) => compared.changed += 1,
        }
    }
    compared.deleted = old.keys().filter(|key| !new.contains_key(*key)).count() as u64;
    compared
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn it_is_the_tree_of_the_map_and_every_entry_is_counted_once(
        first in batch(400, 600),
        changes in batch(400, 60),
    ) {
        let blobs = RecordingBlobs::default();
        let (mut old, mut new) = (Map::new(), Map::new());
        apply(&mut old, &first);
        new.clone_from(&old);
        apply(&mut new, &changes);
        let (root, compared) = rebuild(&blobs, &old, None);
        prop_assert_eq!(root, build(&RecordingBlobs::default(), &old));
        prop_assert_eq!(compared, compare(&Map::new(), &old));
        let (again, compared) = rebuild(&blobs, &new, Some(root));
        prop_assert_eq!(again, build(&RecordingBlobs::default(), &new));
        prop_assert_eq!(compared, compare(&old, &new));
        prop_assert_eq!(read_all(&blobs, &again), new);
    }
}

#[test]
fn leaves_that_are_the_same_are_never_read() {
    let blobs = RecordingBlobs::default();
    let mut map = numbered(4000);
    let (root, _) = rebuild(&blobs, &map, None);
    let written = blobs.take_counts();
    let (again, compared) = rebuild(&blobs, &map, Some(root));
    let counts = blobs.take_counts();
    assert_eq!(again, root);
    assert_eq!(compared, Compared { unmodified: 4000, ..Compared::default() });
    assert_eq!(counts.stored_bytes(), 0);
    let inner = counts.nodes_read;
    assert!(inner * 3 < written.nodes_written, "{inner} of {}", written.nodes_written);

    map.insert(key(2000), value(b"another"));
    map.remove(&key(3000));
    let (root, compared) = rebuild(&blobs, &map, Some(root));
    let counts = blobs.take_counts();
    assert_eq!(compared, Compared { new: 0, changed: 1, deleted: 1, unmodified: 3998 });
    // The two leaves, and the bases of what was written on the two ways down to them.
    assert!(counts.nodes_read <= inner + 2 + 2 * 6, "{} and {inner}", counts.nodes_read);
    assert_eq!(root, build(&RecordingBlobs::default(), &map));
}

#[test]
fn entries_out_of_order_are_refused() {
    let blobs = RecordingBlobs::default();
    let mut rebuilder = Rebuilder::new(&blobs, splitter(), None);
    rebuilder.put(b"", &value(b"the empty key")).unwrap();
    rebuilder.put(b"b", &value(b"")).unwrap();
    assert!(matches!(rebuilder.put(b"b", &value(b"")), Err(crate::tree::Error::Order)));
}

/// Holds on to every node as it was given, as the line of nodes and the cache do.
#[derive(Default)]
struct Keeping {
    blobs: RecordingBlobs,
    given: Mutex<Vec<(BlobId, Bytes)>>,
}

impl ReadBlobs for Keeping {
    type Error = <RecordingBlobs as ReadBlobs>::Error;

    fn read(&self, kind: BlobKind, id: &BlobId) -> Result<Bytes, Self::Error> {
        self.blobs.read(kind, id)
    }
}

impl WriteBlobs for Keeping {
    fn write(
        &self,
        kind: BlobKind,
        plain: &[u8],
        like: Option<Like>,
    ) -> Result<Written, Self::Error> {
        self.blobs.write(kind, plain, like)
    }

    fn write_given(
        &self,
        kind: BlobKind,
        plain: Bytes,
        like: Option<Like>,
    ) -> Result<Written, Self::Error> {
        let written = self.blobs.write(kind, &plain, like)?;
        self.given.lock().unwrap().push((written.id, plain));
        Ok(written)
    }
}

#[test]
fn a_node_stays_what_it_was_while_others_are_filled() {
    let blobs = Keeping::default();
    let aims = Splitter::new([9; 32], Aims::default());
    let mut map = Map::new();
    let mut text = vec![0; 540];
    for n in 0..12_000u32 {
        blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut text);
        map.insert(key(n), value(&text));
    }
    let mut rebuilder = Rebuilder::new(&blobs, aims, None);
    map.iter().for_each(|(key, value)| rebuilder.put(key, value).unwrap());
    let (root, _) = rebuilder.finish().unwrap();
    let given = blobs.given.into_inner().unwrap();
    assert!(given.iter().filter(|(_, node)| node.len() > 128 << 10).count() > 10);
    for (id, node) in given {
        assert_eq!(blobs.blobs.write(BlobKind::Node, &node, None).unwrap().id, id);
    }
    assert!(read_all(&blobs.blobs, &root) == map);
}

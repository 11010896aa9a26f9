//! A map built whole beside an older one: the same tree, told what is different, little read.

use proptest::prelude::*;

use super::{
    canonical::{apply, batch},
    *,
};
use crate::tree::{Compared, Rebuilder};

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

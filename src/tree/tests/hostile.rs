//! Nodes are believed in nothing.

use super::*;
use crate::{
    id::BlobKind,
    limits::MAPS_NESTED_MAX,
    tree::{
        Error, Fault,
        node::{self, Child, Node},
        walk,
    },
};

fn leaf() -> Vec<u8> {
    let mut rows = Vec::new();
    node::write_entry(&mut rows, b"a", &value(b"one"));
    node::write_entry(&mut rows, b"ab", &with_content(b"two", 4));
    let root = Root { id: BlobId::new([3; 32]), level: 1, entries: 300, bytes: 1_000_000 };
    node::write_entry(
        &mut rows,
        b"b",
        &Value { head: Bytes::from_static(b"three"), pieces: Pieces::Tree(root) },
    );
    node::encode(0, 3, &rows)
}

fn child(low: &'static [u8], id: u8, level: u8) -> Child {
    let low = Bytes::from_static(low);
    Child { low, id: BlobId::new([id; 32]), level, entries: 200, bytes: 3000 }
}

fn inner() -> Vec<u8> {
    let mut rows = Vec::new();
    node::write_child(&mut rows, b"", &child(b"", 1, 0));
    node::write_child(&mut rows, b"b", &child(b"b", 2, 0));
    node::encode(1, 2, &rows)
}

#[test]
fn golden_nodes() {
    let leaf = hex::encode(leaf());
    let piece = |byte: &str| byte.repeat(32);
    let wanted = [
        "010003",
        "0161036f6e6500",
        "0261620374776f0104d10f",
        &piece("00"),
        "d30f",
        &piece("01"),
        "d40fd70f",
        &piece("03"),
        "016205746872656502",
        &piece("03"),
        "01ac02c0843d",
    ];
    assert_eq!(leaf, wanted.concat());
    let wanted = ["01010200", &piece("01"), "c801b8170162", &piece("02"), "c801b817"].concat();
    assert_eq!(hex::encode(inner()), wanted);
}

#[test]
fn what_is_written_is_read() {
    let Ok(Node::Leaf(found)) = node::decode(leaf().into()) else { panic!("a leaf") };
    assert_eq!((found.key(1), found.value(1)), (&b"ab"[..], with_content(b"two", 4)));
    let content = 1_000_000 - 8 * 300;
    assert_eq!(found.entry_bytes(2), 1 + 5 + content);
    let Ok(Node::Inner(found)) = node::decode(inner().into()) else { panic!("an inner node") };
    assert_eq!(found.child(1, &Bytes::new()), child(b"b", 2, 0));
    assert_eq!((found.find(b"a"), found.find(b"b"), found.find(b"c")), (0, 1, 1));
}

#[test]
fn cut_or_prolonged_at_any_length_it_is_refused() {
    for whole in [leaf(), inner()] {
        for end in 0..whole.len() {
            assert!(node::decode(Bytes::copy_from_slice(&whole[..end])).is_err(), "at {end}");
        }
        let longer = [&whole[..], b"\0"].concat();
        assert_eq!(node::decode(longer.into()).err(), Some(Fault::Trailing));
    }
}

#[test]
fn no_byte_changed_makes_it_panic() {
    for whole in [leaf(), inner()] {
        for at in 0..whole.len() {
            for flip in 1..=255u8 {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                if let Ok(Node::Leaf(leaf)) = node::decode(bytes.into()) {
                    (0..leaf.len()).for_each(|row| drop(leaf.value(row)));
                }
            }
        }
    }
}

fn leaf_of(keys: &[&[u8]]) -> Vec<u8> {
    let mut rows = Vec::new();
    keys.iter().for_each(|key| node::write_entry(&mut rows, key, &value(b"")));
    node::encode(0, keys.len() as u64, &rows)
}

#[test]
fn each_lie_is_named() {
    let fault = |bytes: Vec<u8>| node::decode(bytes.into()).err();
    assert_eq!(fault(vec![2, 0, 0]), Some(Fault::Version { found: 2 }));
    assert_eq!(fault(vec![1, 33, 0]), Some(Fault::TooHigh));
    assert_eq!(fault(vec![1, 1, 0]), Some(Fault::Empty));
    assert_eq!(fault([&[1, 0, 0xff, 0xff, 3][..], &[0; 9]].concat()), Some(Fault::Rows));
    assert_eq!(fault(vec![1, 0, 0x80, 0]), Some(Fault::Number));
    assert_eq!(fault(leaf_of(&[b"b", b"a"])), Some(Fault::Order { row: 1 }));
    assert_eq!(fault(leaf_of(&[b"a", b"a"])), Some(Fault::Order { row: 1 }));
    assert_eq!(fault(leaf_of(&[&[7; 70_000]])), Some(Fault::TooLong { row: 0 }));
    assert_eq!(fault(vec![1, 0, 1, 0, 0, 4]), Some(Fault::Pieces { row: 0 }));
    assert_eq!(fault(vec![1, 0, 1, 0, 0, 1, 0]), Some(Fault::Pieces { row: 0 }));
    assert_eq!(fault(vec![1, 0, 1, 0, 0, 1, 1, 0]), Some(Fault::Pieces { row: 0 }));
    let mut rows = Vec::new();
    node::write_child(&mut rows, b"a", &child(b"a", 1, 0));
    assert_eq!(fault(node::encode(1, 1, &rows)), Some(Fault::Order { row: 0 }));
    let mut rows = Vec::new();
    node::write_child(&mut rows, b"", &Child { entries: 0, ..child(b"", 1, 0) });
    assert_eq!(fault(node::encode(1, 1, &rows)), Some(Fault::Empty));
    let mut rows = Vec::new();
    node::write_child(&mut rows, b"", &Child { entries: u64::MAX, ..child(b"", 1, 0) });
    node::write_child(&mut rows, b"b", &child(b"b", 1, 0));
    assert_eq!(fault(node::encode(1, 2, &rows)), Some(Fault::Totals));
}

/// A tree of two leaves, where the second's bytes are replaced.
fn read_with(second: Vec<u8>, entries: u64, bytes: u64) -> Option<Fault> {
    let blobs = RecordingBlobs::default();
    let first = leaf_of(&[b"a", b"b"]);
    let of = |low, id, entries, bytes| Child {
        low: Bytes::from_static(low),
        id: BlobId::new([id; 32]),
        level: 0,
        entries,
        bytes,
    };
    let mut rows = Vec::new();
    node::write_child(&mut rows, b"", &of(b"", 1, 2, 2));
    node::write_child(&mut rows, b"c", &of(b"c", 2, entries, bytes));
    blobs.plant(BlobKind::Node, BlobId::new([1; 32]), &first);
    blobs.plant(BlobKind::Node, BlobId::new([2; 32]), &second);
    blobs.plant(BlobKind::Node, BlobId::new([3; 32]), &node::encode(1, 2, &rows));
    let root = Root { id: BlobId::new([3; 32]), level: 1, entries: 2 + entries, bytes: 2 + bytes };
    match iter(&blobs, &root, KeyRange::all()).collect::<Result<Vec<_>, _>>() {
        Ok(_) => None,
        Err(Error::Damaged { source, .. }) => Some(source),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_node_must_fit_its_place() {
    assert_eq!(read_with(leaf_of(&[b"c", b"d"]), 2, 2), None);
    assert_eq!(read_with(leaf_of(&[b"bb", b"d"]), 2, 3), Some(Fault::Range { row: 0 }));
    assert_eq!(read_with(leaf_of(&[b"c"]), 2, 2), Some(Fault::Totals));
    assert_eq!(read_with(leaf_of(&[b"c", b"d"]), 2, 3), Some(Fault::Totals));
    assert_eq!(read_with(inner(), 2, 2), Some(Fault::Level { wanted: 0, found: 1 }));
}

#[test]
fn a_tree_of_pieces_in_a_tree_of_pieces_is_refused() {
    let blobs = RecordingBlobs::default();
    let mut inside = build(&blobs, &numbered(3));
    // However deep the nest, the walk refuses the second storey.
    for _ in 0..3 {
        let nested = Value { head: Bytes::new(), pieces: Pieces::Tree(inside) };
        inside = build(&blobs, &Map::from([(vec![0; 8], nested)]));
    }
    let walked = walk(&blobs, &inside, &mut |_, _| true);
    assert!(
        matches!(walked, Err(Error::Damaged { source: Fault::Pieces { row: 0 }, .. })),
        "{walked:?}"
    );
}

#[test]
fn maps_nest_to_their_limit_and_no_further() {
    let blobs = RecordingBlobs::default();
    let mut inside = build(&blobs, &numbered(3));
    for storeys in 0..=MAPS_NESTED_MAX {
        let mut seen = 0;
        walk(&blobs, &inside, &mut |_, _| {
            seen += 1;
            true
        })
        .unwrap();
        assert_eq!(seen, u32::from(storeys) + 1);
        let nested = Value { head: Bytes::from_static(b"shop"), pieces: Pieces::Map(inside) };
        let before = inside;
        inside = build(&blobs, &Map::from([(b"orders".to_vec(), nested)]));
        assert_eq!(inside.bytes, before.bytes + 10);
    }
    let walked = walk(&blobs, &inside, &mut |_, _| true);
    assert!(
        matches!(walked, Err(Error::Damaged { source: Fault::Pieces { row: 0 }, .. })),
        "{walked:?}"
    );
}

#[test]
fn a_missing_node_is_an_error_with_its_name() {
    let blobs = RecordingBlobs::default();
    let root = Root { id: BlobId::new([8; 32]), level: 0, entries: 1, bytes: 1 };
    let mut all = iter(&blobs, &root, KeyRange::all());
    assert!(matches!(all.next(), Some(Err(Error::Read { id, .. })) if id == root.id));
    assert!(all.next().is_none());
}

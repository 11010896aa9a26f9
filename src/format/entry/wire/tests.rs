//! An entry's bytes: golden, cut, lied about.

use proptest::prelude::*;

use super::*;

fn plain_file() -> Entry {
    Entry {
        size: 5,
        mode: 0o644,
        uid: 1000,
        gid: 100,
        user: "ada".into(),
        group: "users".into(),
        mtime: Time { seconds: 1_767_225_600, nanos: 5 },
        ctime: Time { seconds: -1, nanos: 999_999_999 },
        inode: 12,
        ..Entry::default()
    }
}

fn everything() -> Entry {
    Entry {
        dev: 66,
        nlink: 2,
        xattrs: vec![(b"security.capability".to_vec(), vec![0, 255]), (b"user.x".to_vec(), vec![])],
        inline: b"hello".to_vec(),
        ..plain_file()
    }
}

fn all_kinds() -> Vec<Entry> {
    let of = |kind, size| Entry { kind, size, inline: Vec::new(), ..everything() };
    vec![
        plain_file(),
        everything(),
        of(Kind::Dir, 0),
        of(Kind::Symlink { target: b"../\xff\n".to_vec() }, 5),
        of(Kind::Fifo, 0),
        of(Kind::Char { rdev: 259 }, 0),
        of(Kind::Block { rdev: 0 }, 0),
        of(Kind::Socket, 0),
        Entry { ..Entry::default() },
    ]
}

#[test]
fn golden() {
    let hex = |entry: Entry| hex::encode(entry.encode().unwrap());
    assert_eq!(hex(Entry { ..Entry::default() }), "80");
    let shared = concat!(
        "a17305a16dcd01a4a175cd03e8a16764a155a3616461a147a57573657273",
        "a17492ce6955b90005a16392ffce3b9ac9ffa1690c"
    );
    assert_eq!(hex(plain_file()), format!("89{shared}"));
    let more = concat!(
        "a16442a16e02a17892",
        "92c41373656375726974792e6361706162696c697479c40200ff",
        "92c406757365722e78c400",
        "a162c40568656c6c6f"
    );
    assert_eq!(hex(everything()), format!("8d{shared}{more}"));
    let link = Entry { kind: Kind::Symlink { target: b"a".to_vec() }, ..Entry::default() };
    assert_eq!(hex(Entry { nlink: 1, size: 1, ..link }), "83a16b6ca17301a16cc40161");
    let device = Entry { kind: Kind::Char { rdev: 259 }, ..Entry::default() };
    assert_eq!(hex(device), "82a16b63a172cd0103");
}

#[test]
fn what_is_written_is_read() {
    for entry in all_kinds() {
        let bytes = entry.encode().unwrap();
        assert_eq!(Entry::decode(&bytes).unwrap(), entry);
        assert_eq!(StatKey::decode(&bytes).unwrap(), entry.stat_key());
    }
}

#[test]
fn cut_at_every_length_or_made_longer_it_is_refused() {
    for entry in all_kinds() {
        let bytes = entry.encode().unwrap();
        for length in 0..bytes.len() {
            assert!(Entry::decode(&bytes[..length]).is_err(), "{length} of {bytes:02x?}");
            assert!(StatKey::decode(&bytes[..length]).is_err(), "{length} of {bytes:02x?}");
        }
        // Something, the beginning of a list, that of a map, and of a list with something in it.
        for more in [&[0xc1, 0x00][..], &[0x91], &[0x81], &[0x92, 0x01]] {
            let refused = Entry::decode(&[&bytes, more].concat());
            let left = more.len();
            assert!(
                matches!(refused, Err(Error::Trailing { bytes, .. }) if bytes == left),
                "{refused:?}"
            );
        }
    }
}

#[test]
fn a_reader_skips_what_a_later_writer_adds() {
    let mut bytes = plain_file().encode().unwrap();
    assert_eq!(bytes[0] & 0xf0, 0x80, "a short map");
    bytes[0] += 1;
    bytes.extend(rmp_serde::to_vec(&("zz", vec![(1u8, "new")])).unwrap()[1..].iter());
    assert_eq!(Entry::decode(&bytes).unwrap(), plain_file());
    assert_eq!(StatKey::decode(&bytes).unwrap(), plain_file().stat_key());
}

#[test]
fn lies_are_refused() {
    let lie = |change: fn(&mut Entry)| {
        let mut entry = everything();
        change(&mut entry);
        Entry::decode(&entry.encode().unwrap())
    };
    assert!(lie(|_| ()).is_ok());
    assert!(lie(|e| e.mode = 0o10000).is_err());
    assert!(lie(|e| e.mtime.nanos = 1_000_000_000).is_err());
    assert!(lie(|e| e.nlink = 0).is_err());
    assert!(lie(|e| e.size = 6).is_err());
    assert!(lie(|e| e.user = "a\0b".into()).is_err());
    assert!(lie(|e| e.xattrs.swap(0, 1)).is_err());
    assert!(lie(|e| e.xattrs[1] = e.xattrs[0].clone()).is_err());
    assert!(lie(|e| e.xattrs[0].0 = b"a\0".to_vec()).is_err());
    assert!(lie(|e| e.kind = Kind::Fifo).is_err(), "a fifo with content");
    assert!(
        lie(|e| *e = Entry { kind: Kind::Symlink { target: vec![] }, ..Entry::default() }).is_err()
    );
    assert!(
        lie(|e| *e = Entry { kind: Kind::Symlink { target: vec![0] }, ..Entry::default() })
            .is_err()
    );
}

#[test]
fn huge_lengths_cost_nothing() {
    // {"b": 4 GiB of bytes}, {"x": 2^32-1 pairs}, {"U": 4 GiB of text}, a map of 2^32-1 fields
    for bytes in
        ["81a162c6ffffffff00", "81a178ddffffffff92", "81a155dbffffffff61", "dfffffffffa161"]
    {
        assert!(Entry::decode(&hex::decode(bytes).unwrap()).is_err());
        assert!(StatKey::decode(&hex::decode(bytes).unwrap()).is_err());
    }
    let deep = [vec![0x81, 0xa1, b'z'], vec![0x91; 4000], vec![0]].concat();
    assert!(Entry::decode(&deep).is_err());
    assert!(Entry::decode(&vec![0; VALUE_HEAD_MAX_BYTES + 1]).is_err());
}

#[test]
fn an_entry_larger_than_a_tree_takes_is_not_written() {
    let entry =
        Entry { xattrs: vec![(b"user.x".to_vec(), vec![7; VALUE_HEAD_MAX_BYTES])], ..plain_file() };
    let mut out = vec![1];
    assert!(matches!(entry.encode_into(&mut out), Err(Error::Impossible { .. })));
    assert_eq!(out, [1]);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(entry) = Entry::decode(&bytes) {
            let again = Entry::decode(&entry.encode().unwrap()).unwrap();
            prop_assert_eq!(again, entry);
        }
    }
}

//! Packs that come and go, directories that are shared, torn and lost.

use super::*;
use crate::{
    format::{index::Segment, pack::PackTable},
    seal::{Codec, PackSalt},
};

fn id(number: u32) -> BlobId {
    BlobId::new(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// A pack that holds the blobs `numbers`, every third one as a delta of the one before.
fn pack(name: u8, numbers: std::ops::Range<u32>) -> PackTable {
    let mut offset = 42;
    let rows: Vec<Row> = numbers
        .map(|number| {
            let codec = match number % 3 {
                0 => Codec::Delta { base: id(number.wrapping_sub(1)), generation: 7 },
                1 => Codec::Raw,
                _ => Codec::Zstd,
            };
            let stored_len = 116;
            let kind = BlobKind::Node;
            let row = Row { id: id(number), kind, codec, offset, stored_len, raw_len: 100 };
            offset += stored_len;
            row
        })
        .collect();
    let tables: usize = rows
        .iter()
        .map(|row| match row.codec {
            Codec::Delta { .. } => 75,
            _ => 41,
        })
        .sum();
    let size_bytes = u64::from(offset) + tables as u64 + 4 + 16 + 12;
    PackTable { id: PackId::new([name; 32]), salt: PackSalt([name; 32]), size_bytes, rows }
}

fn segment(name: u8) -> SegmentId {
    SegmentId::new([name; 32])
}

fn add(catalog: &Catalog, name: u8, packs: Vec<PackTable>, supersedes: &[u8]) {
    let supersedes = supersedes.iter().map(|name| segment(*name)).collect();
    let plain = Segment { packs, supersedes }.encode();
    let mut update = catalog.update().unwrap();
    update.segment(segment(name), &plain).unwrap();
    update.finish(None).unwrap();
}

fn open(dir: &Path) -> Catalog {
    Catalog::open(Some(dir), [1; 16], None).unwrap()
}

fn has(catalog: &Catalog, table: &PackTable) -> bool {
    table.rows.iter().all(|row| {
        let copies = catalog.copies(&row.id);
        copies.iter().any(|copy| copy.pack.id == table.id && copy.row == *row)
    })
}

#[test]
fn what_was_merged_is_found_now_and_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let packs: Vec<PackTable> = (0..40u8)
        .map(|n| {
            let start = u32::from(n) * 500;
            pack(n, start..start + 500)
        })
        .collect();
    let catalog = open(dir.path());
    for (name, packs) in packs.chunks(8).enumerate() {
        add(&catalog, name as u8, packs.to_vec(), &[]);
    }
    for catalog in [&catalog, &open(dir.path())] {
        assert_eq!(catalog.len(), 20_000);
        assert!(packs.iter().all(|pack| has(catalog, pack)));
        assert_eq!(catalog.locate(&id(99_999)), None);
        assert!(catalog.is_current(&(0..5).map(segment).collect()));
        assert_eq!(catalog.missing(&[segment(4), segment(5)]), [segment(5)]);
        let mut seen = 0;
        catalog.scan(&mut |_| seen += 1).unwrap();
        assert_eq!(seen, 20_000);
    }
}

#[test]
fn live_packs_come_first_and_forgotten_segments_count_no_more() {
    let catalog = Catalog::open(None, [1; 16], None).unwrap();
    add(&catalog, 1, vec![pack(1, 0..10), pack(2, 5..15)], &[]);
    add(&catalog, 2, vec![pack(2, 5..15)], &[1]);
    assert_eq!(catalog.copies(&id(7)).len(), 2);
    assert_eq!(catalog.locate(&id(7)).unwrap().pack.id, PackId::new([2; 32]));
    assert!(!catalog.is_live(&PackId::new([1; 32])));
    assert_eq!(catalog.live_packs().len(), 1);
    let update = catalog.update().unwrap();
    update.finish(Some(&HashSet::from_iter([segment(2)]))).unwrap();
    assert_eq!(catalog.segments(), [(segment(2), vec![PackId::new([2; 32])])]);
    // A pack that comes back is what it was.
    add(&catalog, 3, vec![pack(1, 0..10)], &[]);
    assert!(has(&catalog, &pack(1, 0..10)));
}

#[test]
fn rows_of_dead_packs_are_dropped_and_may_come_back() {
    let catalog = Catalog::open(None, [1; 16], None).unwrap();
    let packs: Vec<PackTable> =
        (0..200u8).map(|n| pack(n, u32::from(n) * 3..u32::from(n) * 3 + 3)).collect();
    add(&catalog, 1, packs.clone(), &[]);
    add(&catalog, 2, packs[..50].to_vec(), &[1]);
    assert_eq!(catalog.len(), 150);
    assert!(packs[..50].iter().all(|pack| has(&catalog, pack)));
    assert!(!has(&catalog, &packs[50]));
    add(&catalog, 3, packs[50..60].to_vec(), &[]);
    assert!(packs[..60].iter().all(|pack| has(&catalog, pack)));
}

#[test]
fn a_directory_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(dir.path()), open(dir.path()));
    add(&one, 1, vec![pack(1, 0..10)], &[]);
    add(&other, 2, vec![pack(2, 10..20)], &[]);
    assert!(has(&other, &pack(1, 0..10)), "it took in what the first had written");
    add(&one, 3, vec![pack(3, 20..30)], &[]);
    assert!([pack(1, 0..10), pack(2, 10..20), pack(3, 20..30)].iter().all(|p| has(&one, p)));
    // While one is at it, the other goes on alone.
    let update = one.update().unwrap();
    add(&other, 4, vec![pack(4, 30..40)], &[]);
    update.finish(None).unwrap();
    assert!(has(&other, &pack(4, 30..40)) && has(&other, &pack(1, 0..10)));
    assert!(!has(&open(dir.path()), &pack(4, 30..40)));
    assert_eq!(open(dir.path()).len(), 30);
}

#[test]
fn a_torn_cache_is_begun_again() {
    let all = [pack(1, 0..3000), pack(2, 3000..6000)];
    let damage: [&dyn Fn(&Path); 4] = [
        &|path| std::fs::write(path, b"garbage").unwrap(),
        &|path| std::fs::write(path, b"").unwrap(),
        &|path| std::fs::remove_file(path).unwrap(),
        &|path| {
            let mut bytes = std::fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle..].fill(0);
            std::fs::write(path, bytes).unwrap();
        },
    ];
    for hurt in damage {
        for victim in ["manifest", "p-", "t-"] {
            let dir = tempfile::tempdir().unwrap();
            add(&open(dir.path()), 1, all.to_vec(), &[]);
            for entry in std::fs::read_dir(dir.path()).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap().to_str().unwrap().starts_with(victim) {
                    hurt(&path);
                }
            }
            let catalog = open(dir.path());
            assert!(!catalog.is_current(&HashSet::from_iter([segment(1)])), "{victim}");
            add(&catalog, 1, all.to_vec(), &[]);
            assert!(all.iter().all(|pack| has(&catalog, pack)), "{victim}");
            assert!(all.iter().all(|pack| has(&open(dir.path()), pack)), "{victim}");
        }
    }
}

#[test]
fn a_torn_row_is_noticed_and_the_tables_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let all = vec![pack(1, 0..300)];
    add(&open(dir.path()), 1, all.clone(), &[]);
    let path = dir.path().join("t-0");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[PLACE_BYTES * 10 + 26] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let catalog = open(dir.path());
    assert!(catalog.is_current(&HashSet::from_iter([segment(1)])));
    assert!(!has(&catalog, &all[0]));
    assert!(!catalog.is_current(&HashSet::from_iter([segment(1)])));
    add(&catalog, 1, all.clone(), &[]);
    assert!(has(&catalog, &all[0]));
    assert!(has(&open(dir.path()), &all[0]));
}

/// As when its disk is full.
#[test]
fn a_directory_that_fails_is_left_and_that_is_told_once() {
    let temp = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(0));
    let tell = told.clone();
    let tell: OnPrivate = Arc::new(move |_| *tell.lock().unwrap() += 1);
    let at = temp.path().join("cache");
    let catalog = Catalog::open(Some(&at), [1; 16], Some(tell.clone())).unwrap();
    catalog.take_in(segment(1), &[pack(1, 0..10)]).unwrap();
    assert_eq!(*told.lock().unwrap(), 0);
    std::fs::remove_dir_all(&at).unwrap();
    for name in [2, 3] {
        let first = u32::from(name) * 10;
        catalog.take_in(segment(name), &[pack(name, first..first + 10)]).unwrap();
    }
    assert_eq!((*told.lock().unwrap(), catalog.live_packs().len()), (1, 3));
    for number in (0..10).chain(20..40) {
        assert!(catalog.locate(&id(number)).is_some(), "{number}");
    }

    std::fs::write(&at, "no directory").unwrap();
    let catalog = Catalog::open(Some(&at), [1; 16], Some(tell)).unwrap();
    catalog.take_in(segment(1), &[pack(1, 0..10)]).unwrap();
    assert_eq!(*told.lock().unwrap(), 2);
}

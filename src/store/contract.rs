//! What every store must do, as one suite that each store's and each wrapper's test calls.

#![allow(clippy::unwrap_used, reason = "a suite of assertions speaks by panicking")]

use std::{
    ops::Range,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;

use super::{ErrorKind, Listed, Name, Put, Store, get_all, list_all};
use crate::limits::MIB;

/// Panics, naming the promise, when one is not kept. The store holds what it held before, and
/// objects below `contract` only during the call.
pub fn check(store: &dyn Store) {
    check_large(store);
    check_many(store);
    check_few(store);
}

/// The same with few and small objects, where each write costs much.
pub fn check_few(store: &dyn Store) {
    check_creation(store);
    check_ranges(store);
    check_missing(store);
    check_removal(store);
    check_prefixes(store);
    check_names(store);
    check_concurrent_use(store);
    check_create_race(store);
    assert_eq!(names(store, "contract"), Vec::<String>::new(), "the contract leaves nothing");
}

fn name(text: &str) -> Name {
    Name::parse(&format!("contract/{text}")).expect("names here are good")
}

fn put(store: &dyn Store, object: &str, bytes: &[u8]) -> Put {
    store.put_new(&name(object), Bytes::copy_from_slice(bytes)).expect("a put works")
}

fn remove(store: &dyn Store, object: &str) {
    store.remove(&name(object)).expect("a removal works");
}

fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    let listed = list_all(store, prefix).expect("a listing works");
    listed.into_iter().map(|listed| listed.name.as_str().to_owned()).collect()
}

fn check_creation(store: &dyn Store) {
    assert_eq!(put(store, "one", b"first"), Put::Created, "a new name is created");
    assert_eq!(put(store, "one", b"second!"), Put::Exists, "a taken name is told");
    assert_eq!(get_all(store, &name("one"), 100).unwrap(), "first", "and never overwritten");
    assert_eq!(store.size(&name("one")).unwrap(), 5, "nor its size changed");
    remove(store, "one");
    assert_eq!(put(store, "one", b"third"), Put::Created, "a removed name is free");
    assert_eq!(get_all(store, &name("one"), 100).unwrap(), "third");
    let refused = get_all(store, &name("one"), 4).unwrap_err();
    assert!(matches!(refused.kind, ErrorKind::TooLarge { size_bytes: 5, max_bytes: 4 }));
    remove(store, "one");
}

fn check_ranges(store: &dyn Store) {
    put(store, "ten", b"0123456789");
    let get = |range: Range<u64>| store.get(&name("ten"), range);
    assert_eq!(get(0..10).unwrap(), "0123456789", "the whole");
    assert_eq!(get(0..1).unwrap(), "0", "the first byte");
    assert_eq!(get(9..10).unwrap(), "9", "the last byte");
    assert_eq!(get(3..7).unwrap(), "3456", "the middle");
    for empty in [0, 5, 10] {
        assert_eq!(get(empty..empty).unwrap(), "", "an empty range at {empty}");
    }
    for beyond in [0..11, 9..11, 10..11, 11..11, 20..30, 0..1 << 40] {
        let error = get(beyond.clone()).expect_err("a range beyond the end is an error");
        assert!(matches!(error.kind, ErrorKind::ShortObject), "{beyond:?}: {error}");
    }
    remove(store, "ten");

    assert_eq!(put(store, "empty", b""), Put::Created, "an object may be empty");
    assert_eq!(put(store, "empty", b"x"), Put::Exists);
    assert_eq!(store.size(&name("empty")).unwrap(), 0);
    assert_eq!(store.get(&name("empty"), 0..0).unwrap(), "");
    assert_eq!(names(store, "contract"), ["contract/empty"], "and is listed");
    let error = store.get(&name("empty"), 0..1).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::ShortObject), "{error}");
    remove(store, "empty");
}

fn check_missing(store: &dyn Store) {
    let absent = name("absent/at-all");
    for range in [0..0, 0..1, 7..9] {
        assert!(store.get(&absent, range).unwrap_err().is_not_found(), "get of what is missing");
    }
    assert!(store.size(&absent).unwrap_err().is_not_found(), "size of what is missing");
    store.remove(&absent).expect("removing what is missing is success");
    assert_eq!(names(store, "contract/absent"), Vec::<String>::new(), "an unknown prefix is empty");
}

fn check_removal(store: &dyn Store) {
    put(store, "dir/a", b"1");
    put(store, "dir/b", b"2");
    remove(store, "dir/a");
    assert!(store.get(&name("dir/a"), 0..1).unwrap_err().is_not_found(), "what is removed is gone");
    assert!(store.size(&name("dir/a")).unwrap_err().is_not_found());
    assert_eq!(names(store, "contract/dir"), ["contract/dir/b"], "its neighbour is not");
    remove(store, "dir/a");
    remove(store, "dir/b");
    assert_eq!(put(store, "dir/b", b"again"), Put::Created, "in a tidied directory, too");
    remove(store, "dir/b");
}

fn check_prefixes(store: &dyn Store) {
    let all = ["top", "x/1", "x/y/2", "x/y/z/3", "xy/4", "x-/5"];
    for object in all {
        put(store, object, object.as_bytes());
    }
    let below = |prefix: &str| names(store, prefix);
    assert_eq!(
        below("contract"),
        ["top", "x-/5", "x/1", "x/y/2", "x/y/z/3", "xy/4"].map(|n| format!("contract/{n}")),
        "a prefix lists what is below, at any depth"
    );
    assert_eq!(
        below("contract/x"),
        ["x/1", "x/y/2", "x/y/z/3"].map(|n| format!("contract/{n}")),
        "a prefix is a directory, not the beginning of a name"
    );
    assert_eq!(below("contract/x/y/z"), ["contract/x/y/z/3"]);
    assert!(below("contract/top").is_empty(), "an object is not below itself");
    let everything = below("");
    for object in all {
        assert!(everything.contains(&format!("contract/{object}")), "the empty prefix: {object}");
    }
    for Listed { name, size_bytes } in list_all(store, "contract").unwrap() {
        let length = name.as_str().len() - "contract/".len();
        assert_eq!(size_bytes, length as u64, "a listing knows sizes: {name}");
    }
    check_listing_callback(store, all.len());
    for object in all {
        remove(store, object);
    }
}

fn check_listing_callback(store: &dyn Store, objects: usize) {
    let mut met = 0;
    let stopped = store.list("contract", &mut |_| {
        met += 1;
        Err(super::Error::new(ErrorKind::Full, "test", "stop"))
    });
    assert!(matches!(stopped.unwrap_err().kind, ErrorKind::Full), "the callback's error comes out");
    assert_eq!(met, 1, "and ends the listing");
    let mut read = 0;
    let listed = store.list("contract", &mut |listed| {
        read += store.get(&listed.name, 0..listed.size_bytes)?.len().min(1);
        Ok(())
    });
    listed.expect("the store may be used from within a listing");
    assert_eq!(read, objects);
}

fn check_names(store: &dyn Store) {
    let long = "n".repeat(199);
    let deep = "d/".repeat(20) + "deep";
    let odd = ["a.b-c_d", "0", "-", "_x", "a..b", "x.tmp", &long, &deep];
    for object in odd {
        assert_eq!(put(store, object, object.as_bytes()), Put::Created, "{object}");
    }
    for object in odd {
        assert_eq!(get_all(store, &name(object), 1000).unwrap(), object.as_bytes(), "{object}");
    }
    let mut expected: Vec<String> = odd.iter().map(|n| format!("contract/{n}")).collect();
    expected.sort();
    assert_eq!(names(store, "contract"), expected);
    for object in odd {
        remove(store, object);
    }
}

fn check_large(store: &dyn Store) {
    let mut bytes = vec![0; 20 * MIB];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let bytes = Bytes::from(bytes);
    let object = name("large");
    assert_eq!(store.put_new(&object, bytes.clone()).unwrap(), Put::Created);
    assert_eq!(store.size(&object).unwrap(), bytes.len() as u64);
    let whole = store.get(&object, 0..bytes.len() as u64).unwrap();
    assert!(whole == bytes, "20 MiB come back as they went");
    let range = (7 * MIB + 13)..(9 * MIB + 1);
    let part = store.get(&object, range.start as u64..range.end as u64).unwrap();
    assert!(part == bytes[range], "and so does a part of them");
    store.remove(&object).unwrap();
}

/// So many that a listing has pages, where a store has them.
const MANY: usize = 2000;
const THREADS: usize = 8;

fn check_many(store: &dyn Store) {
    let object = |n: usize| name(&format!("many/{:02x}/{n:04}", n % 7));
    in_threads(|thread| {
        for n in (thread..MANY).step_by(THREADS) {
            store.put_new(&object(n), Bytes::from(vec![b'm'; n % 5])).expect("one of many");
        }
    });
    let listed = list_all(store, "contract/many").unwrap();
    let mut expected: Vec<Listed> =
        (0..MANY).map(|n| Listed { name: object(n), size_bytes: (n % 5) as u64 }).collect();
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(listed == expected, "{} of {MANY} objects listed, each once", listed.len());
    in_threads(|thread| {
        for n in (thread..MANY).step_by(THREADS) {
            store.remove(&object(n)).expect("one of many");
        }
    });
}

fn check_concurrent_use(store: &dyn Store) {
    in_threads(|thread| {
        for round in 0..10 {
            let object = format!("busy/{thread}-{round}");
            let bytes = vec![thread as u8; 1000 + round];
            assert_eq!(put(store, &object, &bytes), Put::Created);
            assert_eq!(get_all(store, &name(&object), 2000).unwrap(), bytes);
            let listed = names(store, "contract/busy");
            assert!(listed.contains(&format!("contract/{object}")), "one's own put is listed");
            remove(store, &object);
        }
    });
}

fn check_create_race(store: &dyn Store) {
    for round in 0..20 {
        let object = name(&format!("race/{round}"));
        let start = Barrier::new(THREADS);
        let (created, winner) = (AtomicUsize::new(0), AtomicUsize::new(0));
        in_threads(|thread| {
            // Different sizes, so that a mixture of two would be seen.
            let bytes = Bytes::from(vec![thread as u8; 2000 + thread]);
            start.wait();
            if store.put_new(&object, bytes).expect("a race has no errors") == Put::Created {
                created.fetch_add(1, Ordering::SeqCst);
                winner.store(thread, Ordering::SeqCst);
            }
            store.size(&object).expect("after `Exists` the object exists");
        });
        assert_eq!(created.into_inner(), 1, "of several creators exactly one is told so");
        let winner = winner.into_inner();
        let there = get_all(store, &object, 3000).unwrap();
        assert!(there == vec![winner as u8; 2000 + winner], "and its bytes are there");
        store.remove(&object).unwrap();
    }
}

fn in_threads(work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
}

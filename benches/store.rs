//! How fast a store takes, gives, lists and removes: `cargo bench --bench store [-- REPOSITORY]`.
//!
//! Without a name, a fresh directory on the disk of the temporary directory. A name may be S3's;
//! `AWS_` variables count then. The first row is the disk alone: a file written and synced.

use std::{
    fs::File,
    io::Write,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use bytes::Bytes;
use icecore::{
    ambient::Ambient,
    limits::PACK_AIM_BYTES,
    store::{
        Name, Store, list_all,
        location::{self, StoreOptions},
    },
};

const PACKS: usize = 48;
const SMALL: usize = 1000;
const READS: usize = 5_000;

fn main() {
    let given = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let directory = tempfile::tempdir().expect("a directory");
    let place = given.unwrap_or_else(|| directory.path().join("r").to_string_lossy().into_owned());
    let options = StoreOptions {
        options: std::env::vars().filter(|(key, _)| key.starts_with("AWS_")).collect(),
        ..StoreOptions::default()
    };
    let location = location::parse(&place).expect("a repository's name");
    let ambient = Ambient::real("host", "someone");
    let store = location::create(&location, &options, &ambient).expect("a store");
    println!("{place}");

    let pack = noise(PACK_AIM_BYTES);
    let start = Instant::now();
    for n in 0..PACKS {
        let mut file = File::create(directory.path().join(n.to_string())).expect("a file");
        file.write_all(&pack).expect("room");
        file.sync_all().expect("a sync");
    }
    rate("files of 16 MiB, written and synced", 1, start, PACKS * pack.len());
    for threads in [1, 4] {
        let name = |n: usize| name(&format!("packs/{:02x}/{threads}-{n}", n % 256));
        let start = Instant::now();
        in_threads(threads, PACKS, |n| put(&*store, &name(n), &pack));
        rate("packs of 16 MiB, put", threads, start, PACKS * pack.len());
        let start = Instant::now();
        in_threads(threads, PACKS, |n| {
            store.get(&name(n), 0..pack.len() as u64).expect("get");
        });
        rate("packs of 16 MiB, read from the page cache", threads, start, PACKS * pack.len());
    }
    small(&*store);
    for listed in list_all(&*store, "").expect("list") {
        store.remove(&listed.name).expect("remove");
    }
}

fn small(store: &dyn Store) {
    let bytes = noise(1000);
    for threads in [1, 8] {
        let name = |n: usize| name(&format!("index/{threads}-{n}"));
        let start = Instant::now();
        in_threads(threads, SMALL, |n| put(store, &name(n), &bytes));
        each("objects of 1 KB, put", threads, start, SMALL);
    }
    for threads in [1, 2] {
        let start = Instant::now();
        in_threads(threads, READS, |n| {
            let object = name(&format!("packs/{:02x}/1-{}", n % PACKS % 256, n % PACKS));
            let at = (n * 4096 % PACK_AIM_BYTES) as u64;
            store.get(&object, at..at + 4096).expect("get");
        });
        each("ranges of 4 KiB, read from the page cache", threads, start, READS);
    }
    let start = Instant::now();
    let listed = list_all(store, "").expect("list").len();
    each("objects listed", 1, start, listed);
    for threads in [1, 8] {
        let name = |n: usize| name(&format!("index/{threads}-{n}"));
        let start = Instant::now();
        in_threads(threads, SMALL, |n| store.remove(&name(n)).expect("remove"));
        each("objects of 1 KB, removed", threads, start, SMALL);
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("names here are good")
}

fn put(store: &dyn Store, name: &Name, bytes: &Bytes) {
    store.put_new(name, bytes.clone()).expect("put");
}

fn noise(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes.into()
}

fn in_threads(threads: usize, count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    work(n);
                }
            });
        }
    });
}

fn rate(what: &str, threads: usize, start: Instant, bytes: usize) {
    let rate = bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
    println!("  {rate:>9.0} MB/s  {what}, {threads} at a time");
}

fn each(what: &str, threads: usize, start: Instant, count: usize) {
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!("  {rate:>9.0} /s    {what}, {threads} at a time");
}

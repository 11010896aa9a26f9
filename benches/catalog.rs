//! What the catalog takes on disk and in memory, and how long a look-up is.
//!
//! `CATALOG_ENTRIES` says for how many blobs (10 million if not set), `CATALOG_DIR` where.

use std::{fs, hint::black_box, path::Path, time::Instant};

use icecore::{
    format::pack::{Codec, PackTable, Row},
    id::{BlobId, BlobKind, PackId, SegmentId},
    repo::catalog::Catalog,
    seal::PackSalt,
};

const ROWS_IN_PACK: u64 = 500;
const PACKS_IN_SEGMENT: u64 = 256;
/// One blob in so many is a delta, as nodes of a grown repository are.
const DELTA_EVERY: u64 = 10;
const LOOK_UPS: u64 = 2_000_000;

fn main() {
    let given = std::env::var("CATALOG_ENTRIES").ok();
    let entries: u64 = given.map_or(10_000_000, |given| given.parse().expect("a number"));
    let parent = std::env::var_os("CATALOG_DIR").map_or(std::env::temp_dir(), Into::into);
    let dir = tempfile::Builder::new().prefix("catalog-bench-").tempdir_in(parent).expect("a dir");

    let start = Instant::now();
    build(dir.path(), entries);
    println!("{entries} blobs, one in {DELTA_EVERY} of them a delta");
    println!("  built in {:.1} s", start.elapsed().as_secs_f64());
    let bytes: u64 = files(dir.path()).map(|(_, size)| size).sum();
    println!("  {:.2} bytes an entry on disk, all files", bytes as f64 / entries as f64);
    println!("  {} files", files(dir.path()).count());
    println!("  peak while building {} MiB", status_mib("VmHWM:"));
    // What the build left behind in the allocator is not the look-ups' doing.
    let before = status_mib("RssAnon:");

    let start = Instant::now();
    let catalog = Catalog::open(Some(dir.path()), [1; 16], None).expect("a catalog");
    println!("  opened in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    for _ in 0..2 {
        report("known", LOOK_UPS, |at| {
            assert!(catalog.locate(&id(scatter(at) % entries)).is_some());
        });
        report("new", LOOK_UPS, |at| {
            black_box(catalog.locate(&id(entries + scatter(at) % (1 << 60))));
        });
        let anon = status_mib("RssAnon:").saturating_sub(before);
        println!("  resident: {} MiB mapped, {anon} MiB of its own", status_mib("RssFile:"));
    }
}

fn build(dir: &Path, entries: u64) {
    let catalog = Catalog::open(Some(dir), [1; 16], None).expect("a catalog");
    let mut update = catalog.update().expect("an update");
    let packs = entries / ROWS_IN_PACK;
    let mut first = 0;
    while first < packs {
        let last = (first + PACKS_IN_SEGMENT).min(packs);
        let tables: Vec<PackTable> = (first..last).map(table).collect();
        let segment = SegmentId::new(*id(first).bytes());
        update.tables(segment, &tables).expect("room on the disk");
        first = last;
    }
    update.finish(None).expect("room on the disk");
}

fn table(pack: u64) -> PackTable {
    let row = |at: u64| {
        let number = pack * ROWS_IN_PACK + at;
        let codec = if number.is_multiple_of(DELTA_EVERY) {
            Codec::Delta { base: id(number + 1), generation: 1 }
        } else {
            Codec::Zstd
        };
        let offset = 42 + at as u32 * 30_000;
        let kind = BlobKind::Node;
        Row { id: id(number), kind, codec, offset, stored_len: 30_000, raw_len: 60_000 }
    };
    let rows = (0..ROWS_IN_PACK).map(row).collect();
    let (id, salt) = (PackId::new(*id(pack + (1 << 61)).bytes()), PackSalt([pack as u8; 32]));
    PackTable { id, salt, size_bytes: 16 << 20, rows }
}

/// Ids as evenly spread as real ones.
fn id(number: u64) -> BlobId {
    let mut bytes = [0; 32];
    for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&scatter(number ^ (at as u64) << 62).to_le_bytes());
    }
    BlobId::new(bytes)
}

/// One round of SplitMix64.
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn report(what: &str, count: u64, look_up: impl Fn(u64)) {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    (0..count).for_each(look_up);
    let each = |seconds: f64| seconds * 1e6 / count as f64;
    let (wall, cpu) = (each(start.elapsed().as_secs_f64()), each(cpu_seconds() - cpu));
    println!("  {wall:.2} microseconds a look-up of {what} blobs ({cpu:.2} of processor time)");
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn files(dir: &Path) -> impl Iterator<Item = (String, u64)> {
    let entries = fs::read_dir(dir).expect("the directory is there").flatten();
    entries.map(|entry| {
        let size = entry.metadata().expect("it was just listed").len();
        (entry.file_name().to_string_lossy().into_owned(), size)
    })
}

/// A field of this process's status, in MiB.
fn status_mib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a known field");
    let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    kib >> 10
}

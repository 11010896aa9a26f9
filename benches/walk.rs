//! CPU time per entry of a walk, and of what a first and an unchanged backup ask beside it.
//!
//! `cargo bench --bench walk -- [DIRECTORY]`: each line is the median of some runs, user and
//! system time together, with the page cache warm.

use icecore::{
    format::entry::{Entry, StatKey},
    source::files::{Found, Got, Names, Walk, WalkOptions},
};
use rustix::time::{ClockId, clock_gettime};

const RUNS: usize = 5;

fn main() {
    let root = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let root = root.unwrap_or_else(|| "/usr".into());
    let walk = || Walk::new([&root], WalkOptions::default()).unwrap().filter_map(Result::ok);
    let entries = walk().count();
    println!("{root}: {entries} entries");
    let names = Names::default();
    measure("walk and stat", entries, || walk().map(|found| found.key.len()).sum());
    let mut bytes = Vec::new();
    measure("  and encode what stat knows", entries, || {
        walk().map(|found| encode(&Entry::of_stat(&found.stat), &mut bytes)).sum()
    });
    measure("  and names, targets, attributes", entries, || {
        let complete = |found: Found| found.complete(&names, None).unwrap().0;
        walk().map(|found| encode(&complete(found), &mut bytes)).sum()
    });
    let mut buffer = vec![0; 1 << 20];
    measure("  and contents", entries, || {
        walk().map(|found| read(found, &names, &mut buffer) + 1).sum()
    });
    let encoded: Vec<_> =
        walk().map(|found| found.complete(&names, None).unwrap().0.encode().unwrap()).collect();
    let total: usize = encoded.iter().map(Vec::len).sum();
    println!("an entry takes {} bytes", total / entries);
    measure("stat key of an encoded entry", entries, || {
        encoded.iter().map(|bytes| StatKey::decode(bytes).unwrap().size as usize & 1).sum()
    });
    measure("decode an entry", entries, || {
        encoded.iter().map(|bytes| Entry::decode(bytes).unwrap().size as usize & 1).sum()
    });
}

fn encode(entry: &Entry, bytes: &mut Vec<u8>) -> usize {
    bytes.clear();
    entry.encode_into(bytes).unwrap();
    bytes.len()
}

fn read(mut found: Found, names: &Names, buffer: &mut [u8]) -> usize {
    if !found.is_file() {
        return found.complete(names, None).unwrap().0.xattrs.len();
    }
    let Ok(mut content) = found.open() else { return 0 };
    let mut bytes = 0;
    while let Ok(Got::Data(count)) = content.next(buffer) {
        bytes += count;
    }
    let (entry, _) = found.complete(names, Some(&content)).unwrap();
    content.finish().unwrap();
    bytes + entry.xattrs.len()
}

fn measure(what: &str, entries: usize, mut run: impl FnMut() -> usize) {
    let mut nanos: Vec<i64> = (0..RUNS)
        .map(|_| {
            let start = cpu_nanos();
            std::hint::black_box(run());
            cpu_nanos() - start
        })
        .collect();
    nanos.sort_unstable();
    let each = |nanos: i64| nanos / entries as i64;
    println!(
        "{what:34} {:6} ns CPU an entry ({} to {})",
        each(nanos[RUNS / 2]),
        each(nanos[0]),
        each(nanos[RUNS - 1])
    );
}

fn cpu_nanos() -> i64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

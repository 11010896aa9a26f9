//! How fast trees are built, changed and read, in memory and in entries a second.

mod documents;

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use documents::{Numbers, document, key};
use icecore::{
    chunk::{Cutter, Sizes},
    tree::{Aims, KeyRange, Merger, Root, Splitter, diff, get, iter, testing::RecordingBlobs},
};

const ENTRIES: u64 = 50_000;

fn build(blobs: &RecordingBlobs, splitter: Splitter) -> Root {
    let mut merger = Merger::new(blobs, splitter, None);
    for n in 0..ENTRIES {
        merger.put(&key(n), &document(n, 0)).expect("in order");
    }
    merger.finish().expect("memory holds")
}

fn change(blobs: &RecordingBlobs, splitter: Splitter, root: Root, every: usize) -> Root {
    let mut merger = Merger::new(blobs, splitter, Some(root));
    for n in (0..ENTRIES).step_by(every) {
        merger.put(&key(n), &document(n, 1)).expect("in order");
    }
    merger.finish().expect("memory holds")
}

fn trees(criterion: &mut Criterion) {
    let splitter = Splitter::new([1; 32], Aims::default());
    let blobs = RecordingBlobs::default();
    let root = build(&blobs, splitter);
    let changed = change(&blobs, splitter, root, 1000);
    let mut group = criterion.benchmark_group("tree");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("build, all known", |bench| bench.iter(|| build(&blobs, splitter)));
    group.bench_function("build, all new", |bench| {
        bench.iter_batched_ref(
            RecordingBlobs::default,
            |fresh| build(fresh, splitter),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("change 1 in 1000", |bench| {
        bench.iter(|| change(&blobs, splitter, root, 1000));
    });
    group.bench_function("read all", |bench| {
        bench.iter(|| iter(&blobs, &root, KeyRange::all()).filter(|entry| entry.is_ok()).count());
    });
    group.bench_function("diff, 1 in 1000", |bench| {
        bench.iter(|| diff(&blobs, &root, &changed).count());
    });
    group.throughput(Throughput::Elements(1));
    let mut numbers = Numbers(5);
    group.bench_function("get", |bench| {
        bench.iter(|| get(&blobs, &root, &key(numbers.below(ENTRIES))).expect("memory holds"));
    });
    group.finish();
}

fn cuts(criterion: &mut Criterion) {
    let mut content = vec![0; 64 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    let cutter = Cutter::new(&[1; 32], Sizes::default()).expect("the limits are in order");
    let mut group = criterion.benchmark_group("chunk");
    group.sample_size(10).throughput(Throughput::Bytes(content.len() as u64));
    group.bench_function("cut", |bench| {
        bench.iter(|| {
            let mut rest = &content[..];
            while let Some(length) = cutter.cut(rest, true) {
                rest = &rest[black_box(length).get()..];
            }
        });
    });
    group.finish();
}

criterion_group!(benches, trees, cuts);
criterion_main!(benches);

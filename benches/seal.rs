//! What each station of `seal/` and `format/` does in a second: name, squeeze, seal, check, open.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use icecore::{
    format::{
        index::{Part, Segment, walk},
        pack::{Codec, PackTable, PackWriter, Row, open_pack_checked},
    },
    id::{BlobId, BlobKind, PackId, RepoId},
    limits::{KIB, MIB},
    seal::{Compression, Keys, MasterKey, PackSalt, Squeezer, open_blob, seal_blob},
};

const SALT: PackSalt = PackSalt([3; 32]);

fn keys() -> Keys {
    Keys::derive(&MasterKey::new([1; 32]), &RepoId([2; 16]))
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Lines of a log, more or less: zstd 3 makes a fifth of them.
fn text(length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 100);
    for line in 0u32.. {
        if text.len() >= length {
            break;
        }
        let dice = blake3::hash(&line.to_le_bytes());
        let words = ["opened", "closed", "refused", "answered", "retried", "lost"];
        let word = words[usize::from(dice.as_bytes()[0]) % words.len()];
        let number = u32::from_le_bytes(dice.as_bytes()[..4].try_into().expect("four"));
        let (host, port) = (number % 250, number >> 16);
        let tail = format!("2026-11-21 {line:08} 10.0.3.{host}:{port} connection {word}\n");
        text.extend_from_slice(tail.as_bytes());
    }
    text.truncate(length);
    text
}

fn blob(keys: &Keys, plain: &[u8], codec: Codec, squeezed: &[u8]) -> (Row, Vec<u8>) {
    let id = keys.blob_id(BlobKind::Chunk, plain);
    let stored_len = squeezed.len() as u32 + 16;
    let raw_len = plain.len() as u32;
    let row = Row { id, kind: BlobKind::Chunk, codec, offset: 0, stored_len, raw_len };
    let mut sealed = Vec::new();
    seal_blob(keys, &SALT, &row, squeezed, &mut sealed);
    (row, sealed)
}

fn stations(c: &mut Criterion) {
    let keys = keys();
    for (what, plain) in
        [("noise_1mib", noise(MIB)), ("text_1mib", text(MIB)), ("text_32kib", text(32 * KIB))]
    {
        let mut group = c.benchmark_group(what);
        group.throughput(Throughput::Bytes(plain.len() as u64));
        group.bench_function("name", |b| {
            b.iter(|| keys.blob_id(BlobKind::Chunk, black_box(&plain)));
        });
        let mut squeezer = Squeezer::default();
        for name in ["fastest", "auto", "better"] {
            let mode: Compression = name.parse().expect("a mode");
            group.bench_with_input(BenchmarkId::new("squeeze", name), &mode, |b, mode| {
                b.iter(|| black_box(squeezer.squeeze(&plain, *mode).1.len()));
            });
        }
        let (codec, squeezed) = squeezer.squeeze(&plain, Compression::Auto);
        let (row, sealed) = blob(&keys, &plain, codec, squeezed);
        let mut out = Vec::with_capacity(2 * MIB);
        group.bench_function("seal", |b| {
            b.iter(|| {
                out.clear();
                seal_blob(&keys, &SALT, &row, squeezed, &mut out);
            });
        });
        group.bench_function("open", |b| {
            b.iter(|| open_blob(&keys, &SALT, &row, &sealed, None).expect("authentic"));
        });
        group.finish();
    }
}

fn deltas(c: &mut Criterion) {
    let keys = keys();
    let base = text(32 * KIB);
    let mut plain = base.clone();
    plain[20_000..20_008].copy_from_slice(b"changed!");
    let mut squeezer = Squeezer::default();
    let mut group = c.benchmark_group("delta_32kib");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    group.bench_function("squeeze", |b| {
        b.iter(|| squeezer.squeeze_delta(&plain, &base, Compression::Auto).map(<[u8]>::len));
    });
    let delta = squeezer.squeeze_delta(&plain, &base, Compression::Auto).expect("small").to_vec();
    let codec = Codec::Delta { base: keys.blob_id(BlobKind::Chunk, &base), generation: 1 };
    let (row, sealed) = blob(&keys, &plain, codec, &delta);
    group.bench_function("open", |b| {
        b.iter(|| open_blob(&keys, &SALT, &row, &sealed, Some(&base)).expect("authentic"));
    });
    group.finish();
}

fn packs(c: &mut Criterion) {
    let keys = keys();
    let plain = text(16 * MIB);
    let mut squeezer = Squeezer::default();
    let mut writer = PackWriter::new(SALT, 16 * MIB);
    for chunk in plain.chunks(MIB) {
        let id = keys.blob_id(BlobKind::Chunk, chunk);
        let (codec, squeezed) = squeezer.squeeze(chunk, Compression::Auto);
        writer
            .push(&keys, &id, BlobKind::Chunk, codec, chunk.len() as u32, squeezed)
            .expect("room for it");
    }
    let (table, bytes) = writer.finish(&keys);
    let mut group = c.benchmark_group("pack_16mib_of_text");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    group.bench_function("check", |b| {
        b.iter(|| open_pack_checked(&keys, table.id, &bytes, &mut |_| None).expect("good"));
    });
    group.finish();
}

fn index(c: &mut Criterion) {
    let count = 100_000u32;
    let mut offset = 42;
    let rows: Vec<Row> = (0..count)
        .map(|number| {
            let id = BlobId::new(*blake3::hash(&number.to_le_bytes()).as_bytes());
            let (stored_len, raw_len) = (100 + number % 900, 84 + number % 900);
            let row =
                Row { id, kind: BlobKind::Node, codec: Codec::Raw, offset, stored_len, raw_len };
            offset += stored_len;
            row
        })
        .collect();
    let size_bytes = u64::from(offset) + 4 + 41 * u64::from(count) + 16 + 12;
    let table = PackTable { id: PackId::new([1; 32]), salt: SALT, size_bytes, rows };
    let segment = Segment { packs: vec![table], supersedes: Vec::new() };
    let plain = segment.encode();
    let mut group = c.benchmark_group("index_of_100000_rows");
    group.throughput(Throughput::Elements(count.into()));
    group.bench_function("encode", |b| b.iter(|| black_box(&segment).encode().len()));
    group.bench_function("walk", |b| {
        b.iter(|| {
            let mut stored_bytes = 0;
            walk(&plain, &mut |part| {
                if let Part::Row(row) = part {
                    stored_bytes += u64::from(row.stored_len);
                }
            })
            .expect("good");
            stored_bytes
        });
    });
    group.finish();
}

criterion_group!(benches, stations, deltas, packs, index);
criterion_main!(benches);

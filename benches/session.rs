//! A session's road, whole: name, look up, squeeze, seal, check, put; and back.
//!
//! `SESSION_MIB` says how much (1024 if not set), `SESSION_DIR` where.

use std::{path::Path, sync::Arc, time::Instant};

use icecore::{
    ambient::Ambient,
    id::{BlobId, BlobKind},
    limits::MIB,
    repo::{InitOptions, OpenOptions, ReadBlobs, Repository, Session, SessionOptions, WriteBlobs},
    seal::SlotParams,
    store::{Abilities, local::LocalStore},
};
use secrecy::SecretString;

const THREADS: usize = 2;

fn main() {
    let given = std::env::var("SESSION_MIB").ok();
    let mib: usize = given.map_or(1024, |given| given.parse().expect("a number"));
    let parent = std::env::var_os("SESSION_DIR").map_or(std::env::temp_dir(), Into::into);
    for (what, fill) in [("random", noise as fn(u64) -> Vec<u8>), ("text", text)] {
        let dir =
            tempfile::Builder::new().prefix("session-bench-").tempdir_in(&parent).expect("a dir");
        let chunks: Vec<Vec<u8>> = (0..64).map(fill).collect();
        let repo = repository(dir.path());
        println!("{what}, {mib} chunks of 1 MiB, {THREADS} threads");
        let session = repo.begin(SessionOptions::default()).expect("a session");
        let ids = timed("  written", mib, || {
            let ids = write(&session, &chunks, mib);
            session.flush().expect("room on the disk");
            ids
        });
        timed("  known already", mib, || write(&session, &chunks, mib));
        println!("  peak memory {} MiB", peak_mib());
        drop(session);
        let reader = repo.reader().expect("a reader");
        timed("  read", mib, || {
            std::thread::scope(|scope| {
                for part in ids.chunks(ids.len().div_ceil(THREADS)) {
                    let reader = &reader;
                    scope.spawn(move || {
                        for some in part.chunks(16) {
                            reader.expect(BlobKind::Chunk, some);
                            for id in some {
                                reader.read(BlobKind::Chunk, id).expect("it was written");
                            }
                        }
                    });
                }
            });
        });
    }
}

fn repository(dir: &Path) -> Repository {
    let store = Arc::new(LocalStore::create(&dir.join("repo")).expect("a store"));
    let abilities = Abilities { create_if_absent: true, visibility_delay_seconds: 0 };
    let init = InitOptions { params: SlotParams::worthless(), label: String::new(), abilities };
    let ambient = Ambient::real("host", "user");
    let password = SecretString::from("password");
    Repository::init(store, &password, &init, OpenOptions::default(), ambient).expect("a repo")
}

/// Each chunk is made different by a few bytes at its beginning.
fn write(session: &Session, chunks: &[Vec<u8>], count: usize) -> Vec<BlobId> {
    let mut ids = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let range = count * thread / THREADS..count * (thread + 1) / THREADS;
                scope.spawn(move || {
                    let mut plain = Vec::new();
                    let write = |number: usize| {
                        plain.clear();
                        plain.extend_from_slice(&chunks[number % chunks.len()]);
                        plain[..8].copy_from_slice(&number.to_le_bytes());
                        session.write(BlobKind::Chunk, &plain, None).expect("it is stored").id
                    };
                    range.map(write).collect::<Vec<_>>()
                })
            })
            .collect();
        for thread in threads {
            ids.extend(thread.join().expect("no panic"));
        }
    });
    ids
}

fn timed<T>(what: &str, mib: usize, work: impl FnOnce() -> T) -> T {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let done = work();
    let mb = (mib * MIB) as f64 / 1e6;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("{what}: {:.0} MB/s, {:.0} MB a CPU second", mb / wall, mb / cpu);
    done
}

fn noise(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; MIB];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn text(seed: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(MIB + 100);
    for line in 0u64.. {
        if text.len() >= MIB {
            break;
        }
        let dice = u64::from_le_bytes(
            *blake3::hash(&(seed << 32 | line).to_le_bytes()).as_bytes().first_chunk().expect("8"),
        );
        let word =
            ["opened", "closed", "refused", "answered", "retried", "lost"][dice as usize % 6];
        let (host, port) = (dice % 250, dice >> 48);
        text.extend_from_slice(
            format!("2026-11-21 {line:08} 10.0.3.{host}:{port} connection {word}\n").as_bytes(),
        );
    }
    text.truncate(MIB);
    text
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a field");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}

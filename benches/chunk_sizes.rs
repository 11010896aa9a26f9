//! What chunk sizes store: `cargo bench --bench chunk_sizes -- DIRECTORY` cuts all files of a
//! directory, and then the same files with some of them changed, at several sizes.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use icecore::{
    chunk::{Cutter, Sizes},
    limits::{KIB, MIB},
    seal::{Compression, with_squeezer},
};

/// A seal's tag and two rows, as in `tree::testing`.
const ROW_BYTES: u64 = 98;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let top = args.first().expect("a directory");
    let mut files = Vec::new();
    collect(Path::new(top), &mut files);
    files.sort();
    println!("{} files of {top}; sizes in MB", files.len());
    println!("| aim | chunks | plain | not seen before | stored | edited stored | cut+name MB/s |");
    println!("|---|---|---|---|---|---|---|");
    for aim in [256 * KIB, 512 * KIB, MIB, 2 * MIB] {
        let sizes = Sizes { min: aim / 2, aim, max: aim * 8 };
        let cutter = Cutter::new(&[1; 32], sizes).expect("in order");
        let mut run = Run { cutter, seen: HashSet::new(), time: Duration::ZERO };
        let (mut first, mut edited) = (Sums::default(), Sums::default());
        for path in &files {
            let Ok(content) = std::fs::read(path) else { continue };
            run.take(&content, &mut first);
        }
        let seconds = run.time.as_secs_f64();
        // Large files that lie here are edited in one place: 100 bytes inserted.
        let mut noise = blake3::Hasher::new().finalize_xof();
        for path in &files {
            let Ok(mut content) = std::fs::read(path) else { continue };
            if content.len() < 4 * MIB {
                continue;
            }
            let mut inserted = [0; 100];
            noise.fill(&mut inserted);
            let at =
                ((usize::from(inserted[0]) << 8 | usize::from(inserted[1])) * content.len()) >> 16;
            content.splice(at..at, inserted);
            run.take(&content, &mut edited);
        }
        println!(
            "| {} KiB | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} |",
            aim / KIB,
            first.chunks,
            first.plain as f64 / 1e6,
            first.new as f64 / 1e6,
            first.stored as f64 / 1e6,
            edited.stored as f64 / 1e6,
            first.plain as f64 / 1e6 / seconds
        );
    }
}

#[derive(Default)]
struct Sums {
    chunks: u64,
    plain: u64,
    new: u64,
    stored: u64,
}

struct Run {
    cutter: Cutter,
    seen: HashSet<[u8; 32]>,
    time: Duration,
}

impl Run {
    fn take(&mut self, content: &[u8], sums: &mut Sums) {
        let mut rest = content;
        loop {
            let start = cpu_time();
            let Some(length) = self.cutter.cut(rest, true) else { return };
            let (chunk, after) = rest.split_at(length.get());
            let id = *blake3::hash(chunk).as_bytes();
            self.time += cpu_time() - start;
            rest = after;
            sums.chunks += 1;
            sums.plain += chunk.len() as u64;
            if self.seen.insert(id) {
                sums.new += chunk.len() as u64;
                let squeezed = with_squeezer(|it| it.squeeze(chunk, Compression::Auto).1.len());
                sums.stored += squeezed as u64 + ROW_BYTES;
            }
        }
    }
}

/// Of this thread: other work on the machine does not count.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    for child in path.read_dir().into_iter().flatten().flatten() {
        match child.file_type() {
            Ok(kind) if kind.is_dir() => collect(&child.path(), files),
            Ok(kind) if kind.is_file() => files.push(child.path()),
            _ => {}
        }
    }
}

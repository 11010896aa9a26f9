//! What trees store: how much a change of scattered entries adds, and in how many ranges an entry
//! reads. `cargo bench --bench tree_sizes -- documents 1000000 32 64` (leaf aims in KiB), or
//! `-- files /usr 16 32 64` for the metadata of real files.

mod documents;

use std::{
    collections::BTreeMap,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use documents::{Numbers, document, key};
use icecore::{
    limits::KIB,
    tree::{
        Aims, Bounds, Merger, Pieces, Root, Splitter, Value, get,
        testing::{Counts, RecordingBlobs},
    },
};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let leaf_kib = |from: usize| -> Vec<usize> {
        let given: Vec<_> = args.iter().skip(from).filter_map(|arg| arg.parse().ok()).collect();
        if given.is_empty() { vec![icecore::limits::LEAF_AIM_BYTES / KIB] } else { given }
    };
    match args.first().map(String::as_str) {
        Some("files") => measure_files(Path::new(&args[1]), &leaf_kib(2)),
        Some("documents") => measure_documents(args[1].parse().expect("a count"), &leaf_kib(2)),
        _ => measure_documents(1_000_000, &leaf_kib(0)),
    }
}

fn splitter(leaf_kib: usize) -> Splitter {
    let aim = leaf_kib * KIB;
    let leaf = Bounds { min: aim / 8, aim, max: aim * 2 };
    let aims = Aims { leaf, ..Aims::default() };
    Splitter::new([1; 32], aims.check().expect("in order"))
}

/// Rows of what was stored and read, in per cent of the base where nothing else is said.
fn measure_documents(entries: u64, aims: &[usize]) {
    println!(
        "{entries} documents; base in MB, changes in % of the base, index and tables included"
    );
    println!("times in seconds of CPU");
    println!("| leaf KiB | base | rows | 0.1 % | 1 % | 10 % | 30 x 1 % | ranges | build | 1 % |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for &leaf_kib in aims {
        let mut run = Run::new(entries, splitter(leaf_kib));
        let start = cpu_seconds();
        let base = run.build();
        let build_seconds = cpu_seconds() - start;
        let stored = base.stored_bytes() as f64;
        print!(
            "| {leaf_kib} | {:.1} | {:.2} % ",
            stored / 1e6,
            percent(base.row_bytes_written, stored)
        );
        let root = run.root;
        for part in [1000, 100, 10] {
            run.root = root;
            let counts = run.change(entries / part);
            eprintln!("{leaf_kib} KiB 1/{part}: {counts:?}");
            print!("| {:.3} ", percent(counts.stored_bytes(), stored));
        }
        run.root = root;
        let (mut sum, mut seconds) = (0, 0.0);
        for _ in 0..30 {
            let start = cpu_seconds();
            let counts = run.change(entries / 100);
            sum += counts.stored_bytes();
            seconds = cpu_seconds() - start;
            eprintln!("{leaf_kib} KiB: {counts:?}");
        }
        let ranges = run.most_ranges(3000);
        println!("| {:.1} | {ranges} | {build_seconds:.1} | {seconds:.1} |", percent(sum, stored));
    }
}

/// Of this thread: other work on the machine does not count.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn percent(part: u64, whole: f64) -> f64 {
    part as f64 * 100.0 / whole
}

struct Run {
    blobs: RecordingBlobs,
    splitter: Splitter,
    root: Root,
    entries: u64,
    version: u64,
    numbers: Numbers,
}

impl Run {
    fn new(entries: u64, splitter: Splitter) -> Self {
        let blobs = RecordingBlobs::default();
        let empty = Merger::new(&blobs, splitter, None).finish().expect("memory holds");
        Run { blobs, splitter, root: empty, entries, version: 0, numbers: Numbers(1) }
    }

    fn build(&mut self) -> Counts {
        self.blobs.take_counts();
        let mut merger = Merger::new(&self.blobs, self.splitter, None);
        for n in 0..self.entries {
            merger.put(&key(n), &document(n, 0)).expect("in order");
        }
        self.root = merger.finish().expect("memory holds");
        self.blobs.take_counts()
    }

    fn change(&mut self, count: u64) -> Counts {
        self.version += 1;
        let mut picked = std::collections::BTreeSet::new();
        while (picked.len() as u64) < count {
            picked.insert(self.numbers.below(self.entries));
        }
        self.blobs.take_counts();
        let mut merger = Merger::new(&self.blobs, self.splitter, Some(self.root));
        for n in picked {
            merger.put(&key(n), &document(n, self.version)).expect("in order");
        }
        self.root = merger.finish().expect("memory holds");
        self.blobs.take_counts()
    }

    /// The most ranges that a cold reader needed for one of so many entries.
    fn most_ranges(&mut self, samples: u64) -> u64 {
        let mut most = 0;
        for _ in 0..samples {
            let n = self.numbers.below(self.entries);
            self.blobs.take_counts();
            assert!(get(&self.blobs, &self.root, &key(n)).expect("memory holds").is_some());
            most = most.max(self.blobs.take_counts().ranges_read);
        }
        most
    }
}

/// Metadata of real files: the base, and what 1 % of them touched adds, scattered or in one place.
fn measure_files(top: &Path, aims: &[usize]) {
    let mut files = BTreeMap::new();
    collect(top, &mut files);
    println!("{} entries of {}; sizes in KB", files.len(), top.display());
    println!("| leaf KiB | base | plain | 1 % scattered | 1 % in one place | one file | ranges |");
    println!("|---|---|---|---|---|---|---|");
    for &leaf_kib in aims {
        let (blobs, splitter) = (RecordingBlobs::default(), splitter(leaf_kib));
        let mut merger = Merger::new(&blobs, splitter, None);
        for (key, value) in &files {
            merger.put(key, value).expect("in order");
        }
        let root = merger.finish().expect("memory holds");
        let base = blobs.take_counts();
        let hundredth = (files.len() / 100).max(1);
        let scattered: Vec<_> = files.iter().step_by(100).collect();
        let together: Vec<_> = files.iter().skip(files.len() / 2).take(hundredth).collect();
        let one = [files.iter().nth(files.len() / 3).expect("files")];
        let mut row = format!(
            "| {leaf_kib} | {:.0} | {:.0} ",
            base.stored_bytes() as f64 / 1e3,
            base.plain_bytes_written as f64 / 1e3
        );
        for changes in [&scattered[..], &together, &one] {
            let mut merger = Merger::new(&blobs, splitter, Some(root));
            for (at, (key, value)) in changes.iter().enumerate() {
                merger.put(key, &touched(value, at as u64)).expect("in order");
            }
            merger.finish().expect("memory holds");
            let stored = blobs.take_counts().stored_bytes() as f64 / 1e3;
            row += &format!("| {stored:.1} ");
        }
        get(&blobs, &root, one[0].0).expect("memory holds");
        println!("{row}| {} |", blobs.take_counts().ranges_read);
    }
}

fn collect(path: &Path, files: &mut BTreeMap<Vec<u8>, Value>) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    let key = path.as_os_str().as_bytes().iter().map(|&byte| if byte == b'/' { 0 } else { byte });
    let mut head = Vec::new();
    for number in [
        u64::from(metadata.mode()),
        metadata.uid().into(),
        metadata.gid().into(),
        metadata.nlink(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime() as u64,
        metadata.mtime_nsec() as u64,
        metadata.ctime() as u64,
        metadata.ctime_nsec() as u64,
    ] {
        head.extend_from_slice(&number.to_le_bytes());
    }
    let pieces = match metadata.is_file() && metadata.size() > 0 {
        true => {
            let id = *blake3::hash(path.as_os_str().as_bytes()).as_bytes();
            let id = Some(icecore::id::BlobId::new(id));
            Pieces::List(vec![icecore::tree::Piece { id, len: metadata.size() }])
        }
        false => Pieces::None,
    };
    files.insert(key.collect(), Value { head: Bytes::from(head), pieces });
    if metadata.is_dir() {
        let children = path.read_dir().into_iter().flatten().flatten();
        let mut children: Vec<PathBuf> = children.map(|child| child.path()).collect();
        children.sort();
        children.iter().for_each(|child| collect(child, files));
    }
}

/// The file with a new time and new content.
fn touched(value: &Value, at: u64) -> Value {
    let mut head = value.head.to_vec();
    for time in [48, 64] {
        head[time..time + 8].copy_from_slice(&(1_800_000_000 + at / 50).to_le_bytes());
    }
    let pieces = match &value.pieces {
        Pieces::List(list) => {
            let id = *blake3::hash(&at.to_le_bytes()).as_bytes();
            let id = Some(icecore::id::BlobId::new(id));
            Pieces::List(vec![icecore::tree::Piece { id, len: list[0].len + 1 }])
        }
        other => other.clone(),
    };
    Value { head: Bytes::from(head), pieces }
}

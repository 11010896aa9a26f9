//! A tree of files made by hand, its blobs, and a target.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use icecore::{
    chunk::{Cutter, Sizes},
    format::entry::{Entry, Kind, Time},
    id::{BlobId, BlobKind},
    progress::Progress,
    repo::{ReadBlobs, WriteBlobs},
    sink::TargetOptions,
    tree::{
        Aims, Bounds, Merger, Piece, Pieces, Root, Splitter, Value, content as pieces,
        testing::RecordingBlobs,
    },
    verbs::restore::{Conflict, Error, Ground, Options, Outcome, Plan, Selection, carry_out, plan},
};

use super::T;

/// So that few entries make a tree of several levels.
const SMALL_NODES: Aims = Aims {
    leaf: Bounds { min: 4 << 10, aim: 32 << 10, max: 128 << 10 },
    inner: Bounds { min: 2 << 10, aim: 16 << 10, max: 64 << 10 },
};

/// Bytes that do not compress and differ for each seed.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

enum Content {
    None,
    Chunked(Vec<u8>),
    /// Seeds of chunks, and holes.
    Pieces(Vec<(Option<u64>, usize)>),
}

/// What a snapshot is to hold. Keys are as in trees.
#[derive(Default)]
pub struct Source {
    entries: BTreeMap<Vec<u8>, (Entry, Content)>,
    last: Vec<u8>,
}

impl Source {
    pub fn raw(&mut self, key: &[u8], bytes: &[u8]) -> &mut Self {
        let entry = Entry { size: bytes.len() as u64, inline: bytes.to_vec(), ..usual(0o644) };
        self.add(key, entry, Content::None)
    }

    pub fn raw_entry(&mut self, key: &[u8], kind: Kind) -> &mut Self {
        let (size, mode) = match &kind {
            Kind::Symlink { target } => (target.len() as u64, 0o777),
            _ => (0, 0o644),
        };
        self.add(key, Entry { kind, size, ..usual(mode) }, Content::None)
    }

    pub fn entry(&mut self, path: &str, kind: Kind) -> &mut Self {
        self.raw_entry(&key(path), kind)
    }

    pub fn dir(&mut self, path: &str, mode: u32) -> &mut Self {
        self.entry(path, Kind::Dir).edit(|entry| entry.mode = mode)
    }

    pub fn file(&mut self, path: &str, bytes: &[u8]) -> &mut Self {
        self.raw(&key(path), bytes)
    }

    pub fn chunked(&mut self, path: &str, bytes: &[u8]) -> &mut Self {
        let entry = Entry { size: bytes.len() as u64, ..usual(0o644) };
        self.add(&key(path), entry, Content::Chunked(bytes.to_vec()))
    }

    pub fn holed(&mut self, path: &str, parts: &[(Option<u64>, usize)]) -> &mut Self {
        let size = parts.iter().map(|(_, length)| *length as u64).sum();
        self.add(&key(path), Entry { size, ..usual(0o644) }, Content::Pieces(parts.to_vec()))
    }

    pub fn link(&mut self, inode: u64, nlink: u32) -> &mut Self {
        self.edit(|entry| (entry.dev, entry.inode, entry.nlink) = (1, inode, nlink))
    }

    /// Changes what was added last.
    pub fn edit(&mut self, change: impl FnOnce(&mut Entry)) -> &mut Self {
        change(&mut self.entries.get_mut(&self.last).unwrap().0);
        self
    }

    pub fn content_of(&self, path: &str) -> Vec<u8> {
        match &self.entries[&key(path)] {
            (_, Content::Chunked(bytes)) => bytes.clone(),
            (entry, _) => entry.inline.clone(),
        }
    }

    fn add(&mut self, key: &[u8], entry: Entry, content: Content) -> &mut Self {
        self.last = key.to_vec();
        self.entries.insert(key.to_vec(), (entry, content));
        self
    }

    fn write(&self, blobs: &RecordingBlobs) -> Root {
        let splitter = Splitter::new([1; 32], SMALL_NODES);
        let sizes = Sizes { min: 512 << 10, aim: 1 << 20, max: 8 << 20 };
        let cutter = Cutter::new(&[2; 32], sizes).unwrap();
        let mut merger = Merger::new(blobs, splitter, None);
        for (key, (entry, content_wanted)) in &self.entries {
            let pieces = match content_wanted {
                Content::None => Pieces::None,
                Content::Chunked(bytes) => {
                    let mut writer = pieces::ContentWriter::new(blobs, &cutter, splitter);
                    writer.write(bytes).unwrap();
                    writer.finish().unwrap()
                }
                Content::Pieces(parts) => {
                    let mut builder = pieces::PiecesBuilder::new(blobs, splitter);
                    for (seed, length) in parts {
                        let chunk = |seed| {
                            let bytes = content(seed, *length);
                            blobs.write(BlobKind::Chunk, &bytes, None).unwrap().id
                        };
                        let id = seed.map(chunk);
                        builder.push(Piece { id, len: *length as u64 }).unwrap();
                    }
                    builder.finish().unwrap()
                }
            };
            let head = Bytes::from(entry.encode().unwrap());
            merger.put(key, &Value { head, pieces }).unwrap();
        }
        merger.finish().unwrap()
    }
}

fn usual(mode: u32) -> Entry {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Entry { mode, uid, gid, mtime: T, ctime: T, nlink: 1, ..Entry::default() }
}

fn key(path: &str) -> Vec<u8> {
    path.replace('/', "\0").into_bytes()
}

/// Reads blobs, and fails as it is told to.
pub struct Reader {
    blobs: Arc<RecordingBlobs>,
    chunks_left: AtomicU64,
    lost: Mutex<HashSet<BlobId>>,
    /// Is cancelled as soon as there are no chunks left.
    cancels: Mutex<Option<Arc<Progress>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("blob {0} is damaged")]
    Damaged(BlobId),
    #[error("the connection is lost")]
    Disconnected,
}

impl Reader {
    /// So many chunks, and then the store is gone.
    pub fn fail_after(&self, chunks: u64) {
        self.chunks_left.store(chunks, Ordering::SeqCst);
    }

    /// So many chunks, and while the last of them is read somebody presses Ctrl-C.
    pub fn cancel_at(&self, chunks: u64, progress: &Arc<Progress>) {
        *self.cancels.lock().unwrap() = Some(progress.clone());
        self.chunks_left.store(chunks, Ordering::SeqCst);
    }

    /// Of the same blobs, with the same losses.
    pub fn another(&self) -> Self {
        Reader {
            blobs: self.blobs.clone(),
            chunks_left: AtomicU64::new(u64::MAX),
            lost: Mutex::new(self.lost.lock().unwrap().clone()),
            cancels: Mutex::default(),
        }
    }

    pub fn lose(&self, id: BlobId) {
        self.lost.lock().unwrap().insert(id);
    }
}

impl ReadBlobs for Reader {
    type Error = ReadError;

    fn read(&self, kind: BlobKind, id: &BlobId) -> Result<Bytes, ReadError> {
        if self.lost.lock().unwrap().contains(id) {
            return Err(ReadError::Damaged(*id));
        }
        let left = &self.chunks_left;
        let one_less = |left: u64| left.checked_sub(1);
        let is_over = kind == BlobKind::Chunk
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_err();
        match &*self.cancels.lock().unwrap() {
            Some(progress) if left.load(Ordering::SeqCst) == 0 => progress.cancel(),
            None if is_over => return Err(ReadError::Disconnected),
            _ => {}
        }
        self.blobs.read(kind, id).map_err(|_| ReadError::Damaged(*id))
    }
}

pub struct Scene {
    pub temp: tempfile::TempDir,
    pub blobs: Arc<RecordingBlobs>,
    pub reader: Reader,
    pub root: Root,
    told: Arc<Mutex<Vec<String>>>,
    kept: RefCell<Vec<PathBuf>>,
}

impl Scene {
    pub fn new(source: &Source) -> Self {
        let blobs = Arc::new(RecordingBlobs::default());
        let root = source.write(&blobs);
        blobs.take_counts();
        let reader = Reader {
            blobs: blobs.clone(),
            chunks_left: AtomicU64::new(u64::MAX),
            lost: Mutex::default(),
            cancels: Mutex::default(),
        };
        let temp = tempfile::tempdir().unwrap();
        let (told, kept) = (Arc::default(), RefCell::default());
        Scene { temp, blobs, reader, root, told, kept }
    }

    pub fn target(&self) -> PathBuf {
        self.temp.path().join("target")
    }

    pub fn options(&self) -> Options {
        Options {
            target: self.target(),
            subpath: Vec::new(),
            selection: Selection::new(&[], &[]).unwrap(),
            conflict: Conflict::Overwrite,
            verify: false,
            workers: 2,
            target_options: TargetOptions::default(),
        }
    }

    pub fn try_restore(
        &self,
        options: &Options,
        progress: &Progress,
    ) -> Result<Outcome, Error<ReadError>> {
        carry_out(&self.ground(), &self.root, options, progress)
    }

    pub fn restore(&self, options: &Options) -> Outcome {
        self.try_restore(options, &self.progress()).unwrap()
    }

    pub fn plan(&self, options: &Options) -> Plan {
        plan(&self.ground(), &self.root, options, &self.progress()).unwrap()
    }

    fn ground(&self) -> Ground<'_, Reader> {
        Ground {
            reader: &self.reader,
            name: &|bytes| {
                let mut hasher = blake3::Hasher::new_keyed(&[42; 32]);
                hasher.update(&[BlobKind::Chunk as u8]).update(bytes);
                BlobId::new(*hasher.finalize().as_bytes())
            },
            is_damage: |error| matches!(error, ReadError::Damaged(_)),
        }
    }

    fn progress(&self) -> Progress {
        let told = self.told.clone();
        let tell = move |trouble: &icecore::progress::Trouble| {
            told.lock().unwrap().push(format!("{}: {}", trouble.item, trouble.error));
        };
        Progress::watched(Box::new(tell), Box::new(|_| {}))
    }

    /// The troubles of all runs so far.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// The value under a path.
    pub fn value(&self, path: &str) -> Value {
        icecore::tree::get(&*self.blobs, &self.root, &key(path)).unwrap().unwrap()
    }

    pub fn chunks_of(&self, path: &str) -> u64 {
        let value = self.value(path);
        pieces::pieces(&*self.blobs, &value.pieces, 0..u64::MAX).count() as u64
    }

    pub fn place(&self, name: &str, bytes: &[u8], mtime: Time) {
        let path = self.target().join(name);
        fs::write(&path, bytes).unwrap();
        let since = std::time::Duration::new(mtime.seconds as u64, mtime.nanos);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + since).unwrap();
    }

    /// A new target of the same name.
    pub fn clear_target(&self) {
        let aside = self.temp.path().join(format!("aside{}", self.kept.borrow().len()));
        fs::rename(self.target(), &aside).unwrap();
        self.kept.borrow_mut().push(aside);
    }

    /// Every path below the target, sorted.
    pub fn target_paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        visit(&self.target(), &mut |path| {
            let path = path.strip_prefix(self.target()).unwrap();
            paths.push(path.to_string_lossy().into_owned());
        });
        paths.sort();
        paths
    }

    pub fn target_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        visit(&self.target(), &mut |path| {
            if fs::symlink_metadata(path).unwrap().is_file() {
                let mut bytes = Vec::new();
                fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
                files.insert(path.to_owned(), bytes);
            }
        });
        files
    }

    /// Everything that a change would change, ctime included.
    pub fn snapshot_of_target(&self) -> Vec<(PathBuf, u64, i64, i64)> {
        let mut found = Vec::new();
        visit(&self.target(), &mut |path| {
            let at = fs::symlink_metadata(path).unwrap();
            // A directory is opened up and settled again by each run.
            let times = if at.is_dir() { (at.mtime(), 0) } else { (at.ctime(), at.ctime_nsec()) };
            found.push((path.to_owned(), at.ino(), times.0, times.1));
        });
        found.sort();
        found
    }
}

fn visit(dir: &Path, each: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        each(&path);
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            visit(&path, each);
        }
    }
}

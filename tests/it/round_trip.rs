//! Files into a repository and back: what a Linux tree holds comes back as it was.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use icecore::{
    ambient::Ambient,
    format::entry::{self, Entry},
    id::BlobKind,
    progress::Progress,
    repo::{self, InitOptions, OpenOptions, Repository},
    seal::SlotParams,
    sink::TargetOptions,
    source::files::WalkOptions,
    store::{
        Abilities, Store,
        faulty::{Fault, Faulty},
        memory::MemoryStore,
    },
    tree::{self, Root},
    verbs::{
        backup::{self, Source, backup},
        mount::{self, Shelved, mount},
        restore::{Conflict, Ground, Options, Outcome, Selection, carry_out},
    },
};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, fallocate, mknodat, utimensat,
};

struct World {
    temp: tempfile::TempDir,
    repo: Repository,
}

impl World {
    fn new() -> Self {
        World::over(Arc::new(MemoryStore::new()), OpenOptions::default())
    }

    fn over(store: Arc<dyn Store>, options: OpenOptions) -> Self {
        let password = secrecy::SecretString::from("correct horse");
        let init = InitOptions {
            params: SlotParams::worthless(),
            label: "first".into(),
            abilities: Abilities { create_if_absent: true, visibility_delay_seconds: 0 },
        };
        let ambient = Ambient::real("host", "user");
        let repo = Repository::init(store, &password, &init, options, ambient).unwrap();
        World { temp: tempfile::tempdir().unwrap(), repo }
    }

    fn source(&self) -> PathBuf {
        self.temp.path().join("source")
    }

    fn target(&self) -> PathBuf {
        self.temp.path().join("target")
    }

    fn back_up(&self) {
        assert_eq!(self.try_back_up().unwrap().troubles, 0);
    }

    fn try_back_up(&self) -> Result<backup::Outcome, backup::Error<repo::Error>> {
        let paths = vec![self.source().as_os_str().as_bytes().to_vec()];
        let source = Source::Paths { paths, walk: WalkOptions::default() };
        let options = backup::Options {
            tags: Vec::new(),
            excludes: Vec::new(),
            host: "host".into(),
            time: None,
            force: false,
            skip_if_unchanged: false,
        };
        backup(&self.repo, source, options, &Progress::silent())
    }

    fn root(&self) -> Root {
        let kept = self.repo.snapshots().unwrap().pop().unwrap();
        let root = kept.snapshot.roots.iter().find(|root| root.name == backup::FILES_ROOT).unwrap();
        Root { id: root.id, level: root.level, entries: root.entries, bytes: root.bytes }
    }

    /// What was backed up, straight into the target.
    fn restore(&self) -> Outcome {
        let reader = self.repo.reader().unwrap();
        let name = |plain: &[u8]| self.repo.keys().blob_id(BlobKind::Chunk, plain);
        let ground = Ground { reader: &reader, name: &name, is_damage: repo::Error::is_damage };
        let options = Options {
            target: self.target(),
            subpath: self.source().into_os_string().into_encoded_bytes(),
            selection: Selection::new(&[], &[]).unwrap(),
            conflict: Conflict::Overwrite,
            verify: true,
            workers: 2,
            target_options: TargetOptions::default(),
        };
        carry_out(&ground, &self.root(), &options, &Progress::silent()).unwrap()
    }
}

/// What can be told of one path without its place on the disk.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    mode: u32,
    owner: (u32, u32),
    size: u64,
    mtime: (i64, i64),
    nlink: u64,
    rdev: u64,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    content: blake3::Hash,
}

fn facts(top: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut all = BTreeMap::new();
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for item in fs::read_dir(&dir).unwrap() {
            let path = item.unwrap().path();
            let at = fs::symlink_metadata(&path).unwrap();
            let content = if at.is_file() {
                fs::read(&path).unwrap()
            } else if at.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                Vec::new()
            };
            let names = xattr::list(&path).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
            let value = |name: &std::ffi::OsString| xattr::get(&path, name).unwrap().unwrap();
            let pair = |name: &std::ffi::OsString| (name.as_bytes().to_vec(), value(name));
            let facts = Facts {
                mode: at.mode(),
                owner: (at.uid(), at.gid()),
                size: if at.is_dir() { 0 } else { at.size() },
                mtime: (at.mtime(), at.mtime_nsec()),
                nlink: if at.is_dir() { 0 } else { at.nlink() },
                rdev: at.rdev(),
                xattrs: names.iter().map(pair).collect(),
                content: blake3::hash(&content),
            };
            all.insert(path.strip_prefix(top).unwrap().to_owned(), facts);
            if at.is_dir() {
                todo.push(path);
            }
        }
    }
    all
}

fn set_time(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// One of all that a tree may hold. Devices and owners only as root.
fn populate(top: &Path) {
    let is_root = rustix::process::geteuid().is_root();
    fs::create_dir_all(top.join("dir/deep/er")).unwrap();
    fs::create_dir(top.join("empty")).unwrap();
    fs::write(top.join("dir/small"), "small").unwrap();
    fs::write(top.join("dir/nothing"), "").unwrap();
    fs::write(top.join("dir/middle"), crate::restore::scene::content(1, 300_000)).unwrap();
    fs::write(top.join("dir/large"), crate::restore::scene::content(2, 20_000_000)).unwrap();
    fs::write(top.join("dir/text"), "all the same line\n".repeat(200_000)).unwrap();
    fs::write(top.join(std::ffi::OsStr::from_bytes(b"caf\xe9 \n\x01")), "any bytes").unwrap();
    fs::hard_link(top.join("dir/middle"), top.join("dir/deep/again")).unwrap();
    fs::hard_link(top.join("dir/middle"), top.join("zzz")).unwrap();
    symlink("dir/small", top.join("link")).unwrap();
    symlink("/nowhere/at/all", top.join("dir/dangling")).unwrap();
    fs::hard_link(top.join("link"), top.join("link2")).unwrap();
    mknodat(CWD, top.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    mknodat(CWD, top.join("sock"), FileType::Socket, Mode::RWXU, 0).unwrap();

    let sparse = fs::File::create(top.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"far out", 40_000_000).unwrap();
    sparse.set_len(60_000_000).unwrap();
    // Room that was reserved and never written is no content.
    let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
    fallocate(fs::File::create(top.join("reserved")).unwrap(), keep, 0, 1 << 20).unwrap();

    xattr::set(top.join("dir/small"), "user.note", b"any\0value").unwrap();
    xattr::set(top.join("dir"), "user.dir", b"").unwrap();
    // user::rwx, user:12:r--, group::r--, mask::r--, other::---
    let entry = |tag: u16, perm: u16, id: u32| {
        [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let acl = [
        2u32.to_le_bytes().to_vec(),
        entry(1, 7, none),
        entry(2, 4, 12),
        entry(4, 4, none),
        entry(0x10, 4, none),
        entry(0x20, 0, none),
    ];
    xattr::set(top.join("dir/text"), "system.posix_acl_access", &acl.concat()).unwrap();
    xattr::set(top.join("empty"), "system.posix_acl_default", &acl.concat()).unwrap();
    fs::write(top.join("empty/inherits"), "an access list from its directory").unwrap();

    let mode = |path: &str, mode| {
        fs::set_permissions(top.join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    if is_root {
        chown(top.join("dir/small"), Some(1234), Some(5678)).unwrap();
        lchown(top.join("link"), Some(77), Some(88)).unwrap();
        mknodat(CWD, top.join("null"), FileType::CharacterDevice, Mode::RWXU, 0x103).unwrap();
        mknodat(CWD, top.join("disk"), FileType::BlockDevice, Mode::RUSR, 0x10_0801).unwrap();
    }
    mode("dir/small", 0o6711);
    mode("dir/nothing", 0);
    mode("dir/deep", 0o500);
    mode("empty", 0o3777);
    set_time(&top.join("link"), 1_000_000_000, 1);
    set_time(&top.join("dir/small"), -1, 999_999_999);
    set_time(&top.join("pipe"), 4_000_000_000, 5);
    set_time(&top.join("dir/deep/er"), 123, 456);
    set_time(&top.join("dir/deep"), 124, 456);
    set_time(&top.join("dir"), 125, 456);
}

fn assert_same(wanted: &Path, found: &Path) {
    let (wanted, found) = (facts(wanted), facts(found));
    assert_eq!(wanted.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (path, facts) in &wanted {
        assert_eq!(*facts, found[path], "{}", path.display());
    }
}

#[test]
fn whatever_a_tree_holds_comes_back_as_it_was() {
    let world = World::new();
    populate(&world.source());
    world.back_up();
    let outcome = world.restore();
    assert_eq!((outcome.troubles, outcome.owners_not_set), (0, 0), "{outcome:?}");
    assert_same(&world.source(), &world.target());
    let inode = |path: &str| fs::symlink_metadata(world.target().join(path)).unwrap().ino();
    assert_eq!(inode("dir/middle"), inode("zzz"));
    assert_eq!(inode("dir/middle"), inode("dir/deep/again"));
    assert_eq!(inode("link"), inode("link2"));
    let sparse = fs::metadata(world.target().join("sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 1 << 20, "{} blocks", sparse.blocks());

    // Again: everything is right. After changes: only they are undone.
    let again = world.restore();
    assert_eq!((again.files_restored, again.files_settled, again.nodes_restored), (0, 0, 0));
    assert_eq!((again.links_restored, again.troubles), (0, 0), "{again:?}");
    fs::write(world.target().join("dir/text"), "changed").unwrap();
    fs::remove_file(world.target().join("zzz")).unwrap();
    fs::remove_file(world.target().join("link")).unwrap();
    let mode = fs::Permissions::from_mode(0o400);
    fs::set_permissions(world.target().join("dir/large"), mode).unwrap();
    xattr::remove(world.target().join("dir/small"), "user.note").unwrap();
    xattr::remove(world.target().join("dir"), "user.dir").unwrap();
    xattr::set(world.target().join("dir"), "user.other", b"x").unwrap();
    let undone = world.restore();
    assert_eq!((undone.files_restored, undone.files_settled), (1, 2), "{undone:?}");
    assert_same(&world.source(), &world.target());
}

#[test]
fn a_store_that_is_full_ends_a_backup_whatever_is_on_its_way() {
    let faulty = Faulty::new(Arc::new(MemoryStore::new()));
    let options = OpenOptions { pack_aim_bytes: 1 << 20, ..OpenOptions::default() };
    let world = World::over(faulty.clone(), options);
    faulty.arm(Fault::Full { after_bytes: 4 << 20 });
    // More than may be between the walk and the tree.
    fs::create_dir(world.source()).unwrap();
    for number in 0..4000u32 {
        let mut content = vec![0; 12 << 10];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut content);
        fs::write(world.source().join(number.to_string()), content).unwrap();
    }
    let (told, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(world.try_back_up().unwrap_err()));
    let failed = ended.recv_timeout(std::time::Duration::from_secs(120));
    let error: Box<dyn std::error::Error> = failed.expect("it ends").into();
    let causes = std::iter::successors(Some(&*error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    assert!(causes.last().unwrap().ends_with("no space left"), "{causes:?}");
}

#[test]
fn a_directory_above_the_roots_changes_with_its_mode_and_not_with_its_times() {
    let world = World::new();
    fs::create_dir(world.source()).unwrap();
    let above = world.temp.path();
    let stored = || {
        let key = entry::key_of_path(above.as_os_str().as_bytes()).unwrap();
        let value = tree::get(&world.repo.reader().unwrap(), &world.root(), &key).unwrap();
        Entry::decode(&value.unwrap().head).unwrap()
    };
    fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
    world.back_up();
    let first = stored();
    fs::write(above.join("beside"), "x").unwrap();
    world.back_up();
    assert_eq!(stored(), first);
    fs::set_permissions(above, fs::Permissions::from_mode(0o700)).unwrap();
    world.back_up();
    assert_eq!((first.mode, stored().mode), (0o755, 0o700));
}

#[test]
fn a_mount_shows_the_same() {
    let world = World::new();
    populate(&world.source());
    world.back_up();
    let at = world.temp.path().join("mount");
    fs::create_dir(&at).unwrap();
    let (sid, root) = (world.repo.snapshots().unwrap()[0].sid, world.root());
    let list = move || Some(vec![Shelved { sid, time: jiff::Timestamp::UNIX_EPOCH, root }]);
    let options = mount::Options { mountpoint: at.clone(), allow_other: false };
    let (reader, ambient) = (world.repo.reader().unwrap(), world.repo.ambient().clone());
    let progress = Arc::new(Progress::silent());
    let mounted = match mount(reader, Box::new(list), options, ambient, progress) {
        Ok(mounted) => mounted,
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            return;
        }
    };
    let shown = at.join("latest").join(world.source().strip_prefix("/").unwrap());
    assert_same(&world.source(), &shown);
    let same = Command::new("cmp")
        .arg(world.source().join("dir/large"))
        .arg(shown.join("dir/large"))
        .status();
    assert!(same.unwrap().success());
    mounted.unmount().unwrap();
}

//! Directories below the root: made, and synced, so that what lies in them lasts.

use std::{
    collections::HashSet,
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, fstat, linkat, mkdirat, openat},
    io::Errno,
};

pub const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Directory names below this one are the first two digits of what they hold; they stay for ever.
const PACKS: &str = "packs";

type Sync = Box<dyn Fn(BorrowedFd<'_>) -> io::Result<()> + Send + std::marker::Sync>;
/// In a directory, from one name to another.
type Link = Box<dyn Fn(&OwnedFd, &str, &str) -> Result<(), Errno> + Send + std::marker::Sync>;

pub struct Dirs {
    root: OwnedFd,
    /// New files and directories are open to whom the root is open: its permission bits.
    root_mode: Mode,
    /// Directories that are known to be durable and that nobody removes.
    lasting: Mutex<HashSet<String>>,
    /// A sync failed, so the kernel may have dropped what it promised: nothing is promised here
    /// any more.
    broken: AtomicBool,
    /// fsync(2) and link(2); seams for the tests of this room only.
    pub sync: Sync,
    pub link: Link,
}

impl Dirs {
    pub fn new(root: OwnedFd) -> io::Result<Self> {
        let root_mode = Mode::from_raw_mode(fstat(&root)?.st_mode & 0o777);
        Ok(Dirs {
            root,
            root_mode,
            lasting: Mutex::default(),
            broken: AtomicBool::new(false),
            sync: Box::new(|fd| Ok(rustix::fs::fsync(fd)?)),
            link: Box::new(|dir, from, to| linkat(dir, from, dir, to, AtFlags::empty())),
        })
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub fn file_mode(&self) -> Mode {
        self.root_mode & Mode::from_raw_mode(0o666)
    }

    pub fn open(&self, dir: &str) -> io::Result<OwnedFd> {
        let dir = if dir.is_empty() { "." } else { dir };
        Ok(openat(&self.root, dir, OPEN_DIR, Mode::empty())?)
    }

    /// Opens the directory, made before when it is missing; its name is durable on return.
    pub fn ensure(&self, dir: &str) -> io::Result<OwnedFd> {
        if dir.is_empty() || self.is_known(dir) {
            match self.open(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.is_empty() => {
                    self.lasting().remove(dir);
                }
                done => return done,
            }
        }
        let parent = dir.rsplit_once('/').map_or("", |(parent, _)| parent);
        let parent_fd = self.ensure(parent)?;
        match mkdirat(&self.root, dir, self.root_mode) {
            // Another may have made it and not have synced it yet: sync in both cases.
            Ok(()) | Err(Errno::EXIST) => self.sync_dir(&parent_fd)?,
            Err(error) => return Err(error.into()),
        }
        if lasts(dir) {
            self.lasting().insert(dir.to_owned());
        }
        self.open(dir)
    }

    /// Makes all directories of packs with one sync instead of one each.
    pub fn make_pack_directories(&self) -> io::Result<()> {
        let packs = self.ensure(PACKS)?;
        for first in 0..=0xffu8 {
            match mkdirat(&packs, format!("{first:02x}"), self.root_mode) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.sync_dir(&packs)?;
        self.lasting().extend((0..=0xffu8).map(|first| format!("{PACKS}/{first:02x}")));
        Ok(())
    }

    pub fn is_known(&self, dir: &str) -> bool {
        self.lasting().contains(dir)
    }

    /// Makes the directory's names durable. After one failure every later call fails, too: the
    /// kernel reports a lost write once only.
    pub fn sync_dir(&self, dir: &OwnedFd) -> io::Result<()> {
        self.assert_sound()?;
        match (self.sync)(dir.as_fd()) {
            Err(error) if is_no_such_call(&error) => Ok(()),
            Err(error) => {
                self.broken.store(true, Ordering::SeqCst);
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    pub fn assert_sound(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("an earlier sync of a directory failed"));
        }
        Ok(())
    }

    fn lasting(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.lasting.lock().expect("no code panics while it holds the set")
    }
}

/// Directories of the first level and those of packs are never removed; a session's own is.
pub fn lasts(dir: &str) -> bool {
    dir.rsplit_once('/').is_none_or(|(parent, _)| parent == PACKS)
}

/// Some network and FUSE file systems can't sync directories.
fn is_no_such_call(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::NOTSUP].contains(&errno_of(error))
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Makes the root and its missing parents, syncing the parent of each that was made.
pub fn create_root(path: &Path) -> io::Result<()> {
    let absolute: PathBuf = std::path::absolute(path)?;
    let mut missing: Vec<&Path> = Vec::new();
    for ancestor in absolute.ancestors() {
        if ancestor.exists() {
            break;
        }
        missing.push(ancestor);
    }
    for dir in missing.iter().rev() {
        match rustix::fs::mkdir(*dir, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(parent) = dir.parent() {
            match fs::File::open(parent)?.sync_all() {
                Err(error) if !is_no_such_call(&error) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

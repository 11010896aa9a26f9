//! Directories that stay reachable while only so many of them are open.
//!
//! Those who hold a `Dir` (the walk, and everything it found) can always get its descriptor. A
//! pool closes the ones that were opened longest ago; they are opened again through their parents
//! when somebody asks, and it is checked that they are still the same.

use std::{
    collections::VecDeque,
    ffi::{CStr, CString},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags, openat, statx},
    io::Errno,
};

use crate::{
    format::entry::{FileType, Stat, Time},
    source::Error,
};

#[derive(Debug)]
pub(super) struct Pool {
    opened: Mutex<VecDeque<Weak<Dir>>>,
    open_max: usize,
}

impl Pool {
    pub fn new(open_max: usize) -> Arc<Pool> {
        Arc::new(Pool { opened: Mutex::default(), open_max })
    }

    fn add(&self, dir: &Arc<Dir>) {
        let mut opened = lock(&self.opened);
        opened.push_back(Arc::downgrade(dir));
        while opened.len() > self.open_max {
            let oldest = opened.pop_front().and_then(|dir| dir.upgrade());
            if let Some(dir) = oldest.filter(|oldest| !Arc::ptr_eq(oldest, dir)) {
                lock(&dir.fd).take();
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Dir {
    pool: Arc<Pool>,
    /// `None` for `/`.
    parent: Option<Arc<Dir>>,
    name: CString,
    way: Way,
    /// Device and inode.
    identity: (u64, u64),
    fd: Mutex<Option<Arc<OwnedFd>>>,
}

/// How a directory is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To read it; it must be a directory itself.
    List,
    /// To pass through it towards a root, without the right to read it; symbolic links are
    /// followed, because the person who named the root went that way too.
    Pass,
}

/// A directory that was just opened.
pub(super) struct Opened {
    pub dir: Arc<Dir>,
    pub fd: Arc<OwnedFd>,
    pub stat: Stat,
}

impl Dir {
    pub fn root(pool: &Arc<Pool>, way: Way) -> Result<Opened, Error> {
        Dir::open(pool, None, c"/", way)
    }

    pub fn child(self: &Arc<Self>, name: &CStr, way: Way) -> Result<Opened, Error> {
        Dir::open(&self.pool, Some(self), name, way)
    }

    fn open(
        pool: &Arc<Pool>,
        parent: Option<&Arc<Dir>>,
        name: &CStr,
        way: Way,
    ) -> Result<Opened, Error> {
        let above = parent.map(Dir::fd).transpose()?;
        let fd = Arc::new(way.open(above.as_deref(), name)?);
        let stat = stat_open(&fd)?;
        let dir = Arc::new(Dir {
            pool: pool.clone(),
            parent: parent.cloned(),
            name: name.to_owned(),
            way,
            identity: (stat.dev, stat.inode),
            fd: Mutex::new(Some(fd.clone())),
        });
        pool.add(&dir);
        Ok(Opened { dir, fd, stat })
    }

    /// Its descriptor, opened again if the pool closed it meanwhile.
    pub fn fd(self: &Arc<Self>) -> Result<Arc<OwnedFd>, Error> {
        let mut closed = Vec::new();
        let mut above = None;
        let mut dir = Some(self);
        while let Some(at) = dir {
            above = lock(&at.fd).clone();
            if above.is_some() {
                break;
            }
            closed.push(at);
            dir = at.parent.as_ref();
        }
        for dir in closed.into_iter().rev() {
            above = Some(dir.reopen(above.as_deref())?);
        }
        above.ok_or(Error::System(Errno::BADF))
    }

    fn reopen(self: &Arc<Self>, above: Option<&OwnedFd>) -> Result<Arc<OwnedFd>, Error> {
        let fd = Arc::new(self.way.open(above, &self.name)?);
        let stat = stat_open(&fd)?;
        if (stat.dev, stat.inode) != self.identity {
            return Err(Error::Swapped);
        }
        *lock(&self.fd) = Some(fd.clone());
        self.pool.add(self);
        Ok(fd)
    }
}

/// A path may be thousands of directories long; their owners are let go one after the other
/// instead of one inside the other.
impl Drop for Dir {
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut dir) = next.and_then(Arc::into_inner) {
            next = dir.parent.take();
        }
    }
}

impl Way {
    /// The way into a directory of which all is wanted, or only what lies below.
    pub fn to(whole: bool) -> Way {
        if whole { Way::List } else { Way::Pass }
    }

    fn open(self, above: Option<&OwnedFd>, name: &CStr) -> Result<OwnedFd, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |flags| match above {
            Some(above) => openat(above, name, flags, Mode::empty()),
            None => openat(CWD, name, flags, Mode::empty()),
        };
        match self {
            Way::Pass => open(flags | OFlags::PATH),
            Way::List => quietly(flags | OFlags::RDONLY | OFlags::NOFOLLOW, open),
        }
    }
}

/// Opens without leaving an access time behind, where the system lets us.
pub(super) fn quietly(
    flags: OFlags,
    open: impl Fn(OFlags) -> Result<OwnedFd, Errno>,
) -> Result<OwnedFd, Errno> {
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        done => done,
    }
}

/// Of what stands there, never of what a link points to, and without mounting anything.
pub(super) fn stat_at(dir: &OwnedFd, name: &CStr) -> Result<Stat, Error> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    stat_of(&statx(dir, name, flags, StatxFlags::BASIC_STATS)?)
}

pub(super) fn stat_open(fd: &OwnedFd) -> Result<Stat, Error> {
    stat_of(&statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?)
}

fn stat_of(statx: &Statx) -> Result<Stat, Error> {
    let mode = u32::from(statx.stx_mode);
    let file_type = FileType::of_mode(mode).ok_or(Error::UnknownSort { mode })?;
    let sized = matches!(file_type, FileType::File | FileType::Symlink);
    Ok(Stat {
        file_type,
        mode: mode & 0o7777,
        uid: statx.stx_uid,
        gid: statx.stx_gid,
        size: if sized { statx.stx_size } else { 0 },
        allocated: statx.stx_blocks.saturating_mul(512),
        mtime: Time { seconds: statx.stx_mtime.tv_sec, nanos: statx.stx_mtime.tv_nsec },
        ctime: Time { seconds: statx.stx_ctime.tv_sec, nanos: statx.stx_ctime.tv_nsec },
        inode: statx.stx_ino,
        dev: rustix::fs::makedev(statx.stx_dev_major, statx.stx_dev_minor),
        rdev: rustix::fs::makedev(statx.stx_rdev_major, statx.stx_rdev_minor),
        nlink: statx.stx_nlink,
    })
}

// What is locked is a plain value, whole at every moment: a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

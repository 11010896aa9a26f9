//! Owners, modes, times and extended attributes, set without ever following a link.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmod,
        chownat, fstat, futimens, getxattr, getxattr_query, listxattr, listxattr_query, openat,
        removexattr, setxattr, utimensat,
    },
    io::Errno,
};

use super::{Error, Found, FoundKind, Name};
use crate::format::entry::Time;

/// An extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// What a file, directory or node is to have beside its content.
#[derive(Debug, Clone, Copy)]
pub struct Meta<'a> {
    /// Permission bits, 07777. Not for symbolic links, which have none of their own.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub xattrs: &'a [Xattr],
}

/// What could not be set, and why; the rest was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    pub what: What,
    pub errno: Errno,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Owner,
    Mode,
    Times,
    /// The attribute's name.
    Xattr(Vec<u8>),
}

impl Unset {
    /// An owner, or a bit that goes with one, that only root may give: expected of a restore by
    /// anyone else.
    pub fn needs_root(&self) -> bool {
        matches!(self.what, What::Owner | What::Mode) && self.errno == Errno::PERM
    }
}

/// A file that is being written, through its own descriptor. `reused`: it may carry attributes
/// that it should not have. Which file it is comes back, too.
pub(super) fn settle_open(
    fd: impl AsFd,
    meta: &Meta<'_>,
    reused: bool,
) -> Result<(Vec<Unset>, (u64, u64)), Error> {
    let mut setting = Setting::new(fd.as_fd(), Path::Own, meta)?;
    let identity = (setting.now.dev, setting.now.inode);
    setting.owner();
    setting.xattrs(reused);
    setting.mode();
    setting.note(What::Times, futimens(setting.fd, &setting.times()));
    Ok((setting.done()?, identity))
}

/// A directory: the times before the mode, which may shut us out.
pub(super) fn settle_dir(fd: &OwnedFd, meta: &Meta<'_>, reused: bool) -> Result<Vec<Unset>, Error> {
    let open =
        openat(fd, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let (fd, path) = match &open {
        Ok(open) => (open, Path::Own),
        Err(_) => (fd, Path::Proc),
    };
    let mut setting = Setting::new(fd.as_fd(), path, meta)?;
    setting.owner();
    setting.xattrs(reused);
    let times = utimensat(fd, c".", &setting.times(), AtFlags::SYMLINK_NOFOLLOW);
    setting.note(What::Times, times);
    setting.mode();
    setting.done()
}

/// A link, fifo, socket or device that was just made as `name` in `dir`.
pub(super) fn settle_node(
    dir: &OwnedFd,
    name: &[u8],
    meta: &Meta<'_>,
) -> Result<Vec<Unset>, Error> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir, name, flags, Mode::empty()).map_err(|errno| Error::of("open", errno))?;
    let mut setting = Setting::new(fd.as_fd(), Path::Proc, meta)?;
    setting.owner();
    setting.xattrs(false);
    if setting.now.kind != FoundKind::Symlink {
        setting.mode();
    }
    let times = utimensat(dir, name, &setting.times(), AtFlags::SYMLINK_NOFOLLOW);
    setting.note(What::Times, times);
    setting.done()
}

/// What is there already and as `found` saw it, right in all but metadata.
pub(super) fn settle_existing(
    dir: &OwnedFd,
    name: Name<'_>,
    found: &Found,
    meta: &Meta<'_>,
) -> Result<Vec<Unset>, Error> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir, name.bytes(), flags, Mode::empty())
        .map_err(|errno| Error::of("open", errno))?;
    let mut setting = Setting::new(fd.as_fd(), Path::Proc, meta)?;
    let now = setting.now;
    if (now.dev, now.inode, now.kind) != (found.dev, found.inode, found.kind) {
        return Err(Error::Changed);
    }
    setting.owner();
    setting.xattrs(true);
    if now.kind != FoundKind::Symlink {
        setting.mode();
    }
    if now.mtime != meta.mtime {
        let times = utimensat(dir, name.bytes(), &setting.times(), AtFlags::SYMLINK_NOFOLLOW);
        setting.note(What::Times, times);
    }
    setting.done()
}

/// How a descriptor is named where a call wants a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    /// A real descriptor takes the call itself.
    Own,
    /// An O_PATH one is named through /proc, which leads to the very inode.
    Proc,
}

struct Setting<'a> {
    fd: BorrowedFd<'a>,
    path: Path,
    meta: &'a Meta<'a>,
    now: Found,
    chowned: bool,
    unset: Vec<Unset>,
}

impl<'a> Setting<'a> {
    fn new(fd: BorrowedFd<'a>, path: Path, meta: &'a Meta<'a>) -> Result<Self, Error> {
        let now = fstat(fd).map_err(|errno| Error::of("look at", errno))?;
        let now = Found::of(&now);
        Ok(Setting { fd, path, meta, now, chowned: false, unset: Vec::new() })
    }

    fn times(&self) -> Timestamps {
        let Time { seconds, nanos } = self.meta.mtime;
        Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: i64::from(nanos) },
        }
    }

    fn owner(&mut self) {
        let Meta { uid, gid, .. } = *self.meta;
        if (self.now.uid, self.now.gid) == (uid, gid) {
            return;
        }
        self.chowned = true;
        // (-1, "leave it", is no owner that a file can have; rustix refuses it as a value.)
        if uid == u32::MAX || gid == u32::MAX {
            return self.note(What::Owner, Err(Errno::INVAL));
        }
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        let set = |uid| chownat(self.fd, c"", uid, gid, AtFlags::EMPTY_PATH);
        let mut result = set(uid);
        if result == Err(Errno::PERM) {
            // Anyone may give a file to a group of his own.
            let _ = set(None);
            result = Err(Errno::PERM);
        }
        self.note(What::Owner, result);
    }

    /// After the owner, since changing that clears setuid bits.
    fn mode(&mut self) {
        let wanted = self.meta.mode & 0o7777;
        if self.now.mode == wanted && !self.chowned {
            return;
        }
        let owner_stands = !self.unset.iter().any(|unset| unset.what == What::Owner);
        // A setuid bit is for the owner it was given to, never for whoever restores.
        let mode = if owner_stands { wanted } else { wanted & 0o1777 };
        if mode != wanted {
            self.note(What::Mode, Err(Errno::PERM));
        }
        let mode = Mode::from_raw_mode(mode);
        let result = match self.path {
            Path::Own => rustix::fs::fchmod(self.fd, mode),
            Path::Proc => chmod(proc_path(self.fd), mode),
        };
        self.note(What::Mode, result);
    }

    fn xattrs(&mut self, reused: bool) {
        let path = proc_path(self.fd);
        if reused {
            self.remove_others(&path);
        }
        for (name, value) in self.meta.xattrs {
            let result = match self.path {
                Path::Own => {
                    rustix::fs::fsetxattr(self.fd, name.as_slice(), value, XattrFlags::empty())
                }
                Path::Proc => setxattr(&path, name.as_slice(), value, XattrFlags::empty()),
            };
            self.note(What::Xattr(name.clone()), result);
        }
    }

    /// Labels of security modules are the system's own and stay.
    fn remove_others(&mut self, path: &str) {
        let Ok(names) = list(path) else { return };
        for name in names {
            let ours = name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_");
            if ours && !self.meta.xattrs.iter().any(|(wanted, _)| *wanted == name) {
                let result = removexattr(path, name.as_slice());
                self.note(What::Xattr(name), result);
            }
        }
    }

    fn note(&mut self, what: What, result: Result<(), Errno>) {
        if let Err(errno) = result {
            self.unset.push(Unset { what, errno });
        }
    }

    /// A full disk is not one item's matter.
    fn done(self) -> Result<Vec<Unset>, Error> {
        let mut errors = self.unset.iter().map(|unset| Error::of("set metadata", unset.errno));
        match errors.find(Error::is_final) {
            Some(error) => Err(error),
            None => Ok(self.unset),
        }
    }
}

/// Opens a directory that its own owner had shut to himself; the mode that it had.
pub(super) fn let_owner_in(fd: &OwnedFd) -> Option<Mode> {
    let stat = fstat(fd).ok()?;
    if stat.st_mode & 0o700 == 0o700 || stat.st_uid != rustix::process::geteuid().as_raw() {
        return None;
    }
    // When it fails, so does what needed it, and that is told.
    chmod(proc_path(fd), Mode::from_raw_mode((stat.st_mode & 0o7777) | 0o700)).ok()?;
    Some(Mode::from_raw_mode(stat.st_mode & 0o7777))
}

pub(super) fn set_mode(fd: &OwnedFd, mode: Mode) -> Result<(), Error> {
    chmod(proc_path(fd), mode).map_err(|errno| Error::of("set the mode", errno))
}

pub(super) fn has_default_access_list(dir: &OwnedFd) -> bool {
    getxattr_query(proc_path(dir), c"system.posix_acl_default").is_ok()
}

pub(super) fn xattrs_at(dir: &OwnedFd, name: Name<'_>) -> Result<Vec<Xattr>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir, name.bytes(), flags, Mode::empty())?;
    let path = proc_path(&fd);
    let mut found = Vec::new();
    for name in list(&path)? {
        let mut value = vec![0; getxattr_query(&path, name.as_slice())?];
        let length = getxattr(&path, name.as_slice(), value.as_mut_slice())?;
        value.truncate(length);
        found.push((name, value));
    }
    Ok(found)
}

fn list(path: &str) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = vec![0u8; listxattr_query(path)?];
    let length = listxattr(path, names.as_mut_slice())?;
    let names = names[..length].split(|&byte| byte == 0);
    Ok(names.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Means `fd` only while that is open.
pub(super) fn proc_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

//! One open directory of the target: what is in it, and what is made in it, by checked names only.

use std::{os::fd::OwnedFd, sync::Arc};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags, getxattr, linkat, mkdirat,
        mknodat, openat, readlinkat, removexattr, renameat, renameat_with, setxattr, statat,
        symlinkat, unlinkat,
    },
    io::Errno,
};

use super::{
    Error, Meta, Name, Place, Resolve, Unset, Xattr,
    draft::{Draft, temporary},
    meta, target,
};
use crate::format::entry::Time;

/// The attribute of directories that a run has made and is not done with.
const UNFINISHED: &str = "user.icecore.unfinished";

/// A directory below (or at) the target. Clones share one descriptor.
#[derive(Debug, Clone)]
pub struct Dir {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    fd: OwnedFd,
    resolve: Resolve,
    /// Made by this run, so that nothing in it can be older.
    fresh: bool,
    /// Things made in it start with access lists of its own.
    gives_access_lists: bool,
    /// Its device and inode.
    identity: (u64, u64),
    /// It was shut to its own owner, and is opened for this run.
    shut: Option<Mode>,
}

/// What stands under a name, not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub kind: FoundKind,
    pub size_bytes: u64,
    /// Permission bits, 07777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub nlink: u64,
    pub dev: u64,
    pub inode: u64,
    /// For devices.
    pub rdev: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    File,
    Dir,
    Symlink,
    Fifo,
    Char,
    Block,
    Socket,
}

/// What is made whole by one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node<'a> {
    Symlink(&'a [u8]),
    Fifo,
    Socket,
    Char(u64),
    Block(u64),
}

impl Dir {
    pub(super) const FLAGS: OFlags =
        OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

    pub(super) fn new(fd: OwnedFd, resolve: Resolve, fresh: bool) -> Self {
        let gives_access_lists = !fresh && meta::has_default_access_list(&fd);
        // An open descriptor can be asked; if not, all temporary names are only less apart.
        let identity = rustix::fs::fstat(&fd).map_or((0, 0), |stat| (stat.st_dev, stat.st_ino));
        let shut = None;
        Dir { held: Arc::new(Held { fd, resolve, fresh, gives_access_lists, identity, shut }) }
    }

    /// The mode that `make_dir` found, when it had to open the directory to go into it.
    pub fn shut(&self) -> Option<Mode> {
        self.held.shut
    }

    /// Shuts it as it was.
    pub fn shut_again(&self, mode: Mode) -> Result<(), Error> {
        meta::set_mode(self.fd(), mode)
    }

    pub(super) fn identity(&self) -> (u64, u64) {
        self.held.identity
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.held.fd
    }

    /// Made by this run: every name in it that this run did not make is absent.
    pub fn is_fresh(&self) -> bool {
        self.held.fresh
    }

    /// The very same handle.
    pub fn is(&self, other: &Dir) -> bool {
        Arc::ptr_eq(&self.held, &other.held)
    }

    pub(super) fn gives_access_lists(&self) -> bool {
        self.held.gives_access_lists
    }

    /// What stands under `name`; `None` when nothing does.
    pub fn find(&self, name: Name<'_>) -> Result<Option<Found>, Error> {
        match statat(self.fd(), name.bytes(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::of("look at", errno)),
        }
    }

    /// The existing directory at `place` below this one.
    pub fn descend(&self, place: Place<'_>) -> Result<Dir, Error> {
        match target::descend(self.fd(), place.names(), self.held.resolve) {
            Ok(Some(fd)) => Ok(Dir::new(fd, self.held.resolve, false)),
            Ok(None) => Ok(self.clone()),
            Err(errno) => Err(Error::of("open the directory", errno)),
        }
    }

    /// The existing directory `name`, which is never followed.
    pub fn dir(&self, name: Name<'_>) -> Result<Dir, Error> {
        let names = std::iter::once(name);
        match target::descend(self.fd(), names, self.held.resolve) {
            Ok(fd) => Ok(Dir::new(fd.expect("one name was given"), self.held.resolve, false)),
            Err(errno) => Err(Error::of("open the directory", errno)),
        }
    }

    /// Makes the directory, closed to others until it is settled, or opens the one that is there.
    /// `Error::Appeared` when something else stands there.
    pub fn make_dir(&self, name: Name<'_>) -> Result<Dir, Error> {
        let made = match mkdirat(self.fd(), name.bytes(), Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(Error::of("make the directory", errno)),
        };
        let names = std::iter::once(name);
        let fd = match target::descend(self.fd(), names, self.held.resolve) {
            Ok(fd) => fd.expect("one name was given"),
            Err(Errno::NOTDIR | Errno::LOOP) if !made => return Err(Error::Appeared),
            Err(errno) => return Err(Error::of("open the directory", errno)),
        };
        let shut = if made { None } else { meta::let_owner_in(&fd) };
        // What inherits access lists passes them on; a directory of ours starts with none else.
        let fresh = made && !self.gives_access_lists();
        let mut dir = Dir::new(fd, self.held.resolve, fresh);
        Arc::get_mut(&mut dir.held).expect("nobody has a clone yet").shut = shut;
        Ok(dir)
    }

    /// A file to be written and then put under `name`. Nothing stands there before `finish`.
    pub fn draft(&self, name: Name<'_>) -> Result<Draft, Error> {
        Draft::fresh(self, name)
    }

    /// As `draft`, and goes on with what an interrupted run left, when it is safe to.
    pub fn resume(&self, name: Name<'_>) -> Result<Draft, Error> {
        Draft::resumed(self, name)
    }

    /// Turns the file that stands there into a draft to be patched: until `finish` nothing has the
    /// name. `None` when it has other links or another owner, and so must not be written into.
    pub fn take_over(&self, name: Name<'_>, found: &Found) -> Result<Option<Draft>, Error> {
        Draft::taken(self, name, found)
    }

    /// Opens the file to read what is there; only a regular file, never followed.
    pub fn read(&self, name: Name<'_>) -> Result<std::fs::File, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(self.fd(), name.bytes(), flags, Mode::empty())
            .map_err(|errno| Error::of("open", errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| Error::of("look at", errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(fd.into()),
            _ => Err(Error::Changed),
        }
    }

    /// Where the symbolic link `name` points.
    pub fn read_link(&self, name: Name<'_>) -> Result<Vec<u8>, Error> {
        let text = readlinkat(self.fd(), name.bytes(), Vec::new())
            .map_err(|errno| Error::of("read the link", errno))?;
        Ok(text.into_bytes())
    }

    /// The names and values of what `name` carries; only for comparing.
    pub fn xattrs(&self, name: Name<'_>) -> Result<Vec<Xattr>, Error> {
        meta::xattrs_at(self.fd(), name)
            .map_err(|errno| Error::of("read extended attributes", errno))
    }

    /// Makes a link, fifo, socket or device with its metadata, in place of what has the name when
    /// `replace` (`Error::Appeared` otherwise). What could not be set comes back.
    pub fn make(
        &self,
        name: Name<'_>,
        node: Node<'_>,
        meta: &Meta<'_>,
        replace: bool,
    ) -> Result<Vec<Unset>, Error> {
        let temporary = temporary(self, name);
        self.remove_leftover(&temporary)?;
        let made = match node {
            Node::Symlink(text) => symlinkat(text, self.fd(), temporary.as_slice()),
            Node::Fifo => self.mknod(&temporary, FileType::Fifo, 0),
            Node::Socket => self.mknod(&temporary, FileType::Socket, 0),
            Node::Char(rdev) => self.mknod(&temporary, FileType::CharacterDevice, rdev),
            Node::Block(rdev) => self.mknod(&temporary, FileType::BlockDevice, rdev),
        };
        made.map_err(|errno| Error::of("make", errno))?;
        let unset = meta::settle_node(self.fd(), &temporary, meta);
        let put = unset.and_then(|unset| self.put(&temporary, name, replace).map(|()| unset));
        if put.is_err() {
            // The first error is the one to tell; a leftover is removed by the next run.
            let _ = unlinkat(self.fd(), temporary.as_slice(), AtFlags::empty());
        }
        put
    }

    fn mknod(&self, name: &[u8], kind: FileType, rdev: u64) -> Result<(), Errno> {
        mknodat(self.fd(), name, kind, Mode::empty(), rdev)
    }

    /// Gives `name` to the file that `as_found` saw as `source_name` in `source_dir`; checked
    /// again just before. Anything else that has the name goes when `replace`.
    pub fn link(
        &self,
        name: Name<'_>,
        (source_dir, source_name): (&Dir, Name<'_>),
        as_found: (u64, u64),
        replace: bool,
    ) -> Result<(), Error> {
        let temporary = temporary(self, name);
        self.remove_leftover(&temporary)?;
        linkat(
            source_dir.fd(),
            source_name.bytes(),
            self.fd(),
            temporary.as_slice(),
            AtFlags::empty(),
        )
        .map_err(|errno| Error::of("link", errno))?;
        let same = statat(self.fd(), temporary.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == as_found);
        let put = if same { self.put(&temporary, name, replace) } else { Err(Error::Changed) };
        // Renaming a link over its own inode does nothing and leaves both names.
        let _ = unlinkat(self.fd(), temporary.as_slice(), AtFlags::empty());
        put
    }

    /// Gives what stands under the temporary name its own.
    pub(super) fn put(&self, temporary: &[u8], name: Name<'_>, replace: bool) -> Result<(), Error> {
        let fd = self.fd();
        if !replace {
            return match renameat_with(fd, temporary, fd, name.bytes(), RenameFlags::NOREPLACE) {
                Ok(()) => Ok(()),
                Err(Errno::EXIST) => Err(Error::Appeared),
                Err(Errno::INVAL | Errno::NOSYS) => self.put_by_link(temporary, name),
                Err(errno) => Err(Error::of("rename", errno)),
            };
        }
        match renameat(fd, temporary, fd, name.bytes()) {
            Ok(()) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(errno) => return Err(Error::of("rename", errno)),
        }
        match unlinkat(fd, name.bytes(), AtFlags::REMOVEDIR) {
            Ok(()) => renameat(fd, temporary, fd, name.bytes())
                .map_err(|errno| Error::of("rename", errno)),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(Error::DirectoryInTheWay),
            Err(errno) => Err(Error::of("remove the directory", errno)),
        }
    }

    /// Where renaming cannot promise to replace nothing, linking does.
    fn put_by_link(&self, temporary: &[u8], name: Name<'_>) -> Result<(), Error> {
        let fd = self.fd();
        match linkat(fd, temporary, fd, name.bytes(), AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(Error::Appeared),
            // Nor that: to look first is the best that is left.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return match self.find(name)? {
                    Some(_) => Err(Error::Appeared),
                    None => renameat(fd, temporary, fd, name.bytes())
                        .map_err(|errno| Error::of("rename", errno)),
                };
            }
            Err(errno) => return Err(Error::of("link", errno)),
        }
        unlinkat(fd, temporary, AtFlags::empty()).map_err(|errno| Error::of("rename", errno))
    }

    /// Removes a file, link or node that stands where a directory must be.
    pub fn clear(&self, name: Name<'_>) -> Result<(), Error> {
        unlinkat(self.fd(), name.bytes(), AtFlags::empty())
            .map_err(|errno| Error::of("remove", errno))
    }

    pub(super) fn remove_leftover(&self, temporary: &[u8]) -> Result<(), Error> {
        if self.held.fresh {
            return Ok(());
        }
        match unlinkat(self.fd(), temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::of("remove a leftover", errno)),
        }
    }

    /// Sets the metadata of a file that is right already but for these.
    pub fn settle_file(
        &self,
        name: Name<'_>,
        found: &Found,
        meta: &Meta<'_>,
    ) -> Result<Vec<Unset>, Error> {
        meta::settle_existing(self.fd(), name, found, meta)
    }

    /// Marks a directory that is made, for the next run if this one dies: what is its own is not
    /// set before all is in it. Nothing says so where there are no such attributes.
    pub fn begin(&self) {
        let _ = setxattr(meta::proc_path(self.fd()), UNFINISHED, b"", XattrFlags::empty());
    }

    /// Whether a run that died has made it.
    pub fn is_begun(&self) -> bool {
        getxattr(meta::proc_path(self.fd()), UNFINISHED, &mut [0; 1][..]).is_ok()
    }

    /// Takes the mark away.
    pub fn end(&self) {
        let _ = removexattr(meta::proc_path(self.fd()), UNFINISHED);
    }

    /// Sets the directory's own metadata, once everything in it is done.
    pub fn settle(&self, meta: &Meta<'_>) -> Result<Vec<Unset>, Error> {
        meta::settle_dir(self.fd(), meta, !self.held.fresh)
    }
}

impl Found {
    pub(super) fn of(stat: &rustix::fs::Stat) -> Self {
        Found {
            kind: FoundKind::of(stat.st_mode),
            size_bytes: stat.st_size as u64,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Time { seconds: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 },
            nlink: stat.st_nlink,
            dev: stat.st_dev,
            inode: stat.st_ino,
            rdev: stat.st_rdev,
        }
    }
}

impl FoundKind {
    fn of(st_mode: u32) -> Self {
        match FileType::from_raw_mode(st_mode) {
            FileType::Directory => FoundKind::Dir,
            FileType::Symlink => FoundKind::Symlink,
            FileType::Fifo => FoundKind::Fifo,
            FileType::Socket => FoundKind::Socket,
            FileType::CharacterDevice => FoundKind::Char,
            FileType::BlockDevice => FoundKind::Block,
            FileType::RegularFile | FileType::Unknown => FoundKind::File,
        }
    }
}

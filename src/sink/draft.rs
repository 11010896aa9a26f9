//! A file on its way: written under a temporary name, then put under its own, whole.

use std::{fs::File, os::fd::OwnedFd};

use rustix::{
    fs::{
        AtFlags, FallocateFlags, Mode, OFlags, RenameFlags, fallocate, fchmod, fstat, ftruncate,
        openat, renameat_with, statat, unlinkat,
    },
    io::{Errno, pwrite},
};

use super::{Dir, Error, Found, FoundKind, Meta, Name, Unset, meta};

/// Dropped before `finish`, it is removed, unless it holds what an earlier run or another file
/// left and is worth going on with.
#[derive(Debug)]
pub struct Draft {
    dir: Dir,
    name: Box<[u8]>,
    temporary: Vec<u8>,
    file: File,
    keep: bool,
    /// It came with content.
    old_content: bool,
    /// It may have come with extended attributes.
    old_xattrs: bool,
    /// It was a file that somebody uses, with these permissions.
    taken: Option<u32>,
}

/// The name beside `name` under which it grows. It depends on the directory as well, so that a
/// half file which someone backed up and restored elsewhere is in nobody's way.
pub(super) fn temporary(dir: &Dir, name: Name<'_>) -> Vec<u8> {
    let (dev, inode) = dir.identity();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&dev.to_le_bytes()).update(&inode.to_le_bytes()).update(name.bytes());
    let hash = hasher.finalize();
    format!(".icecore-{}.part", hex::encode(&hash.as_bytes()[..12])).into_bytes()
}

impl Draft {
    pub(super) fn fresh(dir: &Dir, name: Name<'_>) -> Result<Self, Error> {
        let temporary = temporary(dir, name);
        let fd = match create(dir, &temporary) {
            Err(Errno::EXIST) => {
                unlinkat(dir.fd(), temporary.as_slice(), AtFlags::empty())
                    .map_err(|errno| Error::of("remove a leftover", errno))?;
                create(dir, &temporary)
            }
            other => other,
        };
        let fd = fd.map_err(|errno| Error::of("create", errno))?;
        let mut draft = Draft::new(dir, name, temporary, fd.into());
        draft.old_xattrs = dir.gives_access_lists();
        Ok(draft)
    }

    /// What an earlier run left is taken up only when nobody else can have a hand in it: a
    /// regular file of our own with no second link.
    pub(super) fn resumed(dir: &Dir, name: Name<'_>) -> Result<Self, Error> {
        let temporary = temporary(dir, name);
        match open_own(dir, &temporary) {
            Ok(Some(fd)) => Ok(Draft::new(dir, name, temporary, fd.into()).with_content()),
            Ok(None) | Err(_) => {
                let mut draft = Draft::fresh(dir, name)?;
                draft.keep = true;
                Ok(draft)
            }
        }
    }

    pub(super) fn taken(dir: &Dir, name: Name<'_>, found: &Found) -> Result<Option<Self>, Error> {
        let Ok(Some(fd)) = open_own(dir, name.bytes()) else { return Ok(None) };
        let stat = fstat(&fd).map_err(|errno| Error::of("look at", errno))?;
        if (stat.st_dev, stat.st_ino) != (found.dev, found.inode) {
            return Err(Error::Changed);
        }
        let temporary = temporary(dir, name);
        dir.remove_leftover(&temporary)?;
        let (from, to) = (name.bytes(), temporary.as_slice());
        renameat_with(dir.fd(), from, dir.fd(), to, RenameFlags::empty())
            .map_err(|errno| Error::of("rename", errno))?;
        let moved = statat(dir.fd(), to, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Error::of("look at", errno))?;
        if (moved.st_dev, moved.st_ino) != (found.dev, found.inode) {
            // Somebody put another one there in this moment: it gets its name back.
            renameat_with(dir.fd(), to, dir.fd(), from, RenameFlags::NOREPLACE)
                .map_err(|errno| Error::of("rename back", errno))?;
            return Err(Error::Changed);
        }
        let mut draft = Draft::new(dir, name, temporary, fd.into()).with_content();
        draft.taken = Some(found.mode);
        Ok(Some(draft))
    }

    fn new(dir: &Dir, name: Name<'_>, temporary: Vec<u8>, file: File) -> Self {
        Draft {
            dir: dir.clone(),
            name: name.bytes().into(),
            temporary,
            file,
            keep: false,
            old_content: false,
            old_xattrs: false,
            taken: None,
        }
    }

    fn with_content(mut self) -> Self {
        (self.keep, self.old_content, self.old_xattrs) = (true, true, true);
        self
    }

    /// It may hold bytes from before that are right already.
    pub fn is_reused(&self) -> bool {
        self.old_content
    }

    /// A file that was taken, and can't be made what it should be, has its name and permissions
    /// again: what could be written in it is, and the rest is as it was. True if it was one.
    pub fn give_back(&self) -> Result<bool, Error> {
        let Some(mode) = self.taken else { return Ok(false) };
        let (from, to) = (self.temporary.as_slice(), &*self.name);
        renameat_with(self.dir.fd(), from, self.dir.fd(), to, RenameFlags::NOREPLACE)
            .map_err(|errno| Error::of("rename back", errno))?;
        fchmod(&self.file, Mode::from_raw_mode(mode)).map_err(|errno| Error::of("chmod", errno))?;
        Ok(true)
    }

    /// From now on a dropped draft is removed: nothing in it is worth keeping.
    pub fn discard(&mut self) {
        self.keep = false;
    }

    /// Makes it so long; what is new of it is a hole.
    pub fn set_len(&self, size_bytes: u64) -> Result<(), Error> {
        ftruncate(&self.file, size_bytes).map_err(|errno| Error::of("size", errno))
    }

    /// Any thread, any order.
    pub fn write_at(&self, mut bytes: &[u8], mut offset: u64) -> Result<(), Error> {
        while !bytes.is_empty() {
            match pwrite(&self.file, bytes, offset) {
                Ok(0) => return Err(Error::of("write", Errno::NOSPC)),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::of("write", errno)),
            }
        }
        Ok(())
    }

    /// To read back what it holds.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes the range read as zeros and take no room, where the file system can.
    pub fn hole(&self, offset: u64, len: u64) -> Result<(), Error> {
        if !self.is_reused() {
            return Ok(()); // `set_len` left it so
        }
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, punch, offset, len) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.zeros(offset, len),
            Err(errno) => Err(Error::of("write", errno)),
        }
    }

    fn zeros(&self, mut offset: u64, len: u64) -> Result<(), Error> {
        let zeros = [0u8; 1 << 16];
        let end = offset + len;
        while offset < end {
            let run = (end - offset).min(zeros.len() as u64) as usize;
            self.write_at(&zeros[..run], offset)?;
            offset += run as u64;
        }
        Ok(())
    }

    /// Sets the metadata and gives the file its name: in place of what has it when `replace`,
    /// else `Error::Appeared`. What could not be set comes back, and which file it now is.
    pub fn finish(
        mut self,
        meta: &Meta<'_>,
        replace: bool,
    ) -> Result<(Vec<Unset>, (u64, u64)), Error> {
        let (unset, identity) = meta::settle_open(&self.file, meta, self.old_xattrs)?;
        let name = Name::new(&self.name).expect("it was one at the start");
        self.dir.put(&self.temporary, name, replace)?;
        self.keep = true; // the temporary name is gone
        Ok((unset, identity))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.keep {
            // Nobody is left to tell; the next run removes it or goes on with it.
            let _ = unlinkat(self.dir.fd(), self.temporary.as_slice(), AtFlags::empty());
        }
    }
}

fn create(dir: &Dir, temporary: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir.fd(), temporary, flags, Mode::RUSR | Mode::WUSR)
}

/// `None`: it is there, but has other links, another owner, or is no file.
fn open_own(dir: &Dir, name: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = openat(dir.fd(), name, flags, Mode::empty())?;
    let stat = fstat(&fd)?;
    let found = Found::of(&stat);
    let ours = found.uid == rustix::process::geteuid().as_raw();
    if found.kind != FoundKind::File || found.nlink != 1 || !ours {
        return Ok(None);
    }
    fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
    Ok(Some(fd))
}

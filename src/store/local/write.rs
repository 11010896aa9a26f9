//! How a file comes to be, whole and durable or not at all, and how it goes.
//!
//! The order is PROTOCOL.md's: a temporary of its own in the same directory, written and synced;
//! linked to the name, which fails when the name is taken; the temporary's name removed; the
//! directory synced. `docs/decisions/0001-local-store-write-order.md` has the reasons.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{
        AtFlags, Dir, OFlags, RenameFlags, fstat, linkat, openat, renameat_with, statat, unlinkat,
    },
    io::Errno,
};

use super::{
    dirs::{self, Dirs},
    errno,
};
use crate::store::{Name, Put};

const TEMPORARY: &str = ".tmp-";
/// A temporary this much older than a new one in the same directory has lost its writer; if not
/// (a host that slept), that writer finds it gone and writes anew.
const STALE_SECONDS: i64 = 24 * 3600;
/// So often a write is begun anew: after a failed sync, or when its directory or its temporary
/// was taken away by another.
const ATTEMPTS: u32 = 4;

/// Temporaries are told apart within the process; `O_EXCL` tells processes apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

pub fn create(dirs: &Dirs, name: &Name, bytes: &[u8]) -> io::Result<Put> {
    let (dir, last) = split(name);
    let mut attempts = 0;
    loop {
        attempts += 1;
        dirs.assert_sound()?;
        let error = match attempt(dirs, dir, last, bytes) {
            Ok(put) => return Ok(put),
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Again(error)) => error,
        };
        if attempts == ATTEMPTS {
            return Err(error);
        }
    }
}

enum Attempt {
    Final(io::Error),
    Again(io::Error),
}

fn attempt(dirs: &Dirs, dir: &str, last: &str, bytes: &[u8]) -> Result<Put, Attempt> {
    // The directory may vanish until the temporary stands in it (`remove` tidies empty ones).
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Attempt::Again(error),
        _ => Attempt::Final(error),
    };
    let known = dirs.is_known(dir);
    let dir_fd = dirs.ensure(dir).map_err(gone)?;
    if statat(&dir_fd, last, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        // Its writer may not have synced yet, and our caller will rely on it.
        dirs.sync_dir(&dir_fd).map_err(Attempt::Final)?;
        return Ok(Put::Exists);
    }
    let temporary = Temporary::new(&dir_fd, dirs).map_err(gone)?;
    if !known {
        // Housekeeping: its failure is nobody's failure.
        let _ = tidy(&dir_fd, &temporary);
    }
    (&temporary.file).write_all(bytes).map_err(Attempt::Final)?;
    (dirs.sync)(temporary.file.as_fd()).map_err(|error| {
        // The kernel may have dropped the pages and marked them clean, so a second sync of this
        // file would lie: it is written anew, from memory.
        if errno::is_full(&error) { Attempt::Final(error) } else { Attempt::Again(error) }
    })?;
    let put = temporary.publish(last)?;
    drop(temporary);
    dirs.sync_dir(&dir_fd).map_err(Attempt::Final)?;
    Ok(put)
}

/// A file under a hidden name, which is removed when this is dropped.
struct Temporary<'a> {
    dir: &'a OwnedFd,
    name: String,
    file: File,
}

impl<'a> Temporary<'a> {
    fn new(dir: &'a OwnedFd, dirs: &Dirs) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{TEMPORARY}{}-{number}", std::process::id());
            match openat(dir, &name, flags, dirs.file_mode()) {
                Ok(fd) => return Ok(Temporary { dir, name, file: fd.into() }),
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the file its name, unless that is taken.
    fn publish(&self, name: &str) -> Result<Put, Attempt> {
        let tried = match linkat(self.dir, &self.name, self.dir, name, AtFlags::empty()) {
            // No hard links here (FAT, some FUSE and SMB): the other call that is atomic and does
            // not overwrite. Creating the name itself with O_EXCL would show half an object.
            Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL | Errno::MLINK) => {
                renameat_with(self.dir, &self.name, self.dir, name, RenameFlags::NOREPLACE)
            }
            tried => tried,
        };
        match tried {
            Ok(()) => Ok(Put::Created),
            // NFS: a request whose answer was lost is sent again, and meets its own work.
            Err(_) if self.is(name) => Ok(Put::Created),
            Err(Errno::EXIST) => Ok(Put::Exists),
            // The temporary was tidied away by a process that took us for dead.
            Err(error @ Errno::NOENT) => Err(Attempt::Again(error.into())),
            Err(error) => Err(Attempt::Final(error.into())),
        }
    }

    fn is(&self, name: &str) -> bool {
        match (fstat(&self.file), statat(self.dir, name, AtFlags::SYMLINK_NOFOLLOW)) {
            (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            _ => false,
        }
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // After a rename there is nothing; after a failure the next day's tidying finds it.
        let _ = unlinkat(self.dir, &self.name, AtFlags::empty());
    }
}

/// Removes what crashed writers left. Ages are differences of the file system's own times: no
/// clock is asked.
fn tidy(dir: &OwnedFd, newest: &Temporary<'_>) -> io::Result<()> {
    let now = fstat(&newest.file)?.st_mtime;
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_bytes().starts_with(TEMPORARY.as_bytes()) {
            continue;
        }
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if now - stat.st_mtime > STALE_SECONDS {
            unlinkat(dir, name, AtFlags::empty())?;
        }
    }
    Ok(())
}

pub fn remove(dirs: &Dirs, name: &Name) -> io::Result<()> {
    dirs.assert_sound()?;
    let (dir, last) = split(name);
    let dir_fd = match dirs.open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    match unlinkat(&dir_fd, last, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some((parent, own)) = dir.rsplit_once('/').filter(|_| !dirs::lasts(dir)) {
        let parent_fd = dirs.open(parent)?;
        // Fails while anything is in it, a temporary too.
        if unlinkat(&parent_fd, own, AtFlags::REMOVEDIR).is_ok() {
            return dirs.sync_dir(&parent_fd);
        }
    }
    dirs.sync_dir(&dir_fd)
}

fn split(name: &Name) -> (&str, &str) {
    name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()))
}

//! How a file comes to be, whole and durable or not at all, and how it goes.
//!
//! The order is PROTOCOL.md's: a temporary of its own in the same directory, written and synced;
//! linked to the name, which fails when the name is taken; the temporary's name removed; the
//! directory synced. `docs/decisions/0001-how-a-local-store-writes.md` has the reasons.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{AtFlags, Dir, OFlags, RenameFlags, fstat, openat, renameat_with, statat, unlinkat},
    io::Errno,
};

use super::{
    direct,
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
    direct::write_all(&temporary.file, bytes).map_err(Attempt::Final)?;
    (dirs.sync)(temporary.file.as_fd()).map_err(|error| {
        // The kernel may have dropped the pages and marked them clean, so a second sync of this
        // file would lie: it is written anew, from memory.
        if errno::is_full(&error) { Attempt::Final(error) } else { Attempt::Again(error) }
    })?;
    let put = temporary.publish(last, dirs)?;
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
    fn publish(&self, name: &str, dirs: &Dirs) -> Result<Put, Attempt> {
        let tried = match (dirs.link)(self.dir, &self.name, name) {
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

#[cfg(test)]
mod tests {
    use std::{
        os::{fd::BorrowedFd, unix::fs::MetadataExt},
        path::Path,
        sync::{
            Arc, Mutex,
            atomic::{AtomicBool, AtomicU32},
        },
        time::{Duration, SystemTime},
    };

    use super::*;
    use crate::store::{ErrorKind, Store, list_all, local::LocalStore};

    /// What was synced: its inode, whether it is a directory, and what stood in `watched` then.
    type Seen = Arc<Mutex<Vec<(u64, bool, Vec<String>)>>>;

    struct Stand {
        dir: tempfile::TempDir,
        store: LocalStore,
        seen: Seen,
    }

    /// `fail` decides, from how many syncs came before, on an error for this one.
    fn stand(
        watched: &str,
        fail: impl Fn(usize, bool) -> Option<Errno> + Send + Sync + 'static,
    ) -> Stand {
        let dir = tempfile::tempdir().unwrap();
        let mut store = LocalStore::create(dir.path()).unwrap();
        let seen = Seen::default();
        let (watch, note) = (dir.path().join(watched), seen.clone());
        store.dirs.sync = Box::new(move |fd: BorrowedFd<'_>| {
            let stat = fstat(fd)?;
            let is_dir = stat.st_mode & 0o170000 == 0o040000;
            let mut seen = note.lock().unwrap();
            seen.push((stat.st_ino, is_dir, names(&watch)));
            match fail(seen.len() - 1, is_dir) {
                Some(errno) => Err(errno.into()),
                None => Ok(rustix::fs::fsync(fd)?),
            }
        });
        Stand { dir, store, seen }
    }

    fn names(dir: &Path) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
        let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        entries.map(|entry| name(entry).into_string().unwrap()).collect()
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn put(store: &LocalStore, object: &str) -> Result<Put, crate::store::Error> {
        store.put_new(&name(object), bytes::Bytes::from_static(b"some bytes"))
    }

    #[test]
    fn the_order_of_a_write() {
        let it = stand("packs/0a", |_, _| None);
        put(&it.store, "packs/0a/x").unwrap();
        let seen = it.seen.lock().unwrap().clone();
        let [file, dir] = seen.as_slice() else { panic!("a file and a directory: {seen:?}") };
        assert!(!file.1 && file.2.len() == 1 && file.2[0].starts_with(TEMPORARY), "{file:?}");
        assert!(dir.1 && dir.2 == ["x"], "synced under its name only: {dir:?}");
        let there = std::fs::metadata(it.dir.path().join("packs/0a/x")).unwrap();
        assert_eq!(there.ino(), file.0, "the synced file is the one that got the name");

        it.seen.lock().unwrap().clear();
        assert_eq!(put(&it.store, "packs/0a/x").unwrap(), Put::Exists);
        let seen = it.seen.lock().unwrap().clone();
        assert!(matches!(seen[..], [(_, true, _)]), "`Exists` lasts, too: {seen:?}");

        it.seen.lock().unwrap().clear();
        it.store.remove(&name("packs/0a/x")).unwrap();
        let seen = it.seen.lock().unwrap().clone();
        assert!(matches!(&seen[..], [(_, true, left)] if left.is_empty()), "{seen:?}");
    }

    #[test]
    fn new_directories_last() {
        let it = stand("", |_, _| None);
        put(&it.store, "sessions/s1/open").unwrap();
        let inode = |path: &str| std::fs::metadata(it.dir.path().join(path)).unwrap().ino();
        let synced: Vec<u64> = it.seen.lock().unwrap().iter().map(|seen| seen.0).collect();
        let [root, parent, file, dir] = synced[..] else { panic!("{synced:?}") };
        assert_eq!([root, parent, dir], [inode("."), inode("sessions"), inode("sessions/s1")]);
        assert_eq!(file, inode("sessions/s1/open"));
    }

    #[test]
    fn a_failed_sync_is_never_asked_again() {
        let it = stand("x", |nth, is_dir| (nth < 3 && !is_dir).then_some(Errno::IO));
        put(&it.store, "x").unwrap();
        let files: Vec<u64> =
            (it.seen.lock().unwrap().iter()).filter(|seen| !seen.1).map(|seen| seen.0).collect();
        assert_eq!(files.len(), 4, "three failed, the fourth did not");
        let there = it.dir.path().join("x");
        assert_eq!(std::fs::metadata(&there).unwrap().ino(), files[3]);
        assert_eq!(std::fs::read(there).unwrap(), b"some bytes");

        let it = stand("x", |_, is_dir| (!is_dir).then_some(Errno::IO));
        assert_eq!(put(&it.store, "index/x").unwrap_err().kind, ErrorKind::Io);
        assert!(names(&it.dir.path().join("index")).is_empty(), "nothing is left");
        let it = stand("x", |_, is_dir| (!is_dir).then_some(Errno::NOSPC));
        assert_eq!(put(&it.store, "index/x").unwrap_err().kind, ErrorKind::Full);
        assert_eq!(it.seen.lock().unwrap().iter().filter(|seen| !seen.1).count(), 1);
    }

    #[test]
    fn a_directory_that_was_not_synced_ends_all_writing() {
        let armed = Arc::new(AtomicBool::new(true));
        let fails = armed.clone();
        let it = stand("", move |_, is_dir| {
            (is_dir && fails.load(Ordering::SeqCst)).then_some(Errno::IO)
        });
        assert_eq!(put(&it.store, "packs/00/x").unwrap_err().kind, ErrorKind::Io);
        armed.store(false, Ordering::SeqCst);
        // A second sync would say yes, and lie about the first write.
        put(&it.store, "packs/00/x").expect_err("not even `Exists`");
        put(&it.store, "packs/01/x").expect_err("nor anything else");
        it.store.remove(&name("packs/00/x")).expect_err("nor a removal");
        assert_eq!(it.store.size(&name("packs/00/x")).unwrap(), 10, "reading goes on");

        let it = stand("", |_, is_dir| is_dir.then_some(Errno::INVAL));
        put(&it.store, "packs/00/x").expect("some file systems can't sync directories");
    }

    #[test]
    fn without_hard_links_a_rename_that_does_not_overwrite_serves() {
        let mut it = stand("", |_, _| None);
        it.store.dirs.link = Box::new(|_, _, _| Err(Errno::PERM));
        crate::store::contract::check_few(&it.store);
        assert_eq!(put(&it.store, "packs/00/x").unwrap(), Put::Created);
        assert_eq!(names(&it.dir.path().join("packs/00")), ["x"]);
    }

    #[test]
    fn a_link_whose_answer_was_lost_is_known_again() {
        let mut it = stand("", |_, _| None);
        it.store.dirs.link = Box::new(|dir, from, to| {
            rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())?;
            Err(Errno::EXIST)
        });
        assert_eq!(put(&it.store, "x").unwrap(), Put::Created);
    }

    #[test]
    fn a_temporary_taken_away_is_written_anew() {
        let mut it = stand("", |_, _| None);
        let times = AtomicU32::new(0);
        it.store.dirs.link = Box::new(move |dir, from, to| {
            if times.fetch_add(1, Ordering::SeqCst) == 0 {
                unlinkat(dir, from, AtFlags::empty())?;
            }
            rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())
        });
        assert_eq!(put(&it.store, "x").unwrap(), Put::Created);
        assert_eq!(std::fs::read(it.dir.path().join("x")).unwrap(), b"some bytes");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "files get real ages here")]
    fn what_crashed_writers_left_is_hidden_and_goes_after_a_day() {
        let it = stand("", |_, _| None);
        let leave = |name: &str, hours: u64| {
            let file = File::create(it.dir.path().join(name)).unwrap();
            let age = Duration::from_secs(hours * 3600);
            file.set_modified(SystemTime::now() - age).unwrap();
        };
        leave("gc-old", 100);
        std::fs::create_dir_all(it.dir.path().join("gc")).unwrap();
        leave("gc/.tmp-1-1", 25);
        leave("gc/.tmp-1-2", 23);
        leave("gc/.other", 100);
        leave("gc/Stranger", 100);
        assert_eq!(list_all(&it.store, "gc").unwrap(), []);
        put(&it.store, "gc/x").unwrap();
        let mut left = names(&it.dir.path().join("gc"));
        left.sort();
        assert_eq!(left, [".other", ".tmp-1-2", "Stranger", "x"]);
        assert_eq!(list_all(&it.store, "gc").unwrap().len(), 1);
    }

    #[test]
    fn directories_come_and_go_under_writers() {
        let it = stand("", |_, _| None);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = &it.store;
                scope.spawn(move || {
                    for n in 0..25 {
                        let object = format!("sessions/s/{thread}-{n}");
                        assert_eq!(put(store, &object).unwrap(), Put::Created);
                        assert_eq!(store.size(&name(&object)).unwrap(), 10);
                        store.remove(&name(&object)).unwrap();
                    }
                });
            }
        });
        assert!(names(&it.dir.path().join("sessions")).is_empty(), "empty ones are tidied");
        assert!(it.dir.path().join("packs/ff").is_dir(), "those of packs are not");
    }
}

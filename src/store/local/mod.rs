//! Objects as files below one directory of a local (or mounted) file system.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    num::NonZero,
    ops::Range,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::fs::{Advice, AtFlags, FileType, Mode, OFlags, fadvise, fstat, openat, statat};

use super::{Error, ErrorKind, Listed, Name, Put, Store};
use crate::{
    buffers::Buffers,
    limits::{READ_ON_FROM_BYTES, READ_SPARE_BYTES},
};

mod direct;
mod dirs;
mod errno;
mod walk;
mod write;

use dirs::Dirs;

/// Every path is opened relative to the root directory as it was opened at first, so a disk that
/// is unmounted or replaced in mid-run can't turn into an empty repository.
pub struct LocalStore {
    path: PathBuf,
    dirs: Dirs,
    visibility_delay_seconds: u64,
    /// What is read goes into these.
    buffers: Buffers,
}

impl LocalStore {
    /// The directory must exist; whether a repository lies in it is the caller's question.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_root(path).map_err(|error| errno::wrap(error, "open", &path.to_string_lossy()))
    }

    /// Makes the directory, its parents and the 256 directories of packs, durable on return; what
    /// exists is left as it is.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let fail = |error| errno::wrap(error, "create", &path.to_string_lossy());
        dirs::create_root(path).map_err(fail)?;
        let store = Self::open_root(path).map_err(fail)?;
        store.dirs.make_pack_directories().map_err(fail)?;
        Ok(store)
    }

    fn open_root(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, dirs::OPEN_DIR, Mode::empty())?;
        let visibility_delay_seconds = visibility_delay_seconds(&root)?;
        let (path, dirs) = (path.into(), Dirs::new(root)?);
        let buffers = Buffers::new(READ_SPARE_BYTES);
        Ok(LocalStore { path, dirs, visibility_delay_seconds, buffers })
    }

    fn read(&self, name: &Name, range: Range<u64>) -> Result<Bytes, ReadError> {
        // NONBLOCK: a pipe that somebody put in the object's place must not hold us for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = openat(self.dirs.root(), name.as_str(), flags, Mode::empty())
            .map_err(io::Error::from)?;
        let stat = fstat(&fd).map_err(io::Error::from)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(ReadError::NotAFile);
        }
        if range.start > range.end || range.end > stat.st_size as u64 {
            return Err(ReadError::Short);
        }
        let length = range.end - range.start;
        if length >= READ_ON_FROM_BYTES {
            // Who reads so much of an object goes on behind it, most of the time.
            let _ = fadvise(&fd, range.end, NonZero::new(length), Advice::WillNeed);
        }
        let mut file = File::from(fd);
        let mut bytes = self.buffers.take(length as usize);
        file.seek(SeekFrom::Start(range.start))?;
        file.take(length).read_to_end(&mut bytes)?;
        // It shrank while it was read.
        if bytes.len() as u64 != length { Err(ReadError::Short) } else { Ok(bytes.freeze()) }
    }
}

enum ReadError {
    Short,
    NotAFile,
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

/// Names cached by other clients of a network file system may be this old; nothing on local disks.
fn visibility_delay_seconds(root: &OwnedFd) -> io::Result<u64> {
    const NFS: u32 = 0x6969;
    const SMB: u32 = 0x517b;
    const SMB2: u32 = 0xfe53_4d42;
    const CIFS: u32 = 0xff53_4d42;
    const FUSE: u32 = 0x6573_5546;
    const NINE_P: u32 = 0x0102_1997;
    const CEPH: u32 = 0x00c3_6400;
    let kind = rustix::fs::fstatfs(root)?.f_type as u32;
    Ok(if [NFS, SMB, SMB2, CIFS, FUSE, NINE_P, CEPH].contains(&kind) { 120 } else { 0 })
}

impl std::fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalStore({})", self.path.display())
    }
}

impl Store for LocalStore {
    fn put_new(&self, name: &Name, bytes: Bytes) -> Result<Put, Error> {
        write::create(&self.dirs, name, &bytes)
            .map_err(|error| errno::wrap(error, "put", name.as_str()))
    }

    fn get(&self, name: &Name, range: Range<u64>) -> Result<Bytes, Error> {
        self.read(name, range).map_err(|error| match error {
            ReadError::Short => Error::new(ErrorKind::ShortObject, "get", name.as_str()),
            ReadError::NotAFile => Error::new(ErrorKind::NotAFile, "get", name.as_str()),
            // Over a network it may be the network that failed.
            ReadError::Io(error) if self.visibility_delay_seconds > 0 => {
                errno::wrap(error, "get", name.as_str())
            }
            ReadError::Io(error) => errno::wrap_read(error, name.as_str()),
        })
    }

    fn size(&self, name: &Name) -> Result<u64, Error> {
        let stat = statat(self.dirs.root(), name.as_str(), AtFlags::empty())
            .map_err(|error| errno::wrap(error.into(), "size", name.as_str()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::new(ErrorKind::NotAFile, "size", name.as_str()));
        }
        Ok(stat.st_size as u64)
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        super::name::assert_prefix(prefix);
        walk::list(self.dirs.root(), prefix, each)
    }

    fn remove(&self, name: &Name) -> Result<(), Error> {
        write::remove(&self.dirs, name).map_err(|error| errno::wrap(error, "remove", name.as_str()))
    }

    fn creates_atomically(&self) -> bool {
        true
    }

    fn visibility_delay_seconds(&self) -> u64 {
        self.visibility_delay_seconds
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::store::list_all;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::create(&dir.path().join("a/b")).unwrap();
        crate::store::contract::check(&store);
        crate::store::contract::check_few(&LocalStore::open(&dir.path().join("a/b")).unwrap());
    }

    #[test]
    fn places_that_can_not_be_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let open = |path: &Path| LocalStore::open(path).unwrap_err().kind;
        assert_eq!(open(&dir.path().join("missing")), ErrorKind::NotFound);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(open(&dir.path().join("file")), ErrorKind::NotFound);
        // Not even root may make a directory there.
        let made = LocalStore::create(Path::new("/sys/icecore")).unwrap_err();
        assert_eq!(made.kind, ErrorKind::Denied, "{made}");
        LocalStore::create(dir.path()).expect("what exists may be created again");
    }

    #[test]
    fn a_repository_that_vanishes_has_no_empty_listing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repo");
        let store = LocalStore::create(&path).unwrap();
        assert_eq!(list_all(&store, "snapshots").unwrap(), []);
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(list_all(&store, "snapshots").unwrap_err().kind, ErrorKind::NotFound);
        // Another one in its place is another one.
        fs::create_dir(&path).unwrap();
        list_all(&store, "snapshots").unwrap_err();
        store.put_new(&name("x"), Bytes::new()).unwrap_err();
    }

    #[test]
    fn a_link_to_a_disk_that_is_not_there_has_no_empty_listing() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = LocalStore::create(dir.path()).unwrap();
        store.put_new(&name("gc/x"), Bytes::new()).unwrap();
        let mounted = other.path().join("snapshots");
        symlink(&mounted, dir.path().join("snapshots")).unwrap();
        for prefix in ["snapshots", "snapshots/00", ""] {
            let kind = list_all(&store, prefix).unwrap_err().kind;
            assert!(matches!(kind, ErrorKind::Misbehaved { .. }), "{prefix}: {kind}");
        }
        assert_eq!(list_all(&store, "gc").unwrap().len(), 1, "the others are whole");
        fs::create_dir(&mounted).unwrap();
        assert_eq!(list_all(&store, "snapshots").unwrap(), []);
        assert_eq!(list_all(&store, "snapshots/00").unwrap(), []);
        // A single object, too.
        symlink("nowhere", mounted.join("x")).unwrap();
        list_all(&store, "snapshots").unwrap_err();
    }

    #[test]
    fn what_is_no_file_is_no_object() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::create(dir.path()).unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        for object in ["fifo", "packs"] {
            for error in [
                store.get(&name(object), 0..1).unwrap_err(),
                store.size(&name(object)).unwrap_err(),
            ] {
                assert_eq!(error.kind, ErrorKind::NotAFile, "{object}");
            }
        }
        assert_eq!(list_all(&store, "").unwrap(), [], "nor is it listed");
    }

    #[test]
    fn kinds_of_objects_may_lie_on_another_disk() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = LocalStore::create(dir.path()).unwrap();
        fs::remove_dir_all(dir.path().join("packs")).unwrap();
        symlink(other.path(), dir.path().join("packs")).unwrap();
        symlink(".", dir.path().join("index")).unwrap();
        store.put_new(&name("packs/00/x"), Bytes::from_static(b"1")).unwrap();
        assert!(other.path().join("00/x").is_file());
        // A link to above is met once, not for ever.
        let listed: Vec<String> =
            list_all(&store, "").unwrap().iter().map(|l| l.name.to_string()).collect();
        assert!(listed.contains(&"packs/00/x".to_owned()), "{listed:?}");
        assert!(listed.len() <= 2, "{listed:?}");
    }
}

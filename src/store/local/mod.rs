//! Objects as files below one directory of a local (or mounted) file system.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat};

use super::{Error, ErrorKind, Listed, Name, Put, Store};

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
        Ok(LocalStore { path: path.into(), dirs: Dirs::new(root)?, visibility_delay_seconds })
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
        let mut file = File::from(fd);
        let length = range.end - range.start;
        let mut bytes = Vec::with_capacity(length as usize);
        file.seek(SeekFrom::Start(range.start))?;
        file.take(length).read_to_end(&mut bytes)?;
        // It shrank while it was read.
        if bytes.len() as u64 != length { Err(ReadError::Short) } else { Ok(bytes.into()) }
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

const NOT_A_FILE: ErrorKind =
    ErrorKind::Misbehaved { what: "something that is no regular file stands in its place" };

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
            ReadError::NotAFile => Error::new(NOT_A_FILE, "get", name.as_str()),
            ReadError::Io(error) => errno::wrap(error, "get", name.as_str()),
        })
    }

    fn size(&self, name: &Name) -> Result<u64, Error> {
        let stat = statat(self.dirs.root(), name.as_str(), AtFlags::empty())
            .map_err(|error| errno::wrap(error.into(), "size", name.as_str()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::new(NOT_A_FILE, "size", name.as_str()));
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

    fn visibility_delay_seconds(&self) -> u64 {
        self.visibility_delay_seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::create(&dir.path().join("a/b")).unwrap();
        crate::store::contract::check(&store);
    }
}

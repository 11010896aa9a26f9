//! Listing a directory tree in memory that does not grow with it.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, fstat, openat, statat},
    io::Errno,
};

use super::{dirs::OPEN_DIR, errno};
use crate::store::{Error, ErrorKind, Listed, Name};

/// One open directory a level; a level is a component of a name.
struct Level {
    dir: Dir,
    path: String,
}

pub fn list(
    root: BorrowedFd<'_>,
    prefix: &str,
    each: &mut dyn FnMut(Listed) -> Result<(), Error>,
) -> Result<(), Error> {
    let fail = |error: Errno, at: &str| errno::wrap(error.into(), "list", shown(at));
    let mut levels = Vec::new();
    match open(root, prefix) {
        Ok(level) => levels.push(level),
        Err(Errno::NOENT | Errno::NOTDIR) => return assert_absent(root, prefix),
        Err(error) => return Err(fail(error, prefix)),
    }
    while let Some(Level { dir, path }) = levels.last_mut() {
        let Some(entry) = dir.read() else {
            levels.pop();
            continue;
        };
        let entry = entry.map_err(|error| fail(error, path))?;
        let Ok(last) = entry.file_name().to_str() else { continue };
        let name = if path.is_empty() { last.to_owned() } else { format!("{path}/{last}") };
        // Strangers' files, and our own temporaries, have names that are none.
        let Some(name) = Name::parse(&name) else { continue };
        match meet(root, &name, entry.file_type()) {
            Ok(Met::Object(size_bytes)) => each(Listed { name, size_bytes })?,
            Ok(Met::Directory(level)) => levels.push(level),
            Ok(Met::Stranger) => {}
            Err(Errno::NOENT) if leads_nowhere(root, name.as_str()) => {
                return Err(dangling(name.as_str()));
            }
            // Removed since its name was read.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(fail(error, name.as_str())),
        }
    }
    Ok(())
}

enum Met {
    Object(u64),
    Directory(Level),
    Stranger,
}

fn meet(root: BorrowedFd<'_>, name: &Name, kind: FileType) -> Result<Met, Errno> {
    let path = name.as_str();
    if kind == FileType::Directory {
        return open(root, path).map(Met::Directory);
    }
    let stat = statat(root, path, AtFlags::empty())?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Met::Object(stat.st_size as u64),
        // A link may put a whole kind of objects on another disk; deeper, it could be a loop.
        FileType::Directory if kind != FileType::Symlink || !path.contains('/') => {
            Met::Directory(open(root, path)?)
        }
        _ => Met::Stranger,
    })
}

fn open(root: BorrowedFd<'_>, path: &str) -> Result<Level, Errno> {
    let fd = openat(root, if path.is_empty() { "." } else { path }, OPEN_DIR, Mode::empty())?;
    Ok(Level { dir: Dir::new(fd)?, path: path.to_owned() })
}

/// A missing prefix is an empty listing only while the root is there itself, and if no link on
/// the way leads to where nothing is: to a disk that is not mounted.
fn assert_absent(root: BorrowedFd<'_>, prefix: &str) -> Result<(), Error> {
    let fail = |errno: Errno| errno::wrap(errno.into(), "list", shown(prefix));
    if fstat(root).map_err(fail)?.st_nlink == 0 {
        return Err(fail(Errno::NOENT));
    }
    let ends = prefix.match_indices('/').map(|(at, _)| at).chain([prefix.len()]);
    match ends.map(|end| &prefix[..end]).find(|path| leads_nowhere(root, path)) {
        Some(path) => Err(dangling(path)),
        None => Ok(()),
    }
}

fn leads_nowhere(root: BorrowedFd<'_>, path: &str) -> bool {
    let is_link = statat(root, path, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
    is_link && statat(root, path, AtFlags::empty()).is_err()
}

fn dangling(path: &str) -> Error {
    Error::new(ErrorKind::Misbehaved { what: "a link in its place leads nowhere" }, "list", path)
}

fn shown(prefix: &str) -> &str {
    if prefix.is_empty() { "/" } else { prefix }
}

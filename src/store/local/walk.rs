//! Listing a directory tree in memory that does not grow with it.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, fstat, openat, statat},
    io::Errno,
};

use super::{dirs::OPEN_DIR, errno};
use crate::store::{Error, Listed, Name};

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
        Err(Errno::NOENT | Errno::NOTDIR) => return assert_root(root, prefix),
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

/// A missing prefix is an empty listing only while the root is there itself.
fn assert_root(root: BorrowedFd<'_>, prefix: &str) -> Result<(), Error> {
    match fstat(root) {
        Ok(stat) if stat.st_nlink > 0 => Ok(()),
        Ok(_) => Err(errno::wrap(Errno::NOENT.into(), "list", shown(prefix))),
        Err(error) => Err(errno::wrap(error.into(), "list", shown(prefix))),
    }
}

fn shown(prefix: &str) -> &str {
    if prefix.is_empty() { "/" } else { prefix }
}

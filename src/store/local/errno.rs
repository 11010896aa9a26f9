//! What the kernel's error numbers mean for a store.

use std::io;

use rustix::io::Errno;

use crate::store::{Error, ErrorKind};

/// No room: of the disk, or of the user's share of it.
pub fn is_full(error: &io::Error) -> bool {
    [Errno::NOSPC, Errno::DQUOT].iter().any(|errno| is(error, *errno))
}

pub fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn kind(error: &io::Error) -> ErrorKind {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR) => ErrorKind::NotFound,
        Some(Errno::NOSPC | Errno::DQUOT) => ErrorKind::Full,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => ErrorKind::Denied,
        // A network file system that lost its server, a FUSE daemon that died.
        Some(
            Errno::NOTCONN | Errno::STALE | Errno::TIMEDOUT | Errno::HOSTDOWN | Errno::HOSTUNREACH,
        ) => ErrorKind::Unavailable,
        _ => ErrorKind::Io,
    }
}

/// A sector that can't be read, a checksum of the file system's that is wrong: what a disk says of
/// one object. (Of a disk that is gone it says the same of all.)
pub fn wrap_read(error: io::Error, object: &str) -> Error {
    let of_medium = [Errno::IO, Errno::UCLEAN, Errno::BADMSG, Errno::NODATA, Errno::REMOTEIO];
    if of_medium.iter().any(|errno| is(&error, *errno)) {
        return Error::new(ErrorKind::Unreadable, "get", object).because(error);
    }
    wrap(error, "get", object)
}

pub fn wrap(error: io::Error, verb: &'static str, object: &str) -> Error {
    Error::new(kind(&error), verb, object).because(error)
}

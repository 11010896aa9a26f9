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

pub fn wrap(error: io::Error, verb: &'static str, object: &str) -> Error {
    Error::new(kind(&error), verb, object).because(error)
}

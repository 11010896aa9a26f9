//! Files whose presence says that the rest of their directory is not worth keeping.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Mode, OFlags, openat},
    io::{Errno, pread},
};

use super::dir::stat_at;
use crate::source::Error;

const CACHEDIR_NAME: &[u8] = b"CACHEDIR.TAG";
const CACHEDIR_HEADER: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// The name of such a file, and perhaps how it must begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    name: Vec<u8>,
    header: Vec<u8>,
}

impl Tag {
    /// As `--exclude-if-present` takes it: `NAME` or `NAME:HEADER`.
    pub fn parse(text: &[u8]) -> Result<Tag, Error> {
        let mut parts = text.splitn(2, |byte| *byte == b':');
        let name = parts.next().unwrap_or_default();
        if matches!(name, b"" | b"." | b"..") || name.iter().any(|b| matches!(b, 0 | b'/')) {
            return Err(Error::NoFileName { name: name.escape_ascii().to_string() });
        }
        Ok(Tag { name: name.to_vec(), header: parts.next().unwrap_or_default().to_vec() })
    }

    /// The Cache Directory Tagging Specification's.
    pub(super) fn cachedir() -> Tag {
        Tag { name: CACHEDIR_NAME.to_vec(), header: CACHEDIR_HEADER.to_vec() }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// A tag that can't be looked at is none: rather keep too much.
    pub(super) fn is_in(&self, dir: &OwnedFd) -> bool {
        if self.header.is_empty() {
            let mut name = self.name.clone();
            name.push(0);
            let name = std::ffi::CStr::from_bytes_with_nul(&name);
            return name.is_ok_and(|name| stat_at(dir, name).is_ok());
        }
        self.has_header(dir).unwrap_or(false)
    }

    fn has_header(&self, dir: &OwnedFd) -> Result<bool, Errno> {
        // Without waiting, should it be a fifo; reading from one fails, by position.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(dir, self.name.as_slice(), flags, Mode::empty())?;
        let mut header = vec![0; self.header.len()];
        let mut read = 0;
        while read < header.len() {
            match pread(&file, &mut header[read..], read as u64)? {
                0 => return Ok(false),
                count => read += count,
            }
        }
        Ok(header == self.header)
    }
}

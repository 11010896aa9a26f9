//! The bytes of a file that may change while it is read.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Advice, Mode, OFlags, SeekFrom, fadvise, openat, seek},
    io::{Errno, pread},
};

use super::dir::{quietly, stat_open};
use crate::{
    format::entry::{FileType, Stat, path_of_key},
    limits::READ_AHEAD_MIN_BYTES,
    source::{Error, Trouble},
};

/// A file that is open. It is read up to the size it had then, never beyond; one that tells no
/// size and has content all the same, as in /proc, to its end.
#[derive(Debug)]
pub struct Content {
    fd: OwnedFd,
    stat: Stat,
    key: Vec<u8>,
    /// Where reading ends: the size it had when it was opened, or less once it has shrunk.
    end: u64,
    offset: u64,
    /// Up to here there is data, from `offset` on, without a hole.
    data_end: u64,
    /// It may have holes after `data_end`.
    sparse: bool,
    tells_no_size: bool,
}

/// What came next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// So many bytes, at the front of the buffer.
    Data(usize),
    /// So many zeros that take no room on the disk.
    Hole(u64),
    End,
}

impl Content {
    /// Never waits for the other end of a fifo, never follows a link, leaves no access time where
    /// it may.
    pub(super) fn open(dir: &OwnedFd, name: &[u8], key: &[u8]) -> Result<Content, Trouble> {
        let trouble = |error| Trouble { path: path_of_key(key), during: "open", error };
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match quietly(flags, |flags| openat(dir, name, flags, Mode::empty())) {
            Ok(fd) => fd,
            // A symbolic link, or a socket or a device with nobody behind it.
            Err(Errno::LOOP | Errno::NXIO) => return Err(trouble(Error::Swapped)),
            Err(errno) => return Err(trouble(Error::System(errno))),
        };
        let stat = stat_open(&fd).map_err(trouble)?;
        if stat.file_type != FileType::File {
            return Err(trouble(Error::Swapped));
        }
        if stat.size >= READ_AHEAD_MIN_BYTES as u64 {
            // A wish; a file system that does not know it reads as well.
            let _ = fadvise(&fd, 0, None, Advice::Sequential);
        }
        let sparse = stat.allocated < stat.size;
        let tells_no_size = stat.size == 0 && matches!(pread(&fd, &mut [0], 0), Ok(1));
        let end = if tells_no_size { u64::MAX } else { stat.size };
        let data_end = if sparse { 0 } else { end };
        let key = key.to_vec();
        Ok(Content { fd, stat, key, end, offset: 0, data_end, sparse, tells_no_size })
    }

    /// Nothing is known of its length before it is read.
    pub fn tells_no_size(&self) -> bool {
        self.tells_no_size
    }

    /// Of the open file, when it was opened.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Fills `buffer` as far as data goes without a hole, or tells of a hole, or of the end.
    pub fn next(&mut self, buffer: &mut [u8]) -> Result<Got, Trouble> {
        if self.offset < self.end && self.offset == self.data_end {
            let hole = self.find_data().map_err(|errno| self.trouble(errno))?;
            if hole > 0 {
                self.offset += hole;
                self.data_end = self.offset;
                return Ok(Got::Hole(hole));
            }
        }
        let left = self.data_end - self.offset;
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < wanted {
            match pread(&self.fd, &mut buffer[filled..wanted], self.offset) {
                Ok(0) => {
                    // It has shrunk: this is its end now.
                    self.end = self.offset;
                    self.data_end = self.offset;
                    break;
                }
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.trouble(errno)),
            }
        }
        Ok(if filled == 0 { Got::End } else { Got::Data(filled) })
    }

    /// Sets `data_end` if there is data at `offset`, else tells how far it is to the next.
    fn find_data(&mut self) -> Result<u64, Errno> {
        let size = self.end;
        if !self.sparse {
            self.data_end = size;
            return Ok(0);
        }
        let data = match seek(&self.fd, SeekFrom::Data(self.offset)) {
            Ok(data) => data.min(size),
            // No data from here on: a hole up to the end, wherever that is now.
            Err(Errno::NXIO) => {
                let now = seek(&self.fd, SeekFrom::End(0))?;
                self.end = size.min(now.max(self.offset));
                self.data_end = self.offset;
                return Ok(self.end - self.offset);
            }
            Err(Errno::INVAL | Errno::NOTSUP) => {
                self.sparse = false;
                self.data_end = size;
                return Ok(0);
            }
            Err(errno) => return Err(errno),
        };
        if data > self.offset {
            return Ok(data - self.offset);
        }
        self.data_end = match seek(&self.fd, SeekFrom::Hole(self.offset)) {
            // There was data here a moment ago; if not any more, reading gives the zeros.
            Ok(hole) if hole > self.offset => hole.min(size),
            Ok(_) | Err(Errno::NXIO) => size,
            Err(errno) => return Err(errno),
        };
        Ok(0)
    }

    /// What is to be recorded: the `stat` of the beginning with the number of bytes that were
    /// read; and a trouble if the file is not the same any more.
    pub fn finish(self) -> Result<(Stat, Option<Trouble>), Trouble> {
        let now = stat_open(&self.fd).map_err(|error| self.trouble_of(error))?;
        let before = self.stat;
        let recorded = Stat { size: self.offset, ..before };
        // (A changed ctime alone is a matter of names and modes.)
        let wanted = if self.tells_no_size { 0 } else { self.offset };
        let same = now.size == wanted && (now.mtime == before.mtime || self.tells_no_size);
        let changed = (!same).then(|| {
            self.trouble_of(Error::Changed {
                bytes_before: before.size,
                bytes_after: now.size,
                bytes_read: self.offset,
            })
        });
        Ok((recorded, changed))
    }

    fn trouble(&self, errno: Errno) -> Trouble {
        self.trouble_of(Error::System(errno))
    }

    fn trouble_of(&self, error: Error) -> Trouble {
        Trouble { path: path_of_key(&self.key), during: "read", error }
    }
}

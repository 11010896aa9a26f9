//! The one file that maps files: a small table of the cache, read where it lies.

#![allow(unsafe_code)]

use std::{fs::File, io, ops::Deref};

use memmap2::{Advice, Mmap};

/// A file's bytes. They stay readable when the file is unlinked meanwhile.
pub(super) struct Mapped {
    map: Mmap,
}

impl Mapped {
    /// `file` is a finished table: nobody writes to it or truncates it.
    pub fn new(file: &File) -> io::Result<Mapped> {
        // SAFETY: a table is written and synced before a manifest names it, and from then on it
        // is only read or unlinked, by every process that shares the cache directory; so the bytes
        // do not change while they are borrowed. (A stranger who truncates files of the cache
        // ends this process by SIGBUS, as with any mapped file; he can't make it misread: what a
        // row says is held against its check, and a blob against its id.)
        let map = unsafe { Mmap::map(file) }?;
        // Only advice: without it look-ups read ahead for nothing.
        let _ = map.advise(Advice::Random);
        Ok(Mapped { map })
    }
}

impl Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map
    }
}

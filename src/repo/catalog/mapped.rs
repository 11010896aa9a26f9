//! The one file that maps memory: a table of the cache, read where it lies.

#![allow(unsafe_code)]

use std::{
    fs::File,
    io,
    ops::Deref,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use memmap2::{Advice, Mmap, UncheckedAdvice};

/// A fault maps up to 16 pages at once, so this many look-ups leave at most 48 MiB of a table
/// resident before its pages are given back.
const LOOK_UPS_BEFORE_GIVING_BACK: u32 = 768;
/// Smaller tables may stay.
const KEPT_MAX_BYTES: usize = 24 << 20;

/// A file's bytes. They stay readable when the file is unlinked meanwhile.
pub(super) struct Mapped {
    map: Mmap,
    look_ups: AtomicU32,
}

impl Mapped {
    /// `file` is a finished table: nobody writes to it or truncates it.
    pub fn new(file: &File) -> io::Result<Mapped> {
        // SAFETY: tables are written under a temporary name, synced, renamed, and from then on
        // only read or unlinked, by every process that shares the cache directory; so the bytes
        // do not change while they are borrowed. (A stranger who truncates files of the cache
        // ends this process by SIGBUS, as with any mapped file; he can't make it misread: what a
        // row says is held against its check, and a blob against its id.)
        let map = unsafe { Mmap::map(file) }?;
        // Only advice: without it look-ups read ahead for nothing.
        let _ = map.advise(Advice::Random);
        Ok(Mapped { map, look_ups: AtomicU32::new(0) })
    }

    /// To be called once a look-up, so that resident memory does not grow with the table.
    pub fn looked_up(&self) {
        if self.map.len() <= KEPT_MAX_BYTES {
            return;
        }
        if self.look_ups.fetch_add(1, Relaxed) + 1 >= LOOK_UPS_BEFORE_GIVING_BACK {
            self.look_ups.store(0, Relaxed);
            self.give_back();
        }
    }

    fn give_back(&self) {
        // SAFETY: DONTNEED on a read-only mapping of a file drops page table entries and no data:
        // the next access, also one of another thread at this moment, reads the same bytes from
        // the file again.
        let _ = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
    }
}

impl Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map
    }
}

//! The names of a directory in byte order, so many at a time.
//!
//! A directory gives its names in an order of its own. A small one is read once and sorted. Of a
//! huge one only the smallest names after the last one seen are kept, and it is read again for
//! the next ones: memory is bounded whatever it holds.

use std::{ffi::CStr, os::fd::OwnedFd};

use rustix::{
    fs::{FileType as DirentType, RawDir, SeekFrom, seek},
    io::Errno,
};

#[derive(Debug, Default)]
pub(super) struct Window {
    /// Names, each ended by NUL.
    bytes: Vec<u8>,
    names: Vec<Name>,
    next: usize,
    /// The directory holds no names after these.
    last: bool,
}

#[derive(Debug, Clone, Copy)]
struct Name {
    /// The first bytes, so that most comparisons need no look at the name.
    prefix: u64,
    at: u32,
    len: u16,
    is_dir: Option<bool>,
}

impl Name {
    fn bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.at as usize..][..usize::from(self.len)]
    }

    fn compare(&self, other: &Name, bytes: &[u8]) -> std::cmp::Ordering {
        let prefixes = self.prefix.cmp(&other.prefix);
        prefixes.then_with(|| self.bytes(bytes).cmp(other.bytes(bytes)))
    }
}

impl Window {
    /// Exactly these.
    pub fn of(names: &[Vec<u8>]) -> Window {
        let mut window = Window { last: true, ..Window::default() };
        names.iter().for_each(|name| window.push(name, None));
        window.sort();
        window
    }

    /// How many names it holds in memory.
    pub fn held(&self) -> usize {
        self.names.len()
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.names.capacity()
    }

    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Goes to the next name, the first one at first. False: there is none left.
    pub fn advance(&mut self) -> bool {
        let more = self.next < self.names.len();
        self.next += usize::from(more);
        more
    }

    /// The name it stands at.
    pub fn current(&self) -> Option<&CStr> {
        let name = self.names[..self.next].last()?;
        let with_nul = &self.bytes[name.at as usize..][..usize::from(name.len) + 1];
        Some(CStr::from_bytes_with_nul(with_nul).expect("pushed with one NUL, at its end"))
    }

    /// Whether the directory says that it is one of a directory; not all of them say.
    pub fn current_is_dir(&self) -> Option<bool> {
        self.names[..self.next].last()?.is_dir
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.names.clear();
        self.next = 0;
        self.last = false;
    }

    /// Fills the window with the (at most) `names_max` smallest names after `after`. `buffer` is
    /// scratch, at least 64 KiB.
    pub fn read(
        &mut self,
        dir: &OwnedFd,
        after: &[u8],
        names_max: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        self.clear();
        self.last = true;
        let mut bound: Option<Vec<u8>> = None;
        seek(dir, SeekFrom::Start(0))?;
        buffer.clear();
        let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || name <= after {
                continue;
            }
            if bound.as_deref().is_some_and(|bound| name > bound) {
                continue;
            }
            self.push(name, is_dir(entry.file_type()));
            if self.names.len() >= names_max.saturating_mul(2) {
                bound = self.keep_smallest(names_max);
            }
        }
        if self.names.len() > names_max {
            self.keep_smallest(names_max);
        }
        self.sort();
        Ok(())
    }

    fn push(&mut self, name: &[u8], is_dir: Option<bool>) {
        let mut first = [0; 8];
        let len = name.len().min(8);
        first[..len].copy_from_slice(&name[..len]);
        self.names.push(Name {
            prefix: u64::from_be_bytes(first),
            at: u32::try_from(self.bytes.len()).expect("a window is bounded far below 4 GiB"),
            len: u16::try_from(name.len()).expect("the kernel's records are shorter than 64 KiB"),
            is_dir,
        });
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
    }

    /// Drops all but the `count` smallest, of which there are more, and tells the largest of them.
    fn keep_smallest(&mut self, count: usize) -> Option<Vec<u8>> {
        let bytes = std::mem::take(&mut self.bytes);
        self.names.select_nth_unstable_by(count - 1, |a, b| a.compare(b, &bytes));
        let kept: Vec<Name> = self.names.drain(..).take(count).collect();
        for name in &kept {
            self.push(name.bytes(&bytes), name.is_dir);
        }
        self.last = false;
        kept.last().map(|name| name.bytes(&bytes).to_vec())
    }

    /// A directory that changes while it is read may give a name twice.
    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.names.sort_unstable_by(|a, b| a.compare(b, bytes));
        self.names.dedup_by(|a, b| a.compare(b, bytes).is_eq());
    }
}

fn is_dir(file_type: DirentType) -> Option<bool> {
    match file_type {
        DirentType::Unknown => None,
        known => Some(known == DirentType::Directory),
    }
}

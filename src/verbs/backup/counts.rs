//! What became of the entries, in restic's words.

use std::ops::Add;

use crate::format::{entry::FileType, snapshot::Summary};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub files_new: u64,
    pub files_changed: u64,
    pub files_unmodified: u64,
    pub dirs_new: u64,
    pub dirs_changed: u64,
    pub dirs_unmodified: u64,
    /// Of all files, read or not.
    pub bytes: u64,
}

impl Counts {
    pub fn unmodified(&mut self, file_type: FileType, bytes: u64) {
        match file_type {
            FileType::Dir => self.dirs_unmodified += 1,
            _ => self.files_unmodified += 1,
        }
        self.bytes += bytes;
    }

    pub fn fresh(&mut self, file_type: FileType, bytes: u64, is_known: bool) {
        let count = match (file_type, is_known) {
            (FileType::Dir, true) => &mut self.dirs_changed,
            (FileType::Dir, false) => &mut self.dirs_new,
            (_, true) => &mut self.files_changed,
            (_, false) => &mut self.files_new,
        };
        *count += 1;
        self.bytes += bytes;
    }

    pub fn summary(&self) -> Summary {
        Summary {
            files_new: self.files_new,
            files_changed: self.files_changed,
            files_unmodified: self.files_unmodified,
            dirs_new: self.dirs_new,
            dirs_changed: self.dirs_changed,
            dirs_unmodified: self.dirs_unmodified,
            total_files_processed: self.files_new + self.files_changed + self.files_unmodified,
            total_bytes_processed: self.bytes,
            ..Summary::default()
        }
    }
}

impl Add for Counts {
    type Output = Counts;
    fn add(self, other: Counts) -> Counts {
        Counts {
            files_new: self.files_new + other.files_new,
            files_changed: self.files_changed + other.files_changed,
            files_unmodified: self.files_unmodified + other.files_unmodified,
            dirs_new: self.dirs_new + other.dirs_new,
            dirs_changed: self.dirs_changed + other.dirs_changed,
            dirs_unmodified: self.dirs_unmodified + other.dirs_unmodified,
            bytes: self.bytes + other.bytes,
        }
    }
}

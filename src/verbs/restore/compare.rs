//! What is to be done about a file, its content read where that decides: the right size and time
//! are also what a crash or a rotten disk leaves behind.

use std::{fs::File, os::unix::fs::FileExt};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

use super::{
    Ground,
    crew::{Failure, Mismatch},
    item::Item,
    judge::{Conflict, Verdict, judge},
};
use crate::{
    limits::BLOB_MAX_BYTES,
    repo::ReadBlobs,
    sink::{self, Dir, Found, FoundKind, Name},
    tree::{Piece, content},
};

/// A file's entry, and what the target has under its name.
pub(super) struct Case<'a> {
    pub dir: &'a Dir,
    pub name: Name<'a>,
    pub item: &'a Item,
    pub found: Option<Found>,
    pub conflict: Conflict,
}

impl Case<'_> {
    /// As far as it can be said without reading content. Attributes that are there and should
    /// not be are not looked for.
    pub fn at_first_sight(&self) -> Result<Verdict, sink::Error> {
        let verdict = judge(&self.item.wish, self.found.as_ref(), self.conflict, false);
        let Some(found) = self.found.filter(|_| verdict == Verdict::Same) else {
            return Ok(verdict);
        };
        let may_touch = matches!(self.conflict, Conflict::Overwrite | Conflict::Newest);
        if !may_touch || self.item.xattrs.is_empty() {
            return Ok(verdict);
        }
        let there = self.dir.xattrs(self.name)?;
        Ok(match self.item.xattrs.iter().all(|wanted| there.contains(wanted)) {
            true => verdict,
            false if found.nlink > 1 => Verdict::Replace, // it may be someone's outside
            false => Verdict::Settle,
        })
    }

    /// Opens what is there to be compared. `None`: it can't be read, and may be replaced.
    pub fn open(&self) -> Result<Option<File>, sink::Error> {
        match self.dir.read(self.name) {
            Ok(file) => Ok(Some(file)),
            Err(error) if self.conflict == Conflict::Fail => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Only the time differs, as after a copy that one worker compares: it may be right, and is
    /// nobody else's.
    fn may_be_a_copy(&self) -> bool {
        let Item { wish, .. } = self.item;
        self.item.is_small()
            && self.found.is_some_and(|found| {
                (found.kind, found.size_bytes) == (FoundKind::File, wish.size_bytes)
                    && found.nlink == 1
            })
    }
}

impl<R: ReadBlobs> Ground<'_, R> {
    /// What is to be done about the file. `Same` and `Settle` say that its content is right, as
    /// far as `Verdict::rests_on_content` asks for it; the bool, that it was read.
    pub(super) fn weigh(
        &self,
        case: &Case<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<(Verdict, bool), Failure<R::Error>> {
        let verdict = case.at_first_sight()?;
        let (if_right, if_not) = match verdict {
            _ if verdict.rests_on_content(case.conflict) => {
                (verdict, Verdict::of_other_content(case.conflict))
            }
            Verdict::Replace if case.may_be_a_copy() => (Verdict::Settle, verdict),
            _ => return Ok((verdict, false)),
        };
        let Some(file) = case.open()? else { return Ok((if_not, false)) };
        match self.compare(&file, case.item, buffer) {
            Ok(()) => Ok((if_right, true)),
            Err(Failure::Content(_)) => Ok((if_not, true)),
            Err(failure) => Err(failure),
        }
    }

    /// Of another path of the file that `first` now is: `Same` when it is to stay as it is,
    /// `Create` or `Replace` when it is to be linked.
    pub(super) fn weigh_link(
        &self,
        case: &Case<'_>,
        first: (u64, u64),
        buffer: &mut Vec<u8>,
    ) -> Result<Verdict, Failure<R::Error>> {
        if case.found.is_some_and(|found| (found.dev, found.inode) == first) {
            return Ok(Verdict::Same);
        }
        Ok(match judge(&case.item.wish, case.found.as_ref(), case.conflict, false) {
            Verdict::Settle => Verdict::Replace,
            Verdict::Same if case.conflict == Conflict::Overwrite => Verdict::Replace,
            Verdict::Same
                if case.conflict == Conflict::Fail && case.item.wish.kind == FoundKind::File =>
            {
                self.weigh(case, buffer)?.0
            }
            // As right as it can be where nothing is to be overwritten.
            other => other,
        })
    }

    /// Whether the file's bytes are the entry's, by their names.
    pub(super) fn compare(
        &self,
        file: &File,
        item: &Item,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Failure<R::Error>> {
        let inline_bytes = item.inline.len() as u64;
        buffer.resize(item.inline.len(), 0);
        if file.read_exact_at(buffer, 0).is_err() || *buffer != item.inline {
            return Err(Mismatch::Differs { offset: 0 }.into());
        }
        let mut held_bytes = inline_bytes;
        for piece in content::pieces(self.reader, &item.pieces, 0..u64::MAX) {
            let (offset, piece) = piece?;
            let offset = inline_bytes.saturating_add(offset);
            if !self.piece_is_at(file, offset, &piece, buffer) {
                return Err(Mismatch::Differs { offset }.into());
            }
            held_bytes = offset.saturating_add(piece.len);
        }
        match item.wish.size_bytes {
            wanted_bytes if wanted_bytes == held_bytes => Ok(()),
            wanted_bytes => Err(Mismatch::Length { held_bytes, wanted_bytes }.into()),
        }
    }

    /// Leaves the piece in `buffer` when it has an id.
    pub(super) fn piece_is_at(
        &self,
        file: &File,
        offset: u64,
        piece: &Piece,
        buffer: &mut Vec<u8>,
    ) -> bool {
        let Some(id) = &piece.id else { return zeros_at(file, offset, piece.len, buffer) };
        if piece.len > BLOB_MAX_BYTES as u64 {
            return false;
        }
        buffer.resize(piece.len as usize, 0);
        file.read_exact_at(buffer, offset).is_ok() && (self.name)(buffer) == *id
    }
}

/// A hole, or written zeros. A hole is not read, where the file system tells of it.
fn zeros_at(file: &File, mut offset: u64, len: u64, buffer: &mut Vec<u8>) -> bool {
    const STEP_BYTES: u64 = 1 << 20;
    let Some(end) = offset.checked_add(len) else { return false };
    if file.metadata().map_or(true, |found| found.len() < end) {
        return false;
    }
    while offset < end {
        match seek(file, SeekFrom::Data(offset)) {
            Ok(data) if data >= end => return true,
            Ok(data) => offset = data.max(offset),
            Err(Errno::NXIO) => return true, // a hole up to the end
            Err(_) => {}
        }
        let step = STEP_BYTES.min(end - offset);
        buffer.resize(step as usize, 0);
        if file.read_exact_at(buffer, offset).is_err() || buffer.iter().any(|&byte| byte != 0) {
            return false;
        }
        offset += step;
    }
    true
}

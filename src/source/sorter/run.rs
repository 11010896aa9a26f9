//! One sorted run in a file without a name.
//!
//! ```text
//! run    block ...
//! block  sealed length u32 · plain length u32 · sealed: one zstd frame of pairs
//! pair   key length u32 · value length u32 · key · value
//! ```

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    sync::Arc,
};

use bytes::Bytes;

use super::{Ground, SortError};
use crate::{
    limits::{SORT_BLOCK_BYTES, SORT_PAIR_MAX_BYTES},
    seal::{self, ScratchNumber},
};

const ZSTD_LEVEL: i32 = 1;
const HEADER_BYTES: usize = 8;
const LENGTHS_BYTES: usize = 8;
/// A block is closed as soon as it is long enough.
const BLOCK_MAX_BYTES: usize = SORT_BLOCK_BYTES + LENGTHS_BYTES + SORT_PAIR_MAX_BYTES;

pub(super) struct RunWriter {
    ground: Arc<Ground>,
    file: File,
    number: u32,
    level: u32,
    blocks: u64,
    stored_bytes: u64,
    plain: Vec<u8>,
    squeezed: Vec<u8>,
    sealed: Vec<u8>,
}

/// A finished run. Its file's space is free again when this is dropped.
pub(super) struct Run {
    ground: Arc<Ground>,
    file: File,
    number: u32,
    level: u32,
    blocks: u64,
    stored_bytes: u64,
}

/// Reads a run from its beginning to its end.
pub(super) struct RunReader {
    run: Run,
    next_block: u64,
    at: u64,
    sealed: Vec<u8>,
    squeezed: Vec<u8>,
    plain: Bytes,
}

impl RunWriter {
    pub fn create(ground: Arc<Ground>, number: u32, level: u32) -> Result<Self, SortError> {
        let file = tempfile::tempfile_in(&ground.dir).map_err(|error| ground.failed(error))?;
        let plain = Vec::with_capacity(SORT_BLOCK_BYTES);
        let (blocks, stored_bytes) = (0, 0);
        let (squeezed, sealed) = (Vec::new(), Vec::new());
        Ok(RunWriter { ground, file, number, level, blocks, stored_bytes, plain, squeezed, sealed })
    }

    /// The next pair in order.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), SortError> {
        self.plain.extend((key.len() as u32).to_le_bytes());
        self.plain.extend((value.len() as u32).to_le_bytes());
        self.plain.extend_from_slice(key);
        self.plain.extend_from_slice(value);
        if self.plain.len() >= SORT_BLOCK_BYTES { self.write() } else { Ok(()) }
    }

    pub fn finish(mut self) -> Result<Run, SortError> {
        if !self.plain.is_empty() {
            self.write()?;
        }
        let RunWriter { ground, file, number, level, blocks, stored_bytes, .. } = self;
        Ok(Run { ground, file, number, level, blocks, stored_bytes })
    }

    fn write(&mut self) -> Result<(), SortError> {
        self.squeezed.clear();
        self.squeezed.reserve(zstd::zstd_safe::compress_bound(self.plain.len()));
        let squeezed = zstd::zstd_safe::compress(&mut self.squeezed, &self.plain, ZSTD_LEVEL);
        squeezed.expect("the buffer is as long as it may have to be");
        self.sealed.clear();
        let sealed_bytes = (self.squeezed.len() + seal::TAG_BYTES) as u32;
        self.sealed.extend(sealed_bytes.to_le_bytes());
        self.sealed.extend((self.plain.len() as u32).to_le_bytes());
        let number = ScratchNumber { run: self.number, block: self.blocks };
        self.ground.key.seal(number, &self.squeezed, &mut self.sealed);
        self.file.write_all(&self.sealed).map_err(|error| self.ground.failed(error))?;
        self.blocks += 1;
        self.stored_bytes += self.sealed.len() as u64;
        self.plain.clear();
        Ok(())
    }
}

impl Run {
    /// How often its pairs were merged before.
    pub fn level(&self) -> u32 {
        self.level
    }

    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    pub fn read(self) -> RunReader {
        let (sealed, squeezed, plain) = (Vec::new(), Vec::new(), Bytes::new());
        RunReader { run: self, next_block: 0, at: 0, sealed, squeezed, plain }
    }
}

impl RunReader {
    /// The next pair; its bytes keep the block they came in.
    pub fn next(&mut self) -> Result<Option<(Bytes, Bytes)>, SortError> {
        if self.plain.is_empty() {
            if self.next_block == self.run.blocks {
                return Ok(None);
            }
            self.read_block()?;
        }
        let lengths = self.plain.split_to(LENGTHS_BYTES);
        let key = self.plain.split_to(length(&lengths[..4]));
        let value = self.plain.split_to(length(&lengths[4..]));
        Ok(Some((key, value)))
    }

    fn read_block(&mut self) -> Result<(), SortError> {
        let ground = self.run.ground.clone();
        let mut header = [0; HEADER_BYTES];
        self.run.file.read_exact_at(&mut header, self.at).map_err(|error| ground.failed(error))?;
        let (sealed_bytes, plain_bytes) = (length(&header[..4]), length(&header[4..]));
        let sealed_max = zstd::zstd_safe::compress_bound(BLOCK_MAX_BYTES) + seal::TAG_BYTES;
        if sealed_bytes > sealed_max || plain_bytes > BLOCK_MAX_BYTES {
            let source = seal::Error::TooLarge {
                what: "a block of a temporary file",
                bytes: sealed_bytes.max(plain_bytes),
                max_bytes: sealed_max,
            };
            return Err(SortError::Damaged { dir: ground.dir.clone(), source });
        }
        self.sealed.resize(sealed_bytes, 0);
        let start = self.at + HEADER_BYTES as u64;
        let read = self.run.file.read_exact_at(&mut self.sealed, start);
        read.map_err(|error| ground.failed(error))?;
        let number = ScratchNumber { run: self.run.number, block: self.next_block };
        let opened = ground.key.open(number, &self.sealed, &mut self.squeezed);
        opened.map_err(|source| SortError::Damaged { dir: ground.dir.clone(), source })?;
        // From here on these are our own bytes: the seal says so.
        let plain = zstd::bulk::decompress(&self.squeezed, plain_bytes);
        let plain = plain.ok().filter(|plain| plain.len() == plain_bytes);
        self.plain = plain.ok_or(SortError::NotSqueezed { dir: ground.dir.clone() })?.into();
        self.at = start + sealed_bytes as u64;
        self.next_block += 1;
        Ok(())
    }
}

fn length(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize
}

impl Ground {
    fn failed(&self, source: io::Error) -> SortError {
        let dir = self.dir.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SortError::Full { dir },
            _ => SortError::Spill { dir, source },
        }
    }
}

#[cfg(test)]
impl RunWriter {
    pub fn replace_file(&mut self, file: File) {
        self.file = file;
    }
}

#[cfg(test)]
impl Run {
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

//! Sorts more than memory holds: pairs of bytes in, the same in the order of their keys out.
//!
//! Pairs are held in memory up to a bound, then sorted and written out as a *run*; in the end all
//! runs are merged. A run is a file without a name, so that nothing of it remains after a crash,
//! and its blocks are squeezed and sealed with a key that is kept nowhere: what lies in a temporary
//! directory tells nobody anything.

mod held;
mod merge;
mod run;
#[cfg(test)]
mod tests;
mod window;

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;

use crate::{
    buffers::Buffers,
    limits::{SORT_PAIR_MAX_BYTES, SORT_RUNS_MAX},
    seal::{self, ScratchKey},
};
use held::Held;
use merge::Merge;
use run::{Run, RunWriter};

pub use held::InOrder;
pub use window::Window;

/// What a sort may use.
pub struct SorterOptions {
    /// Pairs held in memory; the merge takes at most `SORT_RUNS_MAX` blocks beside.
    pub memory_bytes: usize,
    /// Where runs are written, if there are any.
    pub spill_dir: PathBuf,
    /// Random, and used for nothing else.
    pub key: [u8; 32],
}

#[derive(Debug, thiserror::Error)]
pub enum SortError {
    #[error("no space is left in {dir} to sort what does not fit in memory")]
    Full { dir: PathBuf },
    #[error("a temporary file in {dir} can't be made, written or read")]
    Spill { dir: PathBuf, source: io::Error },
    #[error("a temporary file in {dir} does not hold what was written into it")]
    Damaged { dir: PathBuf, source: seal::Error },
    #[error("a block of a temporary file in {dir} does not decompress to its length")]
    NotSqueezed { dir: PathBuf },
    #[error("a pair of {bytes} bytes is too long to be sorted")]
    TooLong { bytes: usize },
}

/// What all runs of one sort share.
struct Ground {
    dir: PathBuf,
    key: ScratchKey,
}

/// Takes pairs in any order. The sort is stable: pairs of one key stay in the order they came.
pub struct Sorter {
    ground: Arc<Ground>,
    memory_bytes: usize,
    held: Held,
    /// The oldest pairs first. Of the runs behind one another `SORT_RUNS_MAX` of equal level are
    /// merged into one of the next, so that few are open and none is rewritten often.
    runs: Vec<Run>,
    runs_made: u32,
    spilled_bytes: u64,
}

impl Sorter {
    pub fn new(options: SorterOptions) -> Self {
        let SorterOptions { memory_bytes, spill_dir, key } = options;
        Sorter {
            ground: Arc::new(Ground { dir: spill_dir, key: ScratchKey::new(key) }),
            memory_bytes,
            held: Held::new(Buffers::new(memory_bytes)),
            runs: Vec::new(),
            runs_made: 0,
            spilled_bytes: 0,
        }
    }

    /// Takes one pair, of at most `SORT_PAIR_MAX_BYTES`.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), SortError> {
        let bytes = key.len() + value.len();
        if bytes > SORT_PAIR_MAX_BYTES {
            return Err(SortError::TooLong { bytes });
        }
        if self.held.bytes() + bytes > self.memory_bytes && !self.held.is_empty() {
            self.spill()?;
        }
        self.held.push(key, value);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.runs.is_empty()
    }

    /// What was written to disk so far, squeezed and sealed.
    pub fn spilled_bytes(&self) -> u64 {
        self.spilled_bytes
    }

    /// No more pairs will come.
    pub fn finish(mut self) -> Result<Sorted, SortError> {
        while self.runs.len() > SORT_RUNS_MAX {
            let excess = self.runs.len() - SORT_RUNS_MAX + 1;
            self.merge_last(excess.min(SORT_RUNS_MAX))?;
        }
        Ok(Sorted(Merge::new(self.runs, self.held.into_sorted())?))
    }

    fn spill(&mut self) -> Result<(), SortError> {
        let mut writer = self.new_run(0)?;
        for (key, value) in self.held.take().into_sorted() {
            writer.push(&key, &value)?;
        }
        self.end_run(writer)?;
        while self.is_level_full() {
            self.merge_last(SORT_RUNS_MAX)?;
        }
        Ok(())
    }

    fn is_level_full(&self) -> bool {
        let Some(last) = self.runs.last() else { return false };
        let alike = self.runs.iter().rev().take_while(|run| run.level() == last.level());
        alike.count() >= SORT_RUNS_MAX
    }

    /// Replaces the youngest runs by one.
    fn merge_last(&mut self, count: usize) -> Result<(), SortError> {
        let together = self.runs.split_off(self.runs.len() - count);
        let level = together.iter().map(Run::level).max().unwrap_or(0) + 1;
        let mut writer = self.new_run(level)?;
        for pair in Merge::new(together, InOrder::default())? {
            let (key, value) = pair?;
            writer.push(&key, &value)?;
        }
        self.end_run(writer)
    }

    fn new_run(&mut self, level: u32) -> Result<RunWriter, SortError> {
        self.runs_made += 1;
        RunWriter::create(self.ground.clone(), self.runs_made, level)
    }

    fn end_run(&mut self, writer: RunWriter) -> Result<(), SortError> {
        let run = writer.finish()?;
        self.spilled_bytes += run.stored_bytes();
        self.runs.push(run);
        Ok(())
    }
}

/// The pairs in the order of their keys. After an error it is at its end.
pub struct Sorted(Merge);

impl Iterator for Sorted {
    type Item = Result<(Bytes, Bytes), SortError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

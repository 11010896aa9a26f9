//! Sorted runs as one: the least key of all comes next, of equal ones the oldest.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use bytes::Bytes;

use super::{
    SortError,
    held::InOrder,
    run::{Run, RunReader},
};

pub(super) struct Merge {
    runs: Vec<RunReader>,
    /// Younger than all runs.
    held: InOrder,
    /// The next pair of each run that is not at its end.
    heads: BinaryHeap<Reverse<Head>>,
}

struct Head {
    key: Bytes,
    value: Bytes,
    /// The oldest first; what was held has the number after them.
    run: usize,
}

impl Merge {
    pub fn new(runs: Vec<Run>, held: InOrder) -> Result<Self, SortError> {
        let runs: Vec<_> = runs.into_iter().map(Run::read).collect();
        let count = runs.len();
        let mut merge = Merge { runs, held, heads: BinaryHeap::with_capacity(count + 1) };
        // What was held alone needs no heap: most sorts fit in memory.
        if count > 0 {
            for run in 0..=count {
                merge.advance(run)?;
            }
        }
        Ok(merge)
    }

    fn advance(&mut self, run: usize) -> Result<(), SortError> {
        let next = match self.runs.get_mut(run) {
            Some(reader) => reader.next()?,
            None => self.held.next(),
        };
        self.heads.extend(next.map(|(key, value)| Reverse(Head { key, value, run })));
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = Result<(Bytes, Bytes), SortError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.runs.is_empty() {
            return self.held.next().map(Ok);
        }
        let Reverse(Head { key, value, run }) = self.heads.pop()?;
        if let Err(error) = self.advance(run) {
            self.heads.clear();
            self.runs.clear();
            self.held = InOrder::default();
            return Some(Err(error));
        }
        Some(Ok((key, value)))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key).then(self.run.cmp(&other.run))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

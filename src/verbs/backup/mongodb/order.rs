//! A collection's documents from the order in which they come to that of their keys.
//!
//! Most collections lie nearly in the order of their keys, and a window is enough: what leaves it
//! goes straight into the tree. The few that come too late for it are put into the finished tree,
//! where each makes its leaf a second time; so when they are more than few, and from the beginning
//! where there is no order at all, what comes from there on is sorted.

use bytes::Bytes;

use super::{Error, Ground};
use crate::{
    limits,
    repo::WriteBlobs,
    source::sorter::{SortError, Sorted, Sorter, Window},
};

/// Pairs in the order of their keys; of one key the last one counts.
pub(super) type Block = Vec<(Bytes, Bytes)>;

/// More than one pair in so many is not few, but so many always are.
const LATE_ONE_IN: u64 = 1024;
const LATE_FEW: u64 = 64;

pub(super) struct Order {
    window: Window,
    way: Way,
    come: u64,
    /// What came when pairs above it had been handed on.
    late: Sorter,
    late_come: u64,
    /// All of the others, from when the window was given up.
    rest: Sorter,
}

#[derive(PartialEq, Eq)]
enum Way {
    /// The window is not full yet.
    Open,
    Window,
    Sort,
}

impl Order {
    pub fn new<W: WriteBlobs>(ground: &Ground<'_, W>) -> Self {
        Order {
            window: Window::new(ground.window_bytes),
            way: Way::Open,
            come: 0,
            late: Sorter::new(ground.sorter_options(ground.sort_bytes / 2)),
            late_come: 0,
            rest: Sorter::new(ground.sorter_options(ground.sort_bytes)),
        }
    }

    /// Takes a pair; hands on those whose turn it is.
    pub fn push<E: std::error::Error + 'static>(
        &mut self,
        key: &[u8],
        value: &[u8],
        give: &mut impl FnMut(Block) -> Result<(), Error<E>>,
    ) -> Result<(), Error<E>> {
        self.come += 1;
        if self.window.is_too_late(key) {
            self.late.push(key, value)?;
            self.late_come += 1;
            if self.way == Way::Window && self.late_come > LATE_FEW + self.come / LATE_ONE_IN {
                self.sort_from_here()?;
            }
            return Ok(());
        }
        if self.way == Way::Sort {
            return Ok(self.rest.push(key, value)?);
        }
        self.window.push(key, value);
        if !self.window.is_full() {
            return Ok(());
        }
        if self.way == Way::Open && self.window.is_in_disorder() {
            return Ok(self.sort_from_here()?);
        }
        self.way = Way::Window;
        give(self.window.take_lower_half())
    }

    fn sort_from_here(&mut self) -> Result<(), SortError> {
        self.way = Way::Sort;
        for (key, value) in self.window.take_all() {
            self.rest.push(&key, &value)?;
        }
        Ok(())
    }

    /// Hands on the rest. What is returned came too late, and is to be changed in what was made of
    /// the others; of one key the last one counts.
    pub fn finish<E: std::error::Error + 'static>(
        mut self,
        give: &mut impl FnMut(Block) -> Result<(), Error<E>>,
    ) -> Result<Option<Sorted>, Error<E>> {
        give(self.window.take_all().collect())?;
        let (mut block, mut bytes) = (Block::new(), 0);
        for pair in self.rest.finish()? {
            let (key, value) = pair?;
            bytes += key.len() + value.len();
            block.push((key, value));
            if bytes >= limits::DOCUMENT_BLOCK_BYTES {
                give(std::mem::take(&mut block))?;
                bytes = 0;
            }
        }
        give(block)?;
        let late = (!self.late.is_empty()).then(|| self.late.finish());
        Ok(late.transpose()?)
    }
}

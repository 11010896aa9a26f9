//! A collection's documents from the order in which they come to that of their keys.
//!
//! Most collections lie nearly in the order of their keys, and a window is enough: what leaves it
//! goes straight into the tree. What comes too late for the window, and everything where there is
//! no order at all, is sorted.

use bytes::Bytes;

use super::{Error, Ground};
use crate::{
    limits,
    repo::WriteBlobs,
    source::sorter::{Sorted, Sorter, Window},
};

/// Pairs in the order of their keys; of one key the last one counts.
pub(super) type Block = Vec<(Bytes, Bytes)>;

pub(super) struct Order {
    window: Window,
    way: Way,
    /// Everything, or what came too late.
    sorter: Sorter,
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
            sorter: Sorter::new(ground.sorter_options()),
        }
    }

    /// Takes a pair; hands on those whose turn it is.
    pub fn push<E: std::error::Error + 'static>(
        &mut self,
        key: &[u8],
        value: &[u8],
        give: &mut impl FnMut(Block) -> Result<(), Error<E>>,
    ) -> Result<(), Error<E>> {
        if self.way == Way::Sort || self.window.is_too_late(key) {
            return Ok(self.sorter.push(key, value)?);
        }
        self.window.push(key, value);
        if !self.window.is_full() {
            return Ok(());
        }
        if self.way == Way::Open && self.window.is_in_disorder() {
            self.way = Way::Sort;
            for (key, value) in self.window.take_all() {
                self.sorter.push(&key, &value)?;
            }
            return Ok(());
        }
        self.way = Way::Window;
        give(self.window.take_lower_half())
    }

    /// Hands on the rest. What is returned came too late, and is to be changed in what was made of
    /// the others; of one key the last one counts.
    pub fn finish<E: std::error::Error + 'static>(
        mut self,
        give: &mut impl FnMut(Block) -> Result<(), Error<E>>,
    ) -> Result<Option<Sorted>, Error<E>> {
        if self.way != Way::Sort {
            give(self.window.take_all().collect())?;
            let late = (!self.sorter.is_empty()).then(|| self.sorter.finish());
            return Ok(late.transpose()?);
        }
        let (mut block, mut bytes) = (Block::new(), 0);
        for pair in self.sorter.finish()? {
            let (key, value) = pair?;
            bytes += key.len() + value.len();
            block.push((key, value));
            if bytes >= limits::DOCUMENT_BLOCK_BYTES {
                give(std::mem::take(&mut block))?;
                bytes = 0;
            }
        }
        give(block)?;
        Ok(None)
    }
}

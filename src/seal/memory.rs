//! The memory that Argon2id fills: mapped, in huge pages where the system has such.

#![allow(unsafe_code)]

use std::io;

use argon2::Block;
use memmap2::{Advice, MmapMut};

/// Zeros at first, and given back when dropped. Argon2id jumps about in it, and 64 MiB are 16,000
/// pages to fault in and to look up, or 32 huge ones: that is a quarter of its time.
pub(super) struct Blocks(MmapMut);

impl Blocks {
    pub fn new(memory_kib: u32) -> io::Result<Blocks> {
        let map = MmapMut::map_anon(memory_kib as usize * Block::SIZE)?;
        // Only advice: without huge pages it takes longer.
        let _ = map.advise(Advice::HugePage);
        Ok(Blocks(map))
    }
}

impl AsMut<[Block]> for Blocks {
    fn as_mut(&mut self) -> &mut [Block] {
        // SAFETY: a block is 128 integers, and any bytes are such; the map is private, nobody else
        // has a reference to it while `self` is borrowed, and the slice lies within it.
        let (before, blocks, after) = unsafe { self.0.align_to_mut::<Block>() };
        debug_assert!(before.is_empty() && after.is_empty(), "a map begins with a page");
        blocks
    }
}

//! The memory that Argon2id fills, mapped.

#![allow(unsafe_code)]

use std::io;

use argon2::Block;
use memmap2::MmapMut;

/// Zeros at first, and given back when dropped. Its pages are made by the threads that fill them:
/// the library's own buffer is made zero by one thread before, a quarter of the time for 64 MiB.
pub(super) struct Blocks(MmapMut);

impl Blocks {
    // (Not in huge pages: where the page cache has taken all memory, the kernel moves pages about
    // to make such, and that takes longer than they save.)
    pub fn new(memory_kib: u32) -> io::Result<Blocks> {
        Ok(Blocks(MmapMut::map_anon(memory_kib as usize * Block::SIZE)?))
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

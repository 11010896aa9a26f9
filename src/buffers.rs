//! Byte buffers that are used again.
//!
//! The kernel makes and clears new pages for every large buffer that is allocated anew, which takes
//! longer than copying into it. Whoever fills many buffers of about one size takes them from here,
//! and each comes back when it is dropped, on whatever thread.

use std::{
    mem,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use bytes::Bytes;

/// Smaller ones are made and dropped: the allocator has such at hand.
const LARGE_FROM_BYTES: usize = 128 << 10;

/// Where spare buffers lie. Clones share them.
#[derive(Clone)]
pub struct Buffers(Arc<Shelf>);

struct Shelf {
    spare: Mutex<Spare>,
    spare_max_bytes: usize,
}

#[derive(Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer that comes back when it is dropped.
pub struct Buffer {
    bytes: Vec<u8>,
    home: Arc<Shelf>,
}

impl Buffers {
    /// Keeps spare buffers of at most so many bytes together, and drops what comes beyond.
    pub fn new(spare_max_bytes: usize) -> Self {
        Buffers(Arc::new(Shelf { spare: Mutex::default(), spare_max_bytes }))
    }

    /// An empty buffer with room for so much. The room of large ones is a power of two, so that
    /// one fits for the next; what is not used of it takes no memory.
    pub fn take(&self, room: usize) -> Buffer {
        let bytes = match room < LARGE_FROM_BYTES {
            true => Vec::with_capacity(room),
            false => self.0.take(room.next_power_of_two()),
        };
        Buffer { bytes, home: self.0.clone() }
    }
}

impl Shelf {
    /// The one that came last and is large enough, if there is one: its pages are the likeliest
    /// to lie in the processor's cache.
    fn take(&self, room: usize) -> Vec<u8> {
        let mut spare = self.spare.lock().expect("no code panics holding it");
        let fits = spare.buffers.iter().rposition(|buffer| buffer.capacity() >= room);
        let Some(at) = fits else { return Vec::with_capacity(room) };
        let buffer = spare.buffers.swap_remove(at);
        spare.bytes -= buffer.capacity();
        buffer
    }

    fn put(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() < LARGE_FROM_BYTES {
            return;
        }
        let mut spare = self.spare.lock().expect("no code panics holding it");
        if spare.bytes + buffer.capacity() <= self.spare_max_bytes {
            buffer.clear();
            spare.bytes += buffer.capacity();
            spare.buffers.push(buffer);
        }
    }
}

impl Buffer {
    /// Comes back when the last part of it is dropped.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.put(mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;

    #[test]
    fn a_buffer_comes_back_empty_when_its_last_part_is_dropped() {
        let buffers = Buffers::new(MIB);
        let mut first = buffers.take(300 * KIB);
        first.extend_from_slice(b"ice core");
        let (place, whole) = (first.as_ptr(), first.freeze());
        let part = whole.slice(4..);
        drop(whole);
        let other = buffers.take(400 * KIB);
        assert_ne!(other.as_ptr(), place);
        assert_eq!(&part[..], b"core");
        drop(part);
        let again = buffers.take(500 * KIB);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn no_more_is_kept_than_was_said_and_nothing_too_small_is_given() {
        let buffers = Buffers::new(MIB);
        let (small, large, tiny) = (buffers.take(256 * KIB), buffers.take(MIB), buffers.take(10));
        let place = small.as_ptr();
        drop((small, large, tiny));
        assert_eq!(buffers.0.spare.lock().unwrap().bytes, 256 * KIB);
        let larger = buffers.take(257 * KIB);
        assert!(larger.capacity() >= 257 * KIB);
        assert_eq!(buffers.take(200 * KIB).as_ptr(), place);
    }
}

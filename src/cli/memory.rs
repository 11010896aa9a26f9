//! How the allocator gives large buffers back.
#![allow(unsafe_code)]

/// Buffers from here on are the kernel's own mappings, given back when they are dropped.
const MAPPED_FROM_BYTES: libc::c_int = 128 << 10;

/// glibc raises its threshold for mappings each time a large buffer is dropped, after which packs
/// and chunks live in heaps that never shrink: a backup of 2 GB held 280 MB instead of 158 MB
/// (docs/benchmarks.md). Said once, before any thread begins.
pub fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointers; `mallopt` may be called at any time, and this is the first line of main.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
    }
}

/// Who speaks with a MongoDB server keeps so much of its heaps: each command and each reply passes
/// through several buffers of its size (some 500 KiB to 1 MiB), and to map and to fault them in
/// again took a third of a restore's time and a sixth of a backup's.
const KEPT_FROM_BYTES: libc::c_int = 4 << 20;
const KEPT_MAX_BYTES: libc::c_int = 64 << 20;

/// Buffers of the size of a server's messages are used again.
pub fn keep_buffers_of_messages() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointers; `mallopt` may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_FROM_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_MAX_BYTES);
    }
}

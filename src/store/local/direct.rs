//! Large objects on their way to the disk, past the page cache.
//!
//! They are written once, synced at once, and hardly ever read on this host: in the page cache they
//! would cost a copy and a page for every 4 KiB, and push out what the host's own programs read
//! (`docs/decisions/0012-packs-go-past-the-page-cache.md`).

use std::{
    fs::File,
    io::{self, Write},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

use crate::limits::{DIRECT_FROM_BYTES, DIRECT_STEP_BYTES};

/// Of memory, place and length: what the strictest of today's disks ask for.
const ALIGNED_BYTES: usize = 4096;

/// Writes all of it to a file that was opened for it; the caller syncs.
pub fn write_all(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let written = if bytes.len() < DIRECT_FROM_BYTES { 0 } else { write_blocks(file, bytes)? };
    file.write_all(&bytes[written..])
}

/// Writes whole blocks as far as the file system takes them so; how many bytes that were. The rest
/// is left to an ordinary write: the end, or everything where this can't be done.
fn write_blocks(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
    let mode = fcntl_getfl(file)?;
    if fcntl_setfl(file, mode | OFlags::DIRECT).is_err() {
        return Ok(0);
    }
    let mut room = vec![0; DIRECT_STEP_BYTES + ALIGNED_BYTES];
    let start = room.as_ptr().align_offset(ALIGNED_BYTES);
    let mut written = 0;
    let done = loop {
        let whole = (bytes.len() - written) / ALIGNED_BYTES * ALIGNED_BYTES;
        let step = &mut room[start..][..whole.min(DIRECT_STEP_BYTES)];
        if step.is_empty() {
            break Ok(());
        }
        step.copy_from_slice(&bytes[written..][..step.len()]);
        match file.write(step) {
            Ok(count) => {
                written += count;
                if count == 0 || count % ALIGNED_BYTES != 0 {
                    break Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Not so aligned, not of such a length, or not at all.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    fcntl_setfl(file, mode)?;
    done.map(|()| written)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;
    use crate::limits::MIB;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn every_length_is_written_whole_and_the_file_is_as_it_was() {
        let bytes = noise(DIRECT_FROM_BYTES + 2 * DIRECT_STEP_BYTES + 5000);
        let ends = [0, 1, 511, 4095, 4096, 4097, DIRECT_STEP_BYTES + 1, 2 * DIRECT_STEP_BYTES + 1];
        let lengths = ends.map(|end| DIRECT_FROM_BYTES + end);
        for length in [0, 1, DIRECT_FROM_BYTES - 1].into_iter().chain(lengths) {
            let mut file = tempfile::tempfile().unwrap();
            let mode = fcntl_getfl(&file).unwrap();
            write_all(&file, &bytes[..length]).unwrap();
            assert_eq!(fcntl_getfl(&file).unwrap(), mode);
            let mut read = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut read).unwrap();
            assert!(read == bytes[..length], "{length}");
        }
    }

    #[test]
    fn where_the_place_is_not_aligned_it_is_an_ordinary_write() {
        let bytes = noise(DIRECT_FROM_BYTES + MIB);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"odd").unwrap();
        write_all(&file, &bytes).unwrap();
        let mut read = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut read).unwrap();
        assert!(read[..3] == *b"odd" && read[3..] == bytes);
    }

    #[test]
    fn an_error_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let read_only = File::open(&path).unwrap();
        assert!(write_all(&read_only, &noise(DIRECT_FROM_BYTES)).is_err());
    }
}

//! What all collections of one capture share.

use std::path::Path;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{
    ambient::Ambient, chunk::Cutter, limits, progress::Progress, repo::WriteBlobs,
    source::sorter::SorterOptions, tree::Splitter,
};

pub(in crate::verbs::backup) struct Ground<'a, W: WriteBlobs> {
    pub writer: &'a W,
    pub cutter: &'a Cutter,
    pub splitter: Splitter,
    pub progress: &'a Progress,
    pub ambient: &'a Ambient,
    /// Where documents are sorted that do not fit in memory.
    pub spill_dir: &'a Path,
    pub window_bytes: usize,
    pub sort_bytes: usize,
    pub(super) permits: (Sender<()>, Receiver<()>),
}

/// The right to have threads and buffers for one large collection, as long as this is held.
pub(super) struct Permit<'g>(&'g Receiver<()>);

impl<'a, W: WriteBlobs> Ground<'a, W> {
    pub fn new(
        writer: &'a W,
        (cutter, splitter): (&'a Cutter, Splitter),
        progress: &'a Progress,
        ambient: &'a Ambient,
        spill_dir: &'a Path,
    ) -> Self {
        Ground {
            writer,
            cutter,
            splitter,
            progress,
            ambient,
            spill_dir,
            window_bytes: limits::DOCUMENT_WINDOW_BYTES,
            sort_bytes: limits::DOCUMENT_SORT_BYTES,
            permits: bounded(limits::LARGE_COLLECTIONS_AT_ONCE),
        }
    }

    pub(super) fn sorter_options(&self, memory_bytes: usize) -> SorterOptions {
        SorterOptions {
            memory_bytes,
            spill_dir: self.spill_dir.to_owned(),
            key: self.ambient.random(),
        }
    }

    /// Waits until it may be had.
    pub(super) fn permit(&self) -> Permit<'_> {
        self.permits.0.send(()).expect("the other end is here");
        Permit(&self.permits.1)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // It was put there by whoever made this.
        let _ = self.0.try_recv();
    }
}

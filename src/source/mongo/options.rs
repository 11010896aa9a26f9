//! What to capture, and how.

use std::{path::PathBuf, sync::Arc};

use super::Namespace;
use crate::{
    ambient::Ambient,
    source::sorter::{Sorter, SorterOptions},
};

/// How the collections are to belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// One moment, by whichever way fits; no moment only for a standalone.
    #[default]
    Auto,
    /// Only by reads as of one moment.
    Snapshot,
    /// Only by a scan that the oplog makes exact.
    Oplog,
    /// Each document as it is when it is read.
    Plain,
}

/// Whether a collection is wanted.
pub type Wish = Arc<dyn Fn(&Namespace) -> bool + Send + Sync>;

/// What to capture.
#[derive(Clone)]
pub struct Options {
    /// Only this database.
    pub db: Option<String>,
    pub wanted: Wish,
    /// `admin.system.users` and `admin.system.roles` too.
    pub users_and_roles: bool,
    pub consistency: Wanted,
    /// What the oplog has of each document is sorted in so much memory, and beyond that in here.
    pub memory_bytes: usize,
    pub spill_dir: PathBuf,
    pub ambient: Ambient,
}

impl Options {
    /// All of a deployment, at one moment if there is such a thing.
    pub fn all(ambient: Ambient, memory_bytes: usize, spill_dir: PathBuf) -> Options {
        Options {
            db: None,
            wanted: Arc::new(|_| true),
            users_and_roles: false,
            consistency: Wanted::Auto,
            memory_bytes,
            spill_dir,
            ambient,
        }
    }

    /// One more, with a part of the memory.
    pub(super) fn sorter(&self, share: usize) -> Sorter {
        Sorter::new(SorterOptions {
            memory_bytes: self.memory_bytes / share,
            spill_dir: self.spill_dir.clone(),
            key: self.ambient.random(),
        })
    }
}

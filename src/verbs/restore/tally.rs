//! What a restore did, counted by its threads.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    progress::{Progress, Trouble},
    sink::{Unset, What},
};

/// So many names are kept of each kind that an outcome names; the counts are always whole.
const NAMES_MAX: usize = 1000;

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub dirs: u64,
    /// Written, whole or in part.
    pub files_restored: u64,
    /// Right but for metadata, which was set.
    pub files_settled: u64,
    /// Right already.
    pub files_unchanged: u64,
    /// Symbolic links, fifos, sockets and devices made.
    pub nodes_restored: u64,
    pub nodes_unchanged: u64,
    pub links_restored: u64,
    pub links_unchanged: u64,
    /// Differing, and left by the user's word (`skip`, `newest`).
    pub skipped: u64,
    /// Differing, and left (`fail`; `skip`, when it is verified).
    pub conflicts: u64,
    pub conflict_paths: Vec<String>,
    /// Content fetched and written.
    pub bytes_restored: u64,
    /// Content that was on disk already, found by comparing.
    pub bytes_reused: u64,
    /// Entries that could not be restored, or not wholly.
    pub troubles: u64,
    /// Of these, those whose content the repository could not give.
    pub damaged: u64,
    pub damaged_paths: Vec<String>,
    /// Entries whose owner (or setuid bit) only root could have set; no troubles.
    pub owners_not_set: u64,
    /// Files read back and found right, when asked to.
    pub files_verified: u64,
}

/// An outcome in the making.
#[derive(Default)]
pub(super) struct Tally {
    pub dirs: AtomicU64,
    pub files_restored: AtomicU64,
    pub files_settled: AtomicU64,
    pub files_unchanged: AtomicU64,
    pub nodes_restored: AtomicU64,
    pub nodes_unchanged: AtomicU64,
    pub links_restored: AtomicU64,
    pub links_unchanged: AtomicU64,
    pub skipped: AtomicU64,
    pub bytes_restored: AtomicU64,
    pub bytes_reused: AtomicU64,
    pub files_verified: AtomicU64,
    troubles: AtomicU64,
    owners_not_set: AtomicU64,
    conflicts: Named,
    damaged: Named,
}

#[derive(Default)]
struct Named {
    count: AtomicU64,
    paths: Mutex<Vec<String>>,
}

impl Named {
    fn add(&self, path: String) {
        self.count.fetch_add(1, Relaxed);
        let mut paths = self.paths.lock().expect("nothing panics while it holds the names");
        if paths.len() < NAMES_MAX {
            paths.push(path);
        }
    }

    fn sorted(&self) -> Vec<String> {
        let mut paths = self.paths.lock().expect("nothing panics while it holds the names").clone();
        paths.sort();
        paths
    }
}

impl Tally {
    pub fn conflict(&self, key: &[u8]) {
        self.conflicts.add(shown(key));
    }

    pub fn trouble(&self, progress: &Progress, key: &[u8], error: &dyn std::error::Error) {
        self.troubles.fetch_add(1, Relaxed);
        progress.trouble(Trouble { item: shown(key), during: "restore", error: one_line(error) });
    }

    pub fn damage(&self, progress: &Progress, key: &[u8], error: &dyn std::error::Error) {
        self.trouble(progress, key, error);
        self.damaged.add(shown(key));
    }

    /// Entries that follow `key`, it is not known how many.
    pub fn damage_after(&self, progress: &Progress, key: &[u8], error: &dyn std::error::Error) {
        self.troubles.fetch_add(1, Relaxed);
        let item = format!("what follows {}", shown(key));
        self.damaged.add(item.clone());
        progress.trouble(Trouble { item, during: "restore", error: one_line(error) });
    }

    pub fn unset(&self, progress: &Progress, key: &[u8], unset: &[Unset]) {
        if unset.iter().any(Unset::needs_root) {
            self.owners_not_set.fetch_add(1, Relaxed);
        }
        for Unset { what, errno } in unset.iter().filter(|unset| !unset.needs_root()) {
            self.troubles.fetch_add(1, Relaxed);
            let error = match what {
                What::Owner => format!("owner not set: {errno}"),
                What::Mode => format!("mode not set: {errno}"),
                What::Times => format!("times not set: {errno}"),
                What::Xattr(name) => {
                    format!("extended attribute {} not set: {errno}", String::from_utf8_lossy(name))
                }
            };
            progress.trouble(Trouble { item: shown(key), during: "set metadata", error });
        }
    }

    pub fn outcome(&self) -> Outcome {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        Outcome {
            dirs: of(&self.dirs),
            files_restored: of(&self.files_restored),
            files_settled: of(&self.files_settled),
            files_unchanged: of(&self.files_unchanged),
            nodes_restored: of(&self.nodes_restored),
            nodes_unchanged: of(&self.nodes_unchanged),
            links_restored: of(&self.links_restored),
            links_unchanged: of(&self.links_unchanged),
            skipped: of(&self.skipped),
            conflicts: of(&self.conflicts.count),
            conflict_paths: self.conflicts.sorted(),
            bytes_restored: of(&self.bytes_restored),
            bytes_reused: of(&self.bytes_reused),
            troubles: of(&self.troubles),
            damaged: of(&self.damaged.count),
            damaged_paths: self.damaged.sorted(),
            owners_not_set: of(&self.owners_not_set),
            files_verified: of(&self.files_verified),
        }
    }
}

/// A key as a person knows it: a path below the target.
pub(super) fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).replace('\0', "/")
}

/// The error and its causes.
pub(in crate::verbs) fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

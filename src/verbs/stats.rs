//! Stats: how much snapshots hold, and how much of it is stored.

use roaring::RoaringBitmap;

use super::{check::is_damage, prune::Error, restore::one_line};
use crate::{
    format::snapshot::NamedRoot,
    id::BlobKind,
    progress::{Progress, Trouble},
    repo::{self, Kept, Repository, collect},
    tree::{self, Root},
};

/// Some snapshots, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    pub snapshots: u64,
    /// Of all of them, what is in several as often.
    pub files: u64,
    /// Documents of collections, counted alike.
    pub documents: u64,
    /// What restoring each of them would write.
    pub restore_bytes: u64,
    /// Blobs that they need, each once.
    pub chunks: u64,
    pub nodes: u64,
    /// Those blobs, plain.
    pub plain_bytes: u64,
    /// The same, squeezed and sealed.
    pub stored_bytes: u64,
    /// All packs of the repository, whatever is in them.
    pub packs: u64,
    pub pack_bytes: u64,
}

/// Counts each blob once; a node that was met before is not read again, so that many snapshots of
/// one source cost little more than one. Memory: a bit for each blob. What can't be read is told to
/// `progress`, and what it leads to is not counted.
pub fn stats(
    repository: &Repository,
    chosen: &[&Kept],
    progress: &Progress,
) -> Result<Stats, Error> {
    let reader = repository.reader()?;
    let frozen = repository.catalog().freeze().ok_or(Error::TooManyRows)?;
    let mut stats = Stats { snapshots: chosen.len() as u64, ..Stats::default() };
    let packs = repository.catalog().live_packs();
    stats.packs = packs.len() as u64;
    stats.pack_bytes = packs.iter().map(|(_, pack)| pack.size_bytes).sum();
    let mut seen = RoaringBitmap::new();
    progress.phase("counting");
    progress.expect(chosen.len() as u64, 0);
    for kept in chosen {
        if progress.is_cancelled() {
            return Err(collect::Error::Cancelled.into());
        }
        stats.files += kept.snapshot.summary.total_files_processed;
        let summary = &kept.snapshot.summary;
        stats.documents += summary.docs_new + summary.docs_changed + summary.docs_unmodified;
        stats.restore_bytes += kept.snapshot.summary.total_bytes_processed;
        for root in &kept.snapshot.roots {
            let mut visit = |kind, id: &_| {
                let Some(found) = frozen.copies(id).into_iter().next() else { return true };
                if !seen.insert(found.row) {
                    return false;
                }
                *(if kind == BlobKind::Node { &mut stats.nodes } else { &mut stats.chunks }) += 1;
                stats.plain_bytes += u64::from(found.copy.row.raw_len);
                stats.stored_bytes += u64::from(found.copy.row.stored_len);
                true
            };
            let NamedRoot { id, level, entries, bytes, .. } = *root;
            let top = Root { id, level, entries, bytes };
            let mut lost = |error: tree::Error<repo::Error>| {
                if !error.is_damage(repo::Error::is_damage) {
                    return Err(error);
                }
                let item = format!("snapshot {}", kept.sid.short());
                progress.trouble(Trouble { item, during: "read", error: one_line(&error) });
                Ok(())
            };
            tree::walk_past(&reader, &top, &mut visit, &mut lost).or_else(is_damage)?;
        }
        progress.done(1, 0);
    }
    Ok(stats)
}

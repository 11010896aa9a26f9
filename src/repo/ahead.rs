//! Blobs that will be wanted soon, fetched together where they lie near one another.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use hashbrown::HashMap;

use super::catalog::Located;
use crate::{
    id::{BlobId, PackId},
    limits::{READ_AHEAD_MAX_BYTES, READ_GAP_MAX_BYTES, READ_TOGETHER_MAX_BYTES},
    seal::{PackSalt, Row},
};

/// One read that serves several blobs: done by whoever needs the first of them.
pub(super) struct Together {
    pub pack: PackId,
    pub salt: PackSalt,
    pub range: Range<u64>,
    ids: Vec<BlobId>,
    /// What was read, or that it could not be.
    pub bytes: Mutex<Option<Option<Bytes>>>,
}

/// The reads that are planned or done, and for each blob the one that serves it.
#[derive(Default)]
pub(super) struct Ahead {
    plans: Mutex<Plans>,
}

#[derive(Default)]
struct Plans {
    by_id: HashMap<BlobId, (Arc<Together>, Row)>,
    oldest_first: VecDeque<Arc<Together>>,
    bytes: usize,
}

impl Ahead {
    fn lock(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().expect("no code panics holding it")
    }

    pub fn has(&self, id: &BlobId) -> bool {
        self.lock().by_id.contains_key(id)
    }

    /// Plans to read these. Old plans that were never followed give way.
    pub fn plan(&self, mut copies: Vec<Located>) {
        copies.sort_by_key(|copy| (copy.number, copy.row.offset));
        let mut group: Vec<Located> = Vec::new();
        for copy in copies {
            let fits = group.first().zip(group.last()).is_none_or(|(first, last)| {
                let (from, to) = (span(first).start, span(&copy).end);
                first.number == copy.number
                    && to - from <= READ_TOGETHER_MAX_BYTES
                    && span(&copy).start.saturating_sub(span(last).end) <= READ_GAP_MAX_BYTES
            });
            if !fits {
                self.add(&std::mem::take(&mut group));
            }
            group.push(copy);
        }
        self.add(&group);
    }

    fn add(&self, group: &[Located]) {
        // One alone is read when it is wanted, as if nobody had expected it.
        let [first, .., last] = group else { return };
        let range = span(first).start..span(last).end;
        let together = Arc::new(Together {
            pack: first.pack.id,
            salt: first.pack.salt,
            ids: group.iter().map(|copy| copy.row.id).collect(),
            bytes: Mutex::new(None),
            range,
        });
        let mut plans = self.lock();
        for copy in group {
            plans.by_id.insert(copy.row.id, (together.clone(), copy.row));
        }
        plans.bytes += together.len();
        plans.oldest_first.push_back(together);
        while plans.bytes > READ_AHEAD_MAX_BYTES {
            let Some(oldest) = plans.oldest_first.pop_front() else { break };
            plans.drop_plan(&oldest);
        }
    }

    /// The read that serves this blob, once.
    pub fn take(&self, id: &BlobId) -> Option<(Arc<Together>, Row)> {
        let mut plans = self.lock();
        let taken = plans.by_id.remove(id)?;
        let served =
            |id: &BlobId| !plans.by_id.get(id).is_some_and(|(plan, _)| Arc::ptr_eq(plan, &taken.0));
        if taken.0.ids.iter().all(served) {
            plans.oldest_first.retain(|plan| !Arc::ptr_eq(plan, &taken.0));
            plans.bytes -= taken.0.len();
        }
        Some(taken)
    }
}

impl Plans {
    fn drop_plan(&mut self, plan: &Arc<Together>) {
        for id in &plan.ids {
            if self.by_id.get(id).is_some_and(|(other, _)| Arc::ptr_eq(other, plan)) {
                self.by_id.remove(id);
            }
        }
        self.bytes -= plan.len();
    }
}

impl Together {
    fn len(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }
}

fn span(copy: &Located) -> Range<u64> {
    let start = u64::from(copy.row.offset);
    start..start + u64::from(copy.row.stored_len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::BlobKind,
        repo::catalog::PackInfo,
        seal::{Codec, PackSalt},
    };

    fn copy(name: u16, number: u32, offset: u32, stored_len: u32) -> Located {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&name.to_le_bytes());
        let (id, kind, codec) = (BlobId::new(bytes), BlobKind::Chunk, Codec::Raw);
        let row = Row { id, kind, codec, offset, stored_len, raw_len: stored_len - 16 };
        let id = PackId::new([number as u8; 32]);
        let pack = PackInfo { id, salt: PackSalt([0; 32]), size_bytes: 1 << 30 };
        Located { number, pack, row }
    }

    fn ranges(ahead: &Ahead, copies: &[Located]) -> Vec<Option<Range<u64>>> {
        let take = |copy: &Located| ahead.take(&copy.row.id).map(|taken| taken.0.range.clone());
        copies.iter().map(take).collect()
    }

    #[test]
    fn neighbours_are_read_together() {
        let copies = [
            copy(1, 1, 0, 100),
            copy(2, 1, 100, 100),
            copy(3, 2, 200, 100),
            copy(4, 1, 50_000, 100),
            copy(5, 1, 500_000, 100),
        ];
        let ahead = Ahead::default();
        ahead.plan(copies.iter().rev().copied().collect());
        let first = Some(0..50_100);
        assert_eq!(ranges(&ahead, &copies), [first.clone(), first.clone(), None, first, None]);
        assert_eq!(ranges(&ahead, &copies), [None, None, None, None, None]);
        let plans = ahead.lock();
        assert_eq!((plans.bytes, plans.oldest_first.len()), (0, 0));
    }

    #[test]
    fn what_is_never_fetched_gives_way() {
        let ahead = Ahead::default();
        let mib = 1 << 20;
        for pack in 0..100u32 {
            let copies = (0..4).map(|at| copy((pack * 4 + at) as u16, pack, at * mib, mib));
            ahead.plan(copies.collect());
        }
        let plans = ahead.lock();
        assert!(plans.bytes <= READ_AHEAD_MAX_BYTES);
        assert_eq!(plans.by_id.len(), plans.bytes / mib as usize);
        drop(plans);
        assert!(!ahead.has(&copy(0, 0, 0, 100).row.id));
        assert!(ahead.has(&copy(399, 0, 0, 100).row.id));
    }
}
